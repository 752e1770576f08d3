"""What Alembic runs around the migrations: on the connection, and in the transaction, that database.py opened."""

from alembic import context

from headrace.control.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
