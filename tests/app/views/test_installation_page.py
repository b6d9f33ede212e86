"""The page of an installation: the button that helps in each state, and figures that agree with its head."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask

from tests.factories.conflicts import Desk

Owner = psycopg.Connection[Any]


@pytest.fixture
def desk(apps: dict[str, Flask], clean: None, owner: Owner) -> Iterator[Desk]:
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    yield Desk(apps, owner)
    apps["web"].config["WTF_CSRF_ENABLED"] = True


def words(page: str) -> str:
    """Return what a page says, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def primary(page: str) -> list[str]:
    """Return the words of the main buttons of a page."""
    return [
        words(found).strip()
        for found in re.findall(r"<(?:a|button)[^>]*btn-primary[^>]*>(.*?)</(?:a|button)>", page, re.S)
    ]


def look(desk: Desk, tab: str = "") -> str:
    answer = desk.browser().get(f"/installations/{desk.installation_id}{tab}")
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def fail(desk: Desk, external_id: str, *, direction: str = "in", record: Any = None) -> None:
    desk.owner.execute(
        "INSERT INTO failed_records (tenant_id, id, installation_id, stream, external_id, direction, record_id, code, "
        "field, message, title) VALUES (%s, gen_random_uuid(), %s, 'contacts', %s, %s, %s, 'mapping_failed', 'email', "
        "'E-mail: “x” is not an e-mail address.', 'Priya Raman')",
        (desk.tenant_id, desk.installation_id, external_id, direction, record),
    )


def finish_runs(desk: Desk) -> None:
    desk.owner.execute("UPDATE runs SET state = 'done', finished_at = now()")
    desk.owner.execute("UPDATE installations SET last_success_at = now()")


def test_the_figures_agree(desk: Desk) -> None:
    """Of 4 linked records one is in conflict, one was refused on its way in and one on its way out."""
    finish_runs(desk)
    desk.clash()
    made = [desk.record(full_name=f"Priya {n}", email=f"priya{n}@example.test") for n in range(3)]
    for number, record in enumerate(made):
        desk.link(record, f"contact-{number}", {})
    fail(desk, "contact-0")
    fail(desk, "contact-1", direction="out", record=made[1])
    fail(desk, "contact-never-linked")
    page = words(look(desk))
    assert "4 records are not in sync: 3 could not be written , and 1 waits for your decision ." in page
    assert "In sync 1 of 4 linked records" in page
    assert "Refused 3" in page
    assert "Conflicts 1" in page


def test_the_main_button_is_the_one_that_helps(desk: Desk) -> None:
    finish_runs(desk)
    assert primary(look(desk)) == ["Run now"]
    desk.clash()
    assert primary(look(desk)) == primary(look(desk, "/failed")) == ["Decide 1 conflict"]
    assert primary(look(desk, "/conflicts")) == []
    fail(desk, "contact-0")
    assert primary(look(desk)) == ["Correct 1 record"]
    assert "Run now" not in primary(look(desk, "/failed"))
    desk.owner.execute("UPDATE installations SET blocked_code = 'reconnect'")
    desk.owner.execute(
        "INSERT INTO problems (tenant_id, id, installation_id, signature, code, message, fix, stops_sync) VALUES "
        "(%s, gen_random_uuid(), %s, 'reconnect', 'reconnect', 'Kinto no longer accepts it.', 'Enter it again.', true)",
        (desk.tenant_id, desk.installation_id),
    )
    page = look(desk)
    assert primary(page) == ["Reconnect Kinto"]
    assert "Run now" not in words(page)
    assert "Kinto no longer accepts it. Nothing is synced until somebody acts." in words(page)
    assert "Next run after the repair" in words(page)
    assert "after the repair" in words(desk.browser().get("/installations").text)
    desk.owner.execute("UPDATE installations SET state = 'paused'")
    assert primary(look(desk)) == ["Reconnect Kinto"]
    desk.owner.execute("UPDATE installations SET blocked_code = NULL")
    assert primary(look(desk)) == ["Resume"]


def test_the_list_explains_its_words(desk: Desk) -> None:
    page = words(desk.browser().get("/installations").text)
    assert "What the status words mean" in page
    assert "some records are not in sync. Correct those that were refused" in page


def test_a_value_is_corrected_first_and_the_mapping_when_many_fail_alike(desk: Desk) -> None:
    finish_runs(desk)
    fail(desk, "contact-0")
    desk.owner.execute(
        "INSERT INTO problems (tenant_id, id, installation_id, signature, code, message, fix, count) VALUES "
        "(%s, gen_random_uuid(), %s, 'records:contacts:mapping_failed:email', 'records_refused', 'E-mail: it is bad.', '', 1)",
        (desk.tenant_id, desk.installation_id),
    )
    browser = desk.browser()
    address = f"/problems/{desk.all('SELECT id FROM problems')[0][0]}"
    page = browser.get(address).text
    assert primary(page) == ["Correct the value"]
    assert "1 record of contacts could not be taken from Kinto to Fieldstone: it is bad." in words(page)
    # The button leads to the page of the only record, where its value is given.
    link = re.search(r'href="([^"]+)">(?:<svg.*?</svg>)?\s*Correct the value', page, re.S)
    assert link is not None
    assert primary(browser.get(link[1].replace("&amp;", "&"), follow_redirects=True).text) == [
        "Use this value and retry"
    ]
    desk.owner.execute("UPDATE problems SET count = 20")
    page = browser.get(address).text
    assert primary(page) == ["Change the mapping"]
    assert "20 records fail alike, which is more often the mapping than their values." in words(page)
