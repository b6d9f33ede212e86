"""A vendor that fails, by the real worker functions: runs wait and never storm it, and go on when it answers."""

from typing import Any

import psycopg

from app.services import connections, previews, record_edits, runs
from tests.connectors.sdk.servers import Answer, Call
from tests.factories.people import sign_in
from tests.jobs.sites import Site, good, status

Owner = psycopg.Connection[Any]


def test_an_outage_opens_the_breaker_and_the_run_waits_without_calling(site: Site) -> None:
    site.go_down()
    assert site.breakers() == {("host", "open"), ("connection", "open")}
    assert site.runs() == [("running", "vendor_down", 4)], "the call that opened it is no failure of the run"
    for _ in range(5):
        assert site.turn() == 0
    assert site.runs() == [("running", "vendor_down", 4)]
    waits = site.ask("SELECT t.due_at - now() BETWEEN interval '20 s' AND interval '45 s', "
                     "abs(extract(epoch FROM t.due_at - r.waiting_until)) < 1 FROM tasks t, runs r WHERE t.state = 'ready' "
                     "AND t.kind = 'sync'")  # fmt: skip
    assert waits == (True, True)
    assert site.ask("SELECT failures_in_row, blocked_code FROM installations") == (0, None)


def test_all_tenants_of_a_host_wait_and_one_of_them_probes(site: Site) -> None:
    for _ in range(3):
        site.add_tenant()
    site.vendor.answer = status(503)
    assert [site.turn() for _ in range(4)] == [4, 1, 0, 0]
    assert {run[:2] for run in site.runs()} == {("running", "vendor_down")}
    for opens in (2, 3):
        site.pause_over()
        assert site.turn() == 1, "whoever comes first"
        assert site.ask("SELECT opens_in_row FROM breakers WHERE kind = 'host'") == (opens,)
    site.vendor.answer = good
    site.pause_over()
    site.turn()
    assert {run[0] for run in site.runs()} == {"done"}
    assert site.breakers() == {("host", "closed"), ("connection", "closed")}
    assert site.ask("SELECT max(failures_in_row) FROM installations") == (0,)


def test_a_burst_of_failures_costs_no_run_and_few_calls(site: Site) -> None:
    """V02: every other call fails. Each failure costs one more call and no page is read twice, whatever opens meanwhile."""
    statuses = [503, 200] * 20
    pages = [{"id": f"contact-{n}", "email": f"p{n}@example.test", "last_name": "Byron"} for n in range(12)]

    def flaky(call: Call) -> Answer:
        if statuses.pop(0) == 503:
            return 503, {}, {}
        if not call.path.endswith("/contacts/records"):
            return good(call)
        page = int(call.query.get("_token", "0"))
        more = {"Next-Page": f"{site.vendor.origin}{call.path}?_limit=100&_token={page + 1}"} if page < 11 else {}
        return 200, {"ETag": '"1"', **more}, {"data": pages[page : page + 1]}

    site.vendor.answer = flaky
    calls = 0
    while site.runs()[0][0] == "running" or not calls:
        calls += site.turn()
        site.minute_over()
        site.pause_over()
    assert site.runs()[0][0] == "done"
    assert site.ask("SELECT count(*) FROM records") == (12,)
    assert calls == 2 * (12 + 1)
    assert site.breakers() == {("host", "closed"), ("connection", "closed")}


def test_a_call_that_fails_after_others_is_not_repeated_at_once(site: Site) -> None:
    """Pages that came in the same moment are applied together; what ends them is heeded all the same."""
    first = {"ETag": '"1"', "Next-Page": f"{site.vendor.origin}/v1/buckets/crm/collections/contacts/records?_token=1"}

    def answer(call: Call) -> Answer:
        return (429, {"Retry-After": "60"}, {}) if "_token" in call.query else (200, first, {"data": [{"id": "c-1"}]})

    site.vendor.answer = answer
    assert site.turn() == 2
    assert site.runs() == [("running", "rate_limited", 0)]
    assert site.ask("SELECT sum(pages) FROM run_streams") == (1,)


def test_a_rate_limit_paces_and_never_opens(site: Site) -> None:
    site.vendor.answer = status(429)
    assert [site.turn() for _ in range(12)] == [1] * 12
    assert site.runs() == [("running", "rate_limited", 0)]
    assert site.breakers() == {("host", "closed"), ("connection", "closed")}


def test_a_refused_sign_in_stops_the_connection_and_not_the_host(site: Site) -> None:
    site.vendor.answer = status(401)
    assert (site.turn(), site.turn()) == (1, 0)
    assert site.runs() == [("failed", None, 0)]
    assert site.ask("SELECT blocked_code FROM installations") == ("reconnect",)
    assert site.breakers() == {("host", "closed"), ("connection", "closed")}


def test_a_run_that_waits_is_stopped_at_once_and_without_a_call(site: Site) -> None:
    site.go_down()
    run_id = site.ask("SELECT id FROM runs")[0]
    site.act(lambda tenant_id, _: runs.stop_run(tenant_id, run_id))
    assert site.turn() == 0
    assert site.runs()[0][0] == "stopped"


def test_an_outage_longer_than_a_day_is_a_failure(site: Site, owner: Owner) -> None:
    site.go_down()
    owner.execute("UPDATE runs SET started_at = now() - interval '25 hours'")
    assert site.turn() == 0
    assert site.runs() == [("running", "vendor_down", 5)]
    assert site.turn() == 0
    assert site.runs()[0][0] == "failed"


def test_people_who_ask_are_told_when_it_is_called_again(site: Site) -> None:
    site.go_down()
    site.act(lambda tenant_id, installation_id: previews.ask(tenant_id, installation_id, "sample", stream="contacts"))
    assert site.turn("fast") == 0
    state, error, fix = site.ask("SELECT state, error, error_fix FROM previews")
    assert (state, error) == (
        "failed", "Kinto has not answered several times in a row, so it is not called for a while."
    )  # fmt: skip
    assert fix.startswith("Nothing is lost. It is called again in about ")
    site.act(lambda tenant_id, _: connections.request_test(
        tenant_id, connections.get_connection(tenant_id, site.ask("SELECT id FROM connections")[0])
    ))  # fmt: skip
    assert site.turn("fast") == 0
    assert site.ask("SELECT state, error_code, error_message FROM connections") == ("ready", "vendor_down", error)


def test_the_run_page_says_that_it_waits_and_the_fleet_which_host_is_down(site: Site, owner: Owner) -> None:
    site.go_down()
    browser = sign_in(site.apps, site.tenants[0][0])
    owner.execute("INSERT INTO staff_roles (id, user_id, role) SELECT gen_random_uuid(), id, 'support' FROM users")
    run_id = site.ask("SELECT id FROM runs")[0]
    assert "cannot be reached.</span> The run goes on by itself" in browser.get(f"/runs/{run_id}").text
    host = site.vendor.origin.removeprefix("http://")
    assert host in browser.get("/fleet").text
    site.vendor.answer = good
    site.pause_over()
    site.turn()
    assert host not in browser.get("/fleet").text


def test_a_test_that_works_closes_the_breaker_of_its_connection(site: Site, owner: Owner) -> None:
    """It may be about other settings than those that failed; only the host is asked."""
    site.go_down()
    site.vendor.answer = good
    owner.execute("DELETE FROM breakers WHERE kind = 'host'")
    assert site.turn() == 0
    site.act(lambda tenant_id, _: connections.request_test(
        tenant_id, connections.get_connection(tenant_id, site.ask("SELECT id FROM connections")[0])
    ))  # fmt: skip
    assert site.turn("fast") > 0
    assert site.breakers() == {("host", "closed"), ("connection", "closed")}
    site.turn()
    assert site.runs()[0][0] == "done"


def test_repeated_calls_stay_within_a_tenth(site: Site, owner: Owner) -> None:
    """Over the budget a repetition waits, and no try of the run is used up."""
    site.vendor.answer = status(503)
    assert site.turn() == 1
    owner.execute("UPDATE breakers SET retries = 10 WHERE kind = 'host'")
    assert site.turn() == 0
    assert site.runs() == [("running", "vendor_down", 1)]
    site.minute_over()
    assert site.turn() == 1
    assert site.runs() == [("running", "vendor_down", 2)]
    assert site.ask("SELECT retries, calls FROM breakers WHERE kind = 'host'") == (1, 1)


def test_writes_that_are_repeated_spend_the_same_budget(site: Site, owner: Owner) -> None:
    site.turn()
    owner.execute("UPDATE installation_streams SET direction = 'both'")
    site.act(lambda tenant_id, _: record_edits.create(tenant_id, "contact", {"email": "a@example.test"}, writer="Host"))
    site.vendor.answer = status(503)
    assert site.turn() == 1
    assert site.ask("SELECT state FROM intents") == ("in_doubt",)
    owner.execute("UPDATE intents SET due_at = now()")
    owner.execute("UPDATE breakers SET retries = 10 WHERE kind = 'host'")
    assert site.turn() == 0
    assert site.ask("SELECT state FROM intents") == ("in_doubt",)
    site.minute_over()
    assert site.turn() == 1
    assert site.ask("SELECT retries FROM breakers WHERE kind = 'host'") == (1,)
