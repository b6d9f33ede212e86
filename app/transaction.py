"""The one place that commits. Only views, api, jobs and the command line open a transaction; services never do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from flask import has_app_context
from sqlalchemy.exc import SQLAlchemyError

from app.db import db

_local = threading.local()


class StoreDownError(Exception):
    """The database has not taken what was to be stored; the message is the kind of its error."""


class OutsideCallError(RuntimeError):
    """A call to the outside was made while a transaction was open: a slow vendor would hold locks."""


def _hooks() -> list[Callable[[], None]] | None:
    hooks: list[Callable[[], None]] | None = getattr(_local, "hooks", None)
    return hooks


def in_transaction() -> bool:
    """Whether this thread is inside `transaction()`."""
    return _hooks() is not None


@contextmanager
def transaction() -> Iterator[None]:
    """Commit on leaving, roll back on any error. Nesting raises.

    What `before_commit` collected runs as its last statements, what `after_commit` collected after it.
    """
    if in_transaction():
        raise RuntimeError("transaction() does not nest: open it once, in the view or job.")
    db.session.rollback()  # A read before may have begun one with another tenant bound.
    hooks: list[Callable[[], None]] = []
    _local.hooks, _local.last = hooks, {}
    try:
        yield
        for _, act in sorted(_local.last.items()):
            act()
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    finally:
        _local.hooks = None
    for hook in hooks:
        hook()


@contextmanager
def durable() -> Iterator[None]:
    """As transaction(), but whatever keeps it from being stored is StoreDownError: nothing was, and it may come again."""
    try:
        with transaction():
            yield
    except (SQLAlchemyError, psycopg.Error) as error:
        db.session.remove()
        raise StoreDownError(type(error).__name__) from error


def after_commit(hook: Callable[[], None]) -> None:
    """Run `hook` once the transaction has committed; never when it rolls back."""
    hooks = _hooks()
    if hooks is None:
        raise RuntimeError("after_commit() needs an open transaction().")
    hooks.append(hook)


def before_commit(key: tuple[str, ...], act: Callable[[], None]) -> None:
    """Run `act` as the last of the transaction, once for each `key` and in their order, so that locks are too."""
    if not in_transaction():
        raise RuntimeError("before_commit() needs an open transaction().")
    _local.last[key] = act


def guard_outside() -> None:
    """Raise OutsideCallError when this thread has a transaction open; HTTP clients call it before each request."""
    # A prefetch thread has no application context and holds no session; there the flag alone tells.
    open_read = has_app_context() and db.session.registry.has() and db.session().in_transaction()
    if in_transaction() or open_read:
        raise OutsideCallError("A call to the outside was made while a transaction was open: read, close, call, write.")


@contextmanager
def outside() -> Iterator[None]:
    """Mark a stretch that calls the outside: ends a read-only transaction first, refuses inside `transaction()`."""
    if in_transaction():
        raise OutsideCallError("outside() was entered while a transaction was open.")
    db.session.rollback()
    yield
