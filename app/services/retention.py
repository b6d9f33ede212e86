"""What is kept for how long; everything past it is deleted in batches."""

import uuid
from datetime import timedelta
from typing import Any

from flask import current_app
from sqlalchemy import ColumnElement, delete, select, text, tuple_, update

from app.clock import now
from app.config import Settings
from app.db import db, write
from app.ids import first_at
from app.models.connections import OAuthState
from app.models.installations import Preview
from app.models.mails import Mail
from app.models.records import Change
from app.models.runs import FailedRecord, HttpExchange, Run
from app.models.tasks import Task

BATCH = 5000


def list_tenants() -> list[uuid.UUID]:
    """Return the ids of all tenants; for the pruning task only."""
    return list(db.session.scalars(text("SELECT tenant_id FROM lookup_tenants()")))


def _rules(settings: Settings) -> list[tuple[Any, ColumnElement[bool]]]:
    def before(days: int) -> Any:
        return now() - timedelta(days=days)

    return [
        (Run, (Run.created_at < before(settings.keep_runs_days)) & Run.state.in_(("done", "failed", "stopped"))),
        (Change, Change.id < first_at(before(settings.keep_changes_days))),
        (HttpExchange, HttpExchange.created_at < before(settings.keep_exchanges_days)),
        (Task, Task.finished_at < before(settings.keep_tasks_days)),
        (Mail, Mail.created_at < before(settings.keep_mail_days)),
        (Preview, Preview.expires_at < now()),
        (OAuthState, OAuthState.expires_at < now()),
    ]


def prune_tenant(tenant_id: uuid.UUID) -> int:
    """Delete one batch of each table of the bound tenant; return how many rows went."""
    settings: Settings = current_app.extensions["settings"]
    count = 0
    for model, condition in _rules(settings):
        old = select(model.tenant_id, model.id).where(model.tenant_id == tenant_id, condition).limit(BATCH)
        gone = delete(model).where(tuple_(model.tenant_id, model.id).in_(old))
        count += write(gone)
    payloads = (
        update(FailedRecord)
        .where(FailedRecord.tenant_id == tenant_id, FailedRecord.payload_until < now())
        .values(payload_sealed=None, payload_until=None)
    )
    write(payloads)
    return count
