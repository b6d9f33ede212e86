"""Fields that change at the vendor: what is marked, what the problem says, and what closes it."""

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.clock import now
from app.services import drift, mappings, problems, runs, stream_fields
from app.services.stream_fields import AccountField
from connectors.sdk import FieldInfo, Rule
from tests.factories.mappings import STREAM, Workspace

Owner = psycopg.Connection[Any]
OWN = FieldInfo("properties.contract_value", "Contract value", "text", custom=True)
SIZE = FieldInfo("properties.shoe_size", "Shoe size", "number", custom=True)


@pytest.fixture
def work(apps: dict[str, Flask], clean: None) -> Workspace:
    """An installation whose account has one field of its own, which the score is made of."""
    found = Workspace(apps)
    found.keep_fields(OWN)
    found.change(lambda rules: [rule for rule in rules if rule.target != "score"])
    found.change(lambda rules: [*rules, Rule("score", (OWN.name,), on_error="skip_field")])
    found.act(lambda: mappings.apply_draft(found.tenant_id, found.installation_id, STREAM, user_id=None))
    return found


def note(work: Workspace, *own: FieldInfo) -> dict[str, int]:
    """Find the declared fields and these of the account's own."""

    def do() -> dict[str, int]:
        declared = [
            f for f in work.fields(mappings.get_content(work.tenant_id, work.installation_id, STREAM)) if not f.custom
        ]
        return drift.note(work.tenant_id, work.installation_id, STREAM, [*declared, *own])

    found: dict[str, int] = work.act(do)
    return found


def marks(work: Workspace) -> dict[str, tuple[str, str]]:
    content = work.content()
    return {f.name: (f.mark, f.was) for f in stream_fields.kept(content.installed) if f.mark}


def open_problems(work: Workspace) -> list[tuple[str, int]]:
    found = work.act(lambda: problems.list_open(work.tenant_id, work.installation_id))
    return [(problem.message, problem.count) for problem in found if problem.code == drift.CODE]


def test_what_is_seen_for_the_first_time_has_not_changed(apps: dict[str, Flask], clean: None) -> None:
    work = Workspace(apps)
    note(work, OWN)
    assert marks(work) == {}
    assert open_problems(work) == []


def test_new_lost_and_retyped_fields_are_one_problem(work: Workspace) -> None:
    assert note(work, replace(OWN, type="flag"), SIZE) == {"count": 16, "new": 1, "removed": 0, "retyped": 1}
    assert marks(work) == {OWN.name: ("retyped", "text"), SIZE.name: ("new", "")}
    message = "Fields of contacts have changed at Sandbox CRM: Contract value is a yes or no now, Shoe size is new."
    assert open_problems(work) == [(message, 2)]
    # The day after, nothing has been decided: it is still the same problem.
    note(work, replace(OWN, type="flag"), SIZE)
    assert open_problems(work) == [(message, 2)]
    note(work)
    assert marks(work) == {OWN.name: ("removed", "flag")}
    assert open_problems(work) == [("Fields of contacts have changed at Sandbox CRM: Contract value is gone.", 1)]


def test_what_no_rule_reads_may_go_and_change_unnoticed(work: Workspace) -> None:
    note(work, OWN, SIZE)
    work.act(lambda: drift.settle(work.tenant_id, work.installation_id, STREAM))
    note(work, OWN, replace(SIZE, type="text"))
    assert marks(work) == {}
    note(work, OWN)
    assert marks(work) == {}
    assert open_problems(work) == []


def test_what_comes_back_as_it_was_is_settled(work: Workspace) -> None:
    note(work)
    assert marks(work) == {OWN.name: ("removed", "text")}
    note(work, OWN)
    assert (marks(work), open_problems(work)) == ({}, [])
    note(work, replace(OWN, type="flag"))
    note(work, OWN)
    assert (marks(work), open_problems(work)) == ({}, [])


def test_a_decision_closes_the_problem_with_the_last_field(work: Workspace) -> None:
    note(work, replace(OWN, type="flag"), SIZE)
    checked = work.content().installed.fields_checked_at
    work.act(lambda: drift.settle(work.tenant_id, work.installation_id, STREAM, {SIZE.name}))
    assert list(marks(work)) == [OWN.name]
    assert len(open_problems(work)) == 1
    work.act(lambda: drift.settle(work.tenant_id, work.installation_id, STREAM, {OWN.name}))
    assert (marks(work), open_problems(work)) == ({}, [])
    # Deciding is not looking: the next look comes when it was due.
    assert work.content().installed.fields_checked_at == checked


@pytest.mark.parametrize("kept", [False, True])
def test_a_lost_field_stays_in_the_mapping_or_goes(work: Workspace, kept: bool) -> None:
    note(work)
    if kept:
        work.act(lambda: drift.settle(work.tenant_id, work.installation_id, STREAM, {OWN.name}))
    else:
        work.change(lambda rules: [rule for rule in rules if rule.target != "score"])
        work.act(lambda: drift.tidy(work.tenant_id, work.installation_id, STREAM))
        assert len(open_problems(work)) == 1  # a draft has settled nothing yet
        work.act(lambda: mappings.apply_draft(work.tenant_id, work.installation_id, STREAM, user_id=None))
        work.act(lambda: drift.tidy(work.tenant_id, work.installation_id, STREAM))
    assert (marks(work), open_problems(work)) == ({}, [])
    assert (work.rule("score") is not None) is kept
    note(work)
    assert open_problems(work) == []


def test_a_mapping_that_follows_settles_new_and_retyped_fields(work: Workspace) -> None:
    note(work, replace(OWN, type="flag"), SIZE)

    def follow(rules: list[Rule]) -> list[Rule]:
        return [replace(rule, sources=(SIZE.name,)) if rule.target == "score" else rule for rule in rules]

    work.change(follow)
    work.act(lambda: mappings.apply_draft(work.tenant_id, work.installation_id, STREAM, user_id=None))
    work.act(lambda: drift.tidy(work.tenant_id, work.installation_id, STREAM, {"score"}))
    assert (marks(work), open_problems(work)) == ({}, [])


def test_a_run_that_works_leaves_the_notice_open(work: Workspace) -> None:
    note(work, OWN, SIZE)
    work.act(lambda: problems.close_run_problems(work.tenant_id, work.installation_id))
    assert len(open_problems(work)) == 1


def test_samples_of_fields_stay_when_they_are_only_listed(work: Workspace) -> None:
    note(work, replace(OWN, sample="£1"))
    note(work, OWN)
    own: AccountField = next(f for f in stream_fields.kept(work.content().installed) if f.name == OWN.name)
    assert own.sample == "£1"


def test_fields_are_looked_at_once_a_day_when_a_run_ends(work: Workspace, owner: Owner) -> None:
    def planned() -> int:
        row = owner.execute("SELECT count(*) FROM tasks WHERE kind = 'check_fields' AND lane = 'fast'").fetchone()
        assert row is not None
        return int(row[0])

    def end_a_run() -> None:
        work.act(lambda: runs.start_run(work.tenant_id, work.installation_id, trigger="manual"))
        owner.execute("UPDATE run_streams SET state = 'done'")

        def end() -> None:
            run = runs.begin(work.tenant_id, work.installation_id)
            assert run is not None
            runs.finish(work.tenant_id, run)

        work.act(end, process="worker")
        owner.execute("DELETE FROM runs")

    owner.execute("UPDATE installation_streams SET fields_checked_at = now()")
    end_a_run()
    assert planned() == 0
    owner.execute(
        "UPDATE installation_streams SET fields_checked_at = %s WHERE stream = 'deals'", (now() - timedelta(hours=25),)
    )
    end_a_run()
    end_a_run()
    assert planned() == 1
    due = work.act(lambda: drift.list_due(work.tenant_id, work.installation_id))
    assert due == ["deals"]
    work.act(lambda: drift.put_off(work.tenant_id, work.installation_id, due))
    assert work.act(lambda: drift.list_due(work.tenant_id, work.installation_id)) == []


def test_another_tenants_streams_are_not_found(work: Workspace) -> None:
    assert work.act(lambda: drift.list_due(work.tenant_id, uuid.uuid4())) == []
