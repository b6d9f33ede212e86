"""The host's applications at vendors: entered by operators, secrets sealed, opened by workers only."""

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from app.clock import now
from app.crypto import Seal
from app.db import db
from app.errors import InvalidError, NotFoundError
from app.ids import new_id
from app.models.connections import OAuthClient
from app.services import audit, endpoints, tasks
from app.services.credentials import ring
from app.tenancy import PLATFORM_TENANT
from connectors import registry
from connectors.sdk import Secret
from connectors.sdk.oauth import OAuthClient as Client

# An operator has this long to renew a secret that ends.
WARN = timedelta(days=30)


@dataclass(frozen=True)
class Application:
    """What the operator's page shows of a connector that needs an application."""

    slug: str
    name: str
    row: OAuthClient | None

    @property
    def ends_soon(self) -> bool:
        """Whether its secret ends within a month, or has ended."""
        return bool(self.row and self.row.expires_on and self.row.expires_on <= (now() + WARN).date())


def list_applications() -> list[Application]:
    """Return all connectors that need an application at the vendor, by name."""
    rows = {row.connector: row for row in db.session.scalars(select(OAuthClient))}
    found = [
        Application(c.manifest.slug, c.manifest.listing.name, rows.get(c.manifest.slug))
        for c in registry.all_connectors()
        if any(auth.kind == "oauth2" for auth in c.manifest.auths())
    ]
    return sorted(found, key=lambda application: application.name.lower())


def get_application(slug: str) -> Application:
    """Return one or raise NotFoundError."""
    found = next((application for application in list_applications() if application.slug == slug), None)
    if found is None:
        raise NotFoundError("There is no such integration, or it needs no application.")
    return found


def save(slug: str, client_id: str, secret: str, expires_on: date | None) -> None:
    """Store an application; an empty secret keeps the present one. InvalidError when there is none to keep."""
    application = get_application(slug)
    if not secret and application.row is None:
        raise InvalidError("The secret is missing.", {"secret": "Give the client secret."})
    if secret:
        save_client(slug, client_id, secret)
    values = {"client_id": client_id, "expires_on": expires_on, "tested_at": None, "test_result": None}
    db.session.execute(update(OAuthClient).where(OAuthClient.connector == slug).values(values))
    audit.write(PLATFORM_TENANT, "oauth_client.saved", "oauth_client", slug, application.name)


def remove(slug: str) -> None:
    """Forget an application: nobody can connect until another is entered; connections that work go on until refresh."""
    application = get_application(slug)
    db.session.execute(delete(OAuthClient).where(OAuthClient.connector == slug))
    audit.write(PLATFORM_TENANT, "oauth_client.removed", "oauth_client", slug, application.name)


def request_test(slug: str) -> None:
    """Have a worker ask the vendor whether it knows the application."""
    application = get_application(slug)
    if application.row is None:
        raise NotFoundError("There is no application to test.")
    application.row.test_result = "testing"
    tasks.add_task(PLATFORM_TENANT, "fast", "test_oauth_client", slug, ref=application.row.id)


def keep_test(slug: str, result: str) -> None:
    """Keep what came of a test: `accepted`, or a sentence."""
    values = {"test_result": result[:300], "tested_at": now()}
    db.session.execute(update(OAuthClient).where(OAuthClient.connector == slug).values(values))


def _seal(connector: str) -> Seal:
    return Seal(PLATFORM_TENANT, PLATFORM_TENANT, f"oauth_client:{connector}", 1)


def save_client(connector: str, client_id: str, secret: str) -> None:
    """Store the host's application at a vendor, its secret sealed."""
    sealed = ring().seal("token", secret.encode(), _seal(connector))
    values = {"client_id": client_id, "secret_sealed": sealed}
    statement = insert(OAuthClient).values(id=new_id(), created_at=now(), connector=connector, **values)
    db.session.execute(statement.on_conflict_do_update(index_elements=["connector"], set_=values))
    hooks = registry.get(connector).manifest.webhooks if connector in registry.SLUGS else None
    if hooks and hooks.endpoint == "connector":
        endpoints.keep_client_secret(connector, secret)


def client_id_of(connector: str) -> str | None:
    """Return the client id of the host's application at a vendor, None when operators have entered none."""
    return db.session.scalar(select(OAuthClient.client_id).where(OAuthClient.connector == connector))


def open_client(connector: str) -> Client | None:
    """Return the host's application at a vendor with its secret. Workers only."""
    row = db.session.scalar(select(OAuthClient).where(OAuthClient.connector == connector))
    if row is None:
        return None
    return Client(row.client_id, Secret(ring().open("token", row.secret_sealed, _seal(connector)).decode()))
