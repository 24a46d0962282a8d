"""Alembic's entry: run migrations on the connection that `migrate` hands over."""

from alembic import context

from serantau.records.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_schemas=True,
    transactional_ddl=True,
)
context.run_migrations()
