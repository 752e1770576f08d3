"""The tables of the control database. Migrations make them; a test checks that both say the same."""

from sqlalchemy import BigInteger, Column, ForeignKey, MetaData, String, Table

metadata = MetaData(
    naming_convention={  # a migration can only name what has a name
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

projects = Table(
    "projects",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("created_at_ms", BigInteger, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("project", String(100), ForeignKey(projects.c.name), nullable=False),
    Column("mode", String(4), nullable=False),
    Column("style", String(20), nullable=False),
    Column("scopes", String(100), nullable=False),  # comma-separated
    Column("prefix", String(40), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),  # SHA-256 of the secret, in hex
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("revoked_at_ms", BigInteger),
)

offsets = Table(
    "offsets",
    metadata,
    Column("consumer", String(100), primary_key=True),
    Column("position", BigInteger, nullable=False),
)
