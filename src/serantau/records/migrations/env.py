"""Alembic's entry: run migrations on the connection that `migrate` hands over."""

from alembic import context

from serantau.records.tables import LEDGER, metadata

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    # With SQLite each file says for itself where it is.
    version_table_schema=LEDGER if attributes["part"] == LEDGER else None,
    target_metadata=metadata,
    include_schemas=True,
    transactional_ddl=True,
)
context.run_migrations()
