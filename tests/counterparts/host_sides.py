"""One tenant whose contacts flow both ways to a vendor that fails, and the worker that dies where a test says so."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.db import db
from app.models.installations import InstallationStream
from app.models.runs import Conflict
from app.services import conflict_decisions, conflict_records, conflicts, failed_records, intents, mappings, runs, tasks
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.counterparts.faulty_kinto import FaultyKinto
from tests.factories.tenants import activate, connect_kinto, make_tenant

Owner = psycopg.Connection[Any]
BY = conflict_decisions.By(None, "Ada")


class DeathError(BaseException):
    """The worker is lost: nothing it does from now on is written."""


class Mortality:
    """Ends the worker at one of its commits, or after one of its writes at the vendor, before or after it is made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._commit, self._worker = db.session.commit, threading.get_ident()
        self.commits: int | None = None
        self.after = self.dead = False
        monkeypatch.setattr(db.session, "commit", self.commit)

    def commit(self) -> None:
        """Commit, unless the worker is lost at this one."""
        if threading.get_ident() != self._worker:
            self._commit()
            return
        if self.commits is not None and not self.dead:
            self.commits -= 1
            if self.commits <= 0:
                self.dead = True
                if self.after:
                    self._commit()
        if self.dead:
            raise DeathError
        self._commit()

    def revive(self) -> None:
        """Let there be a new worker."""
        self.commits, self.after, self.dead = None, False, False


class HostSides:
    """What the host's people and product do, and what the workers do, on real tables."""

    def __init__(self, apps: dict[str, Flask], owner: Owner, vendor: FaultyKinto, mortality: Mortality) -> None:
        self.apps, self.owner, self.vendor, self.mortality = apps, owner, vendor, mortality
        # A tenant of the example before has nothing more to do, its vendor is gone.
        owner.execute("UPDATE tasks SET state = 'done', lease_until = NULL, finished_at = now() WHERE state <> 'done'")
        self.tenant_id = make_tenant(apps)
        with apps["web"].app_context():
            self.installation_id = connect_kinto(self.tenant_id, vendor.origin, "password")
        while not self.rows("SELECT 1 FROM connections WHERE tenant_id = %s AND state = 'ready'"):
            owner.execute("UPDATE tasks SET due_at = now() WHERE state = 'ready'")
            drain_module.drain("fast")
        self.act(self._direct)
        with apps["web"].app_context():
            activate(self.tenant_id, self.installation_id)

    def act(self, what: Callable[[], Any]) -> Any:
        """Return what `what` answers, in a transaction of the web process."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            return what()

    def _direct(self) -> None:
        for stream in db.session.scalars(db.select(InstallationStream)):
            stream.direction, stream.conflict_policy, stream.enabled = "both", "ask", stream.stream == "contacts"

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query about this tenant; its first parameter is the tenant."""
        return self.owner.execute(query, (self.tenant_id, *values)).fetchall()

    # Workers.

    def work(self, *, commits: int | None = None, after: bool = False) -> int:
        """Do what is due; return how many tasks. With `commits` the worker is lost at that one."""
        self.mortality.commits, self.mortality.after = commits, after
        try:
            return drain_module.drain("sync")
        except DeathError:
            return 1
        finally:
            died = self.mortality.dead
            self.mortality.revive()
            if died:
                self._sweep()
            self._check_faults()

    def _sweep(self) -> None:
        self.owner.execute("UPDATE tasks SET lease_until = now() - interval '1 second' WHERE state = 'leased'")
        with self.apps["dispatcher"].app_context(), transaction():
            tasks.sweep()

    def _check_faults(self) -> None:
        # What the edge of a job writes down about an exception that nobody expected.
        found = self.rows(r"SELECT kind, last_error FROM tasks WHERE tenant_id = %s AND last_error ~ '^\w+ in \w+$'")
        assert not found, f"a task met an exception: {found}"

    def start(self, mode: str) -> None:
        """Ask for a run."""
        self.act(lambda: runs.start_run(self.tenant_id, self.installation_id, trigger="manual", mode=mode))

    def let_time_pass(self) -> None:
        """Let everything that waits be due, and what was counted about the vendor be forgotten."""
        self.owner.execute("DELETE FROM breakers")
        self.rows_changed("UPDATE intents SET due_at = now() WHERE tenant_id = %s AND state IN ('planned', 'in_doubt')")
        self.rows_changed(
            "UPDATE tasks SET due_at = now() WHERE tenant_id = %s AND lane = 'sync' AND state = 'ready' "
            "AND kind <> 'retry_records'"
        )

    def rows_changed(self, statement: str) -> None:
        """Change rows of this tenant behind everybody's back."""
        self.owner.execute(statement, (self.tenant_id,))

    # People.

    def answer_questions(self) -> None:
        """Say yes to every delete that is asked about."""
        for (run_id,) in self.rows("SELECT id FROM runs WHERE tenant_id = %s AND state = 'asking'"):
            self.act(partial(runs.confirm, self.tenant_id, run_id, uuid.uuid4()))
        self.act(lambda: intents.answer_deletes(self.tenant_id, self.installation_id, delete=True))

    def retry_failed(self) -> None:
        """Have all failed records tried again."""
        self.act(lambda: failed_records.retry(self.tenant_id, self.installation_id))

    def set_policy(self, policy: str) -> None:
        """Decide conflicts of values in another way from now on."""
        self.owner.execute(
            "UPDATE installation_streams SET conflict_policy = %s WHERE tenant_id = %s", (policy, self.tenant_id)
        )

    def change_mapping(self, field: str, flow: str, source: str) -> None:
        """Have a field flow in other ways, or not at all, or from another field."""

        def change() -> None:
            place = self.tenant_id, self.installation_id, "contacts"
            rules = [rule for rule in mappings.current_rules(*place) if rule.target != field]
            if flow != "off":
                model = next(rule for rule in rules if rule.target == "city")
                rules.append(replace(model, target=field, sources=(source,), direction=flow))
            mappings.put_in_force(*place, rules=rules, user_id=None)

        self.act(change)

    def decide(self, at: int, side: str, value: Any) -> None:
        """Settle one of the open conflicts."""
        known = self.rows(
            "SELECT id, kind FROM conflicts WHERE tenant_id = %s AND state = 'open' ORDER BY id"
        )  # fmt: skip
        if known:
            conflict_id, kind = known[at % len(known)]
            self.act(lambda: self._decide(conflict_id, kind, side, value))

    def _decide(self, conflict_id: uuid.UUID, kind: str, side: str, value: Any) -> None:
        conflict, record = conflict_decisions.hold(self.tenant_id, conflict_id)
        seen = conflicts.digest_of(conflict, None if kind == "match" else record)
        if kind == "fields":
            choices = {name: conflict_decisions.Choice(side, value) for name in conflict.theirs}  # type: ignore[arg-type]
            conflict_decisions.decide_fields(self.tenant_id, conflict_id, choices, seen=seen, by=BY)
        elif kind == "match":
            named = _candidate(conflict) if side == "theirs" else None
            conflict_records.decide_match(self.tenant_id, conflict_id, named, seen=seen, by=BY)
        else:
            answers = {"deleted_there": {"theirs": "delete", "ours": "create"}, "deleted_here": {"ours": "delete"}}
            answer: Any = answers[kind].get(side, "keep")
            conflict_records.decide_delete(self.tenant_id, conflict_id, answer, seen=seen, by=BY)


def _candidate(conflict: Conflict) -> uuid.UUID | None:
    return uuid.UUID(conflict.candidates[0]) if conflict.candidates else None
