"""Alembic's environment: runs as the owner role, one transaction a migration, with a short lock timeout."""

from alembic import context
from flask import current_app
from sqlalchemy import text

from app.db import db

config = context.config


def run() -> None:
    """Apply the migrations over the owner's connection."""
    with current_app.extensions["migrate"].db.engine.connect() as connection:
        # A migration that waits for a lock makes everybody behind it wait as well.
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.commit()
        context.configure(connection=connection, target_metadata=db.metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


run()
