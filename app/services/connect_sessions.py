"""Connect sessions and links: leave to set up integrations of one tenant, without an account and for a short while."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy import select, text, update

from app.clock import now
from app.crypto import token, token_hash
from app.db import db
from app.errors import InvalidError, NotFoundError
from app.ids import new_id
from app.models.accounts import Tenant
from app.models.connect_sessions import ConnectSession
from app.models.installations import Installation
from app.models.runs import Problem, Run
from app.services import audit, listings
from app.tenancy import bind_tenant, scoped

# How long a session may wait to be opened, and how long a browser may go on once it has opened one.
LASTS = timedelta(minutes=30)


@dataclass(frozen=True)
class Guest:
    """Who a connect cookie belongs to, and what it is limited to."""

    session_id: uuid.UUID
    tenant: Tenant
    person: str
    connector: str | None
    installation_id: uuid.UUID | None
    return_url: str | None


def make(
    tenant_id: uuid.UUID, kind: str, *, person: str, connector: str | None = None,
    installation_id: uuid.UUID | None = None, return_url: str | None = None, lasts: timedelta = LASTS,
    created_by: uuid.UUID,
) -> tuple[ConnectSession, str]:  # fmt: skip
    """Return a session (opened once) or link (opened until it ends) and its token, which is not kept.

    NotFoundError for an integration or installation that is not there, InvalidError for a return address that is none.
    """
    if connector:
        listings.get_listing(connector)
    if installation_id:
        found = db.session.scalar(scoped(Installation, tenant_id).where(Installation.id == installation_id))
        if found is None or found.state == "removed":
            raise NotFoundError("There is no such installation.")
    if return_url:
        parts = urlsplit(return_url)
        if parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc:
            raise InvalidError("The return address does not fit.", {"/return_url": "Give an https address."})
    value = token()
    made = ConnectSession(
        tenant_id=tenant_id, id=new_id(), kind=kind, token_hash=token_hash(value), person=person, connector=connector,
        installation_id=installation_id, return_url=return_url, created_by=created_by, expires_at=now() + lasts,
    )  # fmt: skip
    db.session.add(made)
    audit.write(tenant_id, f"connect_{kind}.created", "connect_session", str(made.id), person)
    return made, value


def find_token(value: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """Return (session, tenant) of a token, None when nobody has made it."""
    return _find("SELECT session_id, tenant_id FROM lookup_connect_token(:hash)", value)


def _find(query: str, value: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    row = db.session.execute(text(query), {"hash": token_hash(value)}).first()
    db.session.rollback()
    return (row[0], row[1]) if row else None


def open_session(tenant_id: uuid.UUID, session_id: uuid.UUID) -> tuple[ConnectSession, str]:
    """Open it and return it with the value of the browser's cookie. NotFoundError when it is used or has ended.

    A link that is opened again is closed where it was open before.
    """
    row = db.session.scalar(scoped(ConnectSession, tenant_id).where(ConnectSession.id == session_id).with_for_update())
    if row is None or row.ended_at or row.expires_at <= now() or (row.kind == "session" and row.opened_at):
        raise NotFoundError("This link was used already or has ended. Ask for a new one.")
    value = token()
    row.cookie_hash, row.opened_at, row.ends_at = token_hash(value), now(), now() + LASTS
    audit.write(tenant_id, f"connect_{row.kind}.opened", "connect_session", str(row.id), row.person)
    return row, value


def find_guest(cookie: str) -> Guest | None:
    """Return whose cookie it is; None when it is unknown or its time is over."""
    place = _find("SELECT session_id, tenant_id FROM lookup_connect_cookie(:hash)", cookie)
    if place is None:
        return None
    with bind_tenant(place[1]):
        found = db.session.execute(
            select(ConnectSession, Tenant)
            .join(Tenant, Tenant.id == ConnectSession.tenant_id)
            .where(
                ConnectSession.tenant_id == place[1], ConnectSession.id == place[0],
                ConnectSession.ended_at.is_(None), ConnectSession.ends_at > now(),
            )
        ).first()  # fmt: skip
        if found is None:
            db.session.rollback()
            return None
        row, tenant = found
        db.session.expunge_all()  # They are read on after this transaction.
        db.session.rollback()
    return Guest(row.id, tenant, row.person, row.connector, row.installation_id, row.return_url)


def end(tenant_id: uuid.UUID, session_id: uuid.UUID) -> None:
    """End it, opened or not. NotFoundError when there is none."""
    mine = (ConnectSession.tenant_id == tenant_id, ConnectSession.id == session_id)
    found: datetime | None = db.session.scalar(
        update(ConnectSession).where(*mine).values(ended_at=now(), cookie_hash=None).returning(ConnectSession.ended_at)
    )
    if found is None:
        raise NotFoundError("There is no such connect session.")
    audit.write(tenant_id, "connect_session.ended", "connect_session", str(session_id))


def place_of(
    tenant_id: uuid.UUID, *, installation_id: uuid.UUID | None = None, run_id: uuid.UUID | None = None,
    problem_id: uuid.UUID | None = None,
) -> tuple[uuid.UUID, str] | None:  # fmt: skip
    """Return (installation, integration) that an installation, run or problem is of, None when there is none."""
    query = select(Installation.id, Installation.connector).where(Installation.tenant_id == tenant_id)
    if installation_id:
        query = query.where(Installation.id == installation_id)
    else:
        what, named = (Run, run_id) if run_id else (Problem, problem_id)
        query = query.join(what, (what.tenant_id == tenant_id) & (what.installation_id == Installation.id))
        query = query.where(what.id == named)
    row = db.session.execute(query).first()
    return (row[0], row[1]) if row else None
