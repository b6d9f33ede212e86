"""Every table, policy, function and grant against the lists in app/tenancy.py (T03-T10)."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from app import tenancy
from app.db import db
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.tenants import make_tenant

Owner = psycopg.Connection[Any]
LOGIN = ("patchbay_web", "patchbay_worker", "patchbay_dispatcher")


def tables(owner: Owner) -> dict[str, tuple[bool, bool]]:
    rows = owner.execute(
        "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = 'public' AND relkind IN ('r', 'p')"
    ).fetchall()
    return {row[0]: (row[1], row[2]) for row in rows}


def test_every_table_is_guarded_or_listed(owner: Owner) -> None:
    for name, guards in tables(owner).items():
        if name in tenancy.PLATFORM_TABLES:
            assert guards == (False, False), name
        else:
            assert guards == (True, True), f"{name}: ENABLE and FORCE row level security, or list it in app/tenancy.py"


def test_listed_tables_exist(owner: Owner) -> None:
    known = set(tables(owner))
    for names in (
        tenancy.PLATFORM_TABLES,
        tenancy.USER_TABLES,
        tenancy.LOOKUP_TABLES,
        tenancy.DISPATCHER_TABLES,
        tenancy.STAFF_TABLES,
    ):
        assert names <= known


def test_policies_are_the_standard_ones_or_listed(owner: Owner) -> None:
    rows = owner.execute(
        "SELECT tablename, policyname, roles::text[], cmd, qual, with_check FROM pg_policies"
    ).fetchall()
    bound = set()
    for table, name, roles, command, using, check in rows:
        if name == "bound":
            key = {"tenants": "id"}.get(table, "user_id" if table in tenancy.USER_TABLES else "tenant_id")
            assert using == check
            assert using.startswith(f"({key} = ( SELECT (NULLIF(current_setting('patchbay."), table
            assert roles == ["public"]
            bound.add(table)
        elif name == "own":
            assert table in tenancy.OWN_MEMBERSHIP_TABLES
            assert command == "SELECT"
        elif name == "patchbay_lookup_crosses":
            assert table in tenancy.LOOKUP_TABLES
            assert roles == ["patchbay_lookup"]
        elif name == "patchbay_lookup_prunes":
            assert table in tenancy.USER_TABLES
            assert (roles, command) == (["patchbay_lookup"], "DELETE")
        elif name == "staff":
            assert table in tenancy.STAFF_TABLES
            assert (roles, command) == (["patchbay_web"], "SELECT")
            assert "staff_roles" in using
            assert "patchbay.user" in using
        elif name == "patchbay_dispatcher_crosses":
            assert table in tenancy.DISPATCHER_TABLES
            assert roles == ["patchbay_dispatcher"]
        else:
            pytest.fail(f"{table}: policy {name} is not known")
    assert bound == set(tables(owner)) - tenancy.PLATFORM_TABLES


def test_tenant_tables_have_composite_keys(owner: Owner) -> None:
    rows = owner.execute(
        "SELECT c.relname, con.contype::text, (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(con.conkey) "
        "WITH ORDINALITY k(num, n) JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.num), f.relname "
        "FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid LEFT JOIN pg_class f ON f.oid = con.confrelid "
        "WHERE c.relnamespace = 'public'::regnamespace AND con.contype IN ('p', 'f', 'u')"
    ).fetchall()
    outside = tenancy.PLATFORM_TABLES | tenancy.USER_TABLES | {"tenants"}
    for table, kind, columns, target in rows:
        if table in outside:
            continue
        if kind == "f" and target in outside:
            continue
        if kind == "u" and columns in (["token_hash"], ["state_hash"]):
            continue
        assert columns[0] == "tenant_id", f"{table}: {kind} on {columns}"


def test_login_roles_own_nothing_and_cannot_bypass(owner: Owner) -> None:
    rows = owner.execute(
        "SELECT rolname, rolsuper, rolbypassrls, rolinherit, rolcanlogin FROM pg_roles WHERE rolname LIKE 'patchbay_%'"
    ).fetchall()
    for name, superuser, bypass, inherit, login in rows:
        if name in (*LOGIN, "patchbay_lookup"):
            assert (superuser, bypass, inherit, login) == (False, False, False, name in LOGIN), name
    owned = owner.execute(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relowner::regrole::text = ANY(%s)",
        (list(LOGIN),),
    ).fetchone()
    assert owned == (0,)


def test_definer_functions_are_listed_and_pinned(owner: Owner) -> None:
    rows = owner.execute(
        "SELECT proname, proowner::regrole::text, array_to_string(proconfig, ',') FROM pg_proc "
        "WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert {row[0] for row in rows} == set(tenancy.LOOKUP_FUNCTIONS)
    for name, function_owner, config in rows:
        assert function_owner == "patchbay_lookup", name
        assert config.startswith("search_path=pg_catalog"), name


def test_no_truncate_references_or_trigger_rights(owner: Owner) -> None:
    rows = owner.execute(
        "SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants "
        "WHERE grantee LIKE 'patchbay_%%' AND privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')"
    ).fetchall()
    assert rows == []


def test_without_a_tenant_nothing_is_seen_and_nothing_written(
    environment: dict[str, str], owner: Owner, apps: dict[str, Flask], clean: None
) -> None:
    make_tenant(apps)
    with psycopg.connect(environment["PATCHBAY_WORKER_URL"], autocommit=True) as connection:
        for table in sorted(set(tables(owner)) - tenancy.PLATFORM_TABLES - tenancy.USER_TABLES):
            assert connection.execute(f'SELECT count(*) FROM "{table}"').fetchone() == (0,), table
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "INSERT INTO records (tenant_id, id, object_type, data, hash) VALUES (gen_random_uuid(), gen_random_uuid(), 'x', '{}', '')"
            )


def test_a_pooled_connection_keeps_no_tenant(worker_app: Flask, apps: dict[str, Flask]) -> None:
    """The same backend, one tenant after the other, also after a session-wide SET."""
    tenant_id = make_tenant(apps)
    db.engine.dispose()  # Other tests may have left several connections in the pool, which hands them out in turn.
    seen = []
    for _ in range(3):
        with bind_tenant(tenant_id), transaction():
            assert db.session.scalar(text("SELECT count(*) FROM tenants")) == 1
            db.session.execute(text(f"SET patchbay.tenant = '{tenant_id}'"))
            seen.append(db.session.scalar(text("SELECT pg_backend_pid()")))
        db.session.remove()
        with transaction():
            assert db.session.scalar(text("SELECT count(*) FROM tenants")) == 0
            seen.append(db.session.scalar(text("SELECT pg_backend_pid()")))
        db.session.remove()
    assert len(set(seen)) == 1


def test_the_web_cannot_read_ciphertext(environment: dict[str, str], apps: dict[str, Flask]) -> None:
    with (
        psycopg.connect(environment["PATCHBAY_WEB_URL"]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT sealed FROM credentials")


def test_a_foreign_key_is_no_oracle(worker_app: Flask, apps: dict[str, Flask]) -> None:
    """A reference to another tenant's row fails exactly as one to a row that is not there."""
    ours, theirs = make_tenant(apps, "Ours"), make_tenant(apps, "Theirs")
    other = uuid.uuid4()
    with bind_tenant(theirs), transaction():
        db.session.execute(
            text("INSERT INTO connections (tenant_id, id, connector) VALUES (:t, :i, 'kinto')"),
            {"t": theirs, "i": other},
        )
    errors = []
    for target in (other, uuid.uuid4()):
        with pytest.raises(Exception, match="violates foreign key") as caught, bind_tenant(ours), transaction():
            db.session.execute(
                text(
                    "INSERT INTO credentials (tenant_id, id, connection_id, field, sealed) VALUES (:t, :i, :c, 'f', '')"
                ),
                {"t": ours, "i": uuid.uuid4(), "c": target},
            )
        errors.append(type(caught.value))
    assert errors[0] is errors[1]
