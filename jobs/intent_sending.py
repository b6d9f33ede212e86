"""One write to the other side: compared with what is there, sent, and its answer or its doubt told apart."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from app.clock import now
from app.services.intent_claims import Sending
from app.services.intent_failures import Refusal
from app.services.intent_outcomes import Answer
from app.services.page_context import PageContext
from app.sync.backoff import backoff
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
    RetryableError,
    ScopeError,
    Session,
    Writer,
    Written,
)

_TRIES = 3


@dataclass(frozen=True)
class Back:
    """The write is decided anew after `seconds`, or stays in doubt: nobody knows whether it was made."""

    state: Literal["planned", "in_doubt"]
    seconds: float = 0.0


@dataclass(frozen=True)
class Gone:
    """The record is not there any more."""


@dataclass(frozen=True)
class Met:
    """Somebody has changed the record over there: `record` is joined first, then the write is decided anew."""

    record: External


Outcome = Answer | Refusal | Back | Gone | Met


class StopError(Exception):
    """Nothing more can be sent at the moment; `outcome` is that of the write that met it, `error` says why."""

    def __init__(self, outcome: Back, error: ConnectorError) -> None:
        super().__init__(error.message)
        self.outcome = outcome
        self.error = error


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
        except RateLimitedError as error:
            # Refused before anything was done.
            raise StopError(self._back(item, min(error.retry_after or 60.0, 900.0)), error) from error
        except (AuthError, ScopeError) as error:
            raise StopError(self._back(item, 0.0), error) from error
        except RetryableError as error:
            outcome = Back("in_doubt", max(error.retry_after or 0.0, backoff(item.tries + 1, seed=str(item.id))))
            raise StopError(outcome, error) from error
        except ConnectorError as error:
            if item.external_id and self._stream.fetch is not None and self._current(item) is None:
                return Gone()
            return Refusal(item.id, item.record_id, item.external_id, error.code, error.user_message)

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
            return Answer(item, self._writer.create(self._outgoing(item, None)))
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
            return Answer(item, self._writer.create(self._outgoing(item, None)))
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
            return Back("in_doubt", max(lag, 1.0))
        try:
            return Answer(item, self._writer.create(self._outgoing(item, None)))
        except ChangedError:
            return self._look_up(item) or Back("in_doubt", 5.0)

    def _look_up(self, item: Sending) -> Answer | None:
        found = self._writer.find(str(item.id))
        return Answer(item, Written(found[0].id, found[0].version, found[0].data)) if found else None

    def _update(self, item: Sending) -> Outcome:
        return self._guarded(item, lambda version: Answer(item, self._writer.update(self._outgoing(item, version))))

    def _delete(self, item: Sending) -> Outcome:
        def delete(version: str | None) -> Outcome:
            self._writer.delete(self._outgoing(item, version))
            return Gone()

        return self._guarded(item, delete)

    def _guarded(self, item: Sending, act: Callable[[str | None], Outcome]) -> Outcome:
        """Write only over what both sides agreed on: by version where there is one, else by a look just before."""
        version, can_look = item.version, self._stream.fetch is not None
        look = can_look and (version is None or self._writer.writes.concurrency.kind == "none")
        for _ in range(_TRIES):
            if look:
                current = self._current(item)
                if current is None:
                    return Gone()
                if self._differs(item, current):
                    return Met(current)
                version = current.version
            try:
                return act(version)
            except ChangedError:
                if not can_look:
                    raise
                look = True
        return Back("planned", 30.0)

    def _differs(self, item: Sending, current: External) -> bool:
        """Whether somebody has changed the record over there since both sides agreed."""
        mapped = self._context.mapping.apply(current.data)
        return any(item.base.get(name) != value for name, value in mapped.values.items() if name in item.base)
