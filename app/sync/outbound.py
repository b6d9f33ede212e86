"""What to send to the other side for one record, and what its answer means. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.sync.echoes import WRITES_AN_HOUR
from app.sync.merge import OURS, unsent
from app.sync.plan import Held

Operation = Literal["create", "update", "delete", "drop", "park"]


@dataclass(frozen=True, slots=True)
class Tie:
    """The link of the record to one external record. `waiting` are fields of an open conflict, as they are there."""

    external_id: str
    base: Mapping[str, Any]
    version: str | None = None
    deleted: bool = False
    waiting: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What may be done over there: `operations` of create, update and delete; whether new records may be made yet.

    `ready`: the stream has been read in full once, so that what is there already is known.
    """

    operations: frozenset[str]
    outgoing: frozenset[str]
    ready: bool = True
    mirror_deletes: bool = True


@dataclass(frozen=True, slots=True)
class Todo:
    """`fields` of the host's record to send to `tie`; `reason` says why nothing is. `more`: another tie waits too.

    `later`: what is dropped now is planned again after the full pass.
    """

    operation: Operation
    fields: tuple[str, ...] = ()
    tie: Tie | None = None
    reason: str = ""
    more: bool = False
    later: bool = False


def decide(
    record: Held, ties: Sequence[Tie], abilities: Abilities, *, left_out: str | None = None,
    writes_last_hour: Mapping[str, int] | None = None, again: bool = False, unsure: bool = False,
) -> Todo:  # fmt: skip
    """Decide what to send for a record as it is now.

    `writes_last_hour` are the updates of each external record that were caused by a change from another side.
    `left_out` is the filter that keeps it back. `again`: a person wants it created there once more after it was
    deleted there, or when it was not known whether it is there. What was deleted there is not made again by itself.
    `unsure`: a create of it waits for a person, because its answer was lost and nothing can be looked up.
    """
    live = [tie for tie in ties if not tie.deleted]
    if record.deleted:
        return _decide_delete(live, abilities)
    if left_out:
        return Todo("drop", reason=f"Left out by your filter: {left_out}.")
    if not live:
        if unsure and not again:
            return Todo("drop", reason="It may have been created there already.")
        return _decide_create(record, bool(ties) and not again, abilities)
    behind = [
        (tie, tuple(n for n in unsent(record.data, tie.base, abilities.outgoing) if n not in tie.waiting))
        for tie in live
    ]
    behind = [(tie, fields) for tie, fields in behind if fields]
    if not behind:
        disputed = any(tie.waiting for tie in live)
        return Todo("drop", reason="An open conflict is decided first." if disputed else "Both sides agree.")
    if "update" not in abilities.operations:
        return Todo("drop", reason="Records cannot be changed there.")
    tie, fields = behind[0]
    # The first write is an answer to nobody.
    if (writes_last_hour or {}).get(tie.external_id, 0) + 1 >= WRITES_AN_HOUR:
        return Todo("park", fields, tie, "ping_pong")
    return Todo("update", fields, tie, more=len(behind) > 1)


def _decide_delete(live: Sequence[Tie], abilities: Abilities) -> Todo:
    if not live:
        return Todo("drop", reason="It is not there.")
    if not abilities.mirror_deletes or "delete" not in abilities.operations:
        return Todo("drop", reason="Deletes are not carried over.")
    return Todo("delete", tie=live[0], more=len(live) > 1)


def _decide_create(record: Held, was_there: bool, abilities: Abilities) -> Todo:
    if was_there:
        return Todo("drop", reason="It was deleted there.")
    if "create" not in abilities.operations:
        return Todo("drop", reason="Records cannot be created there.")
    if not abilities.ready:
        return Todo("drop", reason="The first full pass comes first.", later=True)
    fields = tuple(name for name in sorted(abilities.outgoing) if record.data.get(name) is not None)
    return Todo("create", fields) if fields else Todo("drop", reason="It has no value that flows out.")


@dataclass(frozen=True, slots=True)
class Settled:
    """What an answered write leaves behind: `base` agreed on, `values` the host takes over, `near` differing fields."""

    base: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    near: tuple[str, ...] = ()


def settle(
    sent: Mapping[str, Any], answered: Mapping[str, Any] | None, data: Mapping[str, Any], incoming: Collection[str],
    agreed: Mapping[str, Any],
) -> Settled:  # fmt: skip
    """Compare what was sent with what the other side has made of it (D10: it trims, lower-cases, rounds).

    `answered` are the mapped values of the answer, None where it held no record. The other side's form of a value is
    agreed on, and taken over here where it may flow in and nobody has changed the field since. Where it may not, both
    forms are agreed on. `agreed` is the base before.
    """
    base, values, near = {}, {}, []
    for name, value in sent.items():
        # An answer that names only some fields is no word about the others.
        there = value if answered is None or answered.get(name) is None else answered[name]
        base[name] = there
        if there != value:
            near.append(name)
            if name in incoming and data.get(name) == value:
                values[name] = there
        if name not in incoming and (there != value or OURS + name in agreed):
            base[OURS + name] = value
    return Settled(base, values, tuple(near))


def resolve_doubt(
    kind: str | None, *, age_hours: float, window_hours: float, can_look_up: bool
) -> Literal["same_key", "look_up", "review"]:
    """Return how a create whose answer was lost is resolved (reliability 3.5), by what the manifest declares."""
    if kind == "idempotency_key" and age_hours < window_hours:
        return "same_key"
    return "look_up" if can_look_up else "review"
