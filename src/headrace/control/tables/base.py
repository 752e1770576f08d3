"""What every table is made with."""

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData(
    naming_convention={  # a migration can only name what has a name
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

# A number that the database assigns; SQLite does so only for its own INTEGER, which holds 64 bits.
Number = BigInteger().with_variant(Integer, "sqlite")
