"""What each installation has handled: changes told often, told again, lost, and left out by a filter (issue 5, the bus)."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from app.clock import now
from app.services import handled_changes, intents, mappings, missed_writes, record_edits, record_events, tasks
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from app.views.stories import Teller
from jobs import drain as drain_module
from tests.counterparts.served import NAMES, Pair, Served, pair
from tests.factories.tenants import activate, connect_kinto

__all__ = ["pair"]
MakePair = Callable[..., Pair]
_NEWEST = "SELECT id FROM changes WHERE record_id = '{}' ORDER BY id DESC LIMIT 1"


def writes(sides: Pair, record_id: uuid.UUID) -> list[tuple[Any, ...]]:
    """Return (state, told, repeated) of the writes of a record, oldest first."""
    return sides.rows(f"SELECT state, told, repeated FROM intents WHERE record_id = '{record_id}' ORDER BY id")


def story(sides: Pair, record_id: uuid.UUID) -> list[str]:
    """Return what the page of the record notes about its writes."""
    found = sides.act(lambda: record_events.list_events(sides.tenant_id, record_id, kind="writes"))
    teller = Teller("Fieldstone", {}, ())
    return [note for event in found.events for note in teller.tell(event).notes]


def told(sides: Pair) -> handled_changes.Told:
    """Return what was told more than once in the last hour."""
    since = now() - timedelta(hours=1)
    counts = sides.act(lambda: handled_changes.count(sides.tenant_id, [sides.installation_id], since))
    return counts.get(sides.installation_id, handled_changes.Told())  # type: ignore[no-any-return]


def check(sides: Pair, *words: str) -> str:
    """Run the command about the tenant, as an operator types it."""
    args = ["tenants", "check-writes", str(sides.tenant_id), *words]
    found = sides.apps["owner"].test_cli_runner().invoke(args=args)
    assert found.exit_code == 0, found.output
    return found.output


def lose(sides: Pair, record_ids: list[uuid.UUID], value: str) -> None:
    """Change records and delete their writes by hand, and see that nothing comes of it."""
    sides.edit(record_ids, b=value)
    sides.owner.execute("DELETE FROM intents WHERE state = 'planned' AND tenant_id = %s", (sides.tenant_id,))
    sides.settle()
    assert sides.served.named(b=value) == []


def test_changes_that_are_told_while_a_write_waits_are_one_write_which_says_how_many(pair: MakePair) -> None:
    sides = pair(records=2)
    first, other = sides.ids()
    for number in range(5):
        sides.edit([first], b=f"v{number}")
    sides.settle()
    assert sides.served.count("PATCH") == 1
    assert sides.served.named(b="v4")
    assert writes(sides, first) == [("confirmed", 5, False)]
    assert writes(sides, other) == []
    newest = sides.one(_NEWEST.format(first))
    assert sides.one(f"SELECT handled_id FROM intents WHERE record_id = '{first}'") == newest
    assert "carries 5 changes" in story(sides, first)
    assert told(sides) == handled_changes.Told(folded=4)


def test_what_is_told_while_a_write_is_being_sent_is_counted_with_the_one_that_follows(pair: MakePair) -> None:
    sides = pair(records=1)
    (record_id,) = sides.ids()
    sides.served.meanwhile = lambda: [sides.edit([record_id], b=value) for value in ("second", "third")]  # type: ignore[func-returns-value]
    sides.edit([record_id], b="first")
    sides.settle()
    assert sides.served.count("PATCH") == 2
    assert writes(sides, record_id) == [("confirmed", 1, False), ("confirmed", 2, False)]
    handled = [row[0] for row in sides.rows("SELECT handled_id FROM intents ORDER BY id")]
    changes = [row[0] for row in sides.rows("SELECT id FROM changes WHERE operation = 'updated' ORDER BY id")]
    assert handled == [changes[0], changes[2]]


def test_a_change_that_is_told_again_is_counted_and_nothing_is_sent(pair: MakePair) -> None:
    sides = pair(records=1)
    (record_id,) = sides.ids()
    sides.edit([record_id], b="once")
    sides.settle()
    calls = len(sides.served._server.calls)
    sides.act(lambda: intents.plan_changed(sides.tenant_id, [record_id], cause="Host"))
    sides.settle()
    assert len(sides.served._server.calls) == calls
    assert writes(sides, record_id) == [("confirmed", 1, False), ("dropped", 1, True)]
    assert told(sides) == handled_changes.Told(repeated=1)
    assert "told again of what the write before had carried" in story(sides, record_id)
    sides.edit([record_id], b="twice")
    sides.settle()
    assert writes(sides, record_id)[2:] == [("confirmed", 1, False)]


def test_a_lost_write_is_found_by_the_check_and_made_once(pair: MakePair) -> None:
    sides = pair(records=3)
    assert "0 missed" in check(sides)
    lost, whole = sides.ids()[:2], sides.ids()[2:]
    sides.edit(whole, b="kept")
    sides.settle()
    lose(sides, lost, "lost")
    made = sides.served.count("PATCH")
    said = check(sides)
    assert "Kinto, contacts: 2 missed, planned now." in said
    assert "2 missed" in said.splitlines()[-1]
    assert "0 missed" in check(sides), "what waits is not planned twice"
    sides.settle()
    assert (sides.served.count("PATCH") - made, len(sides.served.named(b="lost"))) == (2, 2)
    assert "0 missed" in check(sides)
    assert missed_writes.CAUSE in story(sides, lost[0])
    assert [row[1:] for row in writes(sides, lost[0])] == [(0, False)]


def test_a_write_that_was_refused_or_needs_nothing_is_handled(pair: MakePair) -> None:
    sides = pair(records=2)
    refused, same = sides.ids()
    sides.served.refuses = lambda fields: "bad" in fields.values()
    sides.edit([refused], b="bad")
    sides.edit([same], b="there and back")
    sides.edit([same], b=None)
    sides.settle()
    assert [row[0] for row in (*writes(sides, refused)[:1], *writes(sides, same))] == ["rejected", "dropped"]
    sides.remove([same])
    sides.settle()
    assert "0 missed" in check(sides)


def test_what_an_undo_has_deleted_here_stays_there_and_is_not_missed(pair: MakePair) -> None:
    sides = pair(records=2)
    quiet, waiting = sides.ids()
    sides.edit([waiting], b="not sent yet")
    run_id = sides.one("SELECT id FROM runs")
    sides.act(lambda: record_edits.remove(sides.tenant_id, [quiet, waiting], writer="Undo", undoes=run_id))
    assert "0 missed" in check(sides)
    assert writes(sides, waiting) == [("dropped", 1, False)]
    newest = sides.one(_NEWEST.format(waiting))
    assert sides.one("SELECT handled_id FROM intents") == newest, "it needs nothing more, up to the delete"


def test_streams_that_are_off_paused_or_of_before_miss_nothing(pair: MakePair) -> None:
    sides = pair(records=1)
    lose(sides, sides.ids(), "lost")
    sides.set_stream(enabled=False)
    assert "0 missed" in check(sides)
    sides.set_stream(enabled=True)
    sides.owner.execute("UPDATE installations SET state = 'paused'")
    assert "0 missed" in check(sides)
    sides.owner.execute("UPDATE installations SET state = 'active'")
    newest = sides.one(_NEWEST.format(sides.ids()[0]))
    # As a migration has found it: a journal, and writes that do not say what they have carried.
    sides.set_stream(told_from=newest)
    assert "0 missed" in check(sides)
    sides.set_stream(told_from=uuid.UUID(int=0))
    assert "1 missed" in check(sides)


def test_the_check_of_one_tenant_leaves_the_others_alone(pair: MakePair) -> None:
    one, other = pair(records=1), pair(records=1)
    for sides in (one, other):
        sides.edit([sides.one(f"SELECT id FROM records WHERE tenant_id = '{sides.tenant_id}'")], b="lost")
    one.owner.execute("DELETE FROM intents")
    assert "1 missed" in check(one).splitlines()[-1]
    assert one.rows("SELECT DISTINCT tenant_id FROM intents") == [(one.tenant_id,)]
    # What is looked at is bound to the tenant, whoever asks.
    assert one.act(lambda: missed_writes.look(other.tenant_id, uuid.UUID(int=0))).missed == {}


def test_the_daily_task_finds_what_is_lost_page_by_page_and_not_more_than_its_most(
    pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = pair(records=6)
    lose(sides, sides.ids(), "lost")
    look = missed_writes.look
    monkeypatch.setattr(missed_writes, "look", lambda tenant_id, after: look(tenant_id, after, limit=4))
    monkeypatch.setattr(missed_writes, "MOST", 3)
    _daily(sides)
    sides.settle()
    assert sides.served.count("PATCH") == 4, "a page, and no further"
    monkeypatch.setattr(missed_writes, "MOST", 1000)
    _daily(sides)
    sides.settle()
    assert (sides.served.count("PATCH"), len(sides.served.named(b="lost"))) == (6, 6)
    assert sides.rows("SELECT DISTINCT state FROM tasks WHERE kind = 'check_writes'") == [("done",)]


def _daily(sides: Pair) -> None:
    with sides.apps["dispatcher"].app_context(), bind_tenant(PLATFORM_TENANT), transaction():
        tasks.add_task(PLATFORM_TENANT, "send", "check_writes", "daily")
    drain_module.drain("send")
    sides.work()


def test_what_a_filter_leaves_out_is_not_sent_and_what_comes_back_is_sent_whole(pair: MakePair) -> None:
    sides = pair(records=1)
    (record_id,) = sides.ids()
    rule = {"field": NAMES["b"], "op": "is", "values": ["in"], "mode": "include"}
    sides.edit([record_id], b="in")
    sides.settle()
    sides.act(
        lambda: mappings.put_in_force(
            sides.tenant_id, sides.installation_id, "contacts", filters=[rule], user_id=None
        )
    )  # fmt: skip
    sides.sync()
    made, (name,) = sides.served.count("PATCH"), sides.vendor.live()
    sides.edit([record_id], b="out")  # It leaves the filter …
    sides.edit([record_id], c="while out")
    sides.settle()
    outside = sides.create(1, **{NAMES["b"]: "never in"})
    sides.settle()
    assert (sides.served.count("PATCH"), sides.served.count("POST")) == (made, 0)
    assert sides.vendor.live()[name].data["b"] == "in", "it is left as it is"
    for left in (record_id, *outside):
        assert writes(sides, left)[-1][0] == "dropped"
        assert any(note.startswith("Left out by your filter: ") for note in story(sides, left)), story(sides, left)
    assert "0 missed" in check(sides), "left out is handled"
    sides.sync("full")
    assert (sides.served.count("PATCH"), sides.served.count("POST")) == (made, 0)
    sides.edit([record_id], b="in", a="back")  # … and comes back.
    sides.settle()
    data = sides.vendor.live()[name].data
    assert (data["a"], data["b"], data["c"]) == ("back", "in", "while out")
    assert sides.served.count("PATCH") == made + 1


def second_side(sides: Pair, served: Served) -> uuid.UUID:
    """Add another account of the same kind to the tenant, and let all three come to rest; return its installation."""
    with sides.apps["web"].app_context():
        made = connect_kinto(sides.tenant_id, served.origin, "password")
    drain_module.drain("fast")
    sides.owner.execute("UPDATE connections SET account_id = id::text")
    sides.set_stream(direction="both", conflict_policy="ask")
    with sides.apps["web"].app_context():
        activate(sides.tenant_id, made)
    sides.settle()
    return made


def test_what_one_installation_reads_is_handled_by_the_other_and_what_that_lost_is_found(pair: MakePair) -> None:
    sides, other = pair(records=3), Served()
    try:
        other.fill(1)
        other.vendor.create_by_person({"key": "theirs alone", "a": "x"})
        second = second_side(sides, other)
        assert (len(sides.vendor.live()), len(other.vendor.live())) == (4, 4)
        for name in sides.vendor.live():
            sides.vendor.edit_by_person(name, "b", "read")
        other.refuses = lambda fields: "lived" in fields.values()
        gone = sides.vendor.create_by_person({"key": "short", "a": "lived"})
        sides.sync()
        assert len(other.named(b="read")) == 4
        sides.vendor.delete(gone, None)
        sides.sync()
        deleted = sides.one("SELECT count(*) FROM changes WHERE operation = 'deleted'")
        assert (deleted, len(other.vendor.live())) == (1, 4), "deleted here, and never there"
        assert "0 missed" in check(sides), "each has handled what the other has told"
        sides.owner.execute("UPDATE installations SET state = 'paused' WHERE id = %s", (second,))
        sides.vendor.edit_by_person(sides.served.named(key="k0")[0], "b", "lost")
        sides.sync()
        assert sides.owner.execute("DELETE FROM intents WHERE state = 'planned'").rowcount == 1
        assert "0 missed" in check(sides), "a paused one is left alone"
        sides.owner.execute("UPDATE installations SET state = 'active'")
        begun = [sides.one(f"SELECT told_from FROM installation_streams WHERE installation_id = '{second}'")]
        begun.append(sides.one("SELECT id FROM changes ORDER BY id DESC LIMIT 1"))
        for told_from, missed in zip(reversed(begun), (0, 1), strict=True):
            sides.owner.execute(
                "UPDATE installation_streams SET told_from = %s WHERE installation_id = %s", (told_from, second)
            )
            assert f"{missed} missed" in check(sides).splitlines()[-1], "each stream from where it begins"
        sides.settle()
        assert len(other.named(b="lost")) == 1
        assert "0 missed" in check(sides)
    finally:
        other.stop()
