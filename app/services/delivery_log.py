"""The log of deliveries as people read it: what came, what it was worth, what became of it; and sending it round again."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, case, func, select, text, update
from sqlalchemy.orm import defer

from app.clock import now
from app.db import db
from app.errors import ConflictError, NotFoundError
from app.ids import first_at
from app.models.endpoints import Delivery, Endpoint, Hint
from app.models.installations import Installation, InstallationStream
from app.services import audit, deliveries, inbox, listings, sensitive_fields, tasks
from app.tenancy import scoped
from connectors.sdk import Manifest, VendorDataError, webhooks

# So many are sent round again at once; the page says how many it will be.
MOST_REPLAYED = 500
SCOPES = ("failed", "hour", "day")
_SHOWN, _FOLDED = 64 * 1024, 4000


@dataclass(frozen=True)
class Line:
    """A delivery in the list, and what has become of what it said: waiting, failed, later, applied, nothing, or none."""

    delivery: Delivery
    state: str | None
    hints: int


def list_deliveries(
    endpoint: Endpoint, *, verdict: str = "", before: uuid.UUID | None = None, limit: int = 50
) -> list[Line]:
    """Return deliveries, newest first, `limit` at a time; `before` is the id the last page ended with."""
    query = (
        scoped(Delivery, endpoint.tenant_id).where(Delivery.endpoint_id == endpoint.id).options(defer(Delivery.body))
    )
    if verdict:
        query = query.where(Delivery.verdict == verdict)
    if verdict not in ("", "accepted"):
        query = query.where(text("deliveries.verdict <> 'accepted'"))  # They are few, and have an index of their own.
    if before:
        query = query.where(Delivery.id < before)
    return _lines(endpoint.tenant_id, list(db.session.scalars(query.order_by(Delivery.id.desc()).limit(limit))))


def list_shared(
    endpoint: Endpoint, manifest: Manifest, *, verdict: str = "", before: uuid.UUID | None = None, limit: int = 25
) -> list[tuple[Delivery, str | None]]:
    """Return what came to a connector's own address and to no customer, newest first, each with its body for people.

    The platform's tenant is bound. `before` is the id the last page ended with; bodies are cut after a screenful.
    """
    query = scoped(Delivery, endpoint.tenant_id).where(Delivery.endpoint_id == endpoint.id)
    if verdict:
        query = query.where(Delivery.verdict == verdict)
    if before:
        query = query.where(Delivery.id < before)
    found = db.session.scalars(query.order_by(Delivery.id.desc()).limit(limit))
    return [(delivery, (shown_body(delivery, manifest) or "")[:_FOLDED] or None) for delivery in found]


def list_recent(tenant_id: uuid.UUID, *, limit: int = 20) -> list[tuple[Line, uuid.UUID | None]]:
    """Return the newest deliveries of a customer with their installations, for support."""
    query = scoped(Delivery, tenant_id).options(defer(Delivery.body)).order_by(Delivery.id.desc()).limit(limit)
    found = list(db.session.scalars(query))
    rows = db.session.execute(
        select(Endpoint.id, Endpoint.installation_id).where(
            Endpoint.tenant_id == tenant_id, Endpoint.id.in_({d.endpoint_id for d in found})
        )
    )
    homes = {row[0]: row[1] for row in rows}
    return [(line, homes.get(line.delivery.endpoint_id)) for line in _lines(tenant_id, found)]


def _lines(tenant_id: uuid.UUID, found: Sequence[Delivery]) -> list[Line]:
    # The worst of what its hints have come to says how the delivery went.
    order = case({"waiting": 1, "failed": 2, "later": 3, "applied": 4}, value=Hint.state, else_=5)
    states = ("", "waiting", "failed", "later", "applied", "nothing")
    rows = db.session.execute(
        select(Hint.delivery_id, func.min(order), func.count())
        .where(Hint.tenant_id == tenant_id, Hint.delivery_id.in_([delivery.id for delivery in found]))
        .group_by(Hint.delivery_id)
    )
    about = {row[0]: (states[row[1]], row[2]) for row in rows}
    return [Line(delivery, *about.get(delivery.id, (None, 0))) for delivery in found]


def count_by_verdict(endpoint: Endpoint, *, days: int = 7) -> dict[str, int]:
    """Return verdict -> how many of the last days; copies of an event are counted as duplicates, kept or not."""
    rows = db.session.execute(
        select(Delivery.verdict, func.count(), func.sum(Delivery.copies))
        .where(
            Delivery.tenant_id == endpoint.tenant_id, Delivery.endpoint_id == endpoint.id,
            Delivery.id > first_at(now() - timedelta(days=days)),
        )
        .group_by(Delivery.verdict)
    ).all()  # fmt: skip
    counts = {row[0]: row[1] for row in rows}
    counts["duplicate"] = sum(int(row[2] or 0) for row in rows)
    return counts


def get_delivery(tenant_id: uuid.UUID, endpoint: Endpoint, delivery_id: uuid.UUID) -> Delivery:
    """Return one delivery of an endpoint or raise NotFoundError."""
    found = db.session.scalar(
        scoped(Delivery, tenant_id).where(Delivery.id == delivery_id, Delivery.endpoint_id == endpoint.id)
    )
    if found is None:
        raise NotFoundError("There is no such delivery.")
    return found


def list_hints(delivery: Delivery) -> list[Hint]:
    """Return what a delivery has said, in the order of streams and ids."""
    query = scoped(Hint, delivery.tenant_id).where(Hint.delivery_id == delivery.id)
    return list(db.session.scalars(query.order_by(Hint.stream, Hint.external_id, Hint.id).limit(MOST_REPLAYED)))


def shown_body(delivery: Delivery, manifest: Manifest) -> str | None:
    """Return the body for people: JSON set out, with the values of sensitive fields replaced. None once it is deleted.

    What is no JSON is not shown: nothing in it can be told apart.
    """
    if delivery.body is None:
        return None
    try:
        data = orjson.loads(inbox.open_body(delivery))
    except orjson.JSONDecodeError:
        return ""
    hidden = {
        field.name.rpartition(".")[2] for stream in manifest.streams for field in stream.fields if field.sensitive
    }
    return orjson.dumps(_masked(data, hidden), option=orjson.OPT_INDENT_2).decode()[:_SHOWN]


def _masked(value: Any, hidden: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: sensitive_fields.HIDDEN if key in hidden and inner not in (None, "") else _masked(inner, hidden)
            for key, inner in value.items()
        }
    return [_masked(inner, hidden) for inner in value] if isinstance(value, list) else value


def _of_scope(endpoint: Endpoint, scope: str) -> tuple[ColumnElement[bool], ...]:
    conditions: tuple[ColumnElement[bool], ...] = (
        Delivery.tenant_id == endpoint.tenant_id, Delivery.endpoint_id == endpoint.id,
        Delivery.verdict == "accepted", Delivery.body.is_not(None),
    )  # fmt: skip
    if scope == "failed":
        failed = select(Hint.delivery_id).where(Hint.tenant_id == endpoint.tenant_id, Hint.state == "failed")
        return (*conditions, Delivery.id.in_(failed))
    since: datetime = now() - (timedelta(hours=1) if scope == "hour" else timedelta(days=1))
    return (*conditions, Delivery.id > first_at(since))


def count_replay(endpoint: Endpoint, scope: str) -> int:
    """Return how many deliveries would be sent round again, up to the limit."""
    query = select(Delivery.id).where(*_of_scope(endpoint, scope)).limit(MOST_REPLAYED)
    return db.session.scalar(select(func.count()).select_from(query.subquery())) or 0


def replay_many(endpoint: Endpoint, installation: Installation, scope: str) -> int:
    """Act again on the newest deliveries of a scope; return how many."""
    query = scoped(Delivery, endpoint.tenant_id).where(*_of_scope(endpoint, scope))
    found = list(db.session.scalars(query.order_by(Delivery.id.desc()).limit(MOST_REPLAYED)))
    _replay(endpoint, installation, found)
    return len(found)


def replay_one(endpoint: Endpoint, installation: Installation, delivery_id: uuid.UUID) -> None:
    """Act again on one delivery; ConflictError when that is not possible."""
    found = get_delivery(endpoint.tenant_id, endpoint, delivery_id)
    if found.verdict != "accepted":
        raise ConflictError("Only what was verified can be replayed.")
    if found.body is None:
        raise ConflictError("The body of this delivery has been deleted.", fix="Run a full resync instead.")
    _replay(endpoint, installation, [found])


def _replay(endpoint: Endpoint, installation: Installation, found: Sequence[Delivery]) -> None:
    """Read stored requests by the rules of the present version, and have workers look at the records again."""
    if installation.state != "active":
        raise ConflictError("This installation is not active. Resume it first.", code="not_active")
    hooks = listings.manifest_of(installation.listing_version_id).webhooks
    if hooks is None:
        raise ConflictError("This version of the connector has no webhooks.")
    query = select(InstallationStream.stream).where(
        InstallationStream.tenant_id == endpoint.tenant_id, InstallationStream.installation_id == installation.id,
        InstallationStream.enabled,
    )  # fmt: skip
    streams, keys = set(db.session.scalars(query)), set[str]()
    for row in found:
        request = webhooks.Delivery(row.method, "", row.headers, inbox.open_body(row))
        try:
            hints = deliveries.hints_of(webhooks.events(hooks, request), streams)
        except VendorDataError:
            continue
        for (stream, external_id), action in hints.items():
            db.session.add(
                Hint(
                    tenant_id=row.tenant_id, delivery_id=row.id, installation_id=installation.id, stream=stream,
                    external_id=external_id, action=action,
                )
            )  # fmt: skip
            keys.add(inbox.task_key(installation.id, stream, external_id))
    for key in sorted(keys):
        tasks.add_task(endpoint.tenant_id, "fast", inbox.KIND, key, ref=installation.id, host=endpoint.host)
    db.session.execute(
        update(Delivery)
        .where(Delivery.tenant_id == endpoint.tenant_id, Delivery.id.in_([row.id for row in found]))
        .values(replays=Delivery.replays + 1)
    )
    audit.write(endpoint.tenant_id, "deliveries.replayed", "installation", str(installation.id), str(len(found)))
