"""Many deletes at once, from either side, and a side that shows nothing (D12, D13)."""

import uuid
from collections.abc import Callable

import pytest

from app.services import intents, runs
from tests.app.sync.model.vendor import Traits
from tests.counterparts.served import Pair, pair

__all__ = ["pair"]
MakePair = Callable[..., Pair]
TOMBSTONES, PASSES = Traits(), Traits(tombstones=False)
RECORDS = 90  # One page: a question counts the deletes of what has been read when it is asked.


def live(sides: Pair) -> tuple[int, int]:
    """Return how many records are here and there."""
    return len(sides.ids()), len(sides.vendor.live())


def delete_there(sides: Pair, count: int) -> None:
    """Let people there delete records, and sync as often as it takes to be sure."""
    for name in sorted(sides.vendor.live())[:count]:
        sides.vendor.delete_by_person(name)
    sides.sync()
    if not sides.vendor.traits.tombstones:
        sides.sync("full")
        sides.sync("full")


def question(sides: Pair) -> tuple[uuid.UUID, dict[str, int]] | None:
    """Return the run that asks, and what."""
    rows = sides.rows("SELECT id, question FROM runs WHERE state = 'asking'")
    return (rows[0][0], rows[0][1]) if rows else None


@pytest.mark.parametrize("traits", [TOMBSTONES, PASSES], ids=["tombstones", "two passes"])
@pytest.mark.parametrize("share", [0.49, 0.51, 1.0])
def test_many_deletes_from_there_wait_for_a_person(pair: MakePair, traits: Traits, share: float) -> None:
    sides = pair(traits, records=RECORDS)
    gone = int(RECORDS * share)
    delete_there(sides, gone)
    hidden = share == 1.0 and traits is PASSES
    assert len(sides.ids()) == RECORDS
    asked = question(sides)
    # A side that shows nothing at all is not even asked about: its pass proves nothing.
    assert (asked is None) == hidden
    if asked:
        assert (asked[1]["candidates"], asked[1]["live"]) == (gone, RECORDS)
        sides.act(lambda: runs.confirm(sides.tenant_id, asked[0], uuid.uuid4()))
        sides.settle()
        assert live(sides) == (RECORDS - gone, RECORDS - gone)


@pytest.mark.parametrize("traits", [TOMBSTONES, PASSES], ids=["tombstones", "two passes"])
def test_a_no_keeps_everything(pair: MakePair, traits: Traits) -> None:
    sides = pair(traits, records=RECORDS)
    delete_there(sides, 60)
    asked = question(sides)
    assert asked is not None
    sides.act(lambda: runs.decline(sides.tenant_id, asked[0]))
    sides.settle()
    assert len(sides.ids()) == RECORDS


@pytest.mark.parametrize("traits", [TOMBSTONES, PASSES], ids=["tombstones", "two passes"])
def test_few_deletes_are_applied(pair: MakePair, traits: Traits) -> None:
    sides = pair(traits, records=RECORDS)
    delete_there(sides, 20)
    assert live(sides) == (RECORDS - 20, RECORDS - 20)
    assert question(sides) is None


@pytest.mark.parametrize("traits", [TOMBSTONES, PASSES], ids=["tombstones", "two passes"])
def test_a_side_that_shows_nothing_deletes_nothing(pair: MakePair, traits: Traits) -> None:
    """D13: 200 and an empty list, three times in full; so few that the guard of many deletes would not ask."""
    sides = pair(traits, records=15)
    sides.served.hidden = True
    for _ in range(3):
        sides.sync("full")
    assert len(sides.ids()) == 15
    assert sides.vendor.writes == 0


@pytest.mark.parametrize("share", [0.49, 0.51, 1.0])
@pytest.mark.parametrize("answer", [True, False], ids=["yes", "no"])
def test_many_deletes_from_here_wait_for_a_person(pair: MakePair, share: float, answer: bool) -> None:
    """The way out: nothing is deleted there before the answer, the exact number after a yes, none after a no."""
    sides = pair(TOMBSTONES, records=RECORDS)
    gone = int(RECORDS * share)
    sides.remove(sides.ids()[:gone])
    sides.settle()
    assert live(sides) == (RECORDS - gone, RECORDS)
    assert sides.one("SELECT count(*) FROM problems WHERE code = 'deletes_out_ask' AND state = 'open'") == 1
    sides.act(lambda: intents.answer_deletes(sides.tenant_id, sides.installation_id, delete=answer))
    sides.settle()
    sides.sync("full")
    assert live(sides) == (RECORDS - gone, RECORDS - gone if answer else RECORDS)


def test_few_deletes_from_here_are_carried_over(pair: MakePair) -> None:
    sides = pair(TOMBSTONES, records=RECORDS)
    sides.remove(sides.ids()[:20])
    sides.settle()
    assert live(sides) == (RECORDS - 20, RECORDS - 20)


def test_the_answer_is_given_although_a_record_is_being_written_again(pair: MakePair) -> None:
    """A record that came back while the question was open has a write of its own: it is not deleted there."""
    sides = pair(TOMBSTONES, records=30)
    ids = sides.ids()
    sides.remove(ids)
    sides.settle()
    sides.owner.execute("UPDATE records SET deleted_at = NULL WHERE id = %s", (ids[0],))
    sides.owner.execute("UPDATE tasks SET due_at = now() + interval '1 hour'")
    sides.edit(ids[:1], a="back")
    sides.act(lambda: intents.answer_deletes(sides.tenant_id, sides.installation_id, delete=True))
    sides.settle()
    assert sides.served.named(a="back") == ["x000"]
    assert len(sides.vendor.live()) == 1
