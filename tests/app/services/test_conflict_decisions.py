"""A person settles a conflict of values: what is written on either side, what is kept, and what is refused."""

import threading
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.db import db
from app.errors import ConflictError, InvalidError
from app.services import (
    conflict_decisions,
    conflict_details,
    intents,
    listings,
    page_deletes,
    page_writes,
    passes,
    problems,
    record_edits,
    runs,
)
from app.services.page_context import Out, PageContext
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.conflicts import BASE, OURS, THEIRS, Desk
from tests.factories.tasks import together

Owner = psycopg.Connection[Any]
_RECORD = "SELECT r.data->>%s FROM records r JOIN conflicts c ON c.record_id = r.id WHERE c.id = %s"
_LINK = "SELECT l.base->>%s FROM links l JOIN conflicts c ON c.external_id = l.external_id WHERE c.id = %s"
_INTENTS = (
    "SELECT i.state, i.operation, i.cause FROM intents i JOIN conflicts c ON c.record_id = i.record_id WHERE c.id = %s"
)


@pytest.fixture
def desk(apps: dict[str, Flask], clean: None, owner: Owner) -> Desk:
    return Desk(apps, owner)


def test_theirs_is_taken_over_and_agreed_on(desk: Desk) -> None:
    one = desk.clash()
    desk.decide(one, phone="theirs")
    assert desk.all(_RECORD, "phone", one) == [(THEIRS,)]
    assert desk.all(_LINK, "phone", one) == [(THEIRS,)]
    state, resolution, choices, ours, who = desk.row(one, "state", "resolution", "choices", "ours", "settled_by")
    assert (state, resolution, choices, who) == ("settled", "theirs", {"phone": "theirs"}, desk.by.id)
    assert ours == {"phone": OURS}  # The value that gave way is kept.
    assert desk.all("SELECT writer, before, after FROM changes WHERE operation = 'updated'") == [
        ("Maja Lindqvist, who chose HubSpot's value", {"phone": OURS}, {"phone": THEIRS})
    ]
    # Other installations hear of it by the same plan; here both sides agree when it is looked at.
    assert [row[0] for row in desk.all(_INTENTS, one)] == ["planned"]
    audited = desk.all("SELECT action, subject, details->'choices' FROM audit WHERE action LIKE 'conflict.%%'")
    assert audited == [("conflict.settled", "Priya Raman", {"phone": "theirs"})]


def test_ours_stays_and_is_sent_there(desk: Desk) -> None:
    one = desk.clash()
    desk.decide(one, phone="ours")
    assert desk.all(_RECORD, "phone", one) == [(OURS,)]
    assert desk.all(_LINK, "phone", one) == [(THEIRS,)]  # What is there is known; ours differs from it, so it is sent.
    assert desk.all(_INTENTS, one) == [("planned", "decide", "Maja Lindqvist, who chose our value")]
    assert desk.all("SELECT count(*) FROM changes WHERE operation = 'updated'") == [(0,)]
    assert desk.all("SELECT kind FROM tasks WHERE kind = 'send_intents' AND state = 'ready'") == [("send_intents",)]


def test_each_field_has_its_own_choice(desk: Desk) -> None:
    one = desk.clash(
        phone=(BASE, THEIRS, OURS), job_title=("Buyer", "Head", "Director"), city=("Rome", "Bonn", "Oslo"),
        score=(1, 2, 3),
    )  # fmt: skip
    desk.decide(one, phone="theirs", job_title="ours", city="base", score="44")
    held = desk.all("SELECT data FROM records r JOIN conflicts c ON c.record_id = r.id WHERE c.id = %s", one)[0][0]
    assert [held[name] for name in ("phone", "job_title", "city", "score")] == [THEIRS, "Director", "Rome", 44]
    assert desk.row(one, "resolution", "edited") == ("edited", {"score": 44})
    base = desk.all("SELECT l.base FROM links l JOIN conflicts c ON c.external_id = l.external_id WHERE c.id = %s", one)
    assert base[0][0] == {"phone": THEIRS, "job_title": "Head", "city": "Bonn", "score": 2}
    assert len(desk.all(_INTENTS, one)) == 1


def test_a_field_without_a_choice_and_a_value_that_does_not_fit_are_told_and_nothing_is_written(desk: Desk) -> None:
    one = desk.clash(phone=(BASE, THEIRS, OURS), score=(1, 2, 3))
    with pytest.raises(InvalidError) as missing:
        desk.decide(one, phone="theirs")
    assert missing.value.fields == {"score": "Choose a value for Score."}
    with pytest.raises(InvalidError) as wrong:
        desk.decide(one, phone="theirs", score="many")
    assert wrong.value.fields == {"score": "Score: the value is not a number."}
    assert desk.row(one, "state") == ("open",)
    assert desk.all(_RECORD, "phone", one) == [(OURS,)]


def test_the_second_of_two_decisions_is_refused_by_name(desk: Desk) -> None:
    one = desk.clash()
    seen = desk.seen(one)
    desk.decide(one, phone="theirs", seen=seen)
    with pytest.raises(ConflictError, match="Maja Lindqvist has settled this conflict already"):
        desk.decide(one, phone="ours", seen=seen)
    assert desk.all(_RECORD, "phone", one) == [(THEIRS,)]


@pytest.mark.parametrize("moved", ["theirs", "ours"])
def test_a_value_that_has_changed_since_the_page_was_shown_is_asked_about_once_more(desk: Desk, moved: str) -> None:
    one = desk.clash()
    seen = desk.seen(one)
    if moved == "theirs":
        desk.owner.execute('UPDATE conflicts SET theirs = \'{"phone": "+1"}\' WHERE id = %s', (one,))
    else:
        _edit(desk, one, phone="+1")
    with pytest.raises(ConflictError, match="A value has changed since this page was shown"):
        desk.decide(one, phone="theirs", seen=seen)
    assert desk.row(one, "state") == ("open",)
    desk.decide(one, phone=moved)
    assert desk.all(_RECORD, "phone", one) == [("+1",)]


def _edit(desk: Desk, one: Any, **values: Any) -> None:
    with desk.apps["web"].app_context(), bind_tenant(desk.tenant_id), transaction():
        record_edits.update(desk.tenant_id, desk.row(one, "record_id")[0], values, writer="Host")


def test_of_many_who_decide_at_once_one_does(desk: Desk) -> None:
    one = desk.clash()
    seen = desk.seen(one)

    def decide(number: int) -> str:
        try:
            desk.decide(one, phone="theirs" if number % 2 else "ours", seen=seen)
        except ConflictError as error:
            return error.code
        return "saved"

    answers = together(6, decide)
    assert sorted(answers) == ["conflict_settled"] * 5 + ["saved"]
    assert desk.all("SELECT count(*) FROM audit WHERE action = 'conflict.settled'") == [(1,)]


def test_a_decision_waits_for_a_page_that_holds_the_record(desk: Desk) -> None:
    """Locks are taken in the order of a page: red when the conflict is locked before its record."""
    one = desk.clash()
    seen, record_id = desk.seen(one), desk.row(one, "record_id")[0]
    with psycopg.connect(desk.owner.info.dsn) as page:
        page.execute("SELECT 1 FROM records WHERE id = %s FOR NO KEY UPDATE", (record_id,))
        answers: list[str] = []

        def decide() -> None:
            try:
                desk.decide(one, phone="ours", seen=seen)
            except ConflictError as error:
                answers.append(error.code)

        thread = threading.Thread(target=decide)
        thread.start()
        thread.join(0.5)
        page.execute("SET LOCAL lock_timeout = '2s'")
        page.execute('UPDATE conflicts SET theirs = \'{"phone": "+1"}\' WHERE id = %s', (one,))
        page.commit()
        thread.join(10)
    assert answers == ["conflict_moved"]


def test_a_tombstone_waits_for_a_decision_under_way(desk: Desk) -> None:
    """Both need the record and its link: red, as a deadlock, when the tombstone takes the link first."""
    one = desk.clash()
    record_id, external_id = desk.row(one, "record_id", "external_id")

    def delete() -> None:
        with desk.apps["worker"].app_context(), bind_tenant(desk.tenant_id), transaction():
            context = _contacts(desk)
            page_deletes.delete_links(page_writes.connection(), context, [external_id], 1)

    with psycopg.connect(desk.owner.info.dsn) as decision:
        decision.execute("SELECT 1 FROM records WHERE id = %s FOR UPDATE", (record_id,))
        tombstone = threading.Thread(target=delete)
        tombstone.start()
        tombstone.join(0.5)
        decision.execute("SET LOCAL lock_timeout = '2s'")
        decision.execute("UPDATE links SET base = base WHERE external_id = %s", (external_id,))
        decision.commit()
        tombstone.join(10)
    assert desk.all("SELECT deleted_at IS NOT NULL FROM links WHERE external_id = %s", external_id) == [(True,)]


def _contacts(desk: Desk) -> PageContext:
    installation = runs.get_installation(desk.tenant_id, desk.installation_id)
    return passes.open_context(
        desk.tenant_id, installation, "contacts", listings.manifest_of(installation.listing_version_id)
    )


def test_an_edit_that_makes_both_sides_equal_settles_it(desk: Desk) -> None:
    one, other = desk.clash(), desk.clash("Another")
    _edit(desk, one, phone=THEIRS)
    assert desk.row(one, "state", "resolution") == ("settled", "agreed")
    assert desk.all(_LINK, "phone", one) == [(THEIRS,)]
    assert desk.row(other, "state") == ("open",)
    _edit(desk, other, phone="+1")
    assert desk.row(other, "state") == ("open",)


def test_a_record_that_is_deleted_leaves_nothing_to_decide_and_both_values_stay(desk: Desk) -> None:
    one = desk.clash()
    with desk.apps["web"].app_context(), bind_tenant(desk.tenant_id), transaction():
        record_edits.delete(desk.tenant_id, desk.row(one, "record_id")[0], writer="Host")
    assert desk.row(one, "state", "resolution", "theirs", "ours") == (
        "settled", "gone", {"phone": THEIRS}, {"phone": OURS},
    )  # fmt: skip


def _take(desk: Desk, one: Any, side: Any, *, seen: str | None = None) -> None:
    mark = seen or desk.seen(one)
    with desk.apps["web"].app_context(), bind_tenant(desk.tenant_id), transaction():
        conflict_decisions.take_other(desk.tenant_id, one, "phone", side, seen=mark, by=desk.by)


def test_a_decision_is_taken_back_while_the_record_is_as_it_left_it(desk: Desk) -> None:
    one = desk.clash()
    desk.decide(one, phone="theirs")
    desk.owner.execute("DELETE FROM intents")
    _take(desk, one, "ours")
    assert desk.all(_RECORD, "phone", one) == [(OURS,)]
    assert desk.all(_LINK, "phone", one) == [(THEIRS,)]
    assert [row[0] for row in desk.all(_INTENTS, one)] == ["planned"]
    assert desk.row(one, "resolution", "choices") == ("ours", {"phone": "ours"})
    _edit(desk, one, phone="+1")
    with pytest.raises(ConflictError, match="The record has changed since this was decided"):
        _take(desk, one, "theirs")
    assert desk.all(_RECORD, "phone", one) == [("+1",)]
    assert desk.all("SELECT action FROM audit WHERE action LIKE 'conflict.%%' ORDER BY id") == [
        ("conflict.settled",), ("conflict.changed",),
    ]  # fmt: skip


def test_what_a_policy_decided_is_taken_back_too(desk: Desk) -> None:
    one = desk.clash()
    desk.owner.execute(
        "UPDATE conflicts SET state = 'settled', resolution = 'policy', policy = 'theirs', settled_at = now(), "
        'choices = \'{"phone": "theirs"}\' WHERE id = %s',
        (one,),
    )
    _edit(desk, one, phone=THEIRS)
    _take(desk, one, "ours")
    assert desk.all(_RECORD, "phone", one) == [(OURS,)]
    assert desk.row(one, "resolution", "policy", "settled_by") == ("ours", "theirs", desk.by.id)


def test_open_conflicts_are_one_problem_for_each_stream_and_it_closes_with_the_last(desk: Desk) -> None:
    first, second = desk.clash(), desk.clash("Another")
    with desk.apps["worker"].app_context(), bind_tenant(desk.tenant_id), transaction():
        problems.sum_up_conflicts(desk.tenant_id, desk.installation_id)
    query = "SELECT state, count, message FROM problems WHERE code = 'conflicts_open'"
    assert desk.all(query) == [("open", 2, "2 records of contacts wait for a decision")]
    # A run that has worked to its end proves nothing about them.
    with desk.apps["worker"].app_context(), bind_tenant(desk.tenant_id), transaction():
        problems.close_run_problems(desk.tenant_id, desk.installation_id)
    desk.decide(first, phone="ours")
    assert desk.all(query) == [("open", 1, "1 record of contacts waits for a decision")]
    desk.decide(second, phone="ours")
    assert desk.all("SELECT state FROM problems WHERE code = 'conflicts_open'") == [("closed",)]


def test_another_installations_page_that_makes_both_equal_is_seen_at_the_end_of_the_run(desk: Desk) -> None:
    one = desk.clash()
    desk.owner.execute(
        "UPDATE records SET data = data || jsonb_build_object('phone', %s::text) WHERE id = %s",
        (THEIRS, desk.row(one, "record_id")[0]),
    )
    with desk.apps["worker"].app_context(), bind_tenant(desk.tenant_id), transaction():
        problems.sum_up_conflicts(desk.tenant_id, desk.installation_id)
    assert desk.row(one, "resolution") == ("agreed",)


def test_the_page_says_who_wrote_what_and_that_a_field_does_not_flow_out(desk: Desk) -> None:
    one = desk.clash(phone=(None, THEIRS, OURS), full_name=("P", "Q", "R"))
    desk.owner.execute('UPDATE links SET base = \'{"full_name": "P"}\'')
    with desk.apps["web"].app_context(), bind_tenant(desk.tenant_id):
        details = conflict_details.get_details(desk.tenant_id, one)
        phone, name = (next(f for f in details.fields if f.name == wanted) for wanted in ("phone", "full_name"))
        assert (phone.agreed, name.agreed) == (False, True)
        assert phone.ours_by is not None
        assert phone.ours_by.writer == "Maja Lindqvist"
        # Two fields make the full name: that cannot be turned round.
        assert (phone.flows_out, name.flows_out) == (True, False)
        both = {"phone": conflict_decisions.Choice("ours"), "full_name": conflict_decisions.Choice("ours")}
        outlook = conflict_decisions.foresee(details, both)
        assert (outlook.here, [f.name for f, _ in outlook.there], [f.name for f in outlook.differ]) == (
            [], ["phone"], ["full_name"],
        )  # fmt: skip


def test_create_again_is_kept_when_the_record_changes_before_it_is_sent(desk: Desk) -> None:
    one = desk.clash()
    record_id, place = desk.row(one, "record_id")[0], Out(desk.installation_id, "contacts")
    with desk.apps["web"].app_context(), bind_tenant(desk.tenant_id), transaction():
        db.session.connection()
        for operation in ("decide", "create", "decide"):
            intents.plan(
                page_writes.connection(), desk.tenant_id, [(place, record_id)], cause="Host", operation=operation
            )
    assert [row[:2] for row in desk.all(_INTENTS, one)] == [("planned", "create")]
