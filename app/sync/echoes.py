"""The echo ledger: what comes back from the other side and is our own write (reliability 3.3). Pure.

By payload hash, never by actor: automations of other people act under our account too.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.sync.hashes import digest

KEPT = timedelta(hours=24)
# More writes than this of one record in an hour, and somebody over there answers each of ours with one of theirs.
WRITES_AN_HOUR = 5


@dataclass(frozen=True, slots=True)
class Echo:
    """One of our writes: the host's fields it set, and hashes of the values sent and answered."""

    intent_id: uuid.UUID
    fields: tuple[str, ...]
    sent_hash: bytes
    answer_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Heard:
    """`fields` of an external record that are our own, by the writes `consumed`; `near` look alike and are not."""

    fields: frozenset[str] = frozenset()
    consumed: tuple[uuid.UUID, ...] = ()
    near: tuple[uuid.UUID, ...] = ()


def hash_of(values: Mapping[str, Any], fields: Iterable[str]) -> bytes:
    """Return the hash of these fields of a record; a missing field and None are one."""
    return digest({name: values.get(name) for name in fields})


def listen(base: Mapping[str, Any], theirs: Mapping[str, Any], echoes: Iterable[Echo]) -> Heard:
    """Say which of the changed fields of `theirs` one of our writes explains, newest first."""
    changed = {name for name, value in theirs.items() if value != base.get(name)}
    fields: set[str] = set()
    consumed, near = [], []
    for echo in echoes:
        if changed.isdisjoint(echo.fields) or not fields.isdisjoint(echo.fields):
            continue
        if hash_of(theirs, echo.fields) in (echo.sent_hash, echo.answer_hash):
            fields.update(echo.fields)
            consumed.append(echo.intent_id)
        else:
            near.append(echo.intent_id)
    return Heard(frozenset(fields & theirs.keys()), tuple(consumed), tuple(near))
