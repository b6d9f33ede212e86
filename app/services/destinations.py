"""Destinations of notices beside e-mail: made, changed, tested, switched off; and their messages, sent by workers."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Select, func, select, text, update

from app.clock import now
from app.crypto import Seal
from app.db import db, write
from app.errors import ConflictError, InvalidError, NotFoundError
from app.ids import new_id
from app.models.accounts import Tenant
from app.models.destinations import Destination, Notice
from app.services import audit, signing_secrets, subscription_notices, subscriptions, tasks
from app.services.credentials import ring
from app.sync.attempts import Verdict, is_given_up, next_delay
from app.tenancy import scoped

MOST = 20
KINDS = ("slack", "webhook")
# Literal, as the index has it.
_WAITING = text("notices.state = 'waiting'")
_OFF = "The destination was switched off."


@dataclass(frozen=True)
class Wish:
    """What a destination is to be; an empty `url` keeps the present one."""

    name: str
    preference: str
    url: str = ""


@dataclass(frozen=True)
class Outgoing:
    """A message that is about to be sent, opened. Workers only."""

    notice: Notice
    kind: str
    url: str
    secrets: list[str]
    tenant: str


def list_destinations(tenant_id: uuid.UUID) -> list[Destination]:
    """Return the tenant's destinations by name."""
    return list(db.session.scalars(scoped(Destination, tenant_id).order_by(func.lower(Destination.name)).limit(MOST)))


def count_of_troubled(tenant_id: uuid.UUID) -> Select[int]:
    """Return the query of how many were switched off by themselves or only fail, for pages that count several things."""
    troubled = Destination.failing_since.is_not(None) & (Destination.state == "active")
    off = Destination.disabled_code.in_(("gone", "failing"))
    return select(func.count()).where(Destination.tenant_id == tenant_id, troubled | off)


def get_destination(tenant_id: uuid.UUID, destination_id: uuid.UUID, *, lock: bool = False) -> Destination:
    """Return the destination or raise NotFoundError; `lock` holds it until the transaction ends."""
    query = scoped(Destination, tenant_id).where(Destination.id == destination_id)
    found = db.session.scalar(query.with_for_update(key_share=True, of=Destination) if lock else query)
    if found is None:
        raise NotFoundError("There is no such destination.")
    return found


def create(tenant_id: uuid.UUID, kind: str, wish: Wish, *, user_id: uuid.UUID) -> tuple[Destination, str | None]:
    """Return a new destination and, of a webhook, its signing secret, which cannot be read again."""
    values = _checked(wish, need_url=True)
    if kind not in KINDS:
        raise InvalidError("Choose what it is.", {"kind": "Choose what it is."})
    if len(list_destinations(tenant_id)) >= MOST:
        raise ConflictError(f"There are {MOST} destinations already. Remove one that is not needed.")
    made = Destination(
        tenant_id=tenant_id, id=new_id(), kind=kind, host=_host_of(wish.url), created_by=user_id, **values,
        url_sealed=b"",
    )  # fmt: skip
    made.url_sealed = _seal(made, wish.url.strip())
    db.session.add(made)
    db.session.flush()  # The secret refers to it.
    _audit(made, "created", kind=kind, host=made.host)
    return made, signing_secrets.add(made) if kind == "webhook" else None


def change(tenant_id: uuid.UUID, destination_id: uuid.UUID, wish: Wish) -> None:
    """Change name, address and what it is told. What is known of the old address is forgotten with it."""
    found = get_destination(tenant_id, destination_id, lock=True)
    for name, value in _checked(wish, need_url=False).items():
        setattr(found, name, value)
    if wish.url.strip():
        found.url_sealed, found.host = _seal(found, wish.url.strip()), _host_of(wish.url)
        found.failing_since = found.not_before = None
        _wake(found)
    found.updated_at = now()
    _audit(found, "changed", host=found.host)


def rotate(tenant_id: uuid.UUID, destination_id: uuid.UUID) -> str:
    """Return a new secret of a webhook; the present one signs beside it for a day. ConflictError where none signs."""
    found = get_destination(tenant_id, destination_id, lock=True)
    if found.kind != "webhook":
        raise ConflictError("Messages to Slack are not signed: there is no secret to exchange.")
    _audit(found, "secret_rotated")
    return signing_secrets.rotate(found)


def enable(tenant_id: uuid.UUID, destination_id: uuid.UUID) -> None:
    """Switch a destination on again; it is told of what happens from now on."""
    found = get_destination(tenant_id, destination_id, lock=True)
    if found.state == "disabled":
        found.state, found.disabled_code, found.disabled_at = "active", None, None
        found.failing_since, found.not_before, found.updated_at = None, None, now()
        _audit(found, "enabled")


def disable(tenant_id: uuid.UUID, destination_id: uuid.UUID) -> None:
    """Switch a destination off: what waits is not sent."""
    found = get_destination(tenant_id, destination_id, lock=True)
    if found.state == "active":
        _switch_off(found, "person")
        _audit(found, "disabled")


def remove(tenant_id: uuid.UUID, destination_id: uuid.UUID) -> None:
    """Remove a destination with its messages."""
    found = get_destination(tenant_id, destination_id, lock=True)
    _audit(found, "removed", host=found.host)
    db.session.delete(found)


def send_test(tenant_id: uuid.UUID, destination_id: uuid.UUID) -> None:
    """Send a test message now, whatever has failed before. ConflictError while it is switched off."""
    found = get_destination(tenant_id, destination_id, lock=True)
    if found.state != "active":
        raise ConflictError("This destination is switched off. Switch it on first.")
    found.not_before = None
    _add(found, "This is a test: messages about your integrations arrive here", {})
    _audit(found, "tested")


def list_notices(tenant_id: uuid.UUID, destination_id: uuid.UUID, *, limit: int = 20) -> list[Notice]:
    """Return the newest messages to a destination."""
    query = scoped(Notice, tenant_id).where(Notice.destination_id == destination_id)
    return list(db.session.scalars(query.order_by(Notice.id.desc()).limit(limit)))


def list_active(tenant_id: uuid.UUID) -> list[Destination]:
    """Return the destinations that are told."""
    return list(db.session.scalars(scoped(Destination, tenant_id).where(Destination.state == "active").limit(MOST)))


def queue(
    destination: Destination, subject: str, bad: Sequence[dict[str, Any]], over: Sequence[dict[str, Any]]
) -> None:
    """Queue a message about installations. Workers only."""
    _add(destination, subject, {"bad": list(bad), "over": list(over)})


def _add(destination: Destination, subject: str, content: dict[str, Any]) -> None:
    db.session.add(
        Notice(
            tenant_id=destination.tenant_id,
            id=new_id(),
            destination_id=destination.id,
            subject=subject,
            content=content,
        )
    )
    _wake(destination)


def _wake(destination: Destination) -> None:
    tasks.add_task(
        destination.tenant_id, "send", "send_notices", str(destination.id), ref=destination.id, max_attempts=8
    )


def open_next(tenant_id: uuid.UUID, destination_id: uuid.UUID) -> Outgoing | datetime | None:
    """Return the oldest message that waits, opened; when to come back if it is too early; None when none waits."""
    found = db.session.scalar(scoped(Destination, tenant_id).where(Destination.id == destination_id))
    if found is None or found.state != "active":
        return None
    query = scoped(Notice, tenant_id).where(Notice.destination_id == destination_id, _WAITING)
    notice = db.session.scalar(query.order_by(Notice.id).limit(1))
    if notice is None:
        return None
    if found.not_before and found.not_before > now():
        return found.not_before
    secrets = signing_secrets.open_all(tenant_id, Destination, [found.id])
    return Outgoing(
        notice, found.kind, _open(found),
        secrets.get(found.id, []),
        db.session.scalar(select(Tenant.name).where(Tenant.id == tenant_id)) or "",
    )  # fmt: skip


def settle(tenant_id: uuid.UUID, outgoing: Outgoing, verdict: Verdict, status: int | None) -> None:
    """Write down what a try has come to: done, again later, given up; a destination that fails for days is switched off."""
    notice = db.session.scalar(scoped(Notice, tenant_id).where(Notice.id == outgoing.notice.id).with_for_update())
    if notice is None:
        return  # Removed with its destination meanwhile.
    found = get_destination(tenant_id, notice.destination_id, lock=True)
    notice.tries, notice.status, notice.error = notice.tries + 1, status, verdict.error or None
    if verdict.kind == "delivered":
        notice.state, notice.finished_at = "delivered", now()
        found.delivered_at, found.failing_since, found.not_before = now(), None, None
        return
    if verdict.kind == "failed" and not notice.content:
        # A test says at once what is wrong: it is not tried again, and nothing follows from it.
        notice.state, notice.finished_at = "failed", now()
        return
    found.failing_since = found.failing_since or now()
    delay = next_delay(notice.tries, seed=str(notice.id))
    if delay is None:
        notice.state, notice.finished_at = "failed", now()
    else:
        found.not_before = now() + timedelta(seconds=max(delay, verdict.pause or 0))
    if verdict.kind == "gone" or is_given_up(found.failing_since, now()):
        _switch_off(found, "gone" if verdict.kind == "gone" else "failing")
        subscription_notices.tell_destination(found)


def _switch_off(found: Destination, code: str) -> None:
    found.state, found.disabled_code, found.disabled_at, found.updated_at = "disabled", code, now(), now()
    waiting = update(Notice).where(
        Notice.tenant_id == found.tenant_id, Notice.destination_id == found.id, Notice.state == "waiting"
    )
    db.session.flush()
    write(waiting.values(state="failed", error=_OFF, finished_at=now()))


def _seal(found: Destination, url: str) -> bytes:
    return ring().seal("token", url.encode(), Seal(found.tenant_id, found.id, "destination_url", 1))


def _open(found: Destination) -> str:
    sealed = Seal(found.tenant_id, found.id, "destination_url", 1)
    return ring().open("token", found.url_sealed, sealed).decode()


def _host_of(url: str) -> str:
    parts = urlsplit(url.strip())
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _checked(wish: Wish, *, need_url: bool) -> dict[str, Any]:
    wrong = {}
    name, url = wish.name.strip(), wish.url.strip()
    if not name or len(name) > 120:
        wrong["name"] = "Give it a name of at most 120 characters."
    if wish.preference not in ("problems", "action"):
        wrong["preference"] = "Choose what it is told."
    if (url or need_url) and (sentence := subscriptions.wrong_url(url)):
        wrong["url"] = sentence
    if wrong:
        raise InvalidError("The destination cannot be saved: " + " ".join(wrong.values()), wrong)
    return {"name": name, "preference": wish.preference}


def _audit(found: Destination, what: str, **details: Any) -> None:
    audit.write(found.tenant_id, f"destination.{what}", "destination", str(found.id), found.name, **details)
