"""Anything in any order to two sides (D01): the whole engine over PostgreSQL against a vendor that fails in every way.

The pure decisions have a machine of their own, on dictionaries; this one is smaller and has the real tables, the real
tasks and workers that are lost at their commits.
"""

import os
from typing import Any, ClassVar

import psycopg
import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from app.errors import AppError
from app.services import record_edits
from app.sync import deletes
from jobs import drain as drain_module
from tests.counterparts.faulty_kinto import POISON, FaultyKinto
from tests.counterparts.host_at_rest import BAD_EMAIL, Flow, HostAtRest, come_to_rest
from tests.counterparts.host_sides import HostSides, Mortality

SOAK = bool(os.environ.get("PATCHBAY_SOAK"))
FIELDS = ("city", "country", "notes")

pick = st.integers(0, 7)
names = st.sampled_from(FIELDS)
values = st.sampled_from(["new", "new", "new", "new", POISON, None])
keys = st.integers(0, 5).map(lambda n: f"k{n}@example.test" if n < 5 else None)
modes = st.sampled_from(["incremental", "incremental", "full"])


class Machine(RuleBasedStateMachine):
    """The host, the vendor, and Patchbay's workers between them."""

    make: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.vendor = FaultyKinto()
        self.sides = self.make(self.vendor)
        self.number, self.written = 0, set[str]()
        self.flows: dict[str, Flow] = {"email": ("both", "email"), **{name: ("both", name) for name in FIELDS}}
        self.always = {"email", *FIELDS}

    # The host.

    @rule(key=keys, value=values)
    def create_here(self, key: str | None, value: str | None) -> None:
        made = {"email": key, "city": self._fresh(value), "notes": self._fresh("new")}
        self.sides.act(lambda: record_edits.create(self.sides.tenant_id, "contact", made, writer="Host"))
        self.written |= {value for value in made.values() if value}

    @rule(at=pick, name=names, value=values)
    def edit_here(self, at: int, name: str, value: str | None) -> None:
        self._edit_here(at, {name: self._fresh(value)})

    @rule(at=pick)
    def delete_here(self, at: int) -> None:
        known = self._records()
        if known:
            chosen = known[at % len(known)]
            self.sides.act(lambda: record_edits.delete(self.sides.tenant_id, chosen, writer="Host"))

    # The other side.

    @rule(key=keys, value=values)
    def create_there(self, key: str | None, value: str | None) -> None:
        self.number += 1
        self.vendor.put(f"p{self.number}", {"email": key, "city": self._fresh(value), "notes": self._fresh("new")})

    @rule(at=pick, name=names, value=values)
    def edit_there(self, at: int, name: str, value: str | None) -> None:
        self._edit_there(at, {name: self._fresh(value)})

    @rule(at=pick)
    def delete_there(self, at: int) -> None:
        if known := list(self.vendor.live()):
            self.vendor.delete(known[at % len(known)])

    @rule(at=pick, bad=st.booleans())
    def spoil_or_mend_there(self, at: int, bad: bool) -> None:
        self.number += 1
        self._edit_there(at, {"email": BAD_EMAIL if bad else f"m{self.number}@example.test"})

    # Patchbay.

    @rule(mode=modes, commits=st.sampled_from([None, None, *range(1, 13)]), after=st.booleans())
    def run(self, mode: str, commits: int | None, after: bool) -> None:
        if not self._is_asking():
            self.sides.start(mode)
        self.sides.let_time_pass()
        self.sides.work(commits=commits, after=after)

    @rule(mode=modes)
    def run_unharmed(self, mode: str) -> None:
        self.run(mode, None, False)

    @rule(commits=st.sampled_from([None, *range(1, 9)]), after=st.booleans())
    def work(self, commits: int | None, after: bool) -> None:
        self.sides.work(commits=commits, after=after)

    @rule()
    def die_after_the_next_write(self) -> None:
        def die() -> None:
            self.vendor.effect = lambda: None
            self.sides.mortality.dead = True

        self.vendor.effect = die

    @rule()
    def let_time_pass(self) -> None:
        self.sides.let_time_pass()
        self.sides.retry_failed()

    # Faults of the vendor.

    @rule(fault=st.sampled_from(["refused", "down", "down_after", "lost", "lost"]))
    def fail_the_next_write(self, fault: Any) -> None:
        self.vendor.write_fault = fault

    @rule()
    def fail_the_next_read(self) -> None:
        self.vendor.read_down = True

    @rule(on=st.booleans())
    def change_versions(self, on: bool) -> None:
        self.vendor.flaky = on

    @rule(on=st.booleans())
    def refuse_writes(self, on: bool) -> None:
        self.vendor.read_only = on

    @rule(at=pick, name=names, here=st.booleans())
    def edit_in_the_midst_of_the_next_call(self, at: int, name: str, here: bool) -> None:
        change = {name: self._fresh("new")}
        self.vendor.meanwhile = lambda: self._edit_here(at, change) if here else self._edit_there(at, change)

    # People.

    @rule(policy=st.sampled_from(["ask", "ask", "theirs", "ours", "newest"]))
    def change_the_policy(self, policy: str) -> None:
        self.sides.set_policy(policy)

    @rule(
        field=st.sampled_from(["country", "notes"]), flow=st.sampled_from(["both", "both", "in", "out", "off"]),
        other=st.booleans(),
    )  # fmt: skip
    def change_the_mapping(self, field: str, flow: str, other: bool) -> None:
        source = {"country": "country", "notes": "remark" if other else "notes"}[field]
        self.sides.change_mapping(field, flow, source)
        self.flows.pop(field, None)
        if flow != "off":
            self.flows[field] = flow, source
        if (flow, source) != ("both", field):
            self.always.discard(field)

    @rule(at=pick, side=st.sampled_from(["ours", "theirs", "edited"]))
    def decide(self, at: int, side: str) -> None:
        value = self._fresh("new")
        try:
            self.sides.decide(at, side, value)
        except AppError:
            return  # Moved meanwhile, or it cannot be made there: the page says so.

    @rule()
    def say_yes(self) -> None:
        self.sides.answer_questions()

    # Inside.

    def teardown(self) -> None:
        try:
            self._rest()
        finally:
            self.vendor.stop()

    def _rest(self) -> None:
        self.vendor.effect = lambda: None
        come_to_rest(self.sides)
        HostAtRest(self.sides, self.flows, self.always, self.written).check()

    def _is_asking(self) -> bool:
        return bool(self.sides.rows("SELECT 1 FROM runs WHERE tenant_id = %s AND state = 'asking'"))

    def _records(self) -> list[Any]:
        query = "SELECT id FROM records WHERE tenant_id = %s AND deleted_at IS NULL ORDER BY id"
        return [row[0] for row in self.sides.rows(query)]

    def _fresh(self, value: str | None) -> str | None:
        if value != "new":
            return value
        self.number += 1
        return f"v{self.number}"

    def _edit_here(self, at: int, change: dict[str, Any]) -> None:
        if known := self._records():
            chosen = known[at % len(known)]
            self.sides.act(lambda: record_edits.update(self.sides.tenant_id, chosen, change, writer="Host"))
            self.written |= {value for value in change.values() if value}

    def _edit_there(self, at: int, change: dict[str, Any]) -> None:
        if known := list(self.vendor.live()):
            self.vendor.put(known[at % len(known)], change)


def test_two_sides_come_to_agree_whatever_happens_on_real_tables(
    apps: dict[str, Flask], clean: None, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    monkeypatch.setattr(deletes, "FLOOR", 2)  # A guard that asks about three deletes already.
    mortality = Mortality(monkeypatch)

    class Sides(Machine):
        make = staticmethod(lambda vendor: HostSides(apps, owner, vendor, mortality))

    run_state_machine_as_test(
        Sides,
        settings=settings(
            max_examples=200 if SOAK else 20, stateful_step_count=40, deadline=None,
            database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=True, report_multiple_bugs=False,
        ),
    )  # fmt: skip
