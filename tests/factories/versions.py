"""Versions of a connector's manifest that differ from the one in the repository."""

import uuid
from collections.abc import Callable
from typing import Any

import orjson
import psycopg


def change_manifest(owner: psycopg.Connection[Any], change: Callable[[dict[str, Any]], None]) -> None:
    """Give the one installation a new version of its connector: its manifest as `change` leaves it."""
    row = owner.execute(
        "SELECT v.listing_id, v.manifest FROM installations i JOIN listing_versions v ON v.id = i.listing_version_id"
    ).fetchone()
    assert row
    manifest = orjson.loads(row[1])
    change(manifest)
    version = uuid.uuid4()
    owner.execute(
        "INSERT INTO listing_versions (id, listing_id, number, label, manifest, digest, created_at) "
        "VALUES (%s, %s, 900, '9.0.0', %s, %s, now())",
        (version, row[0], orjson.dumps(manifest).decode(), version.hex),
    )
    owner.execute("UPDATE installations SET listing_version_id = %s", (version,))
