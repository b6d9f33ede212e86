"""The whole life of an installation over the API, against a real Kinto and an in-process worker."""

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.clock import now, replace_source
from app.ids import new_id
from jobs import drain as drain_module
from tests.counterparts.kinto import PASSWORD, Kinto, contact
from tests.factories.api_keys import host_caller, tenant_caller
from tests.factories.conflicts import Desk
from tests.factories.people import sign_in
from tests.factories.tenants import make_tenant

Apps = dict[str, Flask]
Owner = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    server = Kinto(tmp_path_factory.mktemp("kinto")).start()
    yield server
    server.stop()


@pytest.fixture
def work(apps: Apps, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Do what is due in a lane, as a worker would."""
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])

    def until_done(lane: str) -> None:
        for _ in range(50):
            if not drain_module.drain(lane):
                return

    return until_done


@pytest.fixture
def tenant(apps: Apps, clean: None) -> uuid.UUID:
    return make_tenant(apps)


def _find_in_the_catalog(call: Any) -> None:
    first = call("GET", "/integrations?limit=4").json
    rest = call("GET", f"/integrations?limit=4&cursor={first['next']}").json
    assert "kinto" in [row["slug"] for row in first["data"] + rest["data"]]
    assert (len(first["data"]), rest["next"]) == (4, None)
    assert [row["slug"] for row in call("GET", "/integrations?q=kitno").json["data"]] == ["kinto"]
    needs = call("GET", "/integrations/kinto").json
    assert {s["name"] for s in needs["ways_to_connect"][0]["settings"]} == {"server", "user", "password", "bucket"}


def _connect(call: Any, kinto: Kinto, work: Callable[[str], None]) -> str:
    """Make an installation and connect it; return its address."""
    made = call("POST", "/installations", {"integration": "kinto", "name": "CRM"})
    assert (made.status_code, made.json["state"], made.json["name"]) == (201, "setting_up", "CRM")
    address = f"/installations/{made.json['id']}"
    assert call("POST", f"{address}/activate").status_code == 409
    wrong = call("POST", f"{address}/connection", {"values": {"server": "nowhere", "nothing": 1}})
    assert wrong.status_code == 422
    values = {"server": kinto.origin, "user": "patchbay", "bucket": "crm", "password": PASSWORD}
    sent = call("POST", f"{address}/connection", {"values": values})
    assert (sent.status_code, sent.json["connection"]["state"]) == (202, "testing")
    assert PASSWORD not in sent.get_data(as_text=True)
    work("fast")
    assert call("GET", address).json["connection"]["state"] == "ready"
    return address


def _set_up(call: Any, address: str) -> None:
    body = {
        "streams": {"companies": {"enabled": False}},
        "schedule": {"kind": "daily", "at": "06:30", "zone": "Europe/Berlin"},
    }
    set_ = call("PATCH", address, body)
    assert set_.status_code == 200, set_.json
    assert [(s["name"], s["enabled"]) for s in set_.json["streams"]] == [("contacts", True), ("companies", False)]
    assert call("PATCH", address, {"streams": {"nothing": {}}}).status_code == 422
    assert call("PATCH", address, {"schedule": {"kind": "daily", "zone": "Mars/X"}}).status_code == 422
    mapping = call("GET", f"{address}/mappings/contacts").json
    rules = [rule for rule in mapping["rules"] if rule["target"] != "notes"]
    put = call("PUT", f"{address}/mappings/contacts", {"rules": rules})
    assert (put.status_code, put.json["version"]) == (200, mapping["version"] + 1)
    wrong = call("PUT", f"{address}/mappings/contacts", {"rules": [{"target": "nothing", "sources": ["x"]}]})
    assert wrong.status_code == 422


def test_from_the_catalog_to_its_end(apps: Apps, tenant: uuid.UUID, kinto: Kinto, work: Callable[[str], None]) -> None:
    kinto.put_all("contacts", [contact(n) for n in range(5)])
    call = tenant_caller(apps, tenant)
    _find_in_the_catalog(call)
    address = _connect(call, kinto, work)
    _set_up(call, address)
    assert call("POST", f"{address}/activate").json["state"] == "active"
    work("sync")
    run = call("GET", f"{address}/runs").json["data"][0]
    assert (run["state"], run["counts"]["created"]) == ("done", 5)
    assert call("GET", f"/runs/{run['id']}").json["trigger"] == "first"
    assert len(call("GET", "/records/contact").json["data"]) == 5
    again = call("POST", f"{address}/runs", {"full": True})
    assert (again.status_code, again.json["trigger"]) == (202, "resync")
    assert call("POST", f"/runs/{again.json['id']}/stop").status_code == 202
    work("sync")
    assert call("POST", f"{address}/pause").json["state"] == "paused"
    assert call("POST", f"{address}/runs", {}).json["code"] == "not_active"
    assert call("POST", f"{address}/resume").json["state"] == "active"
    assert call("GET", "/installations").json["data"][0]["status"] == "healthy"
    assert call("DELETE", f"{address}?delete_records=true").status_code == 204
    work("sync")
    work("fast")
    assert call("GET", "/records/contact").json["data"] == []
    told = [(change["kind"], change["record_id"]) for change in call("GET", "/changes?limit=500").json["data"]]
    assert sorted(kind for kind, _ in told) == ["added"] * 5 + ["deleted"] * 5
    assert len({record_id for _, record_id in told}) == 5
    assert call("GET", address).json["state"] == "removed"
    acts = [entry["action"] for entry in call("GET", "/audit").json["data"]]
    told = {"installation.created", "installation.activated", "installation.paused", "installation.removed"}
    assert told | {"run.stopped"} <= set(acts)


def test_where_a_person_has_to_consent_a_link_is_needed(apps: Apps, tenant: uuid.UUID) -> None:
    call = tenant_caller(apps, tenant)
    made = call("POST", "/installations", {"integration": "sandbox"}).json
    answer = call("POST", f"/installations/{made['id']}/connection", {"values": {"server": "http://127.0.0.1:1"}})
    assert (answer.status_code, answer.json["code"]) == (409, "person_needed")
    link = call("POST", f"/installations/{made['id']}/connect-link", {"person": "Maja"})
    assert link.status_code == 201
    browser = apps["web"].test_client()
    path = link.json["url"].removeprefix("http://localhost")
    assert browser.get(path).headers["Location"] == f"/installations/{made['id']}"
    page = browser.get(f"/installations/{made['id']}/setup/connect")
    assert page.status_code == 200
    assert "Connect Sandbox CRM" in page.get_data(as_text=True)
    other = call("POST", "/installations", {"integration": "kinto"}).json
    for wrong in (f"/installations/{other['id']}/setup/connect", "/installations", "/integrations/kinto"):
        assert browser.get(wrong).status_code == 404, wrong
    assert browser.get("/integrations/sandbox").status_code == 200
    assert browser.post("/integrations/sandbox/install").status_code in (400, 404)
    # A link opens until it ends; the browser of before is closed then.
    second = apps["web"].test_client()
    assert second.get(path).status_code == 303
    assert browser.get(f"/installations/{made['id']}/setup/connect").status_code != 200
    assert call("DELETE", f"/connect-sessions/{link.json['id']}").status_code == 204
    assert second.get(path).status_code == 404


def test_a_connect_session_is_limited_to_its_tenant_and_half_an_hour(
    apps: Apps, tenant: uuid.UUID, owner: Owner
) -> None:
    host = host_caller(apps)
    host("PUT", "/tenants/c-1", {"name": "One"})
    host("PUT", "/tenants/c-2", {"name": "Two CANARY"})
    one, two = ({"Patchbay-Tenant": name} for name in ("c-1", "c-2"))
    foreign = host("POST", "/installations", {"integration": "kinto"}, headers=two).json
    body = {"person": "Maja Lindqvist", "return_url": "https://app.example.com/settings"}
    made = host("POST", "/connect-sessions", body, headers=one).json
    path = made["url"].removeprefix("http://localhost")
    browser = apps["web"].test_client()
    opened = browser.get(path)
    assert opened.status_code == 303
    assert "HttpOnly" in opened.headers["Set-Cookie"]
    assert apps["web"].test_client().get(path).status_code == 404, "it opens once"
    catalog = browser.get("/").get_data(as_text=True)
    assert "Kinto" in catalog
    assert 'href="/members"' not in catalog
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    try:
        installed = browser.post("/integrations/kinto/install")
        assert installed.status_code == 303
        assert browser.get(installed.headers["Location"]).status_code == 200
        assert browser.get(f"/installations/{foreign['id']}/setup/connect").status_code == 404
        for path in ("/members", "/audit", "/api-keys", "/records", "/profile", "/conflicts", "/fleet", "/host-keys"):
            assert browser.get(path).status_code in (403, 404), path
        entry = owner.execute(
            "SELECT actor FROM audit WHERE action = 'installation.created' ORDER BY id DESC"
        ).fetchone()
        assert entry == ("Maja Lindqvist (connect link)",)
        try:
            at = now() + timedelta(minutes=31)
            replace_source(lambda: at)
            assert browser.get("/installations").headers["Location"].startswith("/sign-in")
        finally:
            replace_source(None)
        done = browser.post("/connect/leave").get_data(as_text=True)
        assert 'href="https://app.example.com/settings"' in done
        assert browser.get("/installations").headers["Location"].startswith("/sign-in")
    finally:
        apps["web"].config["WTF_CSRF_ENABLED"] = True
    bad = host("POST", "/connect-sessions", {"person": "x", "return_url": "javascript:alert(1)"}, headers=one)
    assert bad.status_code == 422


def test_a_session_that_is_not_opened_in_time_opens_nothing(apps: Apps, tenant: uuid.UUID) -> None:
    made = tenant_caller(apps, tenant, "connect")("POST", "/connect-sessions", {"person": "Maja"}).json
    try:
        at = now() + timedelta(minutes=31)
        replace_source(lambda: at)
        assert apps["web"].test_client().get(made["url"].removeprefix("http://localhost")).status_code == 404
    finally:
        replace_source(None)


def test_the_status_pages_of_a_guest_lead_nowhere_forbidden(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    desk = Desk(apps, owner)
    problem = new_id()
    owner.execute(
        "INSERT INTO problems (tenant_id, id, installation_id, signature, code, message) "
        "VALUES (%s, %s, %s, 's', 'vendor_down', 'Down.')",
        (desk.tenant_id, problem, desk.installation_id),
    )
    call = tenant_caller(apps, desk.tenant_id)
    other = desk.install("Other")
    made = call("POST", f"/installations/{desk.installation_id}/connect-link", {"person": "Maja"}).json
    browser = apps["web"].test_client()
    browser.get(made["url"].removeprefix("http://localhost"))
    wrong: list[str] = []
    seen, waiting = set[str](), [f"/installations/{desk.installation_id}", f"/problems/{problem}"]
    while waiting:
        path = waiting.pop()
        page = browser.get(path, follow_redirects=True)
        if page.status_code != 200:
            wrong.append(f"{page.status_code} {path}")
        seen.add(path)
        links = re.findall(r'<a [^>]*href="(/[^"#]*)', page.get_data(as_text=True))
        # The word mark leads home, which a limited guest does not have.
        waiting += [link for link in dict.fromkeys(links) if link not in seen and link not in waiting and link != "/"]
    assert not wrong, wrong
    assert len(seen) > 5
    assert not any(str(other) in path for path in seen)


def test_whoever_is_signed_in_keeps_their_own_pages_beside_a_link(apps: Apps, tenant: uuid.UUID) -> None:
    call = tenant_caller(apps, tenant)
    made = call("POST", "/installations", {"integration": "kinto"}).json
    link = call("POST", f"/installations/{made['id']}/connect-link", {"person": "Maja"}).json
    browser, guest = sign_in(apps, tenant), apps["web"].test_client()
    for client in (browser, guest):
        client.get(link["url"].removeprefix("http://localhost"))
    assert browser.get("/members").status_code == 200
    browser.get(link["url"].removeprefix("http://localhost"))
    assert "Leave, finish later" in browser.get(f"/installations/{made['id']}/setup/connect").get_data(as_text=True)
    assert guest.get("/members").status_code in (303, 403)
    assert guest.get("/sign-in").status_code == 200
