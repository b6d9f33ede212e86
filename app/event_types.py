"""The types of events: the one list of what subscribers can hear of, with what each payload holds.

docs/event-types.md is written from it. The `data` of everything but records is made by the triggers of migrations 0020
and 0031; a test holds each against this list.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

TEST = "subscription.tested"
# What the journal calls it -> the type of its event.
RECORD_TYPES = {
    "created": "record.created", "updated": "record.updated", "linked": "record.updated", "deleted": "record.deleted",
    "restored": "record.restored",
}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """A key of `data`: its JSON type (`?` where it may be null), what it holds, and an example."""

    type: str
    about: str
    example: Any


@dataclass(frozen=True)
class EventType:
    """A type of event. `version` rises when a key changes its meaning or goes; new keys may come at any time."""

    name: str
    about: str
    data: Mapping[str, Field]
    version: int = 1

    @property
    def example(self) -> dict[str, Any]:
        """Return `data` as it may look."""
        return {name: field.example for name, field in self.data.items()}


_ID = "0199c2f4-7a31-7c3e-9d4f-1b2a3c4d5e6f"
_INSTALLATION = {"installation_id": Field("string", "The installation.", _ID)}
_RECORD = {
    "record_id": Field("string", "The record.", _ID),
    "object_type": Field("string", "Its object type.", "contact"),
    "changed": Field("object", "The changed fields as they are now; all of them for a new record.", {"city": "Hull"}),
    "previous": Field("object", "The changed fields as they were; all of them for a deleted record.", {"city": "York"}),
    "by": Field("string", "Who changed it, for people to read.", "Sandbox CRM"),
    "installation_id": Field("string?", "The installation that brought it; null: it came from the host's side.", _ID),
    "run_id": Field("string?", "The run that brought it.", _ID),
    "external_id": Field("string?", "The record's id over there.", "4711"),
}
_STATE = {
    **_INSTALLATION,
    "connector": Field("string", "The connector.", "sandbox"),
    "name": Field("string", "What the customer calls it.", "Sandbox CRM"),
    "state": Field("string", "`setting_up`, `active`, `paused` or `removed`.", "active"),
    "blocked_code": Field("string?", "The code of the problem that stops it.", None),
}
_CHANGED = {
    **_STATE,
    "changed": Field(
        "array",
        "What was changed: `name`, `version`, `schedule`, or of a stream `enabled`, `direction`, `conflict_policy`, "
        "`delete_policy` or `mapping`, after its name.",
        ["schedule", "contacts.direction"],
    ),
}
_COUNTS = {"read": 120, "created": 3, "updated": 7, "linked": 0, "deleted": 1, "failed": 0, "conflicts": 0}
_RUN = {
    "run_id": Field("string", "The run.", _ID),
    **_INSTALLATION,
    "trigger": Field("string", "`first`, `schedule`, `manual`, `resync` or `retry`.", "schedule"),
    "mode": Field("string", "`full` or `incremental`.", "incremental"),
    "state": Field("string", "`running`, `done`, `failed`, `stopped` or `asking`.", "done"),
    "error_code": Field("string?", "Why it has failed.", None),
    "counts": Field("object", "Records so far, over all streams.", _COUNTS),
}
_CONFLICT = {
    "conflict_id": Field("string", "The conflict.", _ID),
    **_INSTALLATION,
    "stream": Field("string", "The stream.", "contacts"),
    "external_id": Field("string", "The record's id over there.", "4711"),
    "record_id": Field("string?", "The record; null while it is not known which one it is.", _ID),
    "kind": Field("string", "`fields`, `match`, `deleted_there` or `deleted_here`.", "fields"),
    "state": Field("string", "`open` or `settled`.", "open"),
    "resolution": Field("string?", "How it was settled; `policy`: nobody was asked.", None),
    "fields": Field("array", "The names of the fields it is about; their values are not sent.", ["city"]),
}
_PROBLEM = {
    "problem_id": Field("string", "The problem.", _ID),
    **_INSTALLATION,
    "code": Field("string", "Its code.", "reconnect"),
    "state": Field("string", "`open` or `closed`.", "open"),
    "message": Field("string", "What has happened, for people to read.", "Sandbox CRM no longer accepts the key."),
    "fix": Field("string", "What to do.", "Connect the account again."),
    "stops_sync": Field("boolean", "Whether nothing is synced until then.", True),
}
_SUBSCRIPTION = {
    "subscription_id": Field("string", "The subscription.", _ID),
    "name": Field("string", "Its name.", "Billing"),
}


def _types() -> list[EventType]:
    return [
        EventType("record.created", "A record is new.", _RECORD),
        EventType("record.updated", "Fields of a record have changed.", _RECORD),
        EventType("record.deleted", "A record was deleted.", _RECORD),
        EventType("record.restored", "A deleted record is there again.", _RECORD),
        EventType("installation.created", "Somebody has begun to set an integration up.", _STATE),
        EventType("installation.activated", "An installation has been set up and syncs.", _STATE),
        EventType("installation.paused", "An installation was paused, by a person or by itself.", _STATE),
        EventType("installation.resumed", "A paused installation goes on.", _STATE),
        EventType("installation.blocked", "An installation is stopped until somebody acts.", _STATE),
        EventType("installation.unblocked", "What stopped an installation is solved.", _STATE),
        EventType("installation.changed", "Settings of an installation that has been set up were changed.", _CHANGED),
        EventType("installation.removed", "An installation was removed.", _STATE),
        EventType("run.started", "A run has begun.", _RUN),
        EventType("run.finished", "A run has come to its end.", _RUN),
        EventType("run.failed", "A run has ended with an error.", _RUN),
        EventType("run.stopped", "A run was stopped by a person.", _RUN),
        EventType("run.asked", "A run waits for an answer before it does something large.", _RUN),
        EventType("conflict.opened", "A person has to decide about a record.", _CONFLICT),
        EventType(
            "conflict.settled", "A conflict is settled, by a person or at once by the policy.",
            _CONFLICT,
        ),
        EventType("problem.opened", "Somebody must act.", _PROBLEM),
        EventType("problem.closed", "A problem is solved.", _PROBLEM),
        EventType(
            "subscription.disabled", "A subscription was switched off.",
            {**_SUBSCRIPTION, "code": Field("string", "`person`, `gone` (410) or `failing` (5 days).", "failing")},
        ),
        EventType(TEST, "Somebody has sent a test; only the tested subscription gets it.", _SUBSCRIPTION),
    ]  # fmt: skip


TYPES: Mapping[str, EventType] = {kind.name: kind for kind in _types()}
# What a subscription may ask for: each type, and each noun as a whole.
NOUNS = tuple(dict.fromkeys(name.split(".")[0] for name in TYPES if name != TEST))
CHOICES = frozenset({name for name in TYPES if name != TEST} | {f"{noun}.*" for noun in NOUNS})


def wants(
    types: Collection[str], object_types: Collection[str], fields: Collection[str],
    kind: str, data: Mapping[str, Any],
) -> bool:  # fmt: skip
    """Return whether a subscription with these filters is sent an event; an empty filter narrows nothing.

    `object_types` and `fields` are about records. With `fields` an update must have changed one of them; what is new,
    deleted or restored is sent in any case.
    """
    if kind == TEST or (types and kind not in types and f"{kind.split('.')[0]}.*" not in types):
        return False
    if not kind.startswith("record."):
        return True
    if object_types and data["object_type"] not in object_types:
        return False
    return not fields or kind != "record.updated" or not data["changed"].keys().isdisjoint(fields)


def event_types_markdown() -> str:
    """Return the reference page of all types."""
    lines = [
        "# Types of events", "",
        "Each message is JSON: `type`, `version`, `id` (the same as the header `webhook-id`), `timestamp` (when it "
        "happened), `tenant` (`id` and the host's own `external_id`), `sequence` (counts the events of one record, "
        "installation, run, conflict or problem; gaps are events that the subscription does not ask for) and `data`. "
        "`version` rises when a key of `data` changes its meaning or goes; new keys may come at any time. How messages "
        "are signed and tried again: [events.md](events.md).", "",
    ]  # fmt: skip
    for kind in TYPES.values():
        lines += [f"## `{kind.name}`", "", f"{kind.about} Version {kind.version}.", "", "| key | type | meaning |"]
        lines += ["| --- | --- | --- |"]
        lines += [f"| `{name}` | {field.type} | {field.about} |" for name, field in kind.data.items()]
        lines += [""]
    return "\n".join(lines[:-1]) + "\n"
