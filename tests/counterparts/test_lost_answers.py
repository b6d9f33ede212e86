"""Creates whose answer is lost, workers lost around a request, batches that work in part (D15-D19)."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from app.services import intent_outcomes, runs
from jobs import intent_sending
from tests.app.sync.model.vendor import Traits
from tests.counterparts.served import SOAK, KilledError, Pair, pair

__all__ = ["pair"]
MakePair = Callable[..., Pair]
CREATES = 500 if SOAK else 40
KEY, LOOKUP, NEITHER = Traits(safety="idempotency_key"), Traits(safety="lookup"), Traits(safety="review")


def cut_creates(sides: Pair, share: float, *, how: str = "cut_after") -> None:
    """Lose the answers of some creates."""
    rng = random.Random(7)
    sides.served.faults = lambda operation: how if operation == "create" and rng.random() < share else None


def doubled(sides: Pair) -> int:
    """Return how many records the vendor has beyond one for each key."""
    keys = [item.data["key"] for item in sides.vendor.live().values()]
    return len(keys) - len(set(keys))


@pytest.mark.parametrize("traits", [KEY, LOOKUP], ids=["key", "lookup"])
def test_lost_answers_make_no_duplicate_and_lose_nothing(pair: MakePair, traits: Traits) -> None:
    """D15: commit, then cut, on 30 % of the creates."""
    sides = pair(traits)
    cut_creates(sides, 0.3)
    sides.create(CREATES)
    sides.settle()
    print(f"VENDOR_DUP {doubled(sides)}/{CREATES} CUT {sides.served.cuts}")
    assert sides.served.cuts >= CREATES // 5
    assert (len(sides.vendor.live()), doubled(sides)) == (CREATES, 0)
    assert sides.one("SELECT count(*) FROM links") == CREATES
    assert sides.one("SELECT count(*) FROM intents WHERE state <> 'confirmed'") == 0


def test_where_nothing_can_be_asked_a_person_decides_about_each_lost_answer(pair: MakePair) -> None:
    """D15, "neither": as many are parked as answers were lost, and none is made twice, whatever happens meanwhile."""
    sides = pair(NEITHER)
    cut_creates(sides, 0.3)
    made = sides.create(CREATES // 2)
    sides.settle()
    parked = [row[0] for row in sides.rows("SELECT record_id FROM intents WHERE state = 'parked'")]
    assert len(parked) == sides.served.cuts > 0
    sides.served.faults = lambda _operation: None
    sides.edit(parked, b="changed since")
    sides.settle()
    sides.owner.execute("UPDATE installation_streams SET full_pass_due = true")
    sides.sync("full")
    print(f"VENDOR_DUP {doubled(sides)}/{len(made)} PARKED {len(parked)}")
    assert (len(sides.vendor.live()), doubled(sides)) == (len(made), 0)


def test_what_may_be_there_is_not_created_again_by_an_edit_or_a_pass(pair: MakePair) -> None:
    """The same where the record has no key to be found by."""
    sides = pair(NEITHER)
    cut_creates(sides, 1.0, how="cut_before")
    made = sides.create(3, company_name=None)
    sides.settle()
    sides.served.faults = lambda _operation: None
    sides.edit(made, b="changed since")
    sides.sync("full")
    assert sides.vendor.live() == {}
    assert sides.one("SELECT count(*) FROM failed_records WHERE code = 'in_doubt' AND state = 'parked'") == 3


@pytest.mark.parametrize("traits", [KEY, LOOKUP], ids=["key", "lookup"])
def test_requests_that_never_arrived_are_made(pair: MakePair, traits: Traits) -> None:
    """The other half of the doubt: it was not made, and is made once."""
    sides = pair(traits)
    cut_creates(sides, 0.5, how="cut_before")
    sides.create(10)
    sides.settle()
    assert (len(sides.vendor.live()), doubled(sides)) == (10, 0)


POINTS = ["before the request", "after the answer", "while it is written down"]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("traits", [KEY, LOOKUP, NEITHER], ids=["key", "lookup", "neither"])
def test_a_worker_lost_between_sent_and_confirmed(
    pair: MakePair, monkeypatch: pytest.MonkeyPatch, traits: Traits, point: str
) -> None:
    """D16: the intent is committed as sent before the request, so whoever comes next knows that it may be there."""
    sides = pair(traits)
    sides.create(6)
    kill_at(monkeypatch, point)
    with pytest.raises(KilledError):
        sides.work()
    monkeypatch.undo()
    monkeypatch.setattr("jobs.drain.worker_app", lambda: sides.apps["worker"])
    sides.recover()
    sides.settle()
    parked = sides.one("SELECT count(*) FROM intents WHERE state = 'parked'")
    missing = 6 - len(sides.vendor.live())
    assert doubled(sides) == 0
    assert (missing, parked) == (int(point == POINTS[0]), 1) if traits is NEITHER else (0, 0)
    assert sides.one("SELECT count(DISTINCT record_id) FROM links") == 6 - (parked if traits is NEITHER else 0)


def kill_at(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """Lose the worker at one of the points of D16, at its first write."""
    send, go_on = intent_sending.Sender.send, intent_outcomes.go_on

    def killed(self: Any, item: Any) -> Any:
        if point == POINTS[1]:
            send(self, item)
        raise KilledError

    def killed_settling(*arguments: Any) -> None:
        go_on(*arguments)
        raise KilledError

    if point == POINTS[2]:
        monkeypatch.setattr(intent_outcomes, "go_on", killed_settling)
    else:
        monkeypatch.setattr(intent_sending.Sender, "send", killed)


def test_a_search_that_is_late_is_waited_for(pair: MakePair) -> None:
    """D17: the vendor's search sees new records after 20 s."""
    sides = pair(Traits(safety="lookup", lag=20))
    cut_creates(sides, 1.0)
    sides.create(5)
    sides.work()
    for _ in range(12):
        sides.lapse()
        sides.work()
    assert (len(sides.vendor.items), sides.one("SELECT count(*) FROM intents WHERE state = 'in_doubt'")) == (5, 5)
    sides.served.faults = lambda _operation: None
    sides.lapse(hours=0.01)
    sides.settle()
    assert len(sides.vendor.items) == 5
    assert sides.one("SELECT count(*) FROM intents WHERE state = 'confirmed'") == 5


def test_what_is_made_again_is_waited_for_anew(pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """D17 after a first request that never arrived: the lag counts from the second, whose answer is lost as well."""
    sides = pair(Traits(safety="lookup", lag=20))
    faults = iter(["cut_before", "cut_after"])
    sides.served.faults = lambda _operation: next(faults, None)
    sides.create(1)
    for _ in range(3):
        sides.lapse()
        sides.work()
    sides.lapse(hours=0.01)
    for _ in range(12):
        sides.lapse()
        sides.work()
    assert sides.served.cuts == 2
    sides.lapse(hours=0.01)
    sides.settle()
    assert len(sides.vendor.items) == 1


def test_a_key_that_the_vendor_has_forgotten_is_not_trusted(pair: MakePair) -> None:
    """D18: after 25 hours a key of 24 hours makes a second one; the search finds the first."""
    sides = pair(Traits(safety="idempotency_key", key_and_lookup=True))
    cut_creates(sides, 1.0)
    sides.create(4)
    for _ in range(4):
        sides.owner.execute("DELETE FROM breakers")
        sides.owner.execute("UPDATE tasks SET due_at = now() WHERE state = 'ready' AND kind = 'send_intents'")
        sides.work()
    sides.served.faults = lambda _operation: None
    posts = sides.served.count("POST")
    sides.lapse(hours=25)
    sides.settle()
    assert (len(sides.vendor.items), sides.served.count("POST")) == (4, posts)


def test_without_a_search_a_forgotten_key_is_a_matter_for_a_person(pair: MakePair) -> None:
    sides = pair(KEY)
    cut_creates(sides, 1.0)
    sides.create(1)
    sides.work()
    sides.lapse(hours=25)
    sides.settle()
    assert len(sides.vendor.items) == 1
    assert sides.one("SELECT state FROM intents") == "parked"


def test_a_batch_that_works_in_part(pair: MakePair) -> None:
    """D19: of 100, 37 are refused: 63 are confirmed and not sent again, 37 are tried alone."""
    sides = pair(LOOKUP, batch=100)
    bad = {f"new{n}" for n in range(37)}
    sides.served.refuses = lambda fields: fields.get("key") in bad
    sides.create(100)
    sides.settle()
    assert (len(sides.vendor.live()), doubled(sides)) == (63, 0)
    assert sides.rows("SELECT state, count(*) FROM intents GROUP BY 1 ORDER BY 1") == [
        ("confirmed", 63),
        ("rejected", 37),
    ]
    assert (sides.served.count("POST"), sides.served.count("POST", "/v1/buckets/crm/collections/contacts/batch")) == (
        37,
        1,
    )


def test_a_batch_whose_answer_is_lost(pair: MakePair) -> None:
    """All of it is in doubt, and each is looked for."""
    sides = pair(LOOKUP, batch=100)
    lost = iter([True])
    serve = sides.served._batch

    def cut(body: dict[str, Any]) -> Any:
        answer = serve(body)
        return (503, {}, {}) if next(lost, False) else answer

    sides.served._batch = cut  # type: ignore[method-assign]
    sides.create(40)
    sides.settle()
    assert (len(sides.vendor.items), doubled(sides)) == (40, 0)
    assert sides.one("SELECT count(*) FROM links") == 40


@pytest.mark.parametrize("traits", [KEY, LOOKUP], ids=["key", "lookup"])
def test_what_a_page_reads_before_the_answer_is_known_is_no_second_record(pair: MakePair, traits: Traits) -> None:
    """Without a key to match by the page takes it for a new one; the answer makes one of the two."""
    sides = pair(traits)
    cut_creates(sides, 1.0)
    made = sides.create(3, company_name=None)
    sides.work()
    sides.owner.execute("UPDATE tasks SET due_at = now() + interval '1 hour' WHERE kind = 'send_intents'")
    sides.owner.execute("DELETE FROM breakers")
    sides.act(lambda: runs.start_run(sides.tenant_id, sides.installation_id, trigger="manual"))
    sides.work()
    assert len(sides.ids()) == 4  # One request was made before the sender stopped; the page has read what it made.
    sides.served.faults = lambda _operation: None
    sides.settle()
    sides.sync("full")
    assert sides.ids() == sorted(made)
    assert len(sides.vendor.live()) == 3


def test_an_edit_over_there_of_what_is_in_doubt_is_kept(pair: MakePair) -> None:
    """What a search finds may have been changed since it was made: it is read, not taken for our answer."""
    sides = pair(LOOKUP)
    cut_creates(sides, 1.0)
    made = sides.create(1)
    sides.work()
    sides.vendor.edit_by_person("x000", "a", "theirs")
    sides.edit(made, a="ours")
    sides.served.faults = lambda _operation: None
    sides.settle()
    assert sides.vendor.items["x000"].data["a"] == "theirs"
    assert sides.rows("SELECT ours->>'first_name', theirs->>'first_name' FROM conflicts") == [("ours", "theirs")]
