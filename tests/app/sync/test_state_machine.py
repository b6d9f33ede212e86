"""Two sides and everything that can happen to them, in any order (D01): the pure decisions, on dictionaries."""

import os
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from app.sync import deletes
from app.sync.merge import Directions
from app.sync.plan import difference
from tests.app.sync.model.inbound import Inbound, Question
from tests.app.sync.model.outbound import Outbound
from tests.app.sync.model.rest import Rest, come_to_rest, mark, sync
from tests.app.sync.model.tables import Record, Tables
from tests.app.sync.model.vendor import FIELDS, POISON, Traits, Vendor

SOAK = bool(os.environ.get("PATCHBAY_SOAK"))
OPERATIONS = ("create", "update", "delete")

pick = st.integers(0, 7)
names = st.sampled_from(FIELDS)
values = st.sampled_from(["new", "new", "new", " Mixed ", "x", POISON, None])
faults = st.sampled_from([None, None, "cut_before", "cut_after"])
policies = st.sampled_from(["theirs", "ours", "newest", "ask", "ask"])
flows = st.sampled_from(["both", "both", "both", "in", "out", "off"])
traits = st.builds(
    Traits,
    etags=st.sampled_from(["good", "good", "flaky", "null"]), if_match=st.booleans(), fetch=st.booleans() | st.just(True),
    tombstones=st.booleans(), answers=st.booleans() | st.just(True),
    safety=st.sampled_from(["idempotency_key", "lookup", "review"]), key_and_lookup=st.booleans(),
    lag=st.sampled_from([0, 0, 20]), normalises=st.booleans(), automation=st.booleans(),
    operations=st.sampled_from([OPERATIONS, OPERATIONS, OPERATIONS, ("create", "update"), ("update",), ()]).map(frozenset),
)  # fmt: skip


class Sides(RuleBasedStateMachine):
    """The host, the other side, and Patchbay between them."""

    @initialize(
        traits=traits,
        flows=st.tuples(*[flows] * len(FIELDS)),
        policy=policies,
        deletes=st.sampled_from(["mirror", "mirror", "archive", "ignore"]),
    )
    def begin(self, traits: Traits, flows: tuple[str, ...], policy: Any, deletes: str) -> None:
        self.tables, self.vendor = Tables(delete_policy=deletes), Vendor(traits)
        self.inbound = Inbound(self.tables, self.vendor)
        self.outbound = Outbound(self.tables, self.vendor, self.inbound)
        self.number, self.busy, self.always_in, self.failed = 0, 0, frozenset(FIELDS), False
        self._direct(flows, policy)

    # The host.

    @rule(key=pick, value=values, other=values)
    def create_here(self, key: int, value: Any, other: Any) -> None:
        t = self.tables
        data = {"key": f"k{key}" if key < 5 else None, "a": self._fresh(value), "b": self._fresh(other), "c": None}
        made = Record(t.new_id(), data, t.tick(), t.now)
        t.records[made.id] = made
        t.journal(made.id, "written", {}, data)
        t.plan(made.id)

    @precondition(lambda self: self.tables.records)
    @rule(at=pick, name=names, value=values)
    def edit_here(self, at: int, name: str, value: Any) -> None:
        record = self._record(at)
        if not record.deleted:
            self._write_here(record, {name: self._fresh(value)})

    @precondition(lambda self: self.tables.records)
    @rule(at=pick)
    def delete_here(self, at: int) -> None:
        self._remove(self._record(at))

    # The other side.

    @rule(key=pick, value=values, other=values)
    def create_there(self, key: int, value: Any, other: Any) -> None:
        made = {"key": f"k{key}" if key < 5 else None, "a": self._fresh(value), "b": self._fresh(other)}
        self.vendor.create_by_person(made)

    @precondition(lambda self: self.vendor.live())
    @rule(at=pick, name=names, value=values)
    def edit_there(self, at: int, name: str, value: Any) -> None:
        self.vendor.edit_by_person(self._item(at), name, self._fresh(value))

    @precondition(lambda self: self.vendor.live())
    @rule(at=pick)
    def delete_there(self, at: int) -> None:
        self.vendor.delete_by_person(self._item(at))

    # Patchbay, in one go or step by step, and lost at any of them.

    @rule(full=st.booleans())
    def pull(self, full: bool) -> None:
        try:
            self.inbound.run(full=full)
        except Question:
            self.inbound.passing = None

    @rule(full=st.booleans())
    def pull_a_step(self, full: bool) -> None:
        at = self.inbound.begin(full=full)
        if at.fetched is None:
            self.inbound.fetch()
            return
        try:
            self.inbound.apply()
        except Question:
            self.inbound.passing = None

    @precondition(lambda self: self.inbound.passing)
    @rule()
    def lose_the_page(self) -> None:
        assert self.inbound.passing is not None
        self.inbound.passing.fetched = None

    @precondition(lambda self: self.tables.rereads)
    @rule()
    def read_again(self) -> None:
        self.inbound.reread()

    @precondition(lambda self: not self.outbound.claimed and not self.outbound.done)
    @rule(fault=faults, limit=st.integers(1, 5))
    def push(self, fault: Any, limit: int) -> None:
        self.outbound.claim(limit)
        while self.outbound.claimed:
            self.send(fault)
            fault = None
        self.outbound.settle()

    @precondition(lambda self: not self.outbound.claimed and not self.outbound.done)
    @rule(limit=st.integers(1, 5))
    def claim(self, limit: int) -> None:
        self.outbound.claim(limit)

    @precondition(lambda self: self.outbound.claimed)
    @rule(fault=faults)
    def send(self, fault: Any) -> None:
        self.vendor.fault = fault
        self.outbound.send_next()
        self.vendor.fault = None

    @precondition(lambda self: self.outbound.claimed or self.outbound.done)
    @rule()
    def settle(self) -> None:
        self.outbound.put_back()
        self.outbound.settle()

    @precondition(lambda self: self.outbound.claimed or self.outbound.done)
    @rule()
    def kill_the_sender(self) -> None:
        self.outbound.crash()

    # People.

    @rule(policy=policies)
    def change_the_policy(self, policy: Any) -> None:
        self._direct(self.flows, policy)

    @rule(at=st.integers(0, len(FIELDS) - 1), flow=flows)
    def change_a_direction(self, at: int, flow: str) -> None:
        changed = list(self.flows)
        changed[at] = flow
        self.tables.mapping_version += 1
        self.tables.full_pass_due, self.inbound.passing = True, None
        self._direct(tuple(changed), self.tables.directions.policy)

    @precondition(lambda self: any(c.open for c in self.tables.conflicts))
    @rule(at=pick, choice=st.sampled_from(["ours", "theirs", "edited"]))
    def resolve(self, at: int, choice: Literal["ours", "theirs", "edited"]) -> None:
        t = self.tables
        known = [c for c in t.conflicts if c.open]
        conflict = known[at % len(known)]
        conflict.open = False
        if conflict.kind == "match":
            return
        assert conflict.record_id is not None
        record = t.records[conflict.record_id]
        if conflict.kind == "fields":
            link = t.links[conflict.external_id]
            link.base |= conflict.theirs
            if not record.deleted:
                edited = {name: self._fresh("new") for name in conflict.theirs}
                self._write_here(record, {"ours": {}, "theirs": conflict.theirs, "edited": edited}[choice])
                t.plan(record.id)
        elif conflict.kind == "deleted_there":
            if choice == "theirs":
                self._remove(record)
            elif not record.deleted and t.live_intent(record.id) is None:
                t.plan(record.id, "create")
        elif choice == "ours":
            self._remove(record)

    @rule(hours=st.sampled_from([0.01, 2, 25]))
    def let_time_pass(self, hours: float) -> None:
        self.tables.tick(hours * 3600)

    @precondition(lambda self: self.busy > 8)
    @rule()
    def rest(self) -> None:
        self.failed = True
        come_to_rest(self.tables, self.vendor, self.inbound, self.outbound)
        Rest(self.tables, self.vendor, self.always_in).check()
        before = mark(self.tables, self.vendor)
        for _ in range(2):
            sync(self.tables, self.vendor, self.inbound, self.outbound)
        assert mark(self.tables, self.vendor) == before, "a second sync does something"
        self.failed, self.busy = False, 0

    def teardown(self) -> None:
        if hasattr(self, "tables") and not self.failed:
            self.rest()

    # Inside.

    def _direct(self, flows: tuple[str, ...], policy: Any) -> None:
        self.flows = flows
        by_name = dict(zip(FIELDS, flows, strict=True))
        incoming = frozenset(name for name, flow in by_name.items() if flow in ("both", "in"))
        outgoing = frozenset(name for name, flow in by_name.items() if flow in ("both", "out"))
        self.tables.fields = tuple(name for name in FIELDS if by_name[name] != "off")
        self.tables.directions = Directions(incoming, outgoing, policy, creates=bool(incoming))
        self.always_in &= incoming

    def _fresh(self, value: Any) -> Any:
        if value != "new":
            return value
        self.number, self.busy = self.number + 1, self.busy + 1
        return f"v{self.number}"

    def _record(self, at: int) -> Record:
        known = list(self.tables.records.values())
        return known[at % len(known)]

    def _item(self, at: int) -> str:
        known = list(self.vendor.live())
        return known[at % len(known)]

    def _write_here(self, record: Record, values: dict[str, Any]) -> None:
        before, after = difference(record.data, values)
        if after:
            record.data, record.updated_at = {**record.data, **after}, self.tables.tick()
            self.tables.journal(record.id, "updated", before, after)
            self.tables.plan(record.id)

    def _remove(self, record: Record) -> None:
        if not record.deleted:
            record.deleted, record.updated_at = True, self.tables.tick()
            self.tables.journal(record.id, "deleted", record.data, {})
            self.tables.plan(record.id)


@pytest.fixture
def small_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that asks about three deletes already."""
    monkeypatch.setattr(deletes, "FLOOR", 2)


def test_two_sides_come_to_agree_whatever_happens(small_guard: None) -> None:
    run_state_machine_as_test(
        Sides,
        settings=settings(
            max_examples=3000 if SOAK else 300, stateful_step_count=40, deadline=None, database=None,
            derandomize=not SOAK, suppress_health_check=list(HealthCheck), print_blob=True, report_multiple_bugs=False,
        ),
    )  # fmt: skip
