"""A large deployment made inside PostgreSQL: one customer with much of everything, two hundred with little.

The statements are in sql/, in order, and run in one transaction: it is there as a whole or not at all.
"""

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask
from sqlalchemy import select

from app.db import db
from app.models.listings import Listing
from app.services import accounts, listings, stream_volumes
from app.services.object_types import seed_object_types
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from connectors.registry import SLUGS
from connectors.sdk import rules_to_json

TENANT = uuid.UUID("1a26e000-0000-4000-8000-000000000001")
OWNER, NAME = "grace@meridian.example", "Meridian Group"
PASSWORD = "patchbay-demo"
SQL = Path(__file__).parent / "sql"
WHOLE = {
    "installations": 1000, "records": 1_000_000, "runs": 100_000, "changes": 2_000_000, "troubles": 50_000,
    "intents": 200_000, "deliveries": 200_000, "dispatches": 200_000, "exchanges": 20_000, "audit": 300_000,
    "listings": 1000, "tenants": 200, "people": 300,
}  # fmt: skip
# Below these the numbers in the statements meet no longer: the first run is the tenth, one record in twenty is a deal.
LEAST = {"installations": 40, "records": 1000, "runs": 100, "listings": 40, "tenants": 3, "people": 30, "troubles": 200}


@dataclass(frozen=True)
class Size:
    """How many rows of what; table names and a few nouns of sql/."""

    counts: dict[str, int]

    @classmethod
    def of(cls, scale: float) -> "Size":
        """Return the whole size times `scale`, no part of it so small that a page would be empty."""
        return cls({name: max(LEAST.get(name, 100), round(count * scale)) for name, count in WHOLE.items()})

    @classmethod
    def from_environment(cls) -> "Size":
        """Return the size that LARGE_SCALE (1 is whole) and LARGE_RECORDS, LARGE_RUNS, ... ask for."""
        size = cls.of(float(os.environ.get("LARGE_SCALE", "1"))).counts
        return cls({name: int(os.environ.get(f"LARGE_{name.upper()}", count)) for name, count in size.items()})


def is_there(owner: psycopg.Connection[Any]) -> bool:
    """Whether the large customer is in the database."""
    return owner.execute("SELECT 1 FROM tenants WHERE id = %s", (TENANT,)).fetchone() is not None


def fold(app: Flask) -> None:
    """Count the days that are over, as the workers do each hour."""
    with app.app_context(), bind_tenant(TENANT), transaction():
        stream_volumes.fold(TENANT)


def fill(app: Flask, url: str, size: Size, say: Callable[[str], None] = print) -> None:
    """Make it all; `app` is the owner's application, `url` leads a superuser to the same database."""
    user_id = _people(app)
    began = time.monotonic()
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as sql:
        # Foreign keys and triggers are for rows that come one by one; an event for each of these would tell nobody.
        sql.execute("SET session_replication_role = replica")
        sql.execute("SET LOCAL work_mem = '256MB'")
        sql.execute("SET LOCAL maintenance_work_mem = '512MB'")
        _rules(app, sql)
        values = {**size.counts, "tenant": TENANT, "user": user_id, "slugs": list(SLUGS)}
        for file in sorted(SQL.glob("*.sql")):
            step = time.monotonic()
            sql.execute(file.read_text(), values)  # type: ignore[arg-type]  # a file of ours
            say(f"  {file.stem[3:].replace('_', ' ')}: {time.monotonic() - step:.0f} s")
    with psycopg.connect(url, autocommit=True) as sql:
        sql.execute("VACUUM ANALYZE")
    fold(app)
    say(f"Made in {time.monotonic() - began:.0f} s.")


def _people(app: Flask) -> uuid.UUID:
    """Make the customer with an owner, and staff who may look at it; return the owner's id."""
    with app.app_context(), transaction():
        seed_object_types()
        listings.import_first_party()
    with app.app_context(), bind_tenant(PLATFORM_TENANT), transaction():
        for role in ("operator", "support"):
            email = f"{role}@patchbay.example"
            known = accounts.find_user(email) or accounts.make_user(email, role.capitalize(), PASSWORD, verified=True)
            accounts.add_staff_role(known.id, role)
    with app.app_context(), bind_tenant(TENANT), transaction():
        accounts.make_tenant(TENANT, NAME, external_id="meridian")
        owner = accounts.make_user(OWNER, "Grace Holm", PASSWORD, verified=True)
        accounts.add_member(TENANT, owner.id, "owner")
        for role in ("admin", "member"):
            user = accounts.make_user(f"{role}@meridian.example", f"Meridian {role}", PASSWORD, verified=True)
            accounts.add_member(TENANT, user.id, role)
        return owner.id


def _rules(app: Flask, sql: psycopg.Connection[Any]) -> None:
    """Put the default mapping of each first-party stream where the statements find it."""
    sql.execute("CREATE TEMP TABLE rules (base int, stream text, rules jsonb)")
    with app.app_context():
        found = db.session.execute(
            select(Listing.current_version).where(Listing.slug.in_(SLUGS)).order_by(Listing.slug)
        )
        for number, row in enumerate(found.all()):
            for stream in listings.manifest_of(row[0]).streams:
                values = (number, stream.name, psycopg.types.json.Jsonb(rules_to_json(stream.rules())))
                sql.execute("INSERT INTO rules VALUES (%s, %s, %s)", values)
        db.session.rollback()
