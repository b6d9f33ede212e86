"""The database without the session, for the one path of the web where round trips decide: a connection for each thread.

A read is one statement and one round trip. All writes are sent together at the end, in one more: PostgreSQL takes what is
sent up to a sync as one transaction. The pool's ping and reset are not needed, because nothing is set that outlives a
statement or the writes, and a connection that has failed once is thrown away.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from app.transaction import StoreDownError

Raw = psycopg.Connection[Any]
Row = tuple[Any, ...]


class Answers:
    """The first row of a statement that is sent at the end: there once the writes are committed."""

    def __init__(self) -> None:
        self.row: Row | None = None


class Unit:
    """Reads, then writes that are one transaction."""

    def __init__(self, raw: Raw, renew: Callable[[], Raw] | None) -> None:
        self.raw, self._renew = raw, renew
        self._last: list[tuple[str, Row, Answers]] = []

    def read(self, query: str, values: Row) -> list[Row]:
        """Return the rows of a statement. A connection that has been kept may be dead by now: then a new one is made."""
        try:
            return self.raw.execute(query, values, binary=True).fetchall()
        except psycopg.OperationalError:
            if self._renew is None:
                raise
            self.raw.close()
            self.raw, self._renew = self._renew(), None
            return self.read(query, values)

    def last(self, query: str, values: Row = ()) -> Answers:
        """Send a statement at the end, in the order of these calls."""
        found = Answers()
        self._last.append((query, values, found))
        return found

    def send(self) -> None:
        """Send what is last, in one round trip and one transaction."""
        if not self._last:
            return
        with self.raw.pipeline():
            cursors = [
                (self.raw.execute(query, values, binary=True), found) for query, values, found in self._last
            ]  # fmt: skip
        for cursor, found in cursors:
            if cursor.description:
                found.row = cursor.fetchone()


class Direct:
    """The connections of one process, by thread."""

    def __init__(self, url: str) -> None:
        self._url, self._held = url.replace("postgresql+psycopg://", "postgresql://", 1), threading.local()

    @contextmanager
    def unit(self) -> Iterator[Unit]:
        """Commit the writes on leaving; StoreDownError when anything keeps them from being stored: then none was."""
        try:
            kept: Raw | None = getattr(self._held, "raw", None)
            unit = Unit(kept, self._connect) if kept else Unit(self._connect(), None)
            try:
                yield unit
                unit.send()
            except BaseException:
                self._held.raw = None
                unit.raw.close()
                raise
        except psycopg.Error as error:
            raise StoreDownError(type(error).__name__) from error

    def _connect(self) -> Raw:
        self._held.raw = raw = psycopg.connect(
            self._url, autocommit=True, connect_timeout=5, application_name="patchbay-web"
        )
        return raw
