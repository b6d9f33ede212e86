"""What closes a problem: the call that worked, and nothing less. At a vendor that answers as a test says."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import accounts, problems, repair_cards, runs, sessions
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.jobs.sites import Site, good, status


def opened(site: Site) -> dict[str, int]:
    """Return code -> count of the open problems."""
    return dict(site.owner.execute("SELECT code, count FROM problems WHERE state = 'open'").fetchall())


def closed(site: Site) -> list[Any]:
    return site.owner.execute("SELECT code, closed_by FROM problems WHERE state = 'closed' ORDER BY id").fetchall()


def run(site: Site) -> None:
    site.act(lambda tenant_id, installation_id: runs.start_run(tenant_id, installation_id, trigger="manual"))
    site.turn()


@pytest.fixture
def person(site: Site, apps: dict[str, Flask]) -> Iterator[FlaskClient]:
    """An admin of the tenant with a browser."""
    tenant_id, _ = site.tenants[0]
    with apps["owner"].app_context(), bind_tenant(tenant_id), transaction():
        user = accounts.make_user("ada@example.com", "Ada", "a long password")
        accounts.add_member(tenant_id, user.id, "admin")
        cookie = sessions.start_session(user.id, tenant_id, apps["owner"].extensions["settings"], ip="", user_agent="")
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    browser = apps["web"].test_client()
    browser.set_cookie("patchbay", cookie)
    yield browser
    apps["web"].config["WTF_CSRF_ENABLED"] = True


def page_of(site: Site, code: str) -> str:
    return f"/problems/{site.ask(f'''SELECT id FROM problems WHERE code = '{code}' ORDER BY id DESC''')[0]}"


def settle(site: Site) -> None:
    for _ in range(3):
        drain_module.drain("fast")
        site.turn()


def test_a_lost_access_closes_by_a_test_that_works_and_by_nothing_less(site: Site, person: FlaskClient) -> None:
    """Red when a click, a reload, a refused test, or one that the vendor did not answer counted as a repair."""
    site.turn()
    site.vendor.answer = status(401)
    run(site)
    assert opened(site) == {"reconnect": 1}
    page = page_of(site, "reconnect")
    for answer in (None, status(401), status(503)):
        if answer:
            site.vendor.answer = answer
            assert person.post(f"{page}/try").status_code == 303
            assert "The connection is tested." in person.get(page).get_data(as_text=True)
            settle(site)
        for path in (page, "/problems", page):
            text = person.get(path).get_data(as_text=True)
            assert "Kinto does not accept this account and password." in text
        assert set(opened(site)) == {"reconnect"}
        assert site.ask("SELECT blocked_code FROM installations") == ("reconnect",)
        assert site.ask("SELECT state FROM connections") == ("reconnect" if answer else "ready",)
    before = site.ask("SELECT count(*) FROM runs")[0]
    site.vendor.answer = good
    site.pause_over()
    person.post(f"{page}/try")
    settle(site)
    assert opened(site) == {}
    assert closed(site) == [("reconnect", "A test of the connection succeeded.")]
    assert site.ask("SELECT blocked_code FROM installations") == (None,)
    assert site.ask("SELECT state FROM connections") == ("ready",)
    assert site.ask("SELECT count(*) FROM runs")[0] == before + 1, "the sync goes on by itself"
    assert "A test of the connection succeeded." in person.get(page).get_data(as_text=True)
    assert "Kinto does not accept" in person.get("/problems?show=solved").get_data(as_text=True)


def test_a_failed_run_closes_by_one_that_is_done(site: Site, person: FlaskClient) -> None:
    site.turn()
    site.vendor.answer = status(418)
    run(site)
    page = page_of(site, "vendor_refused")
    assert opened(site) == {"vendor_refused": 1}
    person.post(f"{page}/try")
    site.turn()
    assert opened(site) == {"vendor_refused": 2}, "a try that fails is one more of the same"
    site.vendor.answer = good
    person.get(page)
    assert opened(site) == {"vendor_refused": 2}
    person.post(f"{page}/try")
    assert opened(site) == {"vendor_refused": 2}, "not before the run is done"
    site.turn()
    assert opened(site) == {}
    assert closed(site) == [("vendor_refused", "A run was done.")]
    assert person.post(f"{page}/try").status_code == 409


def test_a_run_that_reads_proves_nothing_about_writes_questions_and_records(site: Site) -> None:
    """Red when the end of a run closed what it cannot prove."""
    site.turn()
    open_codes = ("write_forbidden", "deletes_out_ask", "deletes_ask", "promise_ask", "schema_drift")
    for code in open_codes:
        site.act(lambda t, i, code=code: problems.open_problem(t, i, code, "It is so.", "Do this."))
    site.act(lambda t, i: problems.open_problem(t, i, "vendor_down", "It is down.", "Wait."))
    run(site)
    assert set(opened(site)) == set(open_codes)
    site.act(lambda t, i: problems.close_tested(t, i))
    assert set(opened(site)) == set(open_codes)


def test_a_run_without_a_stream_proves_nothing(site: Site) -> None:
    site.turn()
    site.vendor.answer = status(401)
    run(site)
    site.owner.execute("UPDATE installation_streams SET enabled = false")
    run(site)
    assert site.ask("SELECT state FROM runs ORDER BY id DESC LIMIT 1") == ("done",)
    assert set(opened(site)) == {"reconnect"}
    assert site.ask("SELECT blocked_code FROM installations") == ("reconnect",)


def test_what_paused_itself_closes_when_resumed_and_its_cause_stays_until_a_run_is_done(
    site: Site, person: FlaskClient
) -> None:
    site.turn()
    site.vendor.answer = status(418)
    site.owner.execute("UPDATE installations SET failures_in_row = 9")
    run(site)
    assert set(opened(site)) == {"vendor_refused", "paused_by_itself"}
    text = person.get(page_of(site, "paused_by_itself")).get_data(as_text=True)
    assert "Resume" in text
    person.post(f"/installations/{site.tenants[0][1]}/resume")
    site.turn()
    assert set(opened(site)) == {"vendor_refused"}
    site.vendor.answer = good
    run(site)
    assert closed(site) == [
        ("vendor_refused", "A run was done."),
        ("paused_by_itself", "The installation was resumed."),
    ]


def test_a_question_of_a_run_closes_with_its_answer_and_not_with_another_run(site: Site) -> None:
    site.turn()

    def ask(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> uuid.UUID:
        run_id = runs.start_run(tenant_id, installation_id, trigger="manual").id
        runs.ask(tenant_id, runs.get_run(tenant_id, run_id), {"kind": "deletes", "candidates": 40, "live": 50})
        return run_id

    first, second = site.act(ask), site.act(ask)
    site.act(lambda tenant_id, _: runs.decline(tenant_id, first))
    assert set(opened(site)) == {"deletes_ask"}, "the other run still asks"
    site.act(lambda tenant_id, _: runs.decline(tenant_id, second))
    assert closed(site) == [("deletes_ask", "Somebody decided.")]


@pytest.mark.parametrize("code", sorted({*repair_cards._CARDS, "something_else"}))
def test_every_code_has_a_card_with_what_closes_it(site: Site, person: FlaskClient, code: str) -> None:
    """Each page says why and what closes it, and has something to press or nothing that is missing."""
    signature = {
        "records_refused": "records:contacts:mapping_failed:email", "conflicts_open": "conflicts:contacts",
        "deletes_out_ask": "deletes_out:contacts", "schema_drift": "schema_drift:contacts",
        "write_forbidden": "write_forbidden:contacts",
    }.get(code, code)  # fmt: skip
    site.turn()
    site.act(lambda t, i: problems.open_problem(t, i, code, "It is so.", "Do this.", signature=signature))
    text = person.get(page_of(site, code)).get_data(as_text=True)
    for word in ("It is so.", "It closes", "What to do", "Why", "Technical details", "btn"):
        assert word in text, word
    assert "btn-primary" in text
    for page in ("/problems", f"/installations/{site.tenants[0][1]}"):
        assert "It is so." in person.get(page).get_data(as_text=True)
