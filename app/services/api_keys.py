"""Keys of the API: made with a profile, shown once, found by their SHA-256, replaced with overlap, revoked."""

import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, text, update

from app.clock import now
from app.crypto import token, token_hash
from app.db import db
from app.errors import ConflictError, InvalidError, NotFoundError
from app.ids import new_id
from app.models.api_keys import ApiKey
from app.services import audit
from app.tenancy import PLATFORM_TENANT, bind_tenant, scoped

# What a key may do. `payloads` is beside the others: without it values of records and bodies are left out.
SCOPES = {
    "list": "See what there is: catalog, object types, and lists without their details",
    "read": "Read single things with their details",
    "payloads": "See the values of records and the bodies of deliveries; without it they are left out",
    "write": "Write records, start runs, settle conflicts and problems",
    "connect": "Let customers and colleagues set up an integration: connect links and sessions",
    "admin": "Install, configure, pause and remove; endpoints, subscriptions and the audit log",
}
PROFILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "backend": ("Read and write records", ("list", "read", "payloads", "write")),
    "read_only": ("Read records", ("list", "read", "payloads")),
    "monitor": ("Monitor: no values of records", ("list", "read")),
    "connect": ("Connect: open the wizard", ("list", "connect")),
    "full": ("Everything", tuple(SCOPES)),
}
OVERLAPS = {"0": timedelta(0), "24": timedelta(hours=24), "168": timedelta(days=7)}
_TOUCH = timedelta(minutes=1)


@dataclass(frozen=True)
class Found:
    """A key that was presented. `refusal` says why it opens nothing, empty when it does."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    kind: str
    name: str
    scopes: frozenset[str]
    refusal: str = ""
    stale: bool = False


def make(
    tenant_id: uuid.UUID, name: str, *, profile: str, days: int | None, created_by: uuid.UUID,
    scopes: Sequence[str] | None = None,
) -> tuple[ApiKey, str]:  # fmt: skip
    """Return a new key and its value, which is not kept. Keys of the platform's tenant are the host's.

    InvalidError when name, profile or scopes do not fit.
    """
    if not name.strip():
        raise InvalidError("A name is missing.", {"name": "Give it a name, so that others know what it is for."})
    if scopes is None and profile not in PROFILES:
        raise InvalidError("There is no such profile.", {"profile": "Choose one of the list."})
    chosen = tuple(PROFILES[profile][1] if scopes is None else scopes)
    if not chosen or set(chosen) - set(SCOPES):
        raise InvalidError("The scopes do not fit.", {"scopes": "Choose from the list, at least one."})
    kind = "host" if tenant_id == PLATFORM_TENANT else "tenant"
    ends = now() + timedelta(days=days) if days else None
    made, value = _add(tenant_id, kind, name.strip()[:80], profile if scopes is None else "custom", chosen, created_by)
    made.expires_at = ends
    audit.write(tenant_id, "api_key.created", "api_key", str(made.id), made.name, scopes=list(chosen))
    return made, value


def _add(
    tenant_id: uuid.UUID, kind: str, name: str, profile: str, scopes: Sequence[str], created_by: uuid.UUID
) -> tuple[ApiKey, str]:
    value = f"pb_{kind[0]}_{token()}"
    made = ApiKey(
        tenant_id=tenant_id, id=new_id(), kind=kind, name=name, start=value[:11], token_hash=token_hash(value),
        profile=profile, scopes=[scope for scope in SCOPES if scope in scopes], created_by=created_by,
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()  # When it was made is told with it.
    return made, value


def find(value: str) -> Found | None:
    """Return the key of a value, also one that opens nothing any more; None when nobody has made it."""
    digest = token_hash(value)
    place = db.session.execute(text("SELECT key_id, tenant_id FROM lookup_api_key(:hash)"), {"hash": digest}).first()
    db.session.rollback()
    if place is None:
        return None
    with bind_tenant(place.tenant_id):
        # Columns, not the object: it would be gone with the end of this transaction.
        key = db.session.execute(
            select(*ApiKey.__table__.c).where(ApiKey.tenant_id == place.tenant_id, ApiKey.id == place.key_id)
        ).first()
        db.session.rollback()
    if key is None or not hmac.compare_digest(key.token_hash, digest):
        return None
    refusal = ""
    if key.revoked_at is not None:
        refusal = "key_revoked"
    elif key.expires_at is not None and key.expires_at <= now():
        refusal = "key_expired"
    stale = key.last_used_at is None or key.last_used_at < now() - _TOUCH
    return Found(key.id, key.tenant_id, key.kind, key.name, frozenset(key.scopes), refusal, stale)


def touch(tenant_id: uuid.UUID, key_id: uuid.UUID) -> None:
    """Write that the key is in use."""
    mine = (ApiKey.tenant_id == tenant_id, ApiKey.id == key_id)
    db.session.execute(update(ApiKey).where(*mine).values(last_used_at=now()))


def list_keys(tenant_id: uuid.UUID) -> list[ApiKey]:
    """Return the keys that still open something and those that have ended in the last 30 days, newest first."""
    since = now() - timedelta(days=30)
    ended = (ApiKey.revoked_at < since) | (ApiKey.expires_at < since)
    query = scoped(ApiKey, tenant_id).where(ended.is_not(True)).order_by(ApiKey.id.desc())
    return list(db.session.scalars(query.limit(200)))


def is_live(key: ApiKey) -> bool:
    """Whether the key opens anything."""
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now())


def get_key(tenant_id: uuid.UUID, key_id: uuid.UUID) -> ApiKey:
    """Return a key or raise NotFoundError."""
    found = db.session.scalar(scoped(ApiKey, tenant_id).where(ApiKey.id == key_id).with_for_update())
    if found is None:
        raise NotFoundError("There is no such key.")
    return found


def show(tenant_id: uuid.UUID, key_id: uuid.UUID) -> ApiKey:
    """Return a key to be looked at; NotFoundError when there is none."""
    found = db.session.scalar(scoped(ApiKey, tenant_id).where(ApiKey.id == key_id))
    if found is None:
        raise NotFoundError("There is no such key.")
    return found


def rotate(tenant_id: uuid.UUID, key_id: uuid.UUID, *, overlap: timedelta, created_by: uuid.UUID) -> tuple[ApiKey, str]:
    """Return a new key with the same rights and its value; the old one works on for `overlap`, then ends.

    ConflictError when the old one has ended or is being replaced already.
    """
    old = get_key(tenant_id, key_id)
    if not is_live(old) or old.replaced_by is not None:
        raise ConflictError("This key has ended or is being replaced already. Make a new one.")
    made, value = _add(tenant_id, old.kind, old.name, old.profile, old.scopes, created_by)
    if old.expires_at is not None:
        made.expires_at = now() + (old.expires_at - old.created_at)
    ends = now() + overlap
    old.replaced_by, old.expires_at = made.id, min(ends, old.expires_at or ends)
    audit.write(
        tenant_id, "api_key.rotated", "api_key", str(old.id), old.name, new_key=str(made.id),
        overlap_hours=round(overlap.total_seconds() / 3600),
    )  # fmt: skip
    return made, value


def revoke(tenant_id: uuid.UUID, key_id: uuid.UUID) -> None:
    """End a key at once. NotFoundError when there is none; one that has ended stays so."""
    key = get_key(tenant_id, key_id)
    if key.revoked_at is None:
        key.revoked_at = now()
        audit.write(tenant_id, "api_key.revoked", "api_key", str(key.id), key.name)


def find_tenant(external_id: str) -> uuid.UUID | None:
    """Return the tenant that the host calls by this id."""
    query = text("SELECT tenant_id FROM lookup_tenant(:external_id)")
    found: uuid.UUID | None = db.session.scalar(query, {"external_id": external_id})
    return found
