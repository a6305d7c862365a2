"""Alembic environment of the TimescaleDB schema; `workers/migrate.py` runs it, no alembic.ini."""

from alembic import context

config = context.config

if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql",
        version_table="alembic_version",
        version_table_schema="fleet",
        literal_binds=True,
    )
else:
    context.configure(
        connection=config.attributes["connection"],
        version_table="alembic_version",
        version_table_schema="fleet",
    )
with context.begin_transaction():
    context.run_migrations()
