"""Webhook endpoints: where vendors send, and what came in."""

import uuid
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api import gate
from app.api.operations import Noun
from app.api.paging import Page, PageQuery, cut, unpack
from app.models.endpoints import Delivery as DeliveryRow
from app.models.endpoints import Endpoint as EndpointRow
from app.models.installations import Installation as InstallationRow
from app.services import delivery_log, endpoints, installations, listings

noun = Noun("endpoints", "Webhook endpoints", "Where vendors send webhooks, and each delivery with its verdict.")
Verdict = Literal["accepted", "duplicate", "bad_signature", "stale", "unknown_account"]


class Endpoint(BaseModel):
    """Where a vendor sends the webhooks of an installation; `url` is null where one address serves all."""

    id: uuid.UUID
    installation_id: uuid.UUID | None
    url: str | None
    state: Literal["waiting", "active", "failed", "removed"]
    registered_at: datetime | None
    expires_at: datetime | None = Field(description="When the subscription at the vendor ends; it is renewed before.")
    error: str | None
    fix: str | None
    silent_since: datetime | None
    missed: int | None = Field(description="Changes that no webhook had told of, found after a silence.")


class Endpoints(Page[Endpoint]):
    """The tenant's endpoints."""


class Delivery(BaseModel):
    """A request that came in."""

    id: uuid.UUID
    endpoint_id: uuid.UUID
    event_id: str
    verdict: Verdict
    note: str | None
    size: int
    copies: int
    at: datetime


class Deliveries(Page[Delivery]):
    """Deliveries, newest first."""


class DeliveryHint(BaseModel):
    """What a delivery says about a record, and what came of it."""

    stream: str
    external_id: str
    action: Literal["upsert", "delete", "resync"]
    state: Literal["waiting", "applied", "nothing", "later", "failed"]
    error: str | None


class DeliveryDetails(Delivery):
    """A delivery as it came. Headers and body are null for keys without the scope `payloads`.

    Of the body values of sensitive fields are replaced; what is no JSON is left out.
    """

    method: str
    headers: dict[str, Any] | None
    body: str | None
    hints: list[DeliveryHint]


class DeliveryReplay(BaseModel):
    """Which deliveries to act on again: those that failed, or all of the last hour or day; at most 500."""

    model_config = ConfigDict(extra="forbid")

    scope: Literal["failed", "hour", "day"] = "failed"
    count_only: bool = Field(False, description="Only say how many it would be.")


class DeliveriesReplayed(BaseModel):
    """How many deliveries are, or would be, acted on again."""

    count: int


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    verdict: Verdict | None = None


def _endpoint(row: EndpointRow) -> Endpoint:
    return Endpoint(
        id=row.id, installation_id=row.installation_id, url=endpoints.url_of(row.address) if row.address else None,
        state=row.state, registered_at=row.registered_at, expires_at=row.expires_at, error=row.error_message,  # type: ignore[arg-type]  # as the table's check has it
        fix=row.error_fix, silent_since=row.silent_since, missed=row.missed,
    )  # fmt: skip


def _delivery(row: DeliveryRow) -> dict[str, Any]:
    return {
        "id": row.id, "endpoint_id": row.endpoint_id, "event_id": row.event_id, "verdict": row.verdict,
        "note": row.note, "size": row.size, "copies": row.copies, "at": row.created_at,
    }  # fmt: skip


@noun.get("/webhook-endpoints", scope="list", answer=Endpoints)
def list_endpoints() -> Endpoints:
    """List the webhook endpoints of the tenant's installations"""
    found = endpoints.list_endpoints(gate.caller().tenant_id)
    return Endpoints(data=[_endpoint(row) for row in found], next=None)


@noun.get("/webhook-endpoints/<uuid:endpoint_id>", scope="read", answer=Endpoint)
def show_endpoint(endpoint_id: uuid.UUID) -> Endpoint:
    """Show a webhook endpoint"""
    return _endpoint(endpoints.get(gate.caller().tenant_id, endpoint_id))


@noun.post("/webhook-endpoints/<uuid:endpoint_id>/rotate", scope="admin", answer=Endpoint, status=202)
def rotate_endpoint(endpoint_id: uuid.UUID) -> Endpoint:
    """Exchange the secret of a webhook endpoint; the old one counts for a day more"""
    tenant_id = gate.caller().tenant_id
    row = endpoints.get(tenant_id, endpoint_id)
    assert row.installation_id is not None
    endpoints.ask_rotation(tenant_id, row.installation_id)
    return _endpoint(row)


@noun.get("/webhook-endpoints/<uuid:endpoint_id>/deliveries", scope="list", query=DeliveryQuery, answer=Deliveries)
def list_deliveries(endpoint_id: uuid.UUID, query: DeliveryQuery) -> Deliveries:
    """List what came in at an endpoint, newest first"""
    tenant_id = gate.caller().tenant_id
    place = unpack(query.cursor, uuid.UUID)
    found = delivery_log.list_deliveries(
        endpoints.get(tenant_id, endpoint_id), verdict=query.verdict or "", before=place[0] if place else None,
        limit=query.limit + 1,
    )  # fmt: skip
    rows, onward = cut(found, query.limit, lambda line: (str(line.delivery.id),))
    return Deliveries(data=[Delivery.model_validate(_delivery(line.delivery)) for line in rows], next=onward)


@noun.get(
    "/webhook-endpoints/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>", scope="read", answer=DeliveryDetails
)  # fmt: skip
def show_delivery(endpoint_id: uuid.UUID, delivery_id: uuid.UUID) -> DeliveryDetails:
    """Show a delivery as it came, with what it led to"""
    who = gate.caller()
    endpoint = endpoints.get(who.tenant_id, endpoint_id)
    row = delivery_log.get_delivery(who.tenant_id, endpoint, delivery_id)
    hints = [
        {"stream": h.stream, "external_id": h.external_id, "action": h.action, "state": h.state, "error": h.error}
        for h in delivery_log.list_hints(row)
    ]
    body = None
    if who.payloads:
        manifest = listings.manifest_of(_installation(endpoint).listing_version_id)
        body = delivery_log.shown_body(row, manifest)
    shown = {"method": row.method, "headers": row.headers if who.payloads else None, "body": body, "hints": hints}
    return DeliveryDetails.model_validate(_delivery(row) | shown)


def _installation(endpoint: EndpointRow) -> InstallationRow:
    assert endpoint.installation_id is not None
    return installations.get_installation(endpoint.tenant_id, endpoint.installation_id)


@noun.post(
    "/webhook-endpoints/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>/replay", scope="write",
    answer=DeliveriesReplayed, status=202,
)  # fmt: skip
def replay_delivery(endpoint_id: uuid.UUID, delivery_id: uuid.UUID) -> DeliveriesReplayed:
    """Act on a delivery again"""
    endpoint = endpoints.get(gate.caller().tenant_id, endpoint_id)
    delivery_log.replay_one(endpoint, _installation(endpoint), delivery_id)
    return DeliveriesReplayed(count=1)


@noun.post(
    "/webhook-endpoints/<uuid:endpoint_id>/replay", scope="write", body=DeliveryReplay, answer=DeliveriesReplayed,
    status=202,
)  # fmt: skip
def replay_deliveries(endpoint_id: uuid.UUID, body: DeliveryReplay) -> DeliveriesReplayed:
    """Act on many deliveries again

    Ask with `count_only` first to know how many.
    """
    endpoint = endpoints.get(gate.caller().tenant_id, endpoint_id)
    if body.count_only:
        return DeliveriesReplayed(count=delivery_log.count_replay(endpoint, body.scope))
    return DeliveriesReplayed(count=delivery_log.replay_many(endpoint, _installation(endpoint), body.scope))
