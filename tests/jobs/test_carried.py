"""Webhooks that carry the record, for a stream that has no read of one: only what is newer is applied."""

import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask

from jobs import drain as drain_module
from tests.connectors.sandbox.running import Running
from tests.factories.endpoints import Hook, make_hook
from tests.factories.versions import change_manifest

Owner = psycopg.Connection[Any]
NAME = "con_900"


def without_reads(manifest: dict[str, Any]) -> None:
    for stream in manifest["streams"]:
        stream["fetch"] = None


class Scene:
    """An installation whose contacts cannot be read one by one: what their events carry is all there is."""

    def __init__(self, apps: dict[str, Flask], owner: Owner, vendor: Running) -> None:
        self.owner, self.number = owner, 0
        self.hook: Hook = make_hook(apps, server=vendor.origin, token=vendor.access())
        self.client = apps["web"].test_client()
        change_manifest(owner, without_reads)

    def tell(self, minute: int, name: str = NAME, said: str = "", kind: str = "updated") -> None:
        """Tell of a record as it was at a minute."""
        self.number += 1
        record = {
            "id": name, "updated_at": f"2026-11-01T12:{minute:02}:00Z", "deleted": False,
            "properties": {"firstname": said or f"At {minute}", "email": f"{name}@example.com"},
        }  # fmt: skip
        event = {**self.hook.event(self.number, name), "type": kind, "record": record}
        assert self.hook.send(self.client, event).status_code == 200

    def drain(self) -> None:
        while drain_module.drain("fast"):
            pass

    def first_name(self, name: str = NAME) -> str | None:
        row = self.owner.execute(
            "SELECT r.data ->> 'first_name' FROM links l JOIN records r ON r.tenant_id = l.tenant_id "
            "AND r.id = l.record_id WHERE l.external_id = %s AND l.deleted_at IS NULL",
            (name,),
        ).fetchone()
        return row[0] if row else None

    def effects(self) -> tuple[int, list[str]]:
        """Return how many changes there are, and what came of each hint, in the order they came."""
        changes = self.owner.execute("SELECT count(*) FROM changes").fetchone()
        states = self.owner.execute("SELECT state FROM hints ORDER BY id").fetchall()
        return (changes[0] if changes else 0), [row[0] for row in states]


@pytest.fixture
def scene(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    vendor = Running()
    vendor.store.on_change = lambda *_: None
    yield Scene(apps, owner, vendor)
    vendor.stop()


def test_an_older_or_equal_version_that_comes_later_changes_nothing(scene: Scene) -> None:
    scene.tell(30)
    scene.drain()
    assert scene.first_name() == "At 30"
    scene.tell(20)
    scene.drain()
    assert scene.first_name() == "At 30", "an older one after a newer one"
    scene.tell(30, said="Another text")
    scene.drain()
    assert scene.first_name() == "At 30", "an equal one"
    assert scene.effects() == (1, ["applied", "nothing", "nothing"])
    scene.tell(40)
    scene.drain()
    assert scene.first_name() == "At 40"
    assert scene.effects()[0] == 2


def test_an_event_that_does_not_hold_the_record_says_so(scene: Scene) -> None:
    """Nothing waits for ever: the log tells what became of it, and the next run reads the record."""
    assert scene.hook.send(scene.client, scene.hook.event(1, NAME)).status_code == 200
    scene.drain()
    assert scene.effects() == (0, ["failed"])
    row = scene.owner.execute("SELECT error FROM hints").fetchone()
    assert row == ("What came does not hold the record. The next run reads it.",)


def test_of_several_that_wait_the_newest_version_counts(scene: Scene) -> None:
    """Whichever of them came last."""
    for minute in (20, 40, 30):
        scene.tell(minute)
    scene.drain()
    assert scene.first_name() == "At 40"
    assert scene.effects()[0] == 1


def test_versions_in_any_order_end_with_the_newest(scene: Scene) -> None:
    rng = random.Random(5)
    told = [(f"con_{number}", minute) for number in range(900, 910) for minute in range(10, 15)]
    rng.shuffle(told)
    for position, (name, minute) in enumerate(told):
        scene.tell(minute, name)
        if position % 7 == 6:
            scene.drain()
    scene.drain()
    wrong = sum(scene.first_name(f"con_{number}") != "At 14" for number in range(900, 910))
    print(f"\nWRONG {wrong}/10 of {len(told)} told")
    assert wrong == 0
