"""Endpoints: where a vendor sends webhooks, and the secrets that sign them. The calls to the vendor are a worker's."""

import base64
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from flask import current_app
from sqlalchemy import case, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from app.clock import now
from app.config import Settings
from app.crypto import KeyRing, Seal
from app.db import db
from app.errors import ConflictError, NotFoundError
from app.ids import new_id
from app.models.connections import Connection
from app.models.endpoints import Delivery, Endpoint, EndpointSecret
from app.models.installations import Installation
from app.services import audit, listings, tasks, vendor_hosts
from app.services.credentials import ring
from app.tenancy import PLATFORM_TENANT, scoped
from connectors.sdk import ConnectorError, Secret
from connectors.sdk.schema.webhooks import Verify, Webhooks

# So long the secret before is accepted as well: a vendor may still repeat what it signed with it.
GRACE = timedelta(hours=24)


def hooks_of(installation: Installation) -> Webhooks | None:
    """Return what the installation's version says of webhooks, None when it has none."""
    return listings.manifest_of(installation.listing_version_id).webhooks


def find(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Endpoint | None:
    """Return the endpoint of an installation, None when it has none."""
    return db.session.scalar(scoped(Endpoint, tenant_id).where(Endpoint.installation_id == installation_id))


def list_endpoints(tenant_id: uuid.UUID) -> list[Endpoint]:
    """Return the endpoints of the tenant's installations that are not removed, newest first."""
    query = scoped(Endpoint, tenant_id).where(Endpoint.state != "removed", Endpoint.installation_id.is_not(None))
    return list(db.session.scalars(query.order_by(Endpoint.id.desc()).limit(500)))


def get(tenant_id: uuid.UUID, endpoint_id: uuid.UUID) -> Endpoint:
    """Return an endpoint or raise NotFoundError."""
    found = db.session.scalar(scoped(Endpoint, tenant_id).where(Endpoint.id == endpoint_id))
    if found is None:
        raise NotFoundError("There is no such endpoint.")
    return found


def open_for(tenant_id: uuid.UUID, installation: Installation, connection: Connection) -> None:
    """Give an active installation its endpoint and have a worker register it; nothing for one without webhooks."""
    hooks = hooks_of(installation)
    if hooks is None:
        return
    shared = hooks.endpoint == "connector"
    values = {
        "account": connection.account_id, "host": vendor_hosts.host_of(tenant_id, installation.id),
        "state": "active" if shared else "waiting", "error_code": None, "error_message": None, "error_fix": None,
    }  # fmt: skip
    row = {
        "tenant_id": tenant_id, "id": new_id(), "installation_id": installation.id, "created_at": now(),
        "connector": installation.connector, "address": None if shared else secrets.token_urlsafe(16), **values,
    }  # fmt: skip
    db.session.execute(
        insert(Endpoint)
        .values(row)
        .on_conflict_do_update(
            index_elements=["tenant_id", "installation_id"],
            # One that works goes on working.
            set_={**values, "state": case((Endpoint.registered_at.is_not(None), "active"), else_=values["state"])},
        )
    )
    endpoint = find(tenant_id, installation.id)
    assert endpoint is not None
    if not shared and hooks.verify.secret == "subscription" and hooks.subscribe.secret is None:  # noqa: S105  # a word
        keep_first_secret(endpoint, hooks.verify)
    if not shared:
        queue_keep(endpoint)


def keep_first_secret(endpoint: Endpoint, verify: Verify) -> None:
    """Make the secret that we tell the vendor, unless there is one."""
    if not active_versions(endpoint):
        add_secret(endpoint, made_secret(verify))


def made_secret(verify: Verify) -> str:
    """Return a fresh secret, written as the vendor's keys are; Basic needs a name as well."""
    raw = secrets.token_bytes(32)
    if verify.kind == "basic":
        return f"patchbay:{secrets.token_urlsafe(32)}"
    if verify.kind == "standard_webhooks":
        return "whsec_" + base64.b64encode(raw).decode()
    text = {"base64": base64.b64encode(raw).decode(), "hex": raw.hex(), "raw": secrets.token_urlsafe(32)}
    return verify.key_prefix + text[verify.key_encoding]


def queue_keep(endpoint: Endpoint, *, due_at: datetime | None = None) -> None:
    """Have a worker bring the subscription at the vendor in line with the row."""
    tasks.add_task(
        endpoint.tenant_id, "fast", "keep_endpoint", str(endpoint.id), ref=endpoint.id, host=endpoint.host,
        due_at=due_at,
    )  # fmt: skip


def look_again(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """The connection has been proved anew: have a worker look at the installation's subscription."""
    endpoint = find(tenant_id, installation_id)
    if endpoint is not None and endpoint.address and endpoint.state != "removed":
        queue_keep(endpoint)


def close(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """The installation is gone: nothing is taken in any more. The subscription is ended with the access."""
    mine = (Endpoint.tenant_id == tenant_id, Endpoint.installation_id == installation_id)
    db.session.execute(update(Endpoint).where(*mine).values(state="removed", rotate=False, account=None))
    of_mine = select(Endpoint.id).where(*mine)
    db.session.execute(
        delete(EndpointSecret).where(EndpointSecret.tenant_id == tenant_id, EndpointSecret.endpoint_id.in_(of_mine))
    )


def ask_rotation(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Exchange the secret: at the vendor by a worker, or a new one for a person to enter; the old one stays a while."""
    endpoint = find(tenant_id, installation_id)
    if endpoint is None or endpoint.state == "removed" or endpoint.address is None:
        raise ConflictError("This installation has no webhook address of its own.")
    hooks = listings.connector_of(_version(tenant_id, installation_id)).manifest.webhooks
    assert hooks is not None
    if hooks.verify.secret != "subscription":  # noqa: S105  # a word, not a secret
        raise ConflictError(
            "The secret is not made here.",
            fix="Change it at the vendor, then enter the new one in the settings of the connection.",
        )
    if hooks.subscribe.create is None:
        retire_secrets(endpoint)
        add_secret(endpoint, made_secret(hooks.verify))
    else:
        endpoint.rotate = True
        queue_keep(endpoint)
    audit.write(tenant_id, "endpoint.rotated", "installation", str(installation_id), endpoint.connector)


def _version(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> uuid.UUID:
    return db.session.scalars(
        select(Installation.listing_version_id).where(
            Installation.tenant_id == tenant_id, Installation.id == installation_id
        )
    ).one()


def add_secret(endpoint: Endpoint, secret: str) -> None:
    """Seal a secret and accept it from now on."""
    mine = (EndpointSecret.tenant_id == endpoint.tenant_id, EndpointSecret.endpoint_id == endpoint.id)
    version = (db.session.scalar(select(func.max(EndpointSecret.version)).where(*mine)) or 0) + 1
    sealed = ring().seal("hook", secret.encode(), _seal(endpoint.tenant_id, endpoint.id, version))
    db.session.add(
        EndpointSecret(tenant_id=endpoint.tenant_id, endpoint_id=endpoint.id, version=version, sealed=sealed)
    )
    db.session.flush()  # A second one in this transaction counts from it.


def retire_secrets(endpoint: Endpoint, *, grace: timedelta = GRACE) -> None:
    """Let the present secrets end after the grace."""
    db.session.execute(
        update(EndpointSecret)
        .where(
            EndpointSecret.tenant_id == endpoint.tenant_id, EndpointSecret.endpoint_id == endpoint.id,
            EndpointSecret.expires_at.is_(None),
        )
        .values(expires_at=now() + grace)
    )  # fmt: skip


def active_versions(endpoint: Endpoint) -> list[EndpointSecret]:
    """Return the secrets that are accepted now, the newest first."""
    query = scoped(EndpointSecret, endpoint.tenant_id).where(
        EndpointSecret.endpoint_id == endpoint.id,
        or_(EndpointSecret.expires_at.is_(None), EndpointSecret.expires_at > func.clock_timestamp()),
    )
    return list(db.session.scalars(query.order_by(EndpointSecret.version.desc())))


def newest_secret(endpoint: Endpoint) -> Secret | None:
    """Return the secret that a person enters at the vendor, None when there is none."""
    found = active_versions(endpoint)
    return open_secret(ring(), found[0].sealed, endpoint.tenant_id, endpoint.id, found[0].version) if found else None


def _seal(tenant_id: uuid.UUID, endpoint_id: uuid.UUID, version: int) -> Seal:
    return Seal(tenant_id, endpoint_id, "webhook", version)


@lru_cache(maxsize=4096)
def open_secret(keys: KeyRing, sealed: bytes, tenant_id: uuid.UUID, endpoint_id: uuid.UUID, version: int) -> Secret:
    """Return a secret, opened. What is remembered is what these bytes hold: rotation and removal change the rows."""
    return Secret(keys.open("hook", sealed, _seal(tenant_id, endpoint_id, version)).decode())


def url_of(address: str) -> str:
    """Return the whole address that a vendor sends to."""
    settings: Settings = current_app.extensions["settings"]
    return f"{settings.base_url}/hooks/{address}"


def keep_client_secret(connector: str, secret: str) -> None:
    """The application's secret signs what comes to the connector's own endpoint: keep it where web can open it."""
    row = {
        "tenant_id": PLATFORM_TENANT, "id": new_id(), "connector": connector, "state": "active", "created_at": now(),
        "address": secrets.token_urlsafe(16),
    }  # fmt: skip
    shared = insert(Endpoint).values(row).on_conflict_do_nothing()
    db.session.execute(shared)
    endpoint = find_shared(connector)
    assert endpoint is not None
    retire_secrets(endpoint)
    add_secret(endpoint, secret)


def find_shared(connector: str) -> Endpoint | None:
    """Return the endpoint of a connector, None when there is none. The platform's tenant is bound."""
    query = scoped(Endpoint, PLATFORM_TENANT).where(Endpoint.connector == connector)
    return db.session.scalar(query.where(Endpoint.installation_id.is_(None)))


@dataclass(frozen=True)
class Registered:
    """What the vendor has answered to a new or renewed subscription."""

    subscription: str
    secret: str | None
    expires_at: datetime | None


def keep_registered(tenant_id: uuid.UUID, endpoint_id: uuid.UUID, made: Registered, *, renewed: bool) -> None:
    """Keep a subscription; its secret counts from now on, the one before for a while longer."""
    endpoint = get(tenant_id, endpoint_id)
    if made.secret:
        retire_secrets(endpoint)
        add_secret(endpoint, made.secret)
    endpoint.subscription, endpoint.registered_at, endpoint.expires_at = made.subscription, now(), made.expires_at
    # A third of its life before it ends: there is time for a vendor that is down.
    endpoint.renew_at = now() + (made.expires_at - now()) * 2 / 3 if made.expires_at else None
    endpoint.rotate = endpoint.rotate and renewed
    endpoint.error_code = endpoint.error_message = endpoint.error_fix = None
    if endpoint.state != "removed":
        endpoint.state = "active"


def secret_to_tell(endpoint: Endpoint, verify: Verify, *, fresh: bool) -> str:
    """Return the secret that the vendor is told: the present one, or a fresh one beside it."""
    if fresh:
        retire_secrets(endpoint)
        add_secret(endpoint, made_secret(verify))
    keep_first_secret(endpoint, verify)
    newest = newest_secret(endpoint)
    assert newest is not None
    return newest.reveal()


def wait_for_person(endpoint: Endpoint) -> None:
    """The vendor has no call for it: a person enters address and secret there; the first delivery shows that it works."""
    if endpoint.state == "failed":
        endpoint.state = "waiting"
    if endpoint.state == "waiting" and endpoint.capture_until is None and has_deliveries(endpoint):
        endpoint.state, endpoint.registered_at = "active", now()


def has_deliveries(endpoint: Endpoint) -> bool:
    """Whether anything that was verified has come in."""
    query = select(Delivery.id).where(
        Delivery.tenant_id == endpoint.tenant_id, Delivery.endpoint_id == endpoint.id, Delivery.verdict == "accepted"
    )
    return db.session.scalar(query.limit(1)) is not None


def note_failure(tenant_id: uuid.UUID, endpoint_id: uuid.UUID, error: ConnectorError) -> None:
    """The vendor has not taken the subscription: say so; the schedule goes on finding changes."""
    endpoint = get(tenant_id, endpoint_id)
    endpoint.error_code, endpoint.error_message, endpoint.error_fix = error.code, error.user_message, error.fix
    if endpoint.subscription is None and endpoint.state != "removed":
        endpoint.state = "failed"


def forget_subscription(tenant_id: uuid.UUID, endpoint_id: uuid.UUID) -> None:
    """The subscription has been ended at the vendor."""
    endpoint = get(tenant_id, endpoint_id)
    endpoint.subscription = endpoint.expires_at = endpoint.renew_at = endpoint.registered_at = None
