"""Secrets that sign what is sent to subscriptions and destinations: shown once, exchanged while two sign, sealed."""

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, update

from app.clock import now
from app.crypto import Seal
from app.db import db, write
from app.ids import new_id
from app.models.destinations import Destination
from app.models.events import SigningSecret, Subscription
from app.services.credentials import ring
from app.sync.signatures import new_secret
from app.tenancy import scoped

OVERLAP = timedelta(hours=24)
Owner = Subscription | Destination
# By the kind of owner: the column that refers to it, and what its secrets are sealed as.
_COLUMNS = {
    Subscription: ("subscription_id", "subscription_secret"),
    Destination: ("destination_id", "destination_secret"),
}


def add(owner: Owner) -> str:
    """Return a secret for an owner that is in the database already; it cannot be read again."""
    column, field = _COLUMNS[type(owner)]
    secret, secret_id = new_secret(), new_id()
    sealed = ring().seal("token", secret.encode(), Seal(owner.tenant_id, secret_id, field, 1))
    # Not as an object: the web may not read the column back.
    db.session.execute(
        SigningSecret.__table__.insert().values(
            tenant_id=owner.tenant_id, id=secret_id, sealed=sealed, created_at=now(), **{column: owner.id}
        )
    )
    return secret


def rotate(owner: Owner) -> str:
    """Return a new secret. Messages are signed by both for a day; a secret older than these two ends at once."""
    ending = update(SigningSecret).where(*_of(owner))
    write(ending.where(SigningSecret.expires_at.is_not(None)).values(expires_at=now()))
    write(ending.where(SigningSecret.expires_at.is_(None)).values(expires_at=now() + OVERLAP))
    return add(owner)


def end(owner: Owner) -> None:
    """End all secrets of an owner that is no longer sent anything."""
    write(update(SigningSecret).where(*_of(owner)).values(expires_at=now()))


def old_until(owner: Owner) -> datetime | None:
    """Return until when the secret before the present one signs as well; None when there is no such one."""
    query = scoped(SigningSecret, owner.tenant_id).where(*_of(owner), SigningSecret.expires_at > now())
    return db.session.scalar(query.with_only_columns(SigningSecret.expires_at).limit(1))


def open_all(tenant_id: uuid.UUID, kind: type[Owner], ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """Return the secrets that sign now, the newest first, by owner. Workers only."""
    name, field = _COLUMNS[kind]
    query = scoped(SigningSecret, tenant_id).where(
        getattr(SigningSecret, name).in_(ids),
        SigningSecret.expires_at.is_(None) | (SigningSecret.expires_at > now()),
    )
    found: dict[uuid.UUID, list[str]] = {}
    for row in db.session.scalars(query.order_by(SigningSecret.id.desc())):
        opened = ring().open("token", row.sealed, Seal(tenant_id, row.id, field, 1)).decode()
        found.setdefault(getattr(row, name), []).append(opened)
    return found


def _of(owner: Owner) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    column = getattr(SigningSecret, _COLUMNS[type(owner)][0])
    return (SigningSecret.tenant_id == owner.tenant_id, column == owner.id)
