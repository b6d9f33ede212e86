"""A decision is carried over to similar conflicts: all of them, in batches, and no others."""

import time
import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.errors import ConflictError
from app.services import conflict_decisions, conflict_records, conflict_similar, conflicts
from app.services.conflict_decisions import Choice
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.app.views.test_query_counts import statements
from tests.factories.conflicts import BASE, OURS, THEIRS, Desk

Owner = psycopg.Connection[Any]
_ID = "md5(%(record)s::text || n)::uuid"
# Copies of one record, its link and its conflict.
_MANY = (
    f"INSERT INTO records (tenant_id, id, object_type, data, hash) SELECT tenant_id, {_ID}, object_type, data, hash "
    "FROM records, generate_series(1, %(count)s) n WHERE id = %(record)s",
    "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
    f"mapping_version) SELECT tenant_id, gen_random_uuid(), installation_id, stream, external_id || '-' || n, {_ID}, "
    "base, 'x', 1 FROM links, generate_series(1, %(count)s) n WHERE record_id = %(record)s",
    "INSERT INTO conflicts (tenant_id, id, installation_id, stream, external_id, kind, record_id, base, ours, theirs, "
    "created_at) SELECT tenant_id, gen_random_uuid(), installation_id, stream, external_id || '-' || n, kind, "
    f"{_ID}, base, ours, theirs, created_at FROM conflicts, generate_series(1, %(count)s) n WHERE id = %(conflict)s",
    "ANALYZE records", "ANALYZE links", "ANALYZE conflicts",
)  # fmt: skip


@pytest.fixture
def desk(apps: dict[str, Flask], clean: None, owner: Owner) -> Desk:
    return Desk(apps, owner)


def _decide(desk: Desk, one: uuid.UUID, choice: Choice, *, same: bool = False, limit: int = 1000) -> bool:
    """Decide and carry over as the page does; return whether there is more to do."""
    mark = desk.seen(one)
    with desk.apps["web"].app_context(), bind_tenant(desk.tenant_id, desk.by.id):
        with transaction():
            conflict = conflict_decisions.decide_fields(desk.tenant_id, one, {"phone": choice}, seen=mark, by=desk.by)
            conflict_similar.carry_over(desk.tenant_id, conflict, same=same)
        with transaction():
            return conflict_similar.go_on(desk.tenant_id, one, limit=limit)


def _phones(desk: Desk) -> list[str]:
    return [row[0] for row in desk.all("SELECT data->>'phone' FROM records ORDER BY id")]


def test_only_what_is_similar_follows(desk: Desk) -> None:
    one, same = desk.clash("One"), desk.clash("Same")
    near = desk.clash("Near", phone=(BASE, "+1", "+2"))
    others = [
        desk.clash("More fields", phone=(BASE, THEIRS, OURS), city=("a", "b", "c")),
        desk.clash("Other field", city=("a", "b", "c")),
        desk.clash("Elsewhere", installation=desk.install("Other")),
        desk.deleted_there()[0],
    ]
    with desk.apps["web"].app_context(), bind_tenant(desk.tenant_id), transaction():
        conflict = conflicts.get_conflict(desk.tenant_id, one)
        assert conflicts.count_similar(desk.tenant_id, conflict) == 2
        assert conflicts.count_similar(desk.tenant_id, conflict, same=True) == 1
    assert not _decide(desk, one, Choice("theirs"), same=True)
    assert desk.row(same, "state", "resolution", "decided_with", "settled_by") == (
        "settled", "theirs", one, desk.by.id,
    )  # fmt: skip
    assert desk.row(near, "state") == ("open",)
    assert [desk.row(other, "state") for other in others] == [("open",)] * 4
    assert desk.all("SELECT details->'count' FROM audit WHERE action = 'conflict.settled_similar'") == [(1,)]


def test_each_keeps_or_takes_its_own_value(desk: Desk) -> None:
    one = desk.clash("One")
    two = desk.clash("Two", phone=(BASE, "+1", "+2"))
    _decide(desk, one, Choice("ours"))
    assert sorted(_phones(desk)) == sorted([OURS, "+2"])
    assert desk.all("SELECT count(*) FROM intents WHERE state = 'planned'") == [(2,)]
    assert desk.row(two, "choices", "ours", "theirs") == ({"phone": "ours"}, {"phone": "+2"}, {"phone": "+1"})
    assert sorted(desk.all("SELECT base->>'phone' FROM links")) == [("+1",), (THEIRS,)]


def test_a_written_value_is_the_same_for_all_and_the_last_agreed_one_is_not_carried_over(desk: Desk) -> None:
    one = desk.clash("One")
    desk.clash("Two", phone=(BASE, "+1", "+2"))
    with pytest.raises(ConflictError, match="others could follow"):
        _decide(desk, one, Choice("base"))
    assert desk.row(one, "state") == ("open",)
    _decide(desk, one, Choice("edited", "+44 1"))
    assert _phones(desk) == ["+44 1", "+44 1"]


def test_what_comes_after_the_decision_is_asked_about(desk: Desk) -> None:
    one = desk.clash("One")
    late = desk.clash("Late")
    desk.owner.execute("UPDATE conflicts SET created_at = now() + interval '1 second' WHERE id = %s", (late,))
    _decide(desk, one, Choice("theirs"))
    assert desk.row(late, "state") == ("open",)


def test_one_whose_record_is_gone_ends_without_a_decision(desk: Desk) -> None:
    one, other = desk.clash("One"), desk.clash("Two")
    desk.owner.execute("UPDATE records SET deleted_at = now() WHERE id = %s", desk.row(other, "record_id"))
    assert not _decide(desk, one, Choice("theirs"))
    assert desk.row(other, "resolution") == ("gone",)


def test_the_rest_of_many_is_settled_by_a_task(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    one = desk.clash("One")
    each = {"record": desk.row(one, "record_id")[0], "conflict": one, "count": 25}
    for statement in _MANY:
        desk.owner.execute(statement, each)  # type: ignore[arg-type]
    monkeypatch.setattr(conflict_similar, "BATCH", 5)
    assert _decide(desk, one, Choice("theirs"), limit=10)
    with desk.apps["web"].app_context(), bind_tenant(desk.tenant_id), transaction():
        carried = conflict_similar.sum_up(desk.tenant_id, one)
        assert (carried.followers, carried.remaining) == (10, 15)
    monkeypatch.setattr(drain_module, "worker_app", lambda: desk.apps["worker"])
    desk.owner.execute("UPDATE tasks SET due_at = now() WHERE kind = 'settle_conflicts'")
    drain_module.drain("sync")
    assert desk.all("SELECT count(*) FROM conflicts WHERE state = 'open'") == [(0,)]
    assert set(_phones(desk)) == {THEIRS}
    assert desk.all("SELECT DISTINCT actor FROM audit WHERE action = 'conflict.settled_similar'") == [
        ("Maja Lindqvist",)
    ]


def test_a_decision_taken_back_is_not_followed_any_further(desk: Desk) -> None:
    one, other = desk.clash("One"), desk.clash("Two")
    assert _decide(desk, one, Choice("theirs"), limit=0)
    mark = desk.seen(one)
    with desk.apps["web"].app_context(), bind_tenant(desk.tenant_id):
        with transaction():
            conflict_decisions.take_other(desk.tenant_id, one, "phone", "ours", seen=mark, by=desk.by)
        with transaction():
            assert not conflict_similar.go_on(desk.tenant_id, one)
    assert desk.row(other, "state") == ("open",)


def test_deletes_are_answered_together(desk: Desk) -> None:
    one, record = desk.deleted_here()
    other = desk.clash("Priya")
    desk.owner.execute("UPDATE conflicts SET kind = 'deleted_here' WHERE id = %s", (other,))
    mark = desk.seen(one)
    with desk.apps["web"].app_context(), bind_tenant(desk.tenant_id):
        with transaction():
            conflict = conflict_records.decide_delete(desk.tenant_id, one, "delete", seen=mark, by=desk.by)
            conflict_similar.carry_over(desk.tenant_id, conflict, same=False)
        with transaction():
            conflict_similar.go_on(desk.tenant_id, one)
    assert desk.all("SELECT count(*) FROM records WHERE deleted_at IS NULL") == [(0,)]
    assert desk.row(other, "resolution", "choices") == ("ours", {"record": "delete"})
    assert record


def test_a_thousand_take_no_more_statements_than_ten(desk: Desk) -> None:
    counts = []
    for count in (10, 1000):
        one = desk.clash("One")
        each = {"record": desk.row(one, "record_id")[0], "conflict": one, "count": count}
        for statement in _MANY:
            desk.owner.execute(statement, each)  # type: ignore[arg-type]
        began = time.monotonic()
        with statements(desk.apps) as found:
            assert not _decide(desk, one, Choice("theirs"))
        print(f"\nSIMILAR {count} in {time.monotonic() - began:.2f} s, {len(found)} statements")
        counts.append(len(found))
        assert desk.all("SELECT count(*) FROM conflicts WHERE state = 'open'") == [(0,)]
    assert counts[0] == counts[1]
    assert desk.all("SELECT count(*) FROM changes WHERE operation = 'updated'") == [(1012,)]


def test_another_tenants_conflicts_are_never_similar(desk: Desk, apps: dict[str, Flask]) -> None:
    other = Desk(apps, desk.owner, "Other tenant")
    theirs = other.clash()
    desk.owner.execute("UPDATE conflicts SET stream = 'contacts', theirs = (SELECT theirs FROM conflicts LIMIT 1)")
    one = desk.clash()
    _decide(desk, one, Choice("theirs"))
    assert desk.row(theirs, "state") == ("open",)
