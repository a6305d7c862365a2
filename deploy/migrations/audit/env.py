"""Alembic environment of the audit log's schema; `workers/migrate.py` runs it, no alembic.ini."""

from alembic import context

from shared.mysql.schema import AUDIT_VERSION_TABLE

config = context.config

if context.is_offline_mode():
    context.configure(
        dialect_name="mysql",
        version_table=AUDIT_VERSION_TABLE,
        transactional_ddl=False,
        literal_binds=True,
    )
else:
    context.configure(
        connection=config.attributes["connection"],
        version_table=AUDIT_VERSION_TABLE,
        transactional_ddl=False,
    )
with context.begin_transaction():
    context.run_migrations()
