"""Versions of a mapping: what is in force is never changed, edits wait in a draft, old versions come back."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.errors import NotFoundError
from app.services import mappings, runs
from connectors.sdk import FieldInfo, MappingError, Rule, Transform
from tests.factories.mappings import STREAM, Workspace
from tests.factories.tasks import together

Owner = psycopg.Connection[Any]
UPPER = Transform("case", {"to": "upper"})


@pytest.fixture
def work(apps: dict[str, Flask], clean: None) -> Workspace:
    return Workspace(apps)


def with_upper(target: str) -> Any:
    def change(rules: list[Rule]) -> list[Rule]:
        return [replace(r, transforms=(*r.transforms, UPPER)) if r.target == target else r for r in rules]

    return change


def without(target: str) -> Any:
    return lambda rules: [rule for rule in rules if rule.target != target]


def apply(work: Workspace) -> int | None:
    number: int | None = work.act(
        lambda: mappings.apply_draft(work.tenant_id, work.installation_id, STREAM, user_id=work.user_id)
    )
    return number


def versions(owner: Owner) -> list[tuple[int, int]]:
    rows = owner.execute(
        "SELECT version, jsonb_array_length(rules) FROM mappings WHERE stream = %s ORDER BY version", (STREAM,)
    ).fetchall()
    return [(row[0], row[1]) for row in rows]


def settled(owner: Owner) -> None:
    owner.execute("UPDATE installation_streams SET full_pass_due = false")


def due(owner: Owner) -> bool:
    row = owner.execute("SELECT full_pass_due FROM installation_streams WHERE stream = %s", (STREAM,)).fetchone()
    assert row is not None
    return bool(row[0])


def test_edits_of_an_active_installation_wait_in_one_draft(work: Workspace, owner: Owner) -> None:
    settled(owner)
    count = len(work.content().rules)
    work.change(with_upper("city"))
    work.change(without("notes"))
    found = work.content()
    assert (found.installed.mapping_version, found.in_force.version, found.draft and found.draft.version) == (1, 1, 2)
    assert versions(owner) == [(1, count), (2, count - 1)]
    assert len(found.rules_in_force) == count
    assert not due(owner)
    assert apply(work) == 2
    found = work.content()
    assert (found.installed.mapping_version, found.draft) == (2, None)
    assert len(found.rules_in_force) == count - 1
    assert due(owner)
    assert owner.execute("SELECT actor, details FROM audit WHERE action = 'mapping.changed'").fetchone() is not None


def test_applied_twice_it_is_applied_once(work: Workspace, owner: Owner) -> None:
    work.change(with_upper("city"))
    assert apply(work) == 2
    assert apply(work) is None
    assert work.content().installed.mapping_version == 2


def test_an_edit_taken_back_leaves_no_draft(work: Workspace, owner: Owner) -> None:
    before = work.content().rules
    work.change(with_upper("city"))
    assert work.content().draft is not None
    work.change(lambda _: before)
    assert work.content().draft is None
    assert len(versions(owner)) == 1


def test_a_discarded_draft_leaves_nothing_and_its_number_is_free(work: Workspace, owner: Owner) -> None:
    work.change(with_upper("city"))
    work.act(lambda: mappings.discard_draft(work.tenant_id, work.installation_id, STREAM))
    assert work.content().draft is None
    work.change(without("notes"))
    assert apply(work) == 2


def test_while_it_is_set_up_each_edit_is_in_force(apps: dict[str, Flask], clean: None, owner: Owner) -> None:
    work = Workspace(apps, state="setting_up")
    work.change(with_upper("city"))
    found = work.content()
    assert (found.installed.mapping_version, found.draft) == (2, None)


def test_what_was_read_before_the_lock_is_read_anew(work: Workspace) -> None:
    """Red with what the session remembers: the rules that somebody else has kept in between would be lost."""
    work.change(without("notes"))

    def meanwhile() -> None:
        held = mappings.get_content(work.tenant_id, work.installation_id, STREAM)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(work.change, without("city")).result()
        mappings.change_rules(
            work.tenant_id, work.installation_id, STREAM, without("phone"), fields=work.fields(held),
            user_id=work.user_id,
        )  # fmt: skip

    work.act(meanwhile)
    assert not {rule.target for rule in work.content().rules} & {"notes", "city", "phone"}


def test_two_people_who_edit_at_once_lose_nothing(work: Workspace) -> None:
    """Each reads, changes and writes under the lock of the stream."""
    targets = ["city", "country", "notes", "job_title", "phone", "company_name"]
    together(len(targets), lambda number: work.change(without(targets[number])))
    left = {rule.target for rule in work.content().rules}
    assert not left & set(targets)


def test_what_does_not_compile_is_not_kept(work: Workspace) -> None:
    with pytest.raises(MappingError) as raised:
        work.change(lambda rules: [*rules, Rule("nonsense", ("properties.city",))])
    assert raised.value.problems[0].message == "There is no field nonsense."
    assert work.content().draft is None


def test_types_that_do_not_fit_are_refused_with_a_proposal(work: Workspace) -> None:
    work.keep_fields(FieldInfo("properties.contract_value", "Contract value", "text", custom=True))

    def wrong(rules: list[Rule]) -> list[Rule]:
        return [replace(r, sources=("properties.contract_value",)) if r.target == "score" else r for r in rules]

    with pytest.raises(MappingError) as raised:
        work.change(wrong, typed=("score",))
    problem = raised.value.problems[0]
    assert (problem.field, problem.proposal and problem.proposal.name) == ("score", "number")
    # Only the rules that were touched are judged: an old conflict does not keep others from being edited.
    work.change(wrong)
    work.change(with_upper("city"), typed=("city",))


def test_types_are_judged_only_the_ways_that_are_open(work: Workspace) -> None:
    """A rule that could flow out, in a stream that only flows in, is not judged by what it would be there."""
    work.keep_fields(FieldInfo("properties.size", "Size", "integer", read_only=True, custom=True))

    def both(rules: list[Rule]) -> list[Rule]:
        return [replace(r, sources=("properties.size",), direction="both") if r.target == "score" else r for r in rules]

    work.change(both, typed=("score",))
    work.act(lambda: setattr(_installed(work), "direction", "both"))
    with pytest.raises(MappingError, match="can only be read"):
        work.change(lambda rules: both(rules), typed=("score",))


def _installed(work: Workspace) -> Any:
    return mappings.get_stream(work.tenant_id, work.installation_id, STREAM)


def test_filters_come_into_force_and_the_draft_takes_them_over(work: Workspace, owner: Owner) -> None:
    work.change(without("notes"))
    settled(owner)
    filters = [{"field": "city", "op": "is", "values": ["Berlin"], "mode": "include"}]

    def put(value: list[dict[str, Any]]) -> bool:
        return bool(
            work.act(
                lambda: mappings.put_in_force(
                    work.tenant_id, work.installation_id, STREAM, filters=value, user_id=work.user_id
                )
            )
        )

    assert put(filters)
    assert due(owner)
    found = work.content()
    assert (found.in_force.version, found.draft and found.draft.version) == (2, 3)
    assert found.in_force.filters == found.edited.filters == filters
    assert len(found.rules) == len(found.rules_in_force) - 1
    assert not put(filters)
    with pytest.raises(MappingError, match="There is no field"):
        put([{"field": "nothing", "op": "is", "values": ["x"], "mode": "include"}])


def test_a_field_that_a_filter_looks_at_stays_mapped(work: Workspace) -> None:
    filters = [{"field": "city", "op": "is", "values": ["Berlin"], "mode": "include"}]
    work.act(lambda: mappings.put_in_force(work.tenant_id, work.installation_id, STREAM, filters=filters, user_id=None))
    with pytest.raises(MappingError, match="A filter of this stream looks at City"):
        work.change(without("city"))


def test_an_old_version_comes_back_as_a_new_one(work: Workspace, owner: Owner) -> None:
    first = work.content().rules
    work.change(without("notes"))
    apply(work)
    work.act(lambda: mappings.bring_back(work.tenant_id, work.installation_id, STREAM, 1, user_id=work.user_id))
    found = work.content()
    assert (found.in_force.version, found.draft and found.draft.version) == (2, 3)
    assert found.rules == first
    assert apply(work) == 3
    assert [number for number, _ in versions(owner)] == [1, 2, 3]
    listed = work.act(lambda: mappings.list_versions(_installed(work)))
    assert [(version.number, version.by) for version in listed] == [(3, "Ada"), (2, "Ada"), (1, "Ada")]


def test_neither_a_draft_nor_a_number_nobody_has_comes_back(work: Workspace) -> None:
    work.change(without("notes"))
    for number in (2, 7):
        with pytest.raises(NotFoundError):
            work.act(
                lambda number=number: mappings.bring_back(  # type: ignore[misc]  # bound at once
                    work.tenant_id, work.installation_id, STREAM, number, user_id=None
                )
            )


def test_runs_ask_the_vendor_for_what_is_in_force(work: Workspace) -> None:
    """What is asked for decides what a record looks like: a draft must not make every record look changed."""
    work.keep_fields(FieldInfo("properties.shoe_size", "Shoe size", "number", custom=True))
    work.change(lambda rules: [*without("score")(rules), Rule("score", ("properties.shoe_size",))])
    asked = work.act(lambda: mappings.sources_of(work.tenant_id, work.installation_id))
    assert "properties.shoe_size" not in asked[STREAM]
    apply(work)
    asked = work.act(lambda: mappings.sources_of(work.tenant_id, work.installation_id))
    assert "properties.shoe_size" in asked[STREAM]


def test_a_run_that_has_begun_keeps_its_version(work: Workspace, owner: Owner) -> None:
    work.act(lambda: runs.start_run(work.tenant_id, work.installation_id, trigger="manual"))
    work.act(lambda: runs.begin(work.tenant_id, work.installation_id), process="worker")
    work.change(without("notes"))
    apply(work)
    rows = owner.execute("SELECT DISTINCT mapping_version FROM run_streams WHERE stream = %s", (STREAM,)).fetchall()
    assert rows == [(1,)]
