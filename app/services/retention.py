"""What is kept for how long; everything past it is deleted in batches."""

import uuid
from datetime import timedelta
from typing import Any

from flask import current_app
from sqlalchemy import ColumnElement, Delete, delete, func, select, text, tuple_, update

from app.clock import now
from app.config import Settings
from app.db import db, write
from app.ids import first_at
from app.models.accounts import Invitation
from app.models.api_keys import IdempotencyKey
from app.models.connect_sessions import ConnectSession
from app.models.connections import OAuthState
from app.models.destinations import Notice
from app.models.endpoints import Delivery, EndpointSecret
from app.models.events import Dispatch, Event, EventSequence, SigningSecret, Subscription
from app.models.exports import Export
from app.models.installations import Preview
from app.models.intents import Intent
from app.models.mails import Mail
from app.models.records import Change
from app.models.runs import Conflict, FailedRecord, HttpExchange, Problem, Run
from app.models.tasks import Task
from app.services import breakers, idempotency
from app.tenancy import PLATFORM_TENANT

BATCH = 5000
# Whose events are numbered, and whose rows go. Records and installations stay, marked as deleted: they may come back.
NUMBERED = (Run, Conflict, Problem, Subscription)


def list_tenants(*, after: uuid.UUID | None = None) -> list[uuid.UUID]:
    """Return the ids of all tenants in order, or of those after one; for the daily tasks only."""
    query = text("SELECT tenant_id FROM lookup_tenants() WHERE CAST(:after AS uuid) IS NULL OR tenant_id > :after")
    return list(db.session.scalars(query, {"after": after}))


def _rules(settings: Settings) -> list[tuple[Any, ColumnElement[bool]]]:
    def before(days: int) -> Any:
        return now() - timedelta(days=days)

    return [
        (Run, (Run.created_at < before(settings.keep_runs_days)) & Run.state.in_(("done", "failed", "stopped"))),
        (Change, Change.id < first_at(before(settings.keep_changes_days))),
        (Event, (Event.id < first_at(before(settings.keep_events_days))) & (Event.fan_out == "done")),
        (
            Dispatch,
            (Dispatch.id < first_at(before(settings.keep_events_days))) & Dispatch.state.in_(("delivered", "failed")),
        ),
        (
            Subscription,
            (Subscription.state == "removed") & (Subscription.updated_at < before(settings.keep_events_days)),
        ),
        # What somebody still has to decide about stays.
        (
            Intent,
            (Intent.settled_at < before(settings.keep_changes_days))
            & Intent.state.in_(("confirmed", "rejected", "dropped")),
        ),
        (HttpExchange, HttpExchange.created_at < before(settings.keep_exchanges_days)),
        (Delivery, Delivery.id < first_at(before(settings.keep_deliveries_days))),
        (EndpointSecret, EndpointSecret.expires_at < before(1)),
        (Task, Task.finished_at < before(settings.keep_tasks_days)),
        (Notice, (Notice.created_at < before(settings.keep_mail_days)) & (Notice.state != "waiting")),
        (Mail, Mail.created_at < before(settings.keep_mail_days)),
        (SigningSecret, SigningSecret.expires_at < before(1)),
        (Preview, Preview.expires_at < now()),
        (Export, Export.expires_at < now()),
        (OAuthState, OAuthState.expires_at < now()),
        (IdempotencyKey, IdempotencyKey.created_at < now() - idempotency.KEPT),
        (ConnectSession, ConnectSession.expires_at < before(settings.keep_sessions_days)),
        (
            Invitation,
            func.least(Invitation.accepted_at, Invitation.expires_at) < before(settings.keep_invitations_days),
        ),
        (Problem, Problem.closed_at < before(settings.keep_problems_days)),
        (Conflict, Conflict.settled_at < before(settings.keep_conflicts_days)),
        (FailedRecord, FailedRecord.resolved_at < before(settings.keep_failed_records_days)),
    ]


def prune_tenant(tenant_id: uuid.UUID) -> int:
    """Delete one batch of each table of the bound tenant; return how many rows went.

    With the platform's own tenant goes what belongs to none: sessions and one-time links that ended, idle breakers.
    """
    settings: Settings = current_app.extensions["settings"]
    count = _prune_accounts(settings) + breakers.prune() if tenant_id == PLATFORM_TENANT else 0
    for model, condition in _rules(settings):
        old = select(model.tenant_id, model.id).where(model.tenant_id == tenant_id, condition).limit(BATCH)
        gone = delete(model).where(tuple_(model.tenant_id, model.id).in_(old))
        count += _with_sequences(tenant_id, gone, model) if model in NUMBERED else write(gone)
    payloads = (
        update(FailedRecord)
        .where(FailedRecord.tenant_id == tenant_id, FailedRecord.payload_until < now())
        .values(payload_sealed=None, payload_until=None)
    )
    write(payloads)
    bodies = (
        update(Delivery)
        .where(
            Delivery.tenant_id == tenant_id, Delivery.body.is_not(None),
            Delivery.id < first_at(now() - timedelta(days=settings.keep_bodies_days)),
        )
        .values(body=None)
    )  # fmt: skip
    write(bodies)
    return count


def _with_sequences(tenant_id: uuid.UUID, gone: Delete, model: Any) -> int:
    """Delete rows together with the count of their events: nothing more is told of them."""
    ids = list(db.session.scalars(gone.returning(model.id), execution_options={"synchronize_session": False}))
    write(delete(EventSequence).where(EventSequence.tenant_id == tenant_id, EventSequence.subject_id.in_(ids)))
    return len(ids)


def _prune_accounts(settings: Settings) -> int:
    ended = now() - timedelta(days=settings.keep_sessions_days)
    values = {
        "ended": ended, "idle": ended - timedelta(minutes=settings.session_idle_minutes), "batch": BATCH,
    }  # fmt: skip
    query = text("SELECT prune_sessions(:ended, :idle, :batch) + prune_user_tokens(:ended, :batch)")
    return db.session.scalar(query, values) or 0
