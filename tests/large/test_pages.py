"""Every page of a filled deployment: it is answered, whatever there is."""

from typing import Any

import psycopg
import pytest
from flask import Flask

from tests.large import seed
from tests.large.walk import PEOPLE, Page, Walk, further, sign_in

Owner = psycopg.Connection[Any]


class Visitor:
    """Browsers of all roles on a site that is filled to a size."""

    def __init__(self, apps: dict[str, Flask], owner: Owner, url: str, size: seed.Size) -> None:
        seed.fill(apps["owner"], url, size, say=lambda _: None)
        self._walk = Walk(apps["web"], owner)
        self._clients = {role: apps["web"].test_client() for role in ("", *PEOPLE)}
        for role in PEOPLE:
            self._clients[role].set_cookie("patchbay", sign_in(apps["owner"], role))

    def get(self, page: Page) -> Any:
        return self._clients[page.role].get(page.path)

    def visited(self) -> dict[str, Any]:
        """Return page -> answer, of all pages and of the filters and next pages that each leads to."""
        found: dict[str, Any] = {}
        waiting = list(self._walk.first())
        while waiting:
            page = waiting.pop(0)
            if page.name in found:
                continue
            found[page.name] = self.get(page)
            if "?" not in page.path:
                waiting[:0] = further(page, found[page.name].get_data(as_text=True), found)
        return found


def test_every_page_of_a_hundredth_is_answered(
    apps: dict[str, Flask], clean: None, owner: Owner, environment: dict[str, str]
) -> None:
    found = Visitor(apps, owner, environment["PATCHBAY_OWNER_URL"], seed.Size.of(0.01)).visited()
    assert {
        name: answer.status_code for name, answer in found.items() if answer.status_code not in (200, 286, 303)
    } == {}
    assert len(found) > 150
    shown = {name: answer.get_data(as_text=True) for name, answer in found.items()}
    # What is seeded is shown, not merely stored.
    for page, text in (
        ("installations.index /installations admin", "Main CRM"), ("records.index /records admin", "@large.example"),
        ("audit.index /audit admin", "Lindqvist"), ("fleet.index /fleet support", "Meridian Group"),
        ("installations.run_list /installations/*/runs member", "before="), ("members.index /members admin", "Lindqvist"),
    ):  # fmt: skip
        assert text in shown[page], page


@pytest.mark.parametrize("scale", [0, 0.01, 1])
def test_no_part_of_a_size_is_empty(scale: float) -> None:
    counts = seed.Size.of(scale).counts
    assert set(counts) == set(seed.WHOLE)
    assert all(0 < count <= seed.WHOLE[name] for name, count in counts.items())
