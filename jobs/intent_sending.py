"""One write to the other side: compared with what is there, sent, and its answer or its doubt told apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from app.clock import now
from app.services.intent_claims import Sending
from app.services.intent_failures import Refusal
from app.services.intent_outcomes import Answer
from app.services.page_context import PageContext
from app.sync.backoff import backoff
from app.sync.breaker import VendorDownError
from app.sync.outbound import resolve_doubt
from app.transaction import outside
from connectors.sdk import (
    AuthError,
    ChangedError,
    Connector,
    ConnectorError,
    External,
    Outgoing,
    RateLimitedError,
    Refused,
    RetryableError,
    ScopeError,
    Session,
    Writer,
    Written,
)

_TRIES = 3


@dataclass(frozen=True)
class Back:
    """The write is decided anew after `seconds`, or stays in doubt: nobody knows whether it was made.

    `absent`: a search for it has found nothing.
    """

    state: Literal["planned", "in_doubt"]
    seconds: float = 0.0
    absent: bool = False


@dataclass(frozen=True)
class Gone:
    """The record is not there any more."""


@dataclass(frozen=True)
class Met:
    """Somebody has changed the record over there: `record` is joined first, then the write is decided anew."""

    record: External


Outcome = Answer | Refusal | Back | Gone | Met


class StopError(Exception):
    """Nothing more can be sent at the moment: `error` says why, `outcome` is that of the writes that met it.

    `done` are those of the same call that are known already.
    """

    def __init__(self, outcome: Back, error: ConnectorError, done: "Sequence[tuple[Sending, Outcome]]" = ()) -> None:
        super().__init__(error.message)
        self.outcome = outcome
        self.error = error
        self.done = list(done)


class Sender:
    """Sends the writes of one stream."""

    def __init__(self, connector: Connector, session: Session, context: PageContext) -> None:
        self._connector, self._session, self._context = connector, session, context
        self._stream = connector.manifest.stream(context.stream)
        self._writer: Writer = connector.writer(session, context.stream)

    def send(self, item: Sending) -> Outcome:
        """Make one write; StopError when the other side, not the record, is the trouble."""
        act: Callable[[Sending], Outcome] = {"create": self._create, "update": self._update, "delete": self._delete}[
            item.operation
        ]
        try:
            with outside():
                return act(item)
        except (RetryableError, AuthError, ScopeError) as error:
            raise StopError(self._meaning(error, item), error) from error
        except ConnectorError as error:
            if item.external_id and self._stream.fetch is not None and self._current(item) is None:
                return Gone()
            return Refusal(item.id, item.record_id, item.external_id, error.code, error.user_message)

    def together(self, items: Sequence[Sending]) -> list[list[Sending]]:
        """Return which of these writes go in one call each, as the manifest declares; the others go alone."""
        writes = self._writer.writes
        # A batch has no place for versions: only where each record is looked at just before anyway.
        batches = {
            "update": writes.batch_update if writes.concurrency.kind == "none" else None,
            "create": writes.batch_create if writes.create_safety and writes.create_safety.kind == "lookup" else None,
        }
        groups = []
        for operation, batch in batches.items():
            some = [item for item in items if item.operation == operation and not item.doubt] if batch else []
            size = batch.size if batch else 1
            chunks = [some[start : start + size] for start in range(0, len(some), size)]
            groups += [chunk for chunk in chunks if len(chunk) > 1]
        return groups

    def send_together(self, items: Sequence[Sending]) -> list[tuple[Sending, Outcome]]:
        """Make several writes of one operation in one call; what is refused in it is tried once more alone.

        StopError, with the outcome of each, when the other side is the trouble.
        """
        done: list[tuple[Sending, Outcome]] = []
        ready: list[Sending] = []
        alone: list[Sending] = []
        try:
            for item in items:
                found = self._look(item) if item.operation == "update" else None
                done.append((item, found)) if isinstance(found, Gone | Met) else ready.append(item)
            for item, result in zip(ready, self._batch(items[0].operation, ready), strict=True):
                if isinstance(result, Written):
                    done.append((item, Answer(item, result)))
                elif result.lost and item.operation == "create":
                    done.append((item, Back("in_doubt", 5.0)))
                else:
                    alone.append(item)
            done += [(item, self.send(item)) for item in alone]
        except StopError as stop:
            # Those that were refused in the call are known not to be made.
            done += [(item, Back("planned")) for item in alone if item not in [known for known, _ in done]]
            raise StopError(stop.outcome, stop.error, done) from stop
        except ConnectorError as error:
            raise StopError(self._meaning(error, items[0]), error, done) from error
        return done

    def _batch(self, operation: str, items: Sequence[Sending]) -> Sequence[Written | Refused]:
        if not items:
            return []
        try:
            with outside():
                return self._writer.batch(operation, [self._outgoing(item, None) for item in items])
        except (RetryableError, AuthError, ScopeError) as error:
            raise StopError(self._meaning(error, items[0]), error) from error
        except ConnectorError:
            # One of them spoils the call: alone each has an answer of its own.
            return [Refused("")] * len(items)

    def _meaning(self, error: ConnectorError, item: Sending) -> Back:
        """Say what an error of the other side means for a write that met it: whether it may have been made."""
        if isinstance(error, RateLimitedError) or (isinstance(error, VendorDownError) and not error.sent):
            # Refused before anything was done.
            return self._back(item, min(error.retry_after or 60.0, 900.0))
        if isinstance(error, RetryableError):
            return Back("in_doubt", max(error.retry_after or 0.0, backoff(item.tries + 1, seed=str(item.id))))
        return self._back(item, 0.0)

    def _back(self, item: Sending, seconds: float) -> Back:
        return Back("in_doubt" if item.doubt else "planned", seconds)

    def _current(self, item: Sending) -> External | None:
        assert item.external_id is not None
        with outside():
            return self._connector.fetch(self._session, self._stream.name, item.external_id)

    def _create(self, item: Sending) -> Outcome:
        if item.doubt:
            return self._resolve(item)
        try:
            return self._answer(item, self._writer.create(self._outgoing(item, None)))
        except ChangedError:
            # "Only if it is not there", and it is: the id is our own reference, so it is our own record.
            return self._look_up(item) or Back("in_doubt", 5.0)

    def _outgoing(self, item: Sending, version: str | None) -> Outgoing:
        name = str(item.id)
        return Outgoing(item.payload, id=item.external_id, version=version, reference=name, key=name)

    def _resolve(self, item: Sending) -> Outcome:
        safety = self._writer.writes.create_safety
        hours = (now() - item.first_sent_at) / timedelta(hours=1) if item.first_sent_at else 0.0
        way = resolve_doubt(
            safety.kind if safety else None, age_hours=hours, window_hours=safety.window_hours if safety else 0,
            can_look_up=bool(safety and safety.request),
        )  # fmt: skip
        if way == "review":
            return Refusal(item.id, item.record_id, None, "in_doubt", parks=True)
        if way == "same_key":
            # The answer may be that of the first time, word for word: it says which record it is, and no more.
            return Answer(item, Written(self._writer.create(self._outgoing(item, None)).id, None))
        return self._find(item)

    def _find(self, item: Sending) -> Outcome:
        """Look for our reference; a search that is late sees a new record only after a while."""
        safety = self._writer.writes.create_safety
        lag = float(safety.lag_seconds if safety else 0)
        if item.first_sent_at and (now() - item.first_sent_at).total_seconds() < lag:
            return Back("in_doubt", lag)
        found = self._look_up(item)
        if found is not None:
            return found
        if item.tries < _TRIES - 1:
            return Back("in_doubt", max(lag, 1.0), absent=True)
        # It is not there. What is made now the search sees late as well: it is committed as sent anew before.
        return Back("planned", absent=True)

    def _look_up(self, item: Sending) -> Answer | None:
        found = self._writer.find(str(item.id))
        return Answer(item, Written(found[0].id, None), found[0]) if found else None

    def _update(self, item: Sending) -> Outcome:
        return self._guarded(
            item, lambda version: self._answer(item, self._writer.update(self._outgoing(item, version)))
        )

    def _answer(self, item: Sending, written: Written) -> Answer:
        """Learn what became of values that never come back by themselves, where the answer does not say it."""
        said = self._context.mapping.apply(written.data).values if written.data is not None else {}
        unsaid = {name for name, value in item.values.items() if value is not None and said.get(name) is None}
        if self._stream.fetch is None or unsaid <= self._context.directions.incoming:
            return Answer(item, written)
        current = self._connector.fetch(self._session, self._stream.name, str(written.id))
        return Answer(item, Written(written.id, current.version, current.data) if current else written)

    def _delete(self, item: Sending) -> Outcome:
        def delete(version: str | None) -> Outcome:
            self._writer.delete(self._outgoing(item, version))
            return Gone()

        return self._guarded(item, delete)

    def _guarded(self, item: Sending, act: Callable[[str | None], Outcome]) -> Outcome:
        """Write only over what both sides agreed on: by version where there is one, else by a look just before."""
        version, can_look = item.version, self._stream.fetch is not None
        # A version only guards what was read: a field that nobody had a value for here is looked at first.
        unmet = any(name not in item.base for name in item.values)
        look = can_look and (version is None or unmet or self._writer.writes.concurrency.kind == "none")
        for _ in range(_TRIES):
            if look:
                found = self._look(item)
                if isinstance(found, Gone | Met):
                    return found
                version = found
            try:
                return act(version)
            except ChangedError:
                if not can_look:
                    raise
                look = True
        return Back("planned", 30.0)

    def _look(self, item: Sending) -> Gone | Met | str | None:
        """Return the present version of the record, or what has become of it since both sides agreed."""
        if self._stream.fetch is None:
            return None
        current = self._current(item)
        if current is None:
            return Gone()
        return Met(current) if self._differs(item, current) else current.version

    def _differs(self, item: Sending, current: External) -> bool:
        """Whether somebody has changed the record over there since both sides agreed."""
        mapped = self._context.mapping.apply(current.data).values
        return any(mapped[name] != item.base.get(name) for name in mapped if name in item.base or name in item.values)
