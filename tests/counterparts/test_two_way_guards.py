"""The guards of two-way sync, each with a test that goes red without it: `make mutants` takes them away in turn."""

import uuid
from typing import Any

import pytest

from app.services import page_writes, passes, runs
from app.services.tasks import LeasedTask, LeaseLostError
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors import registry
from connectors.sdk import Writer
from tests.counterparts.test_two_way_on_kinto import Sides, kinto, sides

__all__ = ["kinto", "sides"]


def test_a_page_without_the_lease_writes_nothing(sides: Sides) -> None:
    sides.start()
    stranger = LeasedTask(sides.tenant_id, uuid.uuid4(), 1, "sync", "sync", "", sides.installation_id, 1, 5)
    with sides.apps["worker"].app_context(), bind_tenant(sides.tenant_id):
        with transaction():
            installation = runs.get_installation(sides.tenant_id, sides.installation_id)
            manifest = registry.get("kinto").manifest
            context = passes.open_context(sides.tenant_id, installation, "contacts", manifest)
        with pytest.raises(LeaseLostError), transaction():
            page_writes.open_page(stranger, None, context, {})


def test_a_page_and_its_checkpoint_are_one_transaction(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        raise RuntimeError("killed between the page and its checkpoint")

    with monkeypatch.context() as patch:
        patch.setattr(page_writes, "advance", die)
        sides.start()
    assert sides.count("SELECT count(*) FROM records") == 0
    sides.owner.execute("UPDATE tasks SET due_at = now() WHERE state = 'ready'")
    sides.settle()
    assert sides.count("SELECT count(*) FROM records") == sides.count("SELECT count(*) FROM changes") == 30


def test_a_write_is_kept_as_sent_before_its_request(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    sides.start()
    seen: list[Any] = []
    update = Writer.update

    def watched(self: Writer, record: Any) -> Any:
        seen.append(sides.owner.execute("SELECT state, fields FROM intents WHERE settled_at IS NULL").fetchone())
        return update(self, record)

    monkeypatch.setattr(Writer, "update", watched)
    sides.edit("person1@example.test", city="Oslo")
    sides.settle()
    assert seen == [("sent", ["city"])]


def test_what_changes_while_it_is_written_is_written_again(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    sides.start()
    update, meanwhile = Writer.update, ["Bonn"]

    def watched(self: Writer, record: Any) -> Any:
        if meanwhile:
            sides.edit("person1@example.test", city=meanwhile.pop())
        return update(self, record)

    monkeypatch.setattr(Writer, "update", watched)
    sides.edit("person1@example.test", city="Oslo")
    sides.settle()
    assert sides.kinto.get("contacts", "contact-1")["city"] == "Bonn"
