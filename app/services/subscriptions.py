"""Subscriptions to events: made, changed, tested, switched off and on; secrets are shown once and rotated.

A tenant's own hear of that tenant; those of the platform's tenant are the host's and hear of all.
"""

import ipaddress
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from flask import current_app
from sqlalchemy import Select, func, select, update

from app.clock import now
from app.config import Settings
from app.db import db, write
from app.errors import ConflictError, InvalidError, NotFoundError
from app.event_types import CHOICES, TEST, TYPES
from app.ids import new_id
from app.models.events import Dispatch, Subscription
from app.services import audit, fan_out, signing_secrets
from app.services.fan_out import Message
from app.services.page_writes import connection
from app.tenancy import scoped
from connectors.sdk.addresses import is_allowed, is_public

MOST = 50
_LONGEST = 2000


_OFF_BY_ITSELF = (Subscription.state == "disabled") & (Subscription.disabled_code != "person")


@dataclass(frozen=True)
class Wish:
    """What a subscription is to be. Empty `types`, `object_types` and `fields` narrow nothing."""

    name: str
    url: str
    types: Sequence[str] = ()
    object_types: Sequence[str] = ()
    fields: Sequence[str] = ()


def list_subscriptions(
    tenant_id: uuid.UUID, *, before: uuid.UUID | None = None, limit: int = 50
) -> list[Subscription]:  # fmt: skip
    """Return the subscriptions that are not removed, newest first; `before` is the id the last page ended with."""
    query = scoped(Subscription, tenant_id).where(Subscription.state != "removed")
    if before:
        query = query.where(Subscription.id < before)
    return list(db.session.scalars(query.order_by(Subscription.id.desc()).limit(limit)))


def list_switched_off(tenant_id: uuid.UUID) -> list[Subscription]:
    """Return the subscriptions that were switched off without a person's doing, newest first, 20 at most."""
    query = scoped(Subscription, tenant_id).where(_OFF_BY_ITSELF)
    return list(db.session.scalars(query.order_by(Subscription.disabled_at.desc()).limit(20)))


def count_of_switched_off(tenant_id: uuid.UUID) -> Select[int]:
    """Return the query of how many that are, for pages that count several things at once."""
    return select(func.count()).where(Subscription.tenant_id == tenant_id, _OFF_BY_ITSELF)


def get_subscription(tenant_id: uuid.UUID, subscription_id: uuid.UUID, *, lock: bool = False) -> Subscription:
    """Return the subscription or raise NotFoundError; `lock` holds it until the transaction ends."""
    query = scoped(Subscription, tenant_id).where(Subscription.id == subscription_id, Subscription.state != "removed")
    # Whoever writes dispatches refers to it and need not wait.
    found = db.session.scalar(query.with_for_update(key_share=True) if lock else query)
    if found is None:
        raise NotFoundError("There is no such subscription.")
    return found


def create(tenant_id: uuid.UUID, wish: Wish, *, user_id: uuid.UUID | None = None) -> tuple[Subscription, str]:
    """Return a new subscription and its secret, which cannot be read again. InvalidError names what does not fit."""
    values = _checked(wish)
    if len(list_subscriptions(tenant_id, limit=MOST)) >= MOST:
        raise ConflictError(f"There are {MOST} subscriptions already. Remove one that is not needed.")
    made = Subscription(tenant_id=tenant_id, id=new_id(), created_by=user_id, **values)
    db.session.add(made)
    db.session.flush()  # The secret refers to it.
    _audit(made, "created", url=made.url.split("?")[0])
    return made, signing_secrets.add(made)


def change(tenant_id: uuid.UUID, subscription_id: uuid.UUID, wish: Wish) -> Subscription:
    """Change name, address and filters; what is under way is sent to the new address. InvalidError as at create."""
    found = get_subscription(tenant_id, subscription_id, lock=True)
    values = _checked(wish)
    if values["url"] != found.url:
        # What is known is about another endpoint.
        found.failing_since = found.breaker = found.not_before = None
    for name, value in values.items():
        setattr(found, name, value)
    found.updated_at = now()
    _audit(found, "changed", url=found.url.split("?")[0])
    return found


def rotate(tenant_id: uuid.UUID, subscription_id: uuid.UUID) -> str:
    """Return a new secret. Messages are signed by both for a day; a secret older than these two ends at once."""
    found = get_subscription(tenant_id, subscription_id, lock=True)
    _audit(found, "secret_rotated")
    return signing_secrets.rotate(found)


def disable(tenant_id: uuid.UUID, subscription_id: uuid.UUID) -> Subscription:
    """Switch a subscription off: what waits is not sent, and what happens meanwhile is not kept for it."""
    found = get_subscription(tenant_id, subscription_id, lock=True)
    if found.state == "active":
        switch_off(found, "person")
        _audit(found, "disabled")
    return found


def switch_off(subscription: Subscription, code: str) -> None:
    """Switch a locked subscription off: by a `person`, because it is `gone` (410) or has been `failing` for days."""
    subscription.state, subscription.disabled_code, subscription.disabled_at = "disabled", code, now()
    subscription.updated_at = now()
    waiting = update(Dispatch).where(
        Dispatch.tenant_id == subscription.tenant_id, Dispatch.subscription_id == subscription.id,
        Dispatch.state == "pending",
    )  # fmt: skip
    write(waiting.values(state="failed", error="The subscription was switched off.", finished_at=now()))


def enable(tenant_id: uuid.UUID, subscription_id: uuid.UUID) -> Subscription:
    """Switch a subscription on. It hears of what happens from now on; what has failed can be sent again."""
    found = get_subscription(tenant_id, subscription_id, lock=True)
    if found.state == "disabled":
        found.state, found.disabled_code, found.disabled_at = "active", None, None
        found.failing_since = found.breaker = found.not_before = None
        found.updated_at = now()
        _audit(found, "enabled")
    return found


def remove(tenant_id: uuid.UUID, subscription_id: uuid.UUID) -> None:
    """Remove a subscription. Its log is kept as long as others, then both go."""
    found = get_subscription(tenant_id, subscription_id, lock=True)
    switch_off(found, "person")
    found.state = "removed"
    signing_secrets.end(found)
    _audit(found, "removed", url=found.url.split("?")[0])


def send_test(tenant_id: uuid.UUID, subscription_id: uuid.UUID) -> uuid.UUID:
    """Send a test event to one subscription, and return its dispatch. ConflictError while it is switched off."""
    found = get_subscription(tenant_id, subscription_id)
    require_active(found)
    message = Message(new_id(), TEST, found.id, now(), {"subscription_id": str(found.id), "name": found.name})
    body = {
        "type": TEST, "version": TYPES[TEST].version, "id": fan_out.message_id(message.id), "timestamp": message.at,
        "tenant": {"id": tenant_id, "external_id": None}, "sequence": 0, "data": message.data,
    }  # fmt: skip
    row = (found.id, message, 0, orjson.dumps(body, option=orjson.OPT_UTC_Z))
    (dispatch_id,) = fan_out.add_dispatches(connection(), tenant_id, [row])
    _audit(found, "tested")
    return dispatch_id


def require_active(subscription: Subscription) -> None:
    """Raise ConflictError unless events are sent to it."""
    if subscription.state != "active":
        raise ConflictError("This subscription is switched off. Switch it on first.", code="not_active")


def _audit(subscription: Subscription, what: str, **details: Any) -> None:
    audit.write(
        subscription.tenant_id, f"subscription.{what}", "subscription", str(subscription.id), subscription.name,
        **details,
    )  # fmt: skip


def _checked(wish: Wish) -> dict[str, Any]:
    wrong = {}
    name, url = wish.name.strip(), wish.url.strip()
    if not name or len(name) > 120:
        wrong["name"] = "Give it a name of at most 120 characters."
    if sentence := wrong_url(url):
        wrong["url"] = sentence
    unknown = sorted(set(wish.types) - CHOICES)
    if unknown:
        wrong["types"] = f"There is no type of event {unknown[0]!r}."
    if wrong:
        raise InvalidError("The subscription cannot be saved: " + " ".join(wrong.values()), wrong)
    lists = {"types": wish.types, "object_types": wish.object_types, "fields": wish.fields}
    return {"name": name, "url": url, **{key: sorted(set(values)) for key, values in lists.items()}}


def wrong_url(url: str) -> str:
    """Return what is wrong with an address, an empty text when nothing is. Where it leads to is checked at each call."""
    settings: Settings = current_app.extensions["settings"]
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "This is not an address. Give it as https://example.com/path."
    if parts.scheme not in ("https", "http") or not parts.hostname or len(url) > _LONGEST or not url.isprintable():
        return "Give the address as https://example.com/path."
    if "@" in parts.netloc or parts.fragment or " " in url or "\\" in url:
        return "An address holds no user name, password, space or #."
    if parts.scheme == "http" and not settings.egress_allow:
        return "The address must begin with https://."
    try:
        address = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return ""
    if is_public(address) or is_allowed(address, settings.egress_allow):
        return ""
    return "This address is in a private network, which may not be reached."
