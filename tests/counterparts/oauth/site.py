"""One tenant with one installation whose vendor is a provider, and what a person and the workers do with it."""

import uuid
from typing import Any

import psycopg
from flask import Flask

from app.db import db
from app.models.listings import Listing, ListingVersion
from app.services import connections, credentials, installations, listings, oauth, oauth_clients, runs
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors.sdk import Manifest, canonical, load_manifest
from connectors.sdk.manifest import digest
from jobs import drain as drain_module
from jobs.vendor import vendor_session
from tests.counterparts.oauth.servers import Provider
from tests.factories.tenants import activate, make_tenant

Owner = psycopg.Connection[Any]


def manifest_of(provider: Provider) -> dict[str, Any]:
    """Return a manifest whose only host is the provider's origin and with a stream that introspects each bearer token."""
    return {
        "schema_version": 1, "slug": provider.slug, "version": "1.0.0",
        "listing": {
            "name": "Counterpart", "summary": "An OAuth server by others.", "description": "An OAuth server by others.",
            "categories": ["Testing"], "data": [{"object": "Contacts", "text": "Names are read."}],
            "limits": [], "removal": "The access is given back.",
        },
        "hosts": {"from": "server"},
        "auth": provider.auth,
        "config": [{"name": "server", "label": "Server", "kind": "origin", "help": "The address of the server."}],
        "check": {"request": {"path": "/me"}, "account_id": "sub", "account_name": "sub"},
        "streams": [{
            "name": "people", "label": "People", "object_type": "contact", "request": {"path": "/api/people"},
            "records": "people", "fields": [{"name": "name", "label": "Name"}],
            "mapping": [{"target": "last_name", "sources": ["name"]}],
        }],
    }  # fmt: skip


def publish(apps: dict[str, Flask], provider: Provider, manifest: Manifest) -> None:
    """Put a listing with this manifest into the catalog, and the operator's application at the provider."""
    with apps["owner"].app_context(), transaction():
        listing = Listing(
            slug=manifest.slug, name=manifest.listing.name, summary=manifest.listing.summary,
            categories=list(manifest.listing.categories), publisher=manifest.listing.publisher,
        )  # fmt: skip
        db.session.add(listing)
        db.session.flush()
        version = ListingVersion(
            listing_id=listing.id, number=1, label=manifest.version, digest=digest(manifest),
            manifest=canonical(manifest).decode(), changes=manifest.changes,
        )  # fmt: skip
        db.session.add(version)
        db.session.flush()
        listing.current_version = version.id
        oauth_clients.save_client(manifest.slug, provider.client_id, provider.secret)


class Site:
    """The installation."""

    def __init__(
        self, apps: dict[str, Flask], owner: Owner, provider: Provider, *, manifest: dict[str, Any] | None = None,
        tenant_id: uuid.UUID | None = None, settings: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.apps, self.owner, self.provider = apps, owner, provider
        self.user_id, self.session_id = uuid.uuid4(), uuid.uuid4()
        self.tenant_id = tenant_id or make_tenant(apps)
        publish(apps, provider, load_manifest(_yaml(manifest or manifest_of(provider))))
        with apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            made = installations.create_installation(self.tenant_id, provider.slug, user_id=self.user_id)
            self.installation_id, self.connection_id = made.id, made.connection_id
            self.connector = listings.connector_of(made.listing_version_id)
            connection = connections.get_connection(self.tenant_id, made.connection_id)
            connections.save_settings(
                connection, self.connector.manifest, {"server": provider.origin, **(settings or {})}
            )

    def begin(self) -> str:
        """Return the address of the consent page, as the button does."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            return oauth.begin(
                self.tenant_id, self.installation_id, self.connector, session_id=self.session_id, user_id=self.user_id,
                redirect_uri=self.provider.redirect,
            )  # fmt: skip

    def come_back(self, sent: dict[str, str], *, work: bool = True) -> None:
        """Take the callback in, as its page does; then let the worker work. NotFoundError when it does not fit."""
        who = {"session_id": self.session_id, "user_id": self.user_id, "connector": self.connector}
        with self.apps["web"].app_context():
            found = oauth.tenant_of_state(sent["state"])
            if found is None:
                raise oauth.bad_state()
            with bind_tenant(self.tenant_id), transaction():
                if sent.get("error"):
                    oauth.deny(*found, **who)
                else:
                    oauth.take_callback(*found, **who, code=sent["code"], issuer=sent.get("iss"), sent=sent)
        if work:
            self.drain()

    def authorise(self, account: str = "acme") -> dict[str, str]:
        """Connect, and return what the callback was called with."""
        sent = self.provider.answer(self.begin(), account)
        self.come_back(sent)
        return sent

    def drain(self, lane: str = "fast") -> None:
        """Do what a bell of a lane starts."""
        drain_module.drain(lane)

    def connection(self, *columns: str) -> tuple[Any, ...]:
        """Return columns of the connection."""
        query = f"SELECT {', '.join(columns)} FROM connections WHERE id = %s"
        return tuple(self.owner.execute(query, (self.connection_id,)).fetchone() or ())

    def ask(self, query: str) -> Any:
        """Return the first row of a query."""
        return self.owner.execute(query).fetchone()

    def call(self, *, refresh: bool = False) -> str:
        """Make a real call as a run does and return the account's name."""
        with self.apps["worker"].app_context(), bind_tenant(self.tenant_id):
            connector, session = vendor_session(self.tenant_id, self.installation_id, refresh=refresh)
            return connector.check(session).name

    def tokens(self) -> tuple[str, str]:
        """Return the access and the refresh token that are stored."""
        with self.apps["worker"].app_context(), bind_tenant(self.tenant_id), transaction():
            found = credentials.open_tokens(self.tenant_id, self.connection_id)
        assert found is not None
        assert found.refresh_token is not None
        return found.access_token.reveal(), found.refresh_token.reveal()

    def expire(self) -> None:
        """Let an hour pass for the stored access token."""
        self.owner.execute("UPDATE credentials SET expires_at = now() - interval '1 hour'")

    def end_lease(self) -> None:
        """Let the lease of a lost refresher run out."""
        self.owner.execute("UPDATE credentials SET refresh_lease_until = now() - interval '1 s'")

    def activate(self) -> None:
        """Activate, and work on the first run."""
        with self.apps["web"].app_context():
            activate(self.tenant_id, self.installation_id)
        self.drain("sync")

    def run(self, mode: str = "full") -> tuple[Any, ...]:
        """Start another run, work on it, and return its state."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            runs.start_run(self.tenant_id, self.installation_id, trigger="manual", mode=mode)
        self.drain("sync")
        return tuple(self.ask("SELECT state FROM runs ORDER BY id DESC LIMIT 1"))

    def disconnect(self) -> None:
        """Give the access back, as the button does; the worker is still to work."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            connections.disconnect(self.tenant_id, self.connection_id)


def _yaml(manifest: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(manifest, sort_keys=False))
