"""Subscriptions to events, their dispatch log, and sending again."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api import gate
from app.api.operations import Noun
from app.api.paging import Moment, Page, PageQuery, cut, unpack
from app.models.events import Dispatch as DispatchRow
from app.models.events import Subscription as SubscriptionRow
from app.services import dispatches, subscriptions
from app.services.dispatches import Selection
from app.services.subscriptions import Wish

noun = Noun(
    "subscriptions", "Subscriptions",
    "Where events are sent. A key of the host without a tenant works on the host's own, which hear of all tenants.",
)  # fmt: skip
Names = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100)]
DispatchState = Literal["pending", "sending", "delivered", "failed"]


class Subscription(BaseModel):
    """Where events are sent, and which."""

    id: uuid.UUID
    name: str
    url: str
    types: list[str]
    object_types: list[str]
    fields: list[str]
    state: Literal["active", "disabled", "removed"]
    disabled_code: Literal["person", "gone", "failing"] | None
    failing_since: datetime | None
    delivered_at: datetime | None
    created_at: datetime


class NewSecret(Subscription):
    """A subscription with its signing secret, which is shown once."""

    secret: str


class Subscriptions(Page[Subscription]):
    """Subscriptions, newest first."""


class SubscriptionBody(BaseModel):
    """What a subscription is to be; empty lists narrow nothing."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=120)]
    url: Annotated[str, Field(min_length=1, max_length=2000)]
    types: Names = []
    object_types: Names = []
    fields: Names = []


class Dispatch(BaseModel):
    """One event to one subscription."""

    id: uuid.UUID
    type: str
    subject_id: uuid.UUID
    sequence: int
    state: DispatchState
    attempts: int
    due_at: datetime
    finished_at: datetime | None
    status: int | None
    error: str | None
    created_at: datetime


class Dispatches(Page[Dispatch]):
    """The dispatch log, newest first."""


class Attempt(BaseModel):
    """One try of a dispatch."""

    number: int
    outcome: Literal["sending", "delivered", "failed", "lost"]
    at: datetime
    ms: int | None
    status: int | None
    error: str | None
    response: str | None = Field(description="How the answer begins; null for keys without the scope `payloads`.")
    next_at: datetime | None


class DispatchDetails(Dispatch):
    """A dispatch with its body and tries."""

    body: str | None
    tries: list[Attempt]


class DispatchQuery(PageQuery):
    """Which dispatches."""

    state: DispatchState | None = None
    type: Annotated[str, Field(max_length=100)] = ""


class Replay(BaseModel):
    """What to send again: those that failed, or all that are over, narrowed by what is given."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["failed", "delivered", "any"] = "failed"
    since: Moment | None = None
    until: Moment | None = None
    type: Annotated[str, Field(max_length=100)] = ""
    ids: Annotated[list[uuid.UUID], Field(max_length=500)] = []
    count_only: bool = Field(False, description="Only say how many it would be.")


class Replayed(BaseModel):
    """How many dispatches are, or would be, sent again."""

    count: int


def _owner() -> uuid.UUID:
    who = gate.caller()
    return who.tenant or who.owner_id


def _shown(row: SubscriptionRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Subscription.model_fields}


def _wish(body: SubscriptionBody) -> Wish:
    return Wish(body.name, body.url, body.types, body.object_types, body.fields)


@noun.get("/subscriptions", scope="list", query=PageQuery, answer=Subscriptions, tenant=False)
def list_subscriptions(query: PageQuery) -> Subscriptions:
    """List subscriptions"""
    place = unpack(query.cursor, uuid.UUID)
    found = subscriptions.list_subscriptions(_owner(), before=place[0] if place else None, limit=query.limit + 1)
    rows, onward = cut(found, query.limit, lambda row: (str(row.id),))
    return Subscriptions(data=[Subscription.model_validate(_shown(row)) for row in rows], next=onward)


@noun.post("/subscriptions", scope="admin", body=SubscriptionBody, answer=NewSecret, status=201, tenant=False)
def create_subscription(body: SubscriptionBody) -> NewSecret:
    """Subscribe to events

    Messages are signed as Standard Webhooks says. The secret is shown once.
    """
    made, secret = subscriptions.create(_owner(), _wish(body), user_id=gate.caller().key_id)
    return NewSecret.model_validate(_shown(made) | {"secret": secret})


@noun.get("/subscriptions/<uuid:subscription_id>", scope="read", answer=Subscription, tenant=False)
def show_subscription(subscription_id: uuid.UUID) -> Subscription:
    """Show a subscription"""
    return Subscription.model_validate(_shown(subscriptions.get_subscription(_owner(), subscription_id)))


@noun.put(
    "/subscriptions/<uuid:subscription_id>", scope="admin", body=SubscriptionBody, answer=Subscription, tenant=False
)
def change_subscription(subscription_id: uuid.UUID, body: SubscriptionBody) -> Subscription:
    """Change a subscription; what is under way goes to the new address"""
    return Subscription.model_validate(_shown(subscriptions.change(_owner(), subscription_id, _wish(body))))


@noun.delete("/subscriptions/<uuid:subscription_id>", scope="admin", answer=None, status=204, tenant=False)
def remove_subscription(subscription_id: uuid.UUID) -> None:
    """Remove a subscription"""
    subscriptions.remove(_owner(), subscription_id)


@noun.post("/subscriptions/<uuid:subscription_id>/rotate", scope="admin", answer=NewSecret, tenant=False)
def rotate_subscription(subscription_id: uuid.UUID) -> NewSecret:
    """Get a new signing secret; messages are signed with both for a day"""
    secret = subscriptions.rotate(_owner(), subscription_id)
    row = subscriptions.get_subscription(_owner(), subscription_id)
    return NewSecret.model_validate(_shown(row) | {"secret": secret})


@noun.post("/subscriptions/<uuid:subscription_id>/disable", scope="admin", answer=Subscription, tenant=False)
def disable_subscription(subscription_id: uuid.UUID) -> Subscription:
    """Switch a subscription off"""
    return Subscription.model_validate(_shown(subscriptions.disable(_owner(), subscription_id)))


@noun.post("/subscriptions/<uuid:subscription_id>/enable", scope="admin", answer=Subscription, tenant=False)
def enable_subscription(subscription_id: uuid.UUID) -> Subscription:
    """Switch a subscription on; what has failed can be sent again"""
    return Subscription.model_validate(_shown(subscriptions.enable(_owner(), subscription_id)))


@noun.post("/subscriptions/<uuid:subscription_id>/test", scope="write", answer=Dispatch, status=202, tenant=False)
def test_subscription(subscription_id: uuid.UUID) -> Dispatch:
    """Send a test event to a subscription"""
    made = subscriptions.send_test(_owner(), subscription_id)
    return Dispatch.model_validate(_dispatch(dispatches.get_dispatch(_owner(), subscription_id, made)))


def _dispatch(row: DispatchRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Dispatch.model_fields}


@noun.get(
    "/subscriptions/<uuid:subscription_id>/dispatches", scope="list", query=DispatchQuery, answer=Dispatches,
    tenant=False,
)  # fmt: skip
def list_dispatches(subscription_id: uuid.UUID, query: DispatchQuery) -> Dispatches:
    """List what was sent to a subscription, newest first"""
    subscriptions.get_subscription(_owner(), subscription_id)
    place = unpack(query.cursor, uuid.UUID)
    found = dispatches.list_dispatches(
        _owner(), subscription_id, state=query.state or "", type=query.type, before=place[0] if place else None,
        limit=query.limit + 1,
    )  # fmt: skip
    rows, onward = cut(found, query.limit, lambda row: (str(row.id),))
    return Dispatches(data=[Dispatch.model_validate(_dispatch(row)) for row in rows], next=onward)


@noun.get(
    "/subscriptions/<uuid:subscription_id>/dispatches/<uuid:dispatch_id>", scope="read", answer=DispatchDetails,
    tenant=False,
)  # fmt: skip
def show_dispatch(subscription_id: uuid.UUID, dispatch_id: uuid.UUID) -> DispatchDetails:
    """Show a dispatch with its body and each try"""
    row = dispatches.get_dispatch(_owner(), subscription_id, dispatch_id)
    open_ = gate.caller().payloads
    tries = [
        Attempt(
            number=a.number, outcome=a.outcome, at=a.created_at, ms=a.ms, status=a.status, error=a.error,  # type: ignore[arg-type]  # as the table's check has it
            response=a.response if open_ else None, next_at=a.next_at,
        )
        for a in dispatches.list_attempts(_owner(), dispatch_id)
    ]  # fmt: skip
    body = bytes(row.body).decode(errors="replace") if open_ else None
    return DispatchDetails.model_validate(_dispatch(row) | {"body": body, "tries": tries})


@noun.post("/subscriptions/<uuid:subscription_id>/replay", scope="write", body=Replay, answer=Replayed, tenant=False)
def replay_dispatches(subscription_id: uuid.UUID, body: Replay) -> Replayed:
    """Send dispatches again, under the same message ids

    Ask with `count_only` first to know how many.
    """
    which = Selection(body.state, body.since, body.until, body.type, tuple(body.ids))
    subscriptions.get_subscription(_owner(), subscription_id)
    act = dispatches.count_replay if body.count_only else dispatches.replay
    return Replayed(count=act(_owner(), subscription_id, which))
