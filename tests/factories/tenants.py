"""Tenants and installations to test with."""

import uuid

from flask import Flask

from app.db import db
from app.models.accounts import Tenant
from app.services import connections, installations, listings, oauth_clients
from app.services.object_types import seed_object_types
from app.tenancy import bind_tenant
from app.transaction import transaction


def seed_catalog(apps: dict[str, Flask]) -> None:
    """Store the object types, the first-party listings and the application at the Sandbox CRM."""
    with apps["owner"].app_context(), transaction():
        seed_object_types()
        listings.import_first_party()
        oauth_clients.save_client("sandbox", "patchbay", "sandbox-secret")


def make_tenant(apps: dict[str, Flask], name: str = "Aldgate Joinery") -> uuid.UUID:
    """Return a tenant; catalog and object types are there as well."""
    tenant_id = uuid.uuid4()
    seed_catalog(apps)
    with apps["owner"].app_context(), bind_tenant(tenant_id), transaction():
        db.session.add(Tenant(id=tenant_id, name=name))
    return tenant_id


def connect_kinto(tenant_id: uuid.UUID, origin: str, password: str, user: str = "patchbay") -> uuid.UUID:
    """Return a draft installation of Kinto whose connection waits for its test. The web application is pushed."""
    with bind_tenant(tenant_id):
        with transaction():
            made = installations.create_installation(tenant_id, "kinto", user_id=uuid.uuid4())
            manifest = listings.manifest_of(made.listing_version_id)
            connections.save_credentials(
                tenant_id, made.connection_id, manifest, {"server": origin, "user": user, "bucket": "crm"},
                {"password": password}, user_id=uuid.uuid4(),
            )  # fmt: skip
        return made.id


def activate(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> uuid.UUID:
    """Activate and return the first run."""
    with bind_tenant(tenant_id), transaction():
        return installations.activate(tenant_id, installation_id, user_id=uuid.uuid4()).id
