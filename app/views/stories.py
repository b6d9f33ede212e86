"""The story of a record in words: what an event is called, the values it changed, and when it goes on."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.filters import shown
from app.models.intents import Intent
from app.models.records import Change, Link
from app.models.runs import Conflict, FailedRecord
from app.services.record_events import Event
from app.services.sensitive_fields import HIDDEN, mask_quotes
from app.sync.diagnosis_steps import listed


@dataclass
class Told:
    """An event as the page shows it. `tone`: bad, next or nothing; `lines`: (label, before, after), before None: not told.

    `times`: what happened or happens when, besides the event itself.
    """

    title: str
    tone: str = ""
    lines: list[tuple[str, str | None, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    times: list[tuple[str, datetime]] = field(default_factory=list)


@dataclass(frozen=True)
class Teller:
    """Tells events of one record: with the labels of its fields, without the values of hidden ones."""

    host: str
    labels: Mapping[str, str]
    hidden: Collection[str]

    def tell(self, event: Event) -> Told:
        """Return an event in words."""
        vendor = event.installation.name if event.installation else ""
        by_kind: dict[str, Callable[[Event, Any, str], Told]] = {
            "change": self._change, "write": self._write, "conflict": self._conflict, "decision": self._decision,
            "failure": self._failure, "link": self._link, "end": self._end,
        }  # fmt: skip
        return by_kind[event.at.kind](event, event.row, vendor)

    def value(self, name: str, values: Mapping[str, Any]) -> str:
        """Return a field's value as text."""
        value = values.get(name)
        return HIDDEN if name in self.hidden and value not in (None, "") else shown(value)

    def _names(self, fields: Collection[str]) -> str:
        named = [self.labels.get(name, name) for name in fields]
        return listed(named if len(named) <= 4 else [*named[:3], f"{len(named) - 3} more fields"]) if named else "It"

    def _change(self, event: Event, row: Change, vendor: str) -> Told:
        by = "" if row.writer == self.host else f" by {row.writer}"
        where = f"in {vendor}" if vendor else f"in {self.host}{by}"
        told = Told({
            "created": f"Read from {vendor} for the first time" if vendor else f"Created {where}",
            "updated": f"{self._names(row.after)} changed {where}",
            "linked": f"Matched with {vendor}, {row.external_id}", "deleted": f"Deleted {where}",
            "restored": f"Restored {where}",
        }[row.operation])  # fmt: skip
        if row.operation != "created":
            told.lines = [
                (self.labels.get(name, name), self.value(name, row.before), self.value(name, row.after))
                for name in row.after
            ]
        elif vendor:
            told.notes.append(f"{len(row.after)} fields")
        if row.mapping_version:
            told.notes.append(f"mapping version {row.mapping_version}")
        if vendor and event.run is None:
            told.notes.append("read by itself")
        return told

    def _write(self, _event: Event, row: Intent, vendor: str) -> Told:
        names = self._names(row.fields)
        verb = {"create": f"Created in {vendor}", "delete": f"Deleted in {vendor}"}.get(row.operation)
        done = verb or f"{names} written to {vendor}"
        title, tone = {
            "planned": (f"Waits to be sent to {vendor}", "next"), "sent": (f"Being sent to {vendor}", "next"),
            "confirmed": (done, ""), "rejected": (f"Refused by {vendor}", "bad"),
            "in_doubt": (f"No answer from {vendor}", "bad"), "parked": (f"Not sent to {vendor} until somebody decides", "bad"),
            "dropped": (f"Nothing sent to {vendor}", ""),
        }[row.state]  # fmt: skip
        told = Told(title, tone)
        if row.error_message:
            told.notes.append(row.error_message)
        told.notes += _carries(row)
        if row.operation == "create" and row.external_id:
            told.notes.append(f"its id in {vendor} is {row.external_id}")
        if row.fields and row.state != "confirmed":
            told.notes.append(names)
        if row.cause:
            told.notes.append(f"after a change by {row.cause}" if row.told else row.cause)
        if row.mapping_version and row.state != "dropped":
            told.notes.append(f"mapping version {row.mapping_version}")
        if row.tries > 1:
            told.notes.append(f"{row.tries} tries")
        told.times = [("planned", row.created_at)]
        told.times += [("sent", row.sent_at)] if row.sent_at else []
        told.times += [("came back and was known as ours", row.echoed_at)] if row.echoed_at else []
        told.times += [("due", row.due_at)] if row.state in ("planned", "in_doubt") else []
        return told

    def _conflict(self, _event: Event, row: Conflict, vendor: str) -> Told:
        names = self._names(row.theirs)
        told = Told({
            "fields": f"{names} changed in {vendor} and in {self.host}", "match": f"{vendor} has one that fits several records",
            "deleted_there": f"Deleted in {vendor} after it was edited in {self.host}",
            "deleted_here": f"Deleted in {self.host} while it was edited in {vendor}",
        }[row.kind], "bad" if row.state == "open" else "")  # fmt: skip
        told.lines = self._sides(row, vendor) if row.kind != "match" else []
        if row.resolution == "policy":
            told.notes.append(f"decided by the policy: {row.policy}")
        elif row.state == "open":
            told.notes.append("nobody has decided yet")
        return told

    def _sides(self, row: Conflict, vendor: str) -> list[tuple[str, str | None, str]]:
        return [
            (
                self.labels.get(name, name), None,
                f"last agreed {self.value(name, row.base)} · {self.host} {self.value(name, row.ours)} · "
                f"{vendor} {self.value(name, row.theirs)}",
            )
            for name in dict.fromkeys((*row.ours, *row.theirs))
        ]  # fmt: skip

    def _decision(self, event: Event, row: Conflict, vendor: str) -> Told:
        what = {
            "theirs": f"the value of {vendor} was taken", "ours": f"the value of {self.host} was kept",
            "edited": "another value was given", "mixed": "field by field", "kept": f"it was kept in {self.host}",
            "linked": "the record was chosen", "created": "a new record was made", "agreed": "both came to agree",
            "gone": "nothing is left to decide",
        }.get(row.resolution or "", "")  # fmt: skip
        names = f"about {self._names(row.theirs)} " if row.kind == "fields" else ""
        told = Told(f"Conflict {names}with {vendor} settled: {what}")
        told.lines = [(self.labels.get(name, name), None, self.value(name, row.edited)) for name in row.edited]
        if event.person:
            told.notes.append(f"decided by {event.person}")
        return told

    def _failure(self, _event: Event, row: FailedRecord, vendor: str) -> Told:
        out, message = row.direction == "out", mask_quotes(row.message) if row.field in self.hidden else row.message
        tries = f"{row.tries} {'tries' if row.tries > 1 else 'try'}"
        if row.state == "resolved":
            return Told(f"No longer refused by {vendor}" if out else f"What {vendor} has is no longer refused")
        if row.state == "waiting" and out:
            return Told(f"Next try to send it to {vendor}", "next", notes=[message, f"{tries} so far"])
        told = Told(
            f"Refused by {vendor}, {tries}" if out else f"What {vendor} has was refused, {tries}",
            "bad",
            notes=[message],
        )
        if row.state in ("parked", "ignored"):
            told.notes.append("parked until somebody acts" if row.state == "parked" else "left out by somebody")
        elif row.retry_at:
            told.times.append(("next try", row.retry_at))
        return told

    def _link(self, _event: Event, row: Link, vendor: str) -> Told:
        return Told(f"Linked with {vendor}, {row.external_id}", notes=[f"mapping version {row.mapping_version}"])

    def _end(self, _event: Event, row: Link, vendor: str) -> Told:
        return Told(f"Gone in {vendor}, {row.external_id}", notes=["the link has ended"])


def _carries(row: Intent) -> list[str]:
    """Return how many changes a write stands for, where that is not one."""
    notes = [f"carries {row.told} changes"] if row.told > 1 else []
    notes += [f"{row.told_since} changed again while it was sent"] if row.told_since and row.again else []
    return [*notes, "told again of what the write before had carried"] if row.repeated else notes
