"""A person settles a conflict about a whole record: deleted on one side, or fitting several."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.errors import ConflictError
from app.services import conflict_records
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.conflicts import Desk

Owner = psycopg.Connection[Any]


@pytest.fixture
def desk(apps: dict[str, Flask], clean: None, owner: Owner) -> Desk:
    return Desk(apps, owner)


def _answer(desk: Desk, one: uuid.UUID, answer: Any, *, seen: str | None = None) -> None:
    mark = seen or desk.seen(one)
    with desk.apps["web"].app_context(), bind_tenant(desk.tenant_id), transaction():
        conflict_records.decide_delete(desk.tenant_id, one, answer, seen=mark, by=desk.by)


def _match(desk: Desk, one: uuid.UUID, record_id: uuid.UUID | None) -> None:
    mark = desk.seen(one)
    with desk.apps["web"].app_context(), bind_tenant(desk.tenant_id), transaction():
        conflict_records.decide_match(desk.tenant_id, one, record_id, seen=mark, by=desk.by)


def _is_there(desk: Desk, record_id: uuid.UUID) -> bool:
    return bool(desk.all("SELECT deleted_at IS NULL FROM records WHERE id = %s", record_id)[0][0])


def _intents(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.all("SELECT state, operation FROM intents WHERE installation_id = %s", desk.installation_id)


def test_deleted_there_delete_here_too(desk: Desk) -> None:
    one, record_id = desk.deleted_there()
    _answer(desk, one, "delete")
    assert not _is_there(desk, record_id)
    assert desk.row(one, "state", "resolution", "choices") == ("settled", "theirs", {"record": "delete"})


def test_deleted_there_create_it_there_again(desk: Desk) -> None:
    one, record_id = desk.deleted_there()
    _answer(desk, one, "create")
    assert _is_there(desk, record_id)
    assert _intents(desk) == [("planned", "create")]
    assert desk.row(one, "resolution") == ("ours",)


def test_deleted_there_keep_it_only_here(desk: Desk) -> None:
    one, record_id = desk.deleted_there()
    _answer(desk, one, "keep")
    assert _is_there(desk, record_id)
    assert _intents(desk) == []
    assert desk.row(one, "resolution") == ("kept",)


def test_deleted_here_keep_it_or_delete_it_on_both_sides(desk: Desk) -> None:
    one, record_id = desk.deleted_here()
    _answer(desk, one, "keep")
    assert _is_there(desk, record_id)
    assert _intents(desk) == []
    assert desk.row(one, "resolution") == ("theirs",)
    _answer(desk, one, "delete")  # The decision is changed.
    assert not _is_there(desk, record_id)
    assert [row[0] for row in _intents(desk)] == ["planned"]
    assert desk.row(one, "resolution") == ("ours",)


def test_a_delete_is_taken_back_with_all_values(desk: Desk) -> None:
    one, record_id = desk.deleted_there()
    _answer(desk, one, "delete")
    _answer(desk, one, "create")
    assert _is_there(desk, record_id)
    assert desk.all("SELECT data->>'city' FROM records WHERE id = %s", record_id) == [("Oslo",)]
    assert _intents(desk) == [("planned", "create")]
    assert desk.all("SELECT operation FROM changes ORDER BY id") == [("created",), ("deleted",), ("restored",)]


def test_what_has_changed_since_is_not_deleted(desk: Desk) -> None:
    one, record_id = desk.deleted_there()
    seen = desk.seen(one)
    desk.owner.execute('UPDATE records SET data = data || \'{"city": "Rome"}\' WHERE id = %s', (record_id,))
    with pytest.raises(ConflictError, match="A value has changed"):
        _answer(desk, one, "delete", seen=seen)
    assert _is_there(desk, record_id)


def test_a_match_is_joined_with_the_chosen_record_by_a_merge(desk: Desk) -> None:
    one, ids = desk.match()
    _match(desk, one, ids[1])
    assert desk.row(one, "state", "resolution", "record_id") == ("settled", "linked", ids[1])
    link = desk.all("SELECT record_id, base FROM links WHERE external_id = 'contact-new'")
    # Name and city differ, and the policy is to ask: they are conflicts of their own now, the rest is agreed on.
    assert link == [(ids[1], {"email": "priya@example.test"})]
    assert desk.all("SELECT kind, ours, theirs FROM conflicts WHERE state = 'open'") == [
        (
            "fields",
            {"full_name": "Priya 1", "city": "City 1"},
            {"full_name": "Priya Raman", "city": "Bonn"},
        )
    ]
    assert desk.all("SELECT operation, writer FROM changes WHERE installation_id IS NOT NULL") == [
        ("linked", "Maja Lindqvist, who settled a conflict with HubSpot")
    ]
    assert desk.all("SELECT key FROM tasks WHERE kind = 'read_record'") == [
        (f"{desk.installation_id}:contacts:contact-new",)
    ]


def test_a_match_with_none_of_them_makes_a_new_record(desk: Desk) -> None:
    one, ids = desk.match()
    _match(desk, one, None)
    made = desk.row(one, "record_id")[0]
    assert made not in ids
    data, base = desk.all(
        "SELECT r.data, l.base FROM records r JOIN links l ON l.record_id = r.id WHERE r.id = %s", made
    )[0]
    assert data == base == {"email": "priya@example.test", "full_name": "Priya Raman", "city": "Bonn"}
    assert desk.row(one, "resolution") == ("created",)
    assert _intents(desk) == []  # Both sides agree: nothing is sent.


def test_a_record_that_is_gone_or_was_never_offered_is_refused(desk: Desk) -> None:
    one, ids = desk.match()
    stranger = desk.record(full_name="Somebody", email="else@example.test")
    desk.owner.execute("UPDATE records SET deleted_at = now() WHERE id = %s", (ids[0],))
    for wrong in (ids[0], stranger, uuid.uuid4()):
        with pytest.raises(ConflictError, match="not there any more"):
            _match(desk, one, wrong)
    assert desk.row(one, "state") == ("open",)


def test_a_record_taken_for_another_moves_to_the_one_that_is_chosen(desk: Desk) -> None:
    """Twins: what we had just created was read before its id was known, and taken for somebody else."""
    one, ids = desk.match()
    desk.link(ids[0], "contact-new", {"email": "priya@example.test"})
    _match(desk, one, ids[1])
    assert desk.all("SELECT record_id FROM links WHERE external_id = 'contact-new'") == [(ids[1],)]
    assert _is_there(desk, ids[0])
