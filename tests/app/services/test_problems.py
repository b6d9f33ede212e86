"""Problems: equal errors are one, also once PostgreSQL has settled on a plan."""

from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from app.db import db
from app.services import problems
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.tenants import connect_kinto, make_tenant


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
def test_equal_errors_are_one_problem_whatever_plan_is_kept(
    worker_app: Flask, apps: dict[str, Flask], owner: psycopg.Connection[Any], plans: str
) -> None:
    """Red with a bound value in `index_where`: a kept plan then finds no index to infer."""
    tenant_id = make_tenant(apps)
    with apps["web"].app_context():
        installation_id = connect_kinto(tenant_id, "http://127.0.0.1:1", "password")
    with bind_tenant(tenant_id), transaction():
        db.session.execute(text(f"SET LOCAL plan_cache_mode = {plans}"))
        for _ in range(8):  # The driver prepares a statement at its fifth use.
            problems.open_problem(tenant_id, installation_id, "vendor_down", "It is down.", "Wait.")
    rows = owner.execute("SELECT code, count, state FROM problems").fetchall()
    assert rows == [("vendor_down", 8, "open")]
    with bind_tenant(tenant_id), transaction():
        problems.close(tenant_id, installation_id, "vendor_down", by="run")
        problems.open_problem(tenant_id, installation_id, "vendor_down", "It is down.", "Wait.")
    assert owner.execute("SELECT state, count FROM problems ORDER BY id").fetchall() == [("closed", 8), ("open", 1)]
