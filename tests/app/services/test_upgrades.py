"""An installation goes to a newer version: settings move, streams with another kind of cursor are read again."""

import uuid

import psycopg
import pytest
from flask import Flask

from app.db import db
from app.errors import ConflictError
from app.models.listings import Listing, ListingVersion
from app.services import installations, passes, upgrades
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors import registry
from connectors.sdk import Manifest, canonical
from connectors.sdk.upgrades import upgrade
from tests.factories.tenants import make_tenant


def _newer() -> Manifest:
    data = registry.get("sandbox").manifest.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    data["version"] = "2.0.0"
    data["config"][0]["name"] = "address"
    data["hosts"] = {"from": "address"}
    data["upgrades"] = [{"below": "2.0.0", "rename": {"server": "address"}}]
    data["streams"][0]["cursor_version"] = 2
    return Manifest.model_validate(data)


def test_settings_move_and_changed_cursors_are_named() -> None:
    old = registry.get("sandbox").manifest
    settings, again = upgrade(old, _newer(), {"server": "http://localhost:1", "auth": "default"})
    assert settings == {"address": "http://localhost:1", "auth": "default"}
    assert again == {old.streams[0].name}
    assert upgrade(_newer(), _newer(), settings) == (settings, set())


def test_an_installation_is_upgraded_once(apps: dict[str, Flask], clean: None, owner: psycopg.Connection) -> None:
    tenant_id = make_tenant(apps)
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        made = installations.create_installation(tenant_id, "sandbox", user_id=uuid.uuid4())
        assert upgrades.newer_version(made) is None
        for stream in installations.list_streams(tenant_id, made.id):
            stream.since, stream.full_pass_due = "2026-01-01T00:00:00Z", False
    with apps["owner"].app_context(), transaction():
        listing = db.session.scalars(db.select(Listing).where(Listing.slug == "sandbox")).one()
        manifest = _newer()
        version = ListingVersion(
            listing_id=listing.id, number=99, label="2.0.0", digest="0" * 64, manifest=canonical(manifest).decode()
        )
        db.session.add(version)
        db.session.flush()
        listing.current_version = version.id
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        found = installations.get_installation(tenant_id, made.id)
        upgrades.upgrade_installation(tenant_id, found)
        with pytest.raises(ConflictError):
            upgrades.upgrade_installation(tenant_id, found)
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        first, second = manifest.streams[0].name, manifest.streams[1].name
        read_again = passes.get_installed(tenant_id, made.id, first)
        assert (read_again.since, read_again.full_pass_due, read_again.last_complete_at) == (None, True, None)
        assert passes.get_installed(tenant_id, made.id, second).since == "2026-01-01T00:00:00Z"
    rows = owner.execute("SELECT details FROM audit WHERE action = 'installation.upgraded'").fetchall()
    assert [row[0] for row in rows] == [{"before": registry.get("sandbox").manifest.version, "after": "2.0.0"}]
