"""What a change of settings means: named before it is saved where it gives something up, and in words for the audit log."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import time

from sqlalchemy import text

from app.db import db
from app.services.mappings import Content
from app.services.stream_settings import StreamSettings, settings_of
from connectors.sdk import Manifest
from connectors.sdk.mapping_types import flows

MOST = 10_000
_WAYS = {"in": "in only", "both": "both ways", "out": "out only"}
_POLICIES = {"ask": "ask", "theirs": "the vendor's value", "ours": "our value", "newest": "the newest value"}
_DELETES = {"mirror": "deleted on the other side", "archive": "kept, and the link ends", "ignore": "nothing is done"}


@dataclass(frozen=True)
class Effect:
    """Something that saving gives up or lets happen. `key` names it with the value that causes it: a person agrees to
    exactly that."""

    key: str
    title: str
    text: str


@dataclass(frozen=True)
class Rhythm:
    """When an installation runs."""

    kind: str
    minutes: int
    at: time | None
    zone: str

    def __str__(self) -> str:
        """Return it in words."""
        daily = f"once a day at {self.at:%H:%M} ({self.zone})" if self.at else "once a day"
        return {"interval": f"every {self.minutes} minutes", "hourly": "every hour", "daily": daily}.get(
            self.kind, "by hand"
        )


@dataclass(frozen=True)
class _Held:
    """What a stream has that a change of its settings touches; each count stops beyond MOST."""

    links: int
    waiting: int


# Few streams are asked for at once, each by its own indexes.
_COUNTS = text("""
    SELECT s.stream,
        (SELECT count(*) FROM (SELECT FROM links l WHERE l.tenant_id = :tenant AND l.installation_id = :installation
            AND l.stream = s.stream AND l.deleted_at IS NULL LIMIT :most) linked),
        (SELECT count(*) FROM (SELECT FROM intents i WHERE i.tenant_id = :tenant AND i.installation_id = :installation
            AND i.stream = s.stream AND i.state IN ('planned', 'sent', 'in_doubt') LIMIT :most) waiting)
    FROM unnest(CAST(:streams AS text[])) AS s (stream)
""")


def effects_of(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, contents: Mapping[str, Content],
    wanted: Mapping[str, StreamSettings], manifest: Manifest, *, host: str,
) -> list[Effect]:  # fmt: skip
    """Return what saving `wanted` (the streams that are chosen) would give up or let happen, stream by stream."""
    on = {name: content for name, content in contents.items() if content.installed.enabled}
    changed = [name for name, content in on.items() if wanted.get(name) != settings_of(content)]
    values = {"tenant": tenant_id, "installation": installation_id, "most": MOST + 1, "streams": changed}
    held = {row[0]: _Held(row[1], row[2]) for row in db.session.execute(_COUNTS, values)} if changed else {}
    found: list[Effect] = []
    for name in changed:
        label, after = manifest.stream(name).label, wanted.get(name)
        words = _Words(name, label, manifest.listing.name, host, held[name])
        found += [words.off()] if after is None else words.changed(settings_of(on[name]), after)
    return found


@dataclass(frozen=True)
class _Words:
    stream: str
    label: str
    vendor: str
    host: str
    held: _Held

    def off(self) -> Effect:
        text = f"{_many(self.held.links)} linked records stay as they are on both sides; their changes are not carried over."
        return Effect(f"{self.stream}:off", f"{self.label} are no longer synced", f"{text}{self._given_up()}")

    def _given_up(self) -> str:
        waiting = self.held.waiting
        return f" {_many(waiting)} changes that wait to be written to {self.vendor} are given up." if waiting else ""

    def changed(self, before: StreamSettings, after: StreamSettings) -> Iterator[Effect]:
        if before.direction != after.direction:
            yield Effect(
                f"{self.stream}:direction={after.direction}",
                f"{self.label}: {_WAYS[before.direction]} becomes {_WAYS[after.direction]}",
                " ".join(self._turned(before.direction, after.direction)),
            )
        if after.delete_policy == "mirror" != before.delete_policy:
            yield Effect(
                f"{self.stream}:deletes=mirror", f"{self.label}: deletes reach the other side",
                "A record that is deleted on one side is deleted on the other from now on.",
            )  # fmt: skip
        if after.direction == "both" and after.conflict_policy not in ("ask", before.conflict_policy):
            yield Effect(
                f"{self.stream}:conflicts={after.conflict_policy}", f"{self.label}: conflicts decide themselves",
                f"Where both sides change a field, {_POLICIES[after.conflict_policy]} replaces the other without asking.",
            )  # fmt: skip
        if list(before.filters) != list(after.filters):
            yield Effect(
                f"{self.stream}:filters", f"{self.label}: other records are synced",
                "Records that no longer fit the filters stay as they are and are no longer synced.",
            )  # fmt: skip

    def _turned(self, before: str, after: str) -> Iterator[str]:
        if flows(after, "out") and not flows(before, "out"):
            yield f"Edits in {self.host} are written to {self.vendor}: up to {_many(self.held.links)} linked records may change there."
        if flows(before, "out") and not flows(after, "out"):
            yield f"Edits in {self.host} no longer reach {self.vendor}.{self._given_up()}"
        if flows(before, "in") and not flows(after, "in"):
            yield f"Changes in {self.vendor} no longer come into {self.host}."
        if flows(after, "in") and not flows(before, "in"):
            yield f"Changes in {self.vendor} come into {self.host}: up to {_many(self.held.links)} records may change here."


def _many(count: int) -> str:
    return f"over {MOST:,}" if count > MOST else f"{count:,}"


def told(
    before: Mapping[str, StreamSettings | None], after: Mapping[str, StreamSettings | None], labels: Mapping[str, str]
) -> list[str]:
    """Return what was changed of the streams in words; None stands for a stream that is off."""
    found = []
    for name, new in after.items():
        old, label = before.get(name), labels[name]
        if old is None or new is None:
            found += [f"{label}: {'on' if new else 'off'}"] if (old is None) != (new is None) else []
            continue
        for words, was, becomes in (
            ("", _WAYS[old.direction], _WAYS[new.direction]),
            ("conflicts ", _POLICIES[old.conflict_policy], _POLICIES[new.conflict_policy]),
            ("deletes ", _DELETES[old.delete_policy], _DELETES[new.delete_policy]),
        ):
            found += [f"{label}: {words}{was} → {becomes}"] if was != becomes else []
        found += [f"{label}: filters"] if list(old.filters) != list(new.filters) else []
    return found
