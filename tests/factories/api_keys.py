"""Callers of the API with a key."""

import uuid
from collections.abc import Sequence
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from app.services import api_keys
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction


def make_key(apps: dict[str, Flask], tenant_id: uuid.UUID, *scopes: str, days: int | None = None) -> str:
    """Return the value of a new key; without scopes it may do everything. The platform's tenant has the host's."""
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        return api_keys.make(
            tenant_id, "Test", profile="full", days=days, created_by=uuid.uuid4(), scopes=scopes or None
        )[1]


class Caller:
    """Calls the API as a program does."""

    def __init__(self, apps: dict[str, Flask], key: str | None, tenant: str | None = None) -> None:
        self.client = apps["web"].test_client()
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        if tenant:
            self.headers["Patchbay-Tenant"] = tenant

    def __call__(
        self, method: str, path: str, json: Any = None, *, headers: dict[str, str] | None = None, **more: Any
    ) -> TestResponse:
        return self.client.open(
            f"/api/v1{path}", method=method, json=json, headers={**self.headers, **(headers or {})}, **more
        )


def tenant_caller(apps: dict[str, Flask], tenant_id: uuid.UUID, *scopes: str) -> Caller:
    """Return a caller with a key of a tenant."""
    return Caller(apps, make_key(apps, tenant_id, *scopes))


def host_caller(apps: dict[str, Flask], tenant: str | None = None, scopes: Sequence[str] = ()) -> Caller:
    """Return a caller with a key of the host that acts for a tenant."""
    return Caller(apps, make_key(apps, PLATFORM_TENANT, *scopes), tenant)
