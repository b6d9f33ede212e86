"""The pages about all data of a tenant: who may do what, the file, the typed name, the operator's side."""

import io
import re
import uuid
import zipfile
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import sessions
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.factories.conflicts import Desk
from tests.factories.people import make_staff

Owner = psycopg.Connection[Any]


@pytest.fixture
def desk(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Desk:
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    made = Desk(apps, owner)
    made.clash()
    return made


def turn(desk: Desk) -> None:
    desk.owner.execute("UPDATE tasks SET due_at = now() - interval '1 s' WHERE state = 'ready'")
    drain_module.drain("fast")
    drain_module.drain("sync")


def operator(desk: Desk) -> FlaskClient:
    user_id = make_staff(desk.apps, "operator")
    app = desk.apps["owner"]
    with app.app_context(), bind_tenant(None, user_id), transaction():
        cookie = sessions.start_session(user_id, None, app.extensions["settings"], ip="", user_agent="")
    client = desk.apps["web"].test_client()
    client.set_cookie("patchbay", cookie)
    return client


def fetch(browser: FlaskClient, address: str) -> zipfile.ZipFile:
    (file,) = re.findall(rf'href="({address}/exports/[0-9a-f-]+/file)"', browser.get(address).text)
    found = browser.get(file)
    assert found.headers["content-type"] == "application/zip"
    assert int(found.headers["content-length"]) == len(found.data)
    return zipfile.ZipFile(io.BytesIO(found.data))


def test_an_admin_has_an_export_made_and_fetches_it(desk: Desk) -> None:
    browser = desk.browser("admin")
    assert browser.post("/data/exports").location == "/data"
    page = browser.get("/data").text
    assert 'hx-trigger="every 1s"' in page
    turn(desk)
    part = browser.get("/data", headers={"HX-Request": "true"})
    assert part.status_code == 286
    assert "can be fetched until" in part.text
    assert b"Priya Raman" in fetch(browser, "/data").read("tables/records.jsonl")
    actions = [row[0] for row in desk.all("SELECT action FROM audit WHERE action LIKE 'tenant.export%%' ORDER BY id")]
    assert actions == ["tenant.export_requested", "tenant.export_fetched"]
    (address,) = re.findall(r'action="(/data/exports/[0-9a-f-]+/delete)"', browser.get("/data").text)
    browser.post(address)
    assert "can be fetched until" not in browser.get("/data").text


def test_only_an_owner_erases_with_the_name_typed_and_takes_it_back(desk: Desk) -> None:
    assert desk.browser("admin").post("/data/erase", data={"name": "Aldgate Joinery"}).status_code == 403
    assert "Only an owner" in desk.browser("admin").get("/data").text
    browser = desk.browser("owner")
    wrong = browser.post("/data/erase", data={"name": "Aldgate"})
    assert wrong.status_code == 422
    assert "exactly as it stands" in wrong.text
    assert browser.post("/data/erase", data={"name": "Aldgate Joinery"}).location == "/data"
    # Whoever belongs to it sees it on every page, until it is taken back.
    member = desk.browser("member")
    assert "Everything of Aldgate Joinery is erased" in member.get("/home").text
    assert "It begins" in browser.get("/data").text
    assert browser.post("/data/keep").location == "/data"
    assert "is erased" not in member.get("/home").text
    assert browser.post("/data/keep").status_code == 409


def test_an_operator_finds_a_customer_exports_and_erases_it(desk: Desk) -> None:
    other = Desk(desk.apps, desk.owner, "Brightwater")
    desk.owner.execute("UPDATE tenants SET external_id = 'aldgate' WHERE id = %s", (desk.tenant_id,))
    browser = operator(desk)
    home = f"/host/tenants/{desk.tenant_id}"
    assert browser.get("/host/tenants?q=aldgate").location == home
    assert home in browser.get("/host/tenants?q=Joiner").text
    assert "No customer fits" in browser.get("/host/tenants?q=nobody").text
    assert browser.get(f"/host/tenants/{uuid.uuid4()}").status_code == 404
    browser.post(f"{home}/exports")
    turn(desk)
    archive = fetch(browser, home)
    assert b"Brightwater" not in b"".join(archive.read(name) for name in archive.namelist())
    assert desk.all("SELECT actor FROM audit WHERE action = 'tenant.export_fetched'") == [("S",)]
    browser.post(f"{home}/erase", data={"name": "Aldgate Joinery"})
    assert "Begins" in browser.get("/host/tenants").text
    desk.owner.execute("UPDATE erasures SET erase_at = now() - interval '1 s'")
    desk.owner.execute("UPDATE tenants SET erase_at = now() - interval '1 s' WHERE erase_at IS NOT NULL")
    for _ in range(3):
        turn(desk)
    page = browser.get("/host/tenants").text
    (address,) = re.findall(r'href="(/host/tenants/erasures/[0-9a-f-]+)"', page)
    report = browser.get(address).json
    assert report is not None
    assert report["tenant"]["name"] == "Aldgate Joinery"
    assert browser.get(home).status_code == 404
    assert other.browser().get("/records").status_code == 200
