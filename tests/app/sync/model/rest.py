"""What must hold once faults have ended and both sides have come to rest."""

from typing import Any

from app.sync.merge import OURS
from tests.app.sync.model.inbound import Inbound, Question
from tests.app.sync.model.outbound import Outbound
from tests.app.sync.model.tables import LIVE, Intent, Record, Tables
from tests.app.sync.model.vendor import FIELDS, POISON, Item, Vendor

ROUNDS = 40


def come_to_rest(tables: Tables, vendor: Vendor, inbound: Inbound, outbound: Outbound) -> None:
    """End the faults and sync until nothing happens any more; fail when that never comes (no endless loop)."""
    vendor.fault = None
    outbound.crash()
    quiet = 0
    for _ in range(ROUNDS):
        before = mark(tables, vendor)
        sync(tables, vendor, inbound, outbound)
        quiet = quiet + 1 if mark(tables, vendor) == before else 0
        # Two full passes prove a record gone, and the one before them may have been cut short.
        if quiet == 3:
            return
    raise AssertionError(f"no rest after {ROUNDS} rounds: {vendor.writes} writes")


def sync(tables: Tables, vendor: Vendor, inbound: Inbound, outbound: Outbound) -> None:
    """Read all, send all; a person says yes to deletes."""
    inbound.reread()
    for full in (False, True):
        try:
            inbound.run(full=full)
        except Question:
            inbound.passing = None
            inbound.run(full=full, confirmed=True)
    outbound.answer_deletes()
    for _ in range(ROUNDS):
        if not any(intent.state in LIVE for intent in tables.intents.values()):
            break
        outbound.run()
        tables.tick(vendor.traits.lag + 1)


def mark(tables: Tables, vendor: Vendor) -> tuple[Any, ...]:
    """Return what changes when anything happens."""
    waiting = sorted(str(i.id) + i.state for i in tables.intents.values() if i.state in LIVE)
    return vendor.writes, len(tables.changes), len(tables.conflicts), waiting, len(tables.rereads)


class Rest:
    """Both sides at rest, to be looked at."""

    def __init__(self, tables: Tables, vendor: Vendor, always_in: frozenset[str]) -> None:
        self.tables, self.vendor, self.always_in = tables, vendor, always_in

    def check(self) -> None:
        """Assert all of it."""
        self.check_sides()
        self.check_unlinked()
        self.check_twins()
        self.check_journal()
        self.check_taken()

    def check_sides(self) -> None:
        """Both sides are equal, but for what the directions, the policy or an open conflict let differ."""
        t = self.tables
        for name, link in t.links.items():
            record, item = t.records[link.record_id], self.vendor.items[name]
            if link.deleted:
                assert item.deleted or self._excused(record), f"{name} is there, its link has ended"
            elif item.deleted:
                hidden = (
                    not self.vendor.traits.tombstones and not self.vendor.live()
                )  # A side that shows nothing at all never deletes.
                assert t.delete_policy == "ignore" or hidden, f"{name} is gone there, its link lives"
            elif record.deleted:
                may = t.delete_policy == "mirror" and self._may("delete")
                assert not may or self._excused(record), f"{name} was deleted here and is still there"
            else:
                self._check_fields(name, record, item, link.base)

    def _check_fields(self, name: str, record: Record, item: Item, base: dict[str, Any]) -> None:
        t = self.tables
        known = t.open_conflict(name)
        waiting = set(known.theirs) if known and known.kind == "fields" else set()
        for field in t.fields:
            here, there = record.data.get(field), item.data.get(field)
            if here == there or field in waiting or self._excused(record):
                continue
            flows_in, flows_out = field in t.directions.incoming, field in t.directions.outgoing
            about = f"{name}.{field}: here {here!r}, there {there!r}, agreed {base.get(field)!r}"
            if flows_out and self._may("update"):
                ours = base.get(OURS + field) == here
                assert not flows_in, about
                assert ours or (here is None and field not in base), about
            elif flows_in:
                assert base.get(field) == there, about

    def check_unlinked(self) -> None:
        """What one side alone has is there for a reason."""
        t = self.tables
        linked = {name for name, link in t.links.items() if not link.deleted}
        for name in self.vendor.live().keys() - linked:
            known = t.open_conflict(name)
            assert not t.directions.creates or (known and known.kind == "match") or name in t.links, f"{name} unread"
        candidates = {c for conflict in t.conflicts if conflict.kind == "match" for c in conflict.candidates}
        for record in t.records.values():
            ties = t.ties(record.id)
            if record.deleted or any(not link.deleted for _, link in ties) or record.id in candidates:
                continue
            if ties:
                asked = any(c.kind == "deleted_there" and c.record_id == record.id for c in t.conflicts)
                flows = t.delete_policy == "mirror" and self.always_in
                assert asked or not flows, f"{record.data} was deleted there and is here"
                continue
            sendable = any(record.data.get(name) is not None for name in t.directions.outgoing)
            assert not (sendable and self._may("create")) or self._excused(record), f"{record.data} is not there"

    def check_twins(self) -> None:
        """Nothing was made twice, at either side."""
        t = self.tables
        made: dict[Any, list[str]] = {}
        for name, item in self.vendor.live().items():
            if item.reference is not None:
                made.setdefault(
                    next(i.record_id for i in t.intents.values() if str(i.id) == item.reference), []
                ).append(name)
        doubled = {record_id: names for record_id, names in made.items() if len(names) > 1}
        assert not doubled, f"made twice there: {doubled}"
        born = {change.record_id for change in t.changes if change.operation == "created"}
        for record in t.records.values():
            assert record.deleted or record.id not in born or t.ties(record.id), f"{record.data} is a twin"

    def check_journal(self) -> None:
        """The journal tells how each record came to be as it is."""
        t, told = self.tables, dict[Any, dict[str, Any]]()
        for change in t.changes:
            if change.operation != "deleted":
                values = told.setdefault(change.record_id, {})
                for name, was in change.before.items():
                    assert values.get(name) == was, f"{change} does not follow"
                values.update(change.after)
        for record in t.records.values():
            values = told.get(record.id, {})
            assert all(values.get(name) == record.data.get(name) for name in FIELDS), (values, record.data)

    def check_taken(self) -> None:
        """What we have written over at the other side is current, in a conflict, or in the journal."""
        traits = self.vendor.traits
        if not traits.fetch and not (traits.if_match and traits.etags == "good"):
            return  # The small window that the listing tells of.
        for name, field, value, deleted in self.vendor.taken:
            if value is None or (field not in self.always_in and (deleted or not traits.fetch)):
                continue  # What flows out alone was never read, or could not be looked at before it was written.
            assert value in self._known(name, field), f"{name}.{field} was {value!r}, and nothing tells of it"

    def _known(self, name: str, field: str) -> list[Any]:
        item = self.vendor.items[name]
        found = [] if item.deleted else [item.data.get(field)]
        for conflict in self.tables.conflicts:
            if conflict.external_id == name:
                found += [side.get(field) for side in (conflict.base, conflict.ours, conflict.theirs)]
        # Of any record: it may have been taken for a new one before it was known which it is.
        return found + [side.get(field) for change in self.tables.changes for side in (change.before, change.after)]

    def _may(self, operation: str) -> bool:
        return operation in self.vendor.traits.operations and bool(self.tables.directions.outgoing)

    def _excused(self, record: Record) -> bool:
        """Whether its last write was refused or waits for a person, and that for a good reason."""
        unsure = any(
            i.record_id == record.id and (i.state, i.error) == ("parked", "in_doubt")
            for i in self.tables.intents.values()
        )
        last = self._last_intent(record)
        if unsure:
            traits = self.vendor.traits
            return traits.safety == "review" or (traits.safety == "idempotency_key" and not traits.key_and_lookup)
        if last is None or last.state not in ("rejected", "parked"):
            return False
        if last.error == "ping_pong":
            silent = self.vendor.traits.normalises and not self.vendor.traits.answers and not self.vendor.traits.fetch
            return self.vendor.traits.automation or silent
        if last.error == "not_found":
            return not self.vendor.traits.fetch  # Without a look it is not known that it is gone.
        return last.error == "refused" and POISON in record.data.values()

    def _last_intent(self, record: Record) -> Intent | None:
        mine = [i for i in self.tables.intents.values() if i.record_id == record.id]
        return mine[-1] if mine else None
