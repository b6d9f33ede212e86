"""What services/pages, passes and page_deletes do, on dictionaries: pages are read, planned by app.sync and applied."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.sync.deletes import edited, judge, shows_all
from app.sync.echoes import KEPT
from app.sync.keys import keys_in
from app.sync.plan import Held, Incoming, Known, Plan, Write, digest, plan_page
from tests.app.sync.model.tables import Conflict, Link, Pass, Record, Tables
from tests.app.sync.model.vendor import Vendor, values_of

PAGE = 3


@dataclass
class Page:
    """What was read in one call."""

    began: datetime
    records: list[tuple[str, str | None, dict[str, Any]]]
    dead: list[str]
    position: Any
    last: bool


class Question(Exception):
    """A person must answer before more than a few records are deleted."""


class Inbound:
    """Reads the other side."""

    def __init__(self, tables: Tables, vendor: Vendor) -> None:
        self.tables, self.vendor, self.passing = tables, vendor, None

    passing: Pass | None

    def begin(self, *, full: bool) -> Pass:
        """Begin a pass, or go on with the one under way."""
        if self.passing is None:
            t = self.tables
            full = full or t.since is None or t.full_pass_due
            self.passing = Pass(full, None if full else t.since, self.vendor.seq, t.tick())
        return self.passing

    def fetch(self) -> None:
        """Read the next page; it is applied later, or lost with the worker that read it."""
        assert self.passing is not None
        at, began = self.passing, self.tables.tick()
        records, dead, position = self.vendor.page(at.since, at.position, PAGE)
        at.fetched = Page(began, records, dead, position, position is None)

    def apply(self, *, confirmed: bool = False) -> None:
        """Apply the page that was read, in one transaction with its checkpoint; after the last one end the pass."""
        at = self.passing
        assert at is not None
        page, at.fetched = at.fetched, None
        self.apply_page(page.records, page.dead, page.began, confirmed=confirmed)
        at.seen |= {record[0] for record in page.records}
        at.position, at.last = page.position, page.last
        if at.last:
            self._finish(at, confirmed=confirmed)

    def run(self, *, full: bool = False, confirmed: bool = False) -> None:
        """Read a whole pass."""
        at = self.begin(full=full)
        while self.passing is at:
            if at.last:
                self._finish(at, confirmed=confirmed)
                return
            if at.fetched is None:
                self.fetch()
            self.apply(confirmed=confirmed)

    def reread(self) -> None:
        """Read single records again."""
        for external_id in sorted(self.tables.rereads):
            self.tables.rereads.discard(external_id)
            self.apply_one(external_id, began=self.tables.tick())

    def apply_one(self, external_id: str, *, began: datetime | None) -> None:
        """Read and apply one record, where it is still there and can be asked for."""
        found = self.vendor.fetch(external_id) if self.vendor.traits.fetch else None
        if found is not None:
            self.apply_page([(external_id, *found)], [], began)

    def apply_page(
        self, records: list[tuple[str, str | None, dict[str, Any]]], dead: list[str], began: datetime | None,
        *, confirmed: bool = False, anyway: bool = False,
    ) -> None:  # fmt: skip
        """Plan and write a page; `anyway` records as well that are as they were read last."""
        t = self.tables
        self.delete_links(self._tombstones(dead, confirmed))
        incoming, links = [], {}
        for external_id, version, data in records:
            link, hashed = t.links.get(external_id), digest({**data, "version": version})
            same = link and (link.source_hash, link.mapping_version) == (hashed, t.mapping_version)
            if link and not link.deleted and same and not anyway:
                continue
            values = values_of(data, t.fields)
            incoming.append(Incoming(external_id, values, hashed, version, keys_in(values, ("key",))))
            if link:
                links[external_id] = link.linked()
        known = Known(links, self._held(), self._matches(), self._echoes(links))
        plan = plan_page(incoming, known, t.directions, [t.new_id() for _ in incoming], began=began)
        self._write(plan)

    def _held(self) -> dict[uuid.UUID, Held]:
        return {r.id: Held(dict(r.data), r.deleted, r.updated_at) for r in self.tables.records.values()}

    def _matches(self) -> dict[Any, tuple[uuid.UUID, ...]]:
        found: dict[Any, tuple[uuid.UUID, ...]] = {}
        for record in self.tables.records.values():
            for key in () if record.deleted else keys_in(record.data, ("key",)):
                found[key] = (*found.get(key, ()), record.id)
        return found

    def _echoes(self, links: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
        if not self.tables.directions.outgoing:
            return {}
        since, found = self.tables.now - KEPT, dict.fromkeys(links, ())
        for intent in reversed(self.tables.intents.values()):
            if (
                intent.external_id in found and intent.sent_hash is not None and not intent.echoed
                and intent.operation != "delete" and intent.sent_at is not None and intent.sent_at > since
            ):  # fmt: skip
                found[intent.external_id] += (intent.echo(),)  # type: ignore[assignment]
        return found

    def _write(self, plan: Plan) -> None:
        t = self.tables
        for write in plan.writes:
            self._write_record(write)
            self._write_link(write)
            if write.operation != "same":
                t.journal(write.record_id, write.operation, write.before, write.after)
            self._write_conflicts(write)
        for write in plan.writes:
            shared = sum(not link.deleted for _, link in t.ties(write.record_id)) > 1
            if write.sends or (shared and write.after and write.operation != "created"):
                t.plan(write.record_id, cause="sync")
        for item, hits in plan.conflicts:
            t.add_conflict(Conflict(item.external_id, "match", None, {}, {}, item.values, candidates=hits))
        for intent_id in plan.consumed:
            t.intents[intent_id].echoed = True
        for intent_id in plan.near:
            t.intents[intent_id].near += 1
        t.rereads |= set(plan.stale)

    def _write_record(self, write: Write) -> None:
        t = self.tables
        record = t.records.get(write.record_id)
        if record is None:
            t.records[write.record_id] = Record(write.record_id, dict(write.data), t.now, t.now)
        elif write.operation != "same" and (write.after or write.operation == "restored"):
            record.data, record.deleted, record.updated_at = dict(write.data), False, t.now

    def _write_link(self, write: Write) -> None:
        t, item = self.tables, write.incoming
        link = t.links.get(item.external_id)
        if link is None:
            link = t.links[item.external_id] = Link(
                t.new_id(), write.record_id, {}, b"", 0, created_at=t.now
            )  # fmt: skip
        link.base, link.version, link.source_hash = dict(write.base), item.version, item.source_hash
        link.mapping_version, link.missing, link.deleted = t.mapping_version, 0, False

    def _write_conflicts(self, write: Write) -> None:
        t, name = self.tables, write.incoming.external_id
        if write.operation != "created" and not (write.open or write.revived):
            known = t.open_conflict(name)
            if known and known.kind in ("fields", "match"):
                known.open = False
        if write.revived:
            t.add_conflict(Conflict(name, "deleted_here", write.record_id, {}, write.before, write.after))
        for clashes, policy in ((write.open, ""), (write.decided, "policy")):
            if clashes:
                sides = ({c.field: getattr(c, side) for c in clashes} for side in ("base", "ours", "theirs"))
                t.add_conflict(Conflict(name, "fields", write.record_id, *sides, policy=policy))

    def _tombstones(self, dead: list[str], confirmed: bool) -> list[str]:
        t = self.tables
        if t.delete_policy == "ignore":
            return []
        gone = [name for name in dead if name in t.links and not t.links[name].deleted]
        live = sum(not link.deleted for link in t.links.values())
        if judge(len(gone), live, confirmed=confirmed).ask:
            raise Question
        return gone

    def delete_links(self, external_ids: list[str]) -> None:
        t = self.tables
        for external_id in external_ids:
            link = t.links[external_id]
            if link.deleted:
                continue
            link.deleted = True
            record = t.records[link.record_id]
            alive = any(not other.deleted for _, other in t.ties(record.id))
            if t.delete_policy != "mirror" or not t.directions.creates or record.deleted or alive:
                continue
            own = edited(link.base, record.data)
            if own:
                base = {name: link.base.get(name) for name in own}
                t.add_conflict(Conflict(external_id, "deleted_there", record.id, base, own, {}))
            else:
                record.deleted, record.updated_at = True, t.now
                t.journal(record.id, "deleted", record.data, {})

    def _finish(self, at: Pass, *, confirmed: bool) -> None:
        t = self.tables
        if at.full:
            if t.complete:
                self._delete_missing(at, confirmed)
            t.complete, t.full_pass_due = True, False
            self._plan_missing()
        if not (at.full and self.vendor.traits.tombstones and t.since is not None):
            t.since = at.next_since
        self.passing = None

    def _delete_missing(self, at: Pass, confirmed: bool) -> None:
        t = self.tables
        if t.delete_policy == "ignore" or not shows_all(len(at.seen), None):
            return
        known = {n: link for n, link in t.links.items() if not link.deleted and link.created_at < at.began}
        missing = [name for name, link in known.items() if name not in at.seen and link.missing >= 1]
        verdict = judge(len(missing), len(known), confirmed=confirmed)
        if verdict.ask:
            raise Question
        for name, link in known.items():
            link.missing = 0 if name in at.seen else link.missing + 1
        if verdict.apply:
            self.delete_links(missing)

    def _plan_missing(self) -> None:
        t = self.tables
        tied = {link.record_id for link in t.links.values()}
        for record in list(t.records.values()):
            tried = any(
                i.record_id == record.id
                and (i.state in ("planned", "sent", "in_doubt")
                     or (i.mapping_version == t.mapping_version and i.state != "confirmed"))
                for i in t.intents.values()
            )  # fmt: skip
            if not record.deleted and record.id not in tied and not tried:
                t.plan(record.id)


def later(moment: datetime, hours: float) -> datetime:
    """Return a moment some hours later."""
    return moment + timedelta(hours=hours)
