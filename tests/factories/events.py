"""Subscriptions and events to test with."""

import uuid
from typing import Any

import psycopg
from flask import Flask

from app.db import db
from app.ids import new_id
from app.models.events import Subscription
from app.tenancy import bind_tenant
from app.transaction import transaction

Owner = psycopg.Connection[Any]


def listen(apps: dict[str, Flask], tenant_id: uuid.UUID, **filters: Any) -> uuid.UUID:
    """Return a subscription of the tenant, without a secret: for tests that send nothing."""
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        made = Subscription(tenant_id=tenant_id, id=new_id(), name="Product", url="https://host.test/in", **filters)
        db.session.add(made)
    return made.id


def write_changes(sql: psycopg.Connection[Any], tenant_id: uuid.UUID, count: int, **more: Any) -> list[uuid.UUID]:
    """Write journal rows of records of their own, over a connection that is bound to the tenant; return their ids."""
    ids = [new_id() for _ in range(count)]
    sql.cursor().executemany(
        "INSERT INTO changes (tenant_id, id, record_id, object_type, operation, after, writer) "
        "VALUES (%s, %s, %s, 'contact', %s, %s::jsonb, 'test')",
        [
            (tenant_id, i, more.get("record_id") or uuid.uuid4(), more.get("operation", "created"), '{"name": "Ada"}')
            for i in ids
        ],
    )
    return ids
