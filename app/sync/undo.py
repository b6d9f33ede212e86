"""Taking back what a run did to the host's records, one record after the other. Pure.

What both sides last agreed on is left as it is: it says what the other side has, and an undo changes nothing there by
itself. So a value that was put back is an edit on this side: a read that finds the other side unchanged never brings the
run's value back, a change over there meets it by the policy for conflicts, and it flows out where the field does.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.sync.plan import Held

Kind = Literal["put_back", "delete", "bring_back"]
Reason = Literal["edited", "same"]


@dataclass(frozen=True, slots=True)
class Done:
    """One change that the run made to a record: its operation, and the changed fields before and after."""

    operation: str
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Later:
    """A change of the same record after those of the run. `undo`: it took back what the run `run_id` had done."""

    run_id: uuid.UUID | None = None
    undo: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """What the run did to a record, oldest first, the record as it is now, and what happened to it since.

    `was_deleted`: the record was there before the run, and deleted.
    """

    record_id: uuid.UUID
    done: Sequence[Done]
    record: Held
    later: Sequence[Later] = ()
    was_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """`put_back` writes `values` into the record, `bring_back` restores it with them, `delete` deletes it here."""

    record_id: uuid.UUID
    kind: Kind
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Left:
    """The record stays as it is: it was edited since, or is the same as before the run already."""

    record_id: uuid.UUID
    reason: Reason


def take_back(story: Story) -> Step | Left:
    """Decide how what the run did to one record is undone."""
    former: dict[str, Any] = {}
    written: dict[str, Any] = {}
    there = False
    for change in story.done:
        there = change.operation != "deleted"
        if there:
            for name, value in change.after.items():
                former.setdefault(name, change.before.get(name))
                written[name] = value
    if _edited(story, written, there):
        return Left(story.record_id, "edited")
    values = {name: value for name, value in former.items() if story.record.data.get(name) != value}
    if story.done[0].operation == "created" or story.was_deleted:
        return Step(story.record_id, "delete") if there else Left(story.record_id, "same")
    if not there:
        return Step(story.record_id, "bring_back", values)
    return Step(story.record_id, "put_back", values) if values else Left(story.record_id, "same")


def _edited(story: Story, written: Mapping[str, Any], there: bool) -> bool:
    """Whether the record is no longer as the run has left it. A later run and its undo are as if nothing had been."""
    undone = {change.run_id for change in story.later if change.undo}
    return (
        any(not change.undo and (change.run_id is None or change.run_id not in undone) for change in story.later)
        or story.record.deleted is there
        or any(story.record.data.get(name) != value for name, value in written.items())
    )
