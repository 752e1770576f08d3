"""How far each reader of the log has come, and who holds which lease."""

from sqlalchemy import BigInteger, Column, Table

from headrace.control.tables.base import metadata
from headrace.control.text import text

offsets = Table(
    "offsets",
    metadata,
    Column("consumer", text(100), primary_key=True),
    Column("position", BigInteger, nullable=False),
)

leases = Table(  # never deleted while the name may be used again: its fence must keep growing
    "leases",
    metadata,
    Column("name", text(100), primary_key=True),  # "partition/0", "replay/<id>", …
    Column("owner", text(40), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),  # by the database's clock; 0: released
    sqlite_with_rowid=False,
)
