"""Active installations with an endpoint, and a sender that signs as their vendors do."""

import base64
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Flask
from flask.testing import FlaskClient
from standardwebhooks.webhooks import Webhook

from app.clock import now
from app.models.endpoints import Endpoint
from app.services import connections, credentials, endpoints, installations
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors.sdk import Secret
from connectors.sdk.oauth import TokenSet
from tests.factories.tenants import make_tenant


def make_secret(text: str = "0123456789abcdef01234567") -> str:
    """Return a secret as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(text.encode()).decode()


@dataclass(frozen=True)
class Hook:
    """The endpoint of a Sandbox CRM installation and the secret it was given."""

    tenant_id: uuid.UUID
    installation_id: uuid.UUID
    address: str
    secret: str

    @property
    def path(self) -> str:
        """Where to send."""
        return f"/hooks/{self.address}"

    def event(self, number: int, record_id: str | None = None, **more: Any) -> dict[str, Any]:
        """Return an event as the Sandbox CRM writes it."""
        return {
            "id": f"evt_{number}", "type": "updated", "object": "contacts", "record_id": record_id or f"con_{number}",
            "account": "acme", "record": None, **more,
        }  # fmt: skip

    def sign(self, body: bytes, name: str, at: datetime | None = None, secret: str | None = None) -> dict[str, str]:
        """Return the headers that the standard's own library signs a body with."""
        at = at or datetime.now(UTC)
        signature = Webhook(secret or self.secret).sign(name, at, body.decode())
        return {
            "webhook-id": name, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature,
            "content-type": "application/json",
        }  # fmt: skip

    def send(self, client: FlaskClient, event: dict[str, Any], **options: Any) -> Any:
        """Send an event, signed."""
        body = orjson.dumps(event)
        return client.post(self.path, data=body, headers=self.sign(body, event["id"], **options))


def make_hook(
    apps: dict[str, Flask], tenant_id: uuid.UUID | None = None, *, secret: str = "", account: str = "acme",
    server: str = "http://127.0.0.1:9", token: str = "",
) -> Hook:  # fmt: skip
    """Return the endpoint of an active installation; no vendor is called, and `token` is its access to the server."""
    tenant_id, secret = tenant_id or make_tenant(apps), secret or make_secret()
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        made = installations.create_installation(tenant_id, "sandbox", user_id=uuid.uuid4())
        connection = connections.get_connection(tenant_id, made.connection_id)
        connection.settings = {"server": server}
        connection.state, connection.account_id, connection.account_name = "ready", account, account
        connection.tested_at = now()
        if token:
            fresh = TokenSet(Secret(token), None, None)
            credentials.save_tokens(tenant_id, connection.id, fresh)
        installations.activate(tenant_id, made.id, user_id=uuid.uuid4())
        endpoint = endpoints.find(tenant_id, made.id)
        assert isinstance(endpoint, Endpoint)
        endpoints.add_secret(endpoint, secret)
        endpoint.state = "active"
        assert endpoint.address is not None
        return Hook(tenant_id, made.id, endpoint.address, secret)
