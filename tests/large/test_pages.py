"""Every page of a filled deployment is answered, and asks PostgreSQL no more often where there is more."""

from typing import Any

import psycopg
import pytest
from flask import Flask

from app.services import listings
from tests.app.views.test_query_counts import statements
from tests.conftest import empty
from tests.large import seed
from tests.large.walk import PEOPLE, Page, Walk, further, sign_in

Owner = psycopg.Connection[Any]
GOOD = (200, 286, 303)


class Visitor:
    """Browsers of all roles on a site that is filled to a size."""

    def __init__(self, apps: dict[str, Flask], owner: Owner, url: str, size: seed.Size) -> None:
        self._apps = apps
        self.answers: dict[str, Any] = {}
        seed.fill(apps["owner"], url, size, say=lambda _: None)
        self._walk = Walk(apps["web"], owner)
        self._clients = {role: apps["web"].test_client() for role in ("", *PEOPLE)}
        for role in PEOPLE:
            self._clients[role].set_cookie("patchbay", sign_in(apps["owner"], role))

    def get(self, page: Page) -> Any:
        return self._clients[page.role].get(page.path)

    def counted(self) -> dict[str, int]:
        """Return page -> how often it asks PostgreSQL, of all pages and of the filters and next pages each leads to.

        Counted at the second visit, in a process that knows no listing yet but all else it keeps.
        """
        counts: dict[str, int] = {}
        waiting = list(self._walk.first())
        while waiting:
            page = waiting.pop(0)
            if page.name in counts:
                continue
            answer = self.answers[page.name] = self.get(page)
            listings.forget()
            with statements(self._apps) as asked:
                self.get(page)
            counts[page.name] = len(asked)
            if "?" not in page.path:
                waiting[:0] = further(page, answer.get_data(as_text=True), counts)
        return counts


# At least one of everything that a page shows, and less than a page of anything.
FEW = {
    "installations": 8, "records": 400, "runs": 50, "changes": 2000, "troubles": 60, "intents": 1000, "deliveries": 60,
    "dispatches": 80, "exchanges": 20, "audit": 20, "listings": 12, "tenants": 3, "people": 10,
}  # fmt: skip
# What is seeded is shown, not merely stored.
SHOWN = {
    "installations.index /installations admin": "Main CRM", "records.index /records admin": "@large.example",
    "audit.index /audit admin": "Lindqvist", "fleet.index /fleet support": "Meridian Group",
    "installations.run_list /installations/*/runs member": "before=", "members.index /members admin": "Lindqvist",
}  # fmt: skip


def test_every_page_is_answered_and_asks_no_more_often_where_there_is_more(
    apps: dict[str, Flask], clean: None, owner: Owner, environment: dict[str, str]
) -> None:
    """Every route, so a new one too: what is listed is read for all rows at once."""
    url = environment["PATCHBAY_OWNER_URL"]
    few = Visitor(apps, owner, url, seed.Size(FEW)).counted()
    empty(environment, owner)
    site = Visitor(apps, owner, url, seed.Size.of(0.01))
    many = site.counted()
    wrong = {name: answer.status_code for name, answer in site.answers.items() if answer.status_code not in GOOD}
    assert wrong == {}
    assert len(many) > 150
    for name, text in SHOWN.items():
        assert text in site.answers[name].get_data(as_text=True), name
    # What only one of them has is a filter or a next page.
    assert not {name for name in few.keys() ^ many.keys() if "?" not in name}
    assert {name: (few[name], many[name]) for name in few.keys() & many.keys() if many[name] > few[name]} == {}


@pytest.mark.parametrize("scale", [0, 0.01, 1])
def test_no_part_of_a_size_is_empty(scale: float) -> None:
    counts = seed.Size.of(scale).counts
    assert set(counts) == set(seed.WHOLE)
    assert all(0 < count <= seed.WHOLE[name] for name, count in counts.items())
