"""The SQLAlchemy object and how a database session knows its tenant."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy import CursorResult, Executable, MetaData, event, func, select, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import DeclarativeBase, Session, SessionTransaction

from app import arrays, tenancy
from app.clock import now

arrays.register()
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """What every model inherits."""

    metadata = MetaData(naming_convention=NAMING)


class TenantSession(FlaskSession):
    """A session that binds tenant and user at the start of each transaction."""

    def get_bind(self, *args: Any, **more: Any) -> Engine | Connection:
        """Return the held connection while there is one, else the engine."""
        held: Connection | None = self.info.get("held")
        return held if held is not None else super().get_bind(*args, **more)


db = SQLAlchemy(
    model_class=Base, session_options={"class_": TenantSession, "expire_on_commit": False}, disable_autonaming=True
)


@event.listens_for(TenantSession, "after_begin")
def _bind(session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    # With autocommit the local setting would be gone after one statement, and with it the isolation.
    if raw.autocommit:
        raise RuntimeError("A tenant session cannot run in autocommit: the tenant would be unbound at once.")
    # One round trip for BEGIN, the binding, and what the caller wants to send with them.
    with raw.pipeline():
        if tenancy.is_read_only():
            raw.execute("SET TRANSACTION READ ONLY")
        raw.execute(tenancy.BIND_SQL, tenancy.bind_values())
        session.info["answers"] = [
            raw.execute(query, values, binary=True) for query, values in session.info.pop("first", ())
        ]


def begin_with(
    *statements: tuple[str, tuple[Any, ...]],
) -> tuple[psycopg.Connection[Any], list[psycopg.Cursor[Any]]]:
    """Begin the session's transaction with these statements in the same round trip.

    Returns psycopg's connection and a cursor for each statement. For the one path where round trips decide the speed.
    """
    session = db.session()
    if session.in_transaction():
        raise RuntimeError("begin_with() comes first in a transaction.")
    session.info["first"] = statements
    raw = session.connection().connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw, session.info.pop("answers")


@contextmanager
def held_connection() -> Iterator[None]:
    """Keep one connection for all transactions inside, so that it is reset once and not after each page."""
    session = db.session()
    session.rollback()
    with db.engine.connect() as connection:
        session.info["held"] = connection
        try:
            yield
        finally:
            session.rollback()
            del session.info["held"]


@contextmanager
def bound_meanwhile(tenant_id: uuid.UUID) -> Iterator[None]:
    """Bind another tenant inside the open transaction, and the one before again after it; for services/fan_out and erasures only."""
    db.session.flush()  # What is pending belongs to the tenant before.
    with tenancy.bind_tenant(tenant_id):
        _bind_now()
        yield
        db.session.flush()
    _bind_now()


def _bind_now() -> None:
    tenant, user = tenancy.bind_values()
    statement = "SELECT set_config('patchbay.tenant', :tenant, true), set_config('patchbay.user', :user, true)"
    db.session.execute(text(statement), {"tenant": tenant, "user": user})


def clock_offset() -> timedelta:
    """Return what to add to this machine's time to have PostgreSQL's, rather too little than too much."""
    there: datetime | None = db.session.scalar(select(func.clock_timestamp()))
    assert there is not None
    return there - now()


def guard_pool(engine: Engine) -> None:
    """Reset every session setting when a connection returns to the pool, so that no tenant is left on it."""

    @event.listens_for(engine, "reset")
    def _reset(dbapi_connection: Any, _record: Any, state: Any) -> None:
        if not state.terminate_only:
            dbapi_connection.rollback()
            # Outside a transaction: one round trip instead of three.
            dbapi_connection.autocommit = True
            dbapi_connection.execute("RESET ALL")
            dbapi_connection.autocommit = False


def write(statement: Executable) -> int:
    """Execute an UPDATE, DELETE or INSERT and return how many rows it touched; loaded objects are left as they are."""
    result = db.session.execute(statement, execution_options={"synchronize_session": False})
    assert isinstance(result, CursorResult)
    return int(result.rowcount)
