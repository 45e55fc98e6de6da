"""What alembic runs: the steps on the connection that `cloud.relational.migrate` was given."""

from alembic import context

from cloud.relational.tables import metadata

# Batch mode: SQLite alters a table by copying it.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
