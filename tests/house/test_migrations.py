"""Migrations on a database of their own: up, down and up again, and what they make is what the models say."""

import re
from collections.abc import Iterator
from typing import Any

import flask_migrate
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import CheckConstraint

from app import create_app
from app.config import load_settings
from app.db import db

# What the comparison finds although both sides mean the same; each with its reason.
EXCEPTIONS: dict[str, str] = {}
CATALOG = {
    "tables": "SELECT relname, relkind, relrowsecurity, relforcerowsecurity, relacl::text FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i', 'S', 'v')",
    "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
    "WHERE table_schema = 'public'",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "policies": "SELECT tablename, policyname, roles::text, cmd, qual, with_check FROM pg_policies",
    "functions": "SELECT proname, prosrc, proowner::regrole::text, prosecdef, proconfig::text, proacl::text FROM pg_proc "
    "WHERE pronamespace = 'public'::regnamespace",
    "schema": "SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public'",
    "grants": "SELECT attrelid::regclass::text, attname, attacl::text FROM pg_attribute WHERE attacl IS NOT NULL "
    "AND attrelid::regclass::text !~ '^pg_'",
    "tenants": "SELECT id::text, name FROM tenants",
}


@pytest.fixture
def empty(environment: dict[str, str]) -> Iterator[Flask]:
    """The owner's application over an empty database."""
    name = re.sub(r".*/(\w+)(\?.*)?$", r"\1", environment["PATCHBAY_OWNER_URL"]) + "_migrations"
    url = environment["PATCHBAY_OWNER_URL"].replace(name.removesuffix("_migrations"), name)
    with psycopg.connect(environment["PATCHBAY_OWNER_URL"], autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        flask_app = create_app("owner", load_settings({**environment, "PATCHBAY_OWNER_URL": url}))
        with flask_app.app_context():
            yield flask_app
            db.session.remove()
            db.engine.dispose()
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def catalog() -> dict[str, list[tuple[Any, ...]]]:
    """Return everything that migrations make, sorted."""
    with db.engine.connect() as connection:
        return {
            name: sorted((tuple(row) for row in connection.exec_driver_sql(query)), key=str)
            for name, query in CATALOG.items()
        }


def left_over() -> list[tuple[Any, ...]]:
    """Return what is still in the schema, but for Alembic's own table."""
    query = (
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^alembic_version' "
        "UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
        "UNION ALL SELECT policyname FROM pg_policies"
    )
    with db.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def test_up_down_and_up_again_ends_where_it_was(empty: Flask) -> None:
    flask_migrate.upgrade()
    first = catalog()
    flask_migrate.downgrade(revision="base")
    assert left_over() == []
    flask_migrate.upgrade()
    second = catalog()
    for name in CATALOG:
        assert second[name] == first[name], name


def revisions(flask_app: Flask) -> ScriptDirectory:
    return ScriptDirectory(str(flask_app.extensions["migrate"].directory))


def test_each_step_down_ends_where_the_step_up_began(empty: Flask) -> None:
    steps = [found.revision for found in revisions(empty).walk_revisions()][::-1]
    before = {}
    for revision in steps:
        flask_migrate.upgrade(revision=revision)
        before[revision] = catalog()
    for revision in steps[-2::-1]:
        flask_migrate.downgrade(revision=revision)
        after = catalog()
        for name in CATALOG:
            assert after[name] == before[revision][name], (revision, name)


def test_there_is_one_head(empty: Flask) -> None:
    assert len(revisions(empty).get_heads()) == 1


def test_the_models_are_what_the_migrations_make(empty: Flask) -> None:
    flask_migrate.upgrade()
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        found = {str(difference) for difference in compare_metadata(context, db.metadata)}
    assert found == set(EXCEPTIONS)


def test_the_models_have_the_check_constraints_that_the_migrations_make(empty: Flask) -> None:
    """Alembic does not compare these."""
    flask_migrate.upgrade()
    query = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
    with db.engine.connect() as connection:
        made = {row[0] for row in connection.exec_driver_sql(query)}
    said = {
        str(constraint.name)
        for table in db.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert said == made


def test_exports_and_secrets_keep_their_rows_when_their_tables_are_joined(empty: Flask) -> None:
    """A file that can be fetched stays so; one that is being made begins anew; what signs goes on signing."""
    flask_migrate.upgrade(revision="0038")
    tenant = "00000000-0000-0000-0000-000000000001"
    with db.engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO tenants (id, name) VALUES ('{tenant}', 'A') ON CONFLICT DO NOTHING")
        for number, state in ((1, "ready"), (2, "working")):
            connection.exec_driver_sql(
                "INSERT INTO tenant_exports (tenant_id, id, state, requested_name, progress, done, parts, size, expires_at) "
                f"VALUES ('{tenant}', '{number:032}', '{state}', 'Ada', '{{\"file\": 7}}', 9, 1, 3, now())"
            )
            connection.exec_driver_sql(f"INSERT INTO tenant_export_parts VALUES ('{tenant}', '{number:032}', 0, 'abc')")
        connection.exec_driver_sql(
            "INSERT INTO tasks (tenant_id, id, lane, kind, key, ref) "
            f"VALUES ('{tenant}', gen_random_uuid(), 'sync', 'export_tenant', '2', '{2:032}')"
        )
        connection.exec_driver_sql(
            "INSERT INTO destinations (tenant_id, id, kind, name, host, url_sealed, secret_sealed, preference) "
            f"VALUES ('{tenant}', '{3:032}', 'webhook', 'D', 'https://a.test', 'u', 'sealed', 'problems')"
        )

    def told(query: str) -> list[Any]:
        with db.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def exports_in(table: str) -> list[Any]:
        query = (
            f"SELECT state, done, parts, progress ->> 'file', (SELECT count(*) FROM {table.removesuffix('s')}_parts p "
        )
        return told(f"{query} WHERE p.export_id = e.id) FROM {table} e ORDER BY id")

    kept = [("ready", 9, 1, "7", 1), ("waiting", 0, 0, "0", 0)]
    flask_migrate.upgrade()
    assert exports_in("exports") == kept
    assert told("SELECT kind FROM tasks") == [("make_export",)]
    sealed = "SELECT id = destination_id, destination_id IS NOT NULL, sealed FROM signing_secrets"
    assert told(sealed) == [(True, True, b"sealed")]
    flask_migrate.downgrade(revision="0038")
    assert exports_in("tenant_exports") == kept
    assert told("SELECT kind FROM tasks") == [("export_tenant",)]
    assert told("SELECT secret_sealed, state FROM destinations") == [(b"sealed", "active")]
    flask_migrate.upgrade()
    assert exports_in("exports") == kept
