"""The list of installations: every one is met once however it is paged, and found by what people know of it."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.services import installation_list
from app.services.installation_list import Filters
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.tenants import connect_kinto, make_tenant

Owner = psycopg.Connection[Any]
NAMES = ("beta", "Alpha", "alpha", "Gamma 10 %", "ätna")


class Shelf:
    """A tenant with installations of these names."""

    def __init__(self, apps: dict[str, Flask], owner: Owner) -> None:
        self.apps, self.owner, self.tenant_id = apps, owner, make_tenant(apps)
        self.ids = {name: self._install(name) for name in NAMES}

    def _install(self, name: str) -> uuid.UUID:
        with self.apps["web"].app_context():
            made = connect_kinto(self.tenant_id, "http://127.0.0.1:1", "password")
        self.owner.execute("UPDATE installations SET name = %s, state = 'active' WHERE id = %s", (name, made))
        self.owner.execute(
            "UPDATE connections SET account_name = %s WHERE id = (SELECT connection_id FROM installations WHERE id = %s)",
            (f"Account of {name}", made),
        )
        self.owner.execute("UPDATE installation_status SET status = 'healthy', late_at = NULL WHERE id = %s", (made,))
        return made

    def names(self, *, after: uuid.UUID | None = None, limit: int = 50, **filters: str) -> list[str]:
        return [item.installation.name for item in self.page(Filters(**filters), after, limit).overviews]

    def page(self, filters: Filters, after: uuid.UUID | None = None, limit: int = 50) -> installation_list.Found:
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            return installation_list.list_page(self.tenant_id, filters, after=after, limit=limit)


@pytest.fixture
def shelf(apps: dict[str, Flask], clean: None, owner: Owner) -> Shelf:
    return Shelf(apps, owner)


@pytest.mark.parametrize("limit", [1, 2, 4, 5])
def test_pages_hold_each_once_by_name(shelf: Shelf, limit: int) -> None:
    met, after = list[str](), None
    while True:
        found = shelf.page(Filters(), after, limit)
        met += [item.installation.name for item in found.overviews]
        after = found.after
        if after is None:
            break
    assert sorted(met) == sorted(NAMES)
    assert met == shelf.names()
    assert {name.lower() for name in met[:2]} == {"alpha"}


def test_one_that_is_removed_meanwhile_keeps_its_place(shelf: Shelf) -> None:
    first = shelf.page(Filters(), limit=2)
    assert first.after is not None
    shelf.owner.execute("UPDATE installations SET state = 'removed' WHERE id = %s", (first.after,))
    assert shelf.names(after=first.after) == shelf.names()[1:]


def test_found_by_a_part_of_name_or_account(shelf: Shelf) -> None:
    assert shelf.names(text="GAMM") == ["Gamma 10 %"]
    assert shelf.names(text="10 %") == ["Gamma 10 %"]
    assert shelf.names(text="account of be") == ["beta"]
    assert shelf.names(text="100%") == []


def test_found_by_status_and_integration(shelf: Shelf) -> None:
    about = {"late": "beta", "failing": "ätna"}
    shelf.owner.execute("UPDATE installation_status SET late_at = now() WHERE id = %s", (shelf.ids["beta"],))
    shelf.owner.execute("UPDATE installation_status SET status = 'failing' WHERE id = %s", (shelf.ids["ätna"],))
    assert {word: shelf.names(status=word) for word in about} == {word: [name] for word, name in about.items()}
    assert len(shelf.names(status="healthy")) == 3
    assert shelf.names(connector="sandbox") == []
    assert len(shelf.names(connector="kinto")) == 5
    with shelf.apps["web"].app_context(), bind_tenant(shelf.tenant_id), transaction():
        told = installation_list.list_installed(shelf.tenant_id, ["kinto", "sandbox"])
    assert {slug: (item.count, item.healthy) for slug, item in told.items()} == {"kinto": (5, 3)}


def test_the_page_keeps_what_is_asked_for(shelf: Shelf) -> None:
    asked = Filters.of({"q": " be\0ta ", "status": "nonsense", "connector": "kinto"})
    assert asked == Filters("beta", "", "kinto")
