"""What a dry run counts of one stream: figures, samples, and causes why records are left out."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.services.page_context import Counts
from app.services.page_failures import Failure
from app.services.pages import Prepared, Sorted, title_of
from app.sync.merge import Clash
from app.sync.plan import Plan, Write

SAMPLES = 5
_FIELDS = 4
# Of one stream; more causes than these are counted together.
_CAUSES = 40
_QUOTED = re.compile(r"“[^”]*” ")


@dataclass(frozen=True)
class Words:
    """How records and fields of an object type are named; values of `hidden` fields are not kept."""

    labels: Mapping[str, str]
    title_field: str
    hidden: frozenset[str] = frozenset()

    def title(self, values: Mapping[str, Any], otherwise: str) -> str:
        """Return what a record is called."""
        found = next((values[n] for n in (self.title_field, "name", "email") if values.get(n) is not None), otherwise)
        return str(found)[:120]

    def changes(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the first fields of `after` that have a value or had one, each with its label, before and after."""
        named = [name for name, value in after.items() if value is not None or before.get(name) is not None]
        return [
            {"label": self.labels.get(name, name), "before": self.shown(name, before.get(name)), "after": self.shown(name, after[name])}
            for name in named[:_FIELDS]
        ]  # fmt: skip

    def shown(self, name: str, value: Any) -> Any:
        """Return a value as it may be kept for a page."""
        if name in self.hidden and value is not None:
            return "not shown"
        return f"{value[:200]}…" if isinstance(value, str) and len(value) > 200 else value


@dataclass
class Tally:
    """Everything that is counted; what it holds is JSON but for `counts`.

    `changed`: records here that take over a value, `alone`: label of a field -> how many of them change nothing else; `idle`: those
    that are joined and change nothing. `there`:
    create, change, delete and only_here of the other side. `missing`: joined records that are gone there, None where
    not all was read. `causes` and `causes_there`: why records are left out.
    """

    counts: Counts = field(default_factory=Counts)
    matched: int = 0
    changed: int = 0
    idle: int = 0
    missing: int | None = None
    alone: dict[str, int] = field(default_factory=dict)
    there: dict[str, int] = field(default_factory=dict)
    causes: dict[str, dict[str, Any]] = field(default_factory=dict)
    causes_there: dict[str, dict[str, Any]] = field(default_factory=dict)
    clashes: dict[str, dict[str, Any]] = field(default_factory=dict)
    matches: list[dict[str, Any]] = field(default_factory=list)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**vars(self), "counts": dict(vars(self.counts))}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Tally":
        """Return it from JSON."""
        return cls(**{**data, "counts": Counts(**data["counts"])})

    def add(self, words: Words, prepared: Prepared, found: Sorted, plan: Plan, counts: Counts) -> None:
        """Count pages and what would become of their records."""
        self.counts.add(counts)
        self.matched += found.unchanged + len(plan.stale) + sum(w.operation != "created" for w in plan.writes)
        for left in found.filtered:
            title = title_of(prepared.records[left.external_id].data)
            self.leave_out("filter", None, left.reason, left.external_id, title)
        for failure in found.failures:
            self._fail(failure)
        for write in plan.writes:
            self._note_write(words, write)

    def _fail(self, failure: Failure) -> None:
        kind = "no_id" if failure.code == "no_id" else "mapping"
        self.leave_out(kind, failure.field, failure.message, failure.external_id, failure.title)

    def leave_out(
        self, kind: str, name: str | None, message: str, external_id: str, title: str, *, there: bool = False
    ) -> None:
        """Count a record that is left out: by a filter, a value that does not fit, no id. Equal causes are one."""
        causes = self.causes_there if there else self.causes
        said = _QUOTED.sub("the value ", message)
        key = f"{kind}:{name or ''}:{said}"
        if key not in causes and len(causes) >= _CAUSES:
            key, said = "more", "Other causes."
        cause = causes.setdefault(key, {"kind": kind, "field": name, "message": said, "count": 0, "samples": []})
        cause["count"] += 1
        if len(cause["samples"]) < SAMPLES:
            cause["samples"].append({"id": external_id, "title": title or external_id, "message": message})

    def _note_write(self, words: Words, write: Write) -> None:
        if write.operation == "created":
            self.sample(words, "created", write.incoming.external_id, {}, write.data)
        elif write.after:
            self.changed += 1
            if len(write.after) == 1:
                (name,) = write.after
                label = words.labels.get(name, name)
                self.alone[label] = self.alone.get(label, 0) + 1
            self.sample(words, "changed", write.incoming.external_id, write.before, write.after, write.data)
        elif write.operation == "linked":
            self.idle += 1
        for clash in (*write.open, *write.decided):
            self._note_clash(words, write, clash)
        if write.revived:
            self._note_match("deleted_here", words, write.incoming.external_id, write.data, [])

    def _note_clash(self, words: Words, write: Write, clash: Clash) -> None:
        key = f"{clash.field}:{clash.winner}:{clash.policy}"
        found = self.clashes.setdefault(
            key,
            {
                "field": words.labels.get(clash.field, clash.field), "winner": clash.winner, "policy": clash.policy,
                "count": 0, "samples": [],
            },
        )  # fmt: skip
        found["count"] += 1
        if len(found["samples"]) < SAMPLES:
            found["samples"].append(
                {
                    "title": words.title(write.data, write.incoming.external_id),
                    "ours": words.shown(clash.field, clash.ours), "theirs": words.shown(clash.field, clash.theirs),
                }
            )  # fmt: skip

    @property
    def wants_matches(self) -> bool:
        """Whether there is room for another sample of a record that fits several."""
        return len(self.matches) < SAMPLES

    def note_matches(self, words: Words, plan: Plan, titles: Mapping[uuid.UUID, str]) -> None:
        """Keep samples of records that fit more than one of the host's."""
        for item, hits in plan.conflicts:
            self._note_match("match", words, item.external_id, item.values, [titles.get(hit, str(hit)) for hit in hits])

    def _note_match(
        self, kind: str, words: Words, external_id: str, values: Mapping[str, Any], names: Sequence[str]
    ) -> None:
        if self.wants_matches:
            title = words.title(values, external_id)
            self.matches.append({"kind": kind, "id": external_id, "title": title, "candidates": list(names)})

    def sample(
        self, words: Words, kind: str, external_id: str, before: Mapping[str, Any], after: Mapping[str, Any],
        values: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Keep the first records of a kind, with their fields before and after."""
        kept = self.samples.setdefault(kind, [])
        if len(kept) < SAMPLES:
            title = words.title(after if values is None else values, external_id)
            kept.append({"id": external_id, "title": title, "fields": words.changes(before, after)})

    def count_there(self, kind: str) -> None:
        """Count one more of the other side's."""
        self.there[kind] = self.there.get(kind, 0) + 1
