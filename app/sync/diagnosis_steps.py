"""What the steps of a diagnosis are made with: sentences, evidence and the one thing to do. Pure."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from app.sync.diagnosis_facts import Act, Clash, Evidence, Facts, State, Step

RUN_NOW = Act("run_now", "Run now")


def stop(key: str, short: str, outcome: str, text: str, *evidence: Evidence, act: Act | None = None) -> Step:
    """Return a step that stops the record; evidence without a value is left out."""
    return _step(key, short, "stopped", text, evidence, outcome, act)


def unknown(key: str, short: str, outcome: str, text: str, *evidence: Evidence, act: Act | None = None) -> Step:
    """Return a step of which nobody knows yet whether it stops the record."""
    return _step(key, short, "unknown", text, evidence, outcome, act)


def passed(key: str, short: str, text: str, *evidence: Evidence) -> Step:
    """Return a step that the record has passed."""
    return _step(key, short, "passed", text, evidence)


def ahead(key: str, short: str) -> Step:
    """Return a step of which nothing can be said before those in front of it."""
    return Step(key, short, "ahead")


def _step(
    key: str, short: str, state: State, text: str, evidence: Iterable[Evidence], outcome: str = "",
    act: Act | None = None,
) -> Step:  # fmt: skip
    return Step(key, short, state, text, tuple(e for e in evidence if e.value not in (None, "")), outcome, act)


def listed(names: Iterable[str]) -> str:
    """Return names as a sentence has them: “Phone, City and Notes”."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def plural(names: Mapping[str, Any], verb: str) -> str:
    """Return a verb as it stands after these names: “Phone differs”, “Phone and City differ”."""
    return verb if len(names) > 1 else f"{verb}s"


def shown(value: Any) -> str:
    """Return a value as a sentence has it, in quotes and not too long."""
    if value is None or value == "" or value == []:
        return "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"“{text if len(text) <= 60 else text[:59] + '…'}”"


def first_pass(key: str, short: str, facts: Facts, then: str) -> Step:
    """Return the step that waits for the first full pass of the stream."""
    at = facts.standing
    text = f"The first full pass of {facts.names.stream.lower()} is not done. {then} {at.waits}".strip()
    act = Act("open_run", "Show the run", str(at.running)) if at.running else RUN_NOW
    return stop(key, short, "first_pass", text, Evidence("Goes on", at.waits_until), act=act)


def deleted_here(key: str, short: str, facts: Facts, then: str = "") -> Step:
    """Return the step of a record that was deleted here; `then` says what the other side has made of it."""
    here, names, write = facts.here, facts.names, facts.write
    assert here is not None
    by = f" by {here.deleted_by}" if here.deleted_by else ""
    if not then and facts.tie and facts.tie.ended_at is None:
        if write and write.state in ("planned", "sent", "in_doubt"):
            then = f"The delete is on its way to {names.vendor}."
        elif write and write.state == "parked":
            then = f"{names.vendor} still has it: so many were deleted that somebody has to decide first."
        else:
            then = f"{names.vendor} still has it: the delete was not carried over."
    text = f"It was deleted in {names.host}{by}. {then}".strip()
    return stop(key, short, "deleted_here", text, Evidence("Deleted", here.deleted_at), act=restore(here.record_id))


def restore(record_id: uuid.UUID) -> Act:
    """Return the act that brings a deleted record back."""
    return Act("restore", "Restore it", str(record_id))


def decide(clash: Clash, label: str = "Decide the conflict") -> Act:
    """Return the act that opens a conflict."""
    return Act("open_conflict", label, str(clash.id))
