"""Who calls the API: the key, the tenant it acts for, and how many calls it has left. Cookies count for nothing."""

import re
import uuid
from dataclasses import dataclass

from flask import Response, g, request

from app import log, meter
from app.api.errors import ApiError
from app.config import Settings
from app.db import db
from app.devices import address
from app.errors import TooManyError
from app.services import api_keys
from app.services.audit import Actor, current_actor
from app.tenancy import bind_tenant
from app.transaction import transaction

PREFIX = "/api/v1"
TENANT_HEADER = "Patchbay-Tenant"
# What headers of ours may hold: every character that travels unchanged.
PLAIN = "[!-~]"
LONGEST_NAME = 200
# Of what a key may do, callers without one may do a twentieth.
_NOBODY = 20


@dataclass(frozen=True)
class Caller:
    """A key that was presented, and the tenant it acts for: None for a host key that has named none."""

    key_id: uuid.UUID
    owner_id: uuid.UUID
    name: str
    scopes: frozenset[str]
    host: bool
    secret: str
    tenant: uuid.UUID | None = None

    @property
    def tenant_id(self) -> uuid.UUID:
        """The tenant; ApiError when a host key has named none."""
        if self.tenant is None:
            raise ApiError(
                400, "tenant_required", f"Name the tenant by the header {TENANT_HEADER}: the id your product has for it.",
            )  # fmt: skip
        return self.tenant

    @property
    def payloads(self) -> bool:
        """Whether values of records and bodies may be shown."""
        return "payloads" in self.scopes

    def demand(self, scope: str) -> None:
        """ApiError when the key lacks a scope."""
        if scope not in self.scopes:
            raise ApiError(403, "scope_missing", f"This key lacks the scope {scope}.")


def is_api(path: str) -> bool:
    """Whether an address belongs to the API."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def enter(settings: Settings) -> None:
    """Find the key, count the call and bind the tenant. TooManyError; what else is wrong is said by `caller()`."""
    g.api_refusal = ApiError(401, "key_required", "Send a key: Authorization: Bearer pb_...")
    value = _bearer()
    found = api_keys.find(value) if value else None
    if found is None:
        if value:
            g.api_refusal = ApiError(401, "key_required", "This key is not known.")
        _count(settings, f"address:{address()}", max(settings.api_per_minute // _NOBODY, 1))
        return
    _count(settings, f"key:{found.id}", settings.api_per_minute)
    if found.refusal:
        how = "was revoked" if found.refusal == "key_revoked" else "has ended"
        g.api_refusal = ApiError(401, found.refusal, f"This key {how}. Make a new one.")
        return
    check_header(TENANT_HEADER, LONGEST_NAME)
    if found.stale:
        with bind_tenant(found.tenant_id), transaction():
            api_keys.touch(found.tenant_id, found.id)
    tenant_id = _tenant_of_host() if found.kind == "host" else found.tenant_id
    g.api_caller = Caller(
        found.id, found.tenant_id, found.name, found.scopes, found.kind == "host", value, tenant_id
    )  # fmt: skip
    g.stack.enter_context(bind_tenant(tenant_id or found.tenant_id))
    g.stack.enter_context(log.bind(tenant_id=str(tenant_id or ""), caller=str(found.id)))
    actor = Actor(found.id, f"API key {found.name}", request.remote_addr or "", g.request_id)
    g.stack.callback(current_actor.reset, current_actor.set(actor))


def check_header(name: str, longest: int) -> None:
    """ApiError when a header is sent that holds something else than plain characters."""
    value = request.headers.get(name)
    if value is not None and not re.fullmatch(f"{PLAIN}{{1,{longest}}}", value):
        wrong = f"Give 1 to {longest} printable ASCII characters without spaces."
        raise ApiError(400, "invalid_parameter", f"{name}: {wrong}", {name: wrong})


def _bearer() -> str:
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _tenant_of_host() -> uuid.UUID | None:
    name = request.headers.get(TENANT_HEADER)
    if name is None:
        return None
    found = api_keys.find_tenant(name)
    db.session.rollback()
    if found is None:
        g.api_refusal = ApiError(404, "not_found", "There is no tenant with this id.")
        g.api_no_tenant = True
    return found


def _count(settings: Settings, who: str, limit: int) -> None:
    g.api_meter = meter.count(settings.redis_url.get_secret_value(), who, limit)
    if g.api_meter.left < 0:
        raise TooManyError("Too many requests. Go on after the time in Retry-After.", g.api_meter.seconds)


def caller() -> Caller:
    """Return who calls; ApiError when nobody may."""
    found: Caller | None = g.get("api_caller")
    if found is None or g.get("api_no_tenant"):
        refusal: ApiError = g.api_refusal
        raise refusal
    return found


def finish(response: Response) -> None:
    """Add what every answer of the API has."""
    reading: meter.Reading | None = g.get("api_meter")
    if reading:
        response.headers["RateLimit-Limit"] = str(reading.limit)
        response.headers["RateLimit-Remaining"] = str(max(reading.left, 0))
        response.headers["RateLimit-Reset"] = str(reading.seconds)
    response.headers.setdefault("Cache-Control", "private, no-cache")
    response.vary.update(("Authorization", TENANT_HEADER))
