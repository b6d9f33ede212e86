"""Every operation of the API: without a key, without its scope, and with another tenant's ids (T01, U01, U07)."""

import re
import uuid
from typing import Any

import pytest
from flask import Flask

from app.api.operations import OPERATIONS, Operation
from app.db import db
from app.ids import new_id
from app.models.endpoints import Delivery, Endpoint
from app.models.runs import Conflict, Problem
from app.services import connect_sessions, installations, record_edits, runs, subscriptions
from app.services.api_keys import SCOPES
from app.services.subscriptions import Wish
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.api_keys import Caller, host_caller, tenant_caller
from tests.factories.people import sign_in
from tests.factories.tenants import make_tenant

Apps = dict[str, Flask]
# Bodies that fit, so that what is refused is refused for the caller or the id.
BODIES: dict[str, Any] = {
    "create_subscription": {"name": "Hook", "url": "https://example.com/h"}, "replay_dispatches": {}, "replay_deliveries": {},
    "change_subscription": {"name": "CANARY", "url": "https://example.com/h"},
    "rotate_key": {}, "put_tenant": {"name": "CANARY"}, "create_record": {"data": {}}, "upsert_record": {"data": {}},
    "update_record": {"data": {"city": "Bonn"}}, "install": {"integration": "kinto"}, "connect": {"values": {}},
    "write_batch": {"items": [{"action": "create", "data": {}}]}, "configure": {}, "start_run": {},
    "put_mapping": {"rules": [{"target": "email", "sources": ["email"]}]}, "answer_run": {"go_on": True},
    "decide_conflict": {"seen": "x"}, "create_connect_session": {"person": "Maja"},
    "create_connect_link": {"person": "Maja"},
}  # fmt: skip


def address(made: Operation, value: str) -> str:
    path = re.sub(r"<uuid:[^>]+>", value, made.path)
    return path.replace("<object_type>", "contact").replace("<stream>", "contacts").replace("<slug>", "kinto").replace(
        "<external_id>", "canary-1"
    )  # fmt: skip


@pytest.fixture
def ours(apps: Apps, clean: None) -> uuid.UUID:
    return make_tenant(apps, "Ours")


@pytest.fixture
def theirs(apps: Apps, ours: uuid.UUID) -> dict[str, str]:
    """Return one id of each noun of another tenant."""
    tenant = make_tenant(apps, "Theirs CANARY")
    found: dict[str, str] = {"tenant": str(tenant)}
    with apps["web"].app_context(), bind_tenant(tenant), transaction():
        made = installations.create_installation(tenant, "kinto", user_id=uuid.uuid4())
        made.name, made.state = "CANARY installation", "active"
        db.session.flush()
        run = runs.start_run(tenant, made.id, trigger="manual")
        record = record_edits.create(tenant, "contact", {"city": "CANARY"}, writer="test")
        conflict = Conflict(
            tenant_id=tenant, installation_id=made.id, stream="contacts", external_id="1", kind="fields",
            record_id=record.id, theirs={"city": "CANARY"},
        )  # fmt: skip
        problem = Problem(
            tenant_id=tenant, installation_id=made.id, signature="CANARY", code="CANARY", message="CANARY"
        )
        session, _ = connect_sessions.make(tenant, "session", person="CANARY", created_by=uuid.uuid4())
        db.session.add_all([conflict, problem])
        db.session.flush()
        hears, _ = subscriptions.create(tenant, Wish("CANARY", "https://example.com/h"))
        sent = subscriptions.send_test(tenant, hears.id)
        endpoint = Endpoint(tenant_id=tenant, id=new_id(), installation_id=made.id, connector="kinto", address="CANARY")
        db.session.add(endpoint)
        db.session.flush()
        delivery = Delivery(
            tenant_id=tenant, id=new_id(), endpoint_id=endpoint.id, event_id="CANARY", verdict="accepted",
            method="POST", headers={}, body=b"CANARY", size=6,
        )  # fmt: skip
        db.session.add(delivery)
        db.session.flush()
        found |= {"subscription": str(hears.id), "dispatch": str(sent), "endpoint": str(endpoint.id)}
        found |= {"delivery": str(delivery.id)}
        ids = {"installation": made, "run": run, "record": record, "conflict": conflict, "problem": problem}
        found |= {name: str(row.id) for name, row in ids.items()} | {"session": str(session.id)}
    return found


def test_every_operation_has_a_body_to_test_with(apps: Apps) -> None:
    assert {made.id for made in OPERATIONS if made.body} == set(BODIES)


def test_nobody_and_a_signed_in_browser_are_refused_everywhere(apps: Apps, ours: uuid.UUID) -> None:
    browser = sign_in(apps, ours)
    browser_call = Caller(apps, None)
    browser_call.client = browser
    stranger = Caller(apps, "pb_t_" + "x" * 43)
    checked = 0
    for made in OPERATIONS:
        for call in (Caller(apps, None), stranger, browser_call):
            # The budget of callers without a key is small; each has an address of its own here.
            call.client.environ_base["REMOTE_ADDR"] = f"10.{checked // 250}.{checked % 250}.1"
            answer = call(made.method, address(made, str(uuid.uuid4())), BODIES.get(made.id))
            assert (answer.status_code, answer.json["code"]) == (401, "key_required"), made.id
            checked += 1
    print(f"\nNOBODY 0/{checked}")


def test_each_operation_needs_its_scope_and_no_other(apps: Apps, ours: uuid.UUID) -> None:
    callers = {scope: tenant_caller(apps, ours, scope) for scope in SCOPES}
    for made in OPERATIONS:
        if made.host_only or not made.scope:
            continue
        for scope, call in callers.items():
            answer = call(made.method, address(made, str(uuid.uuid4())), BODIES.get(made.id))
            lacks = answer.status_code == 403 and answer.json["code"] == "scope_missing"
            assert lacks is (scope != made.scope), (made.id, scope, answer.status_code)


def test_ids_of_another_tenant_answer_as_ids_that_do_not_exist(
    apps: Apps, ours: uuid.UUID, theirs: dict[str, str]
) -> None:
    call, checked = tenant_caller(apps, ours), 0
    for made in OPERATIONS:
        if "<uuid:" not in made.path:
            continue
        for foreign in theirs.values():
            unknown = str(uuid.uuid4())
            one = call(made.method, address(made, foreign), BODIES.get(made.id))
            other = call(made.method, address(made, unknown), BODIES.get(made.id))
            assert one.status_code == other.status_code == 404, (made.id, one.status_code, other.status_code)
            assert _same(one, foreign) == _same(other, unknown), made.id
            assert b"CANARY" not in one.data, made.id
            checked += 1
    print(f"\nCROSS 0/{checked}")


def _same(answer: Any, named: str) -> Any:
    return {name: str(value).replace(named, "ID") for name, value in answer.json.items() if name != "request_id"}


def test_no_list_shows_what_is_anothers(apps: Apps, ours: uuid.UUID, theirs: dict[str, str]) -> None:
    call = tenant_caller(apps, ours)
    lists = [made for made in OPERATIONS if made.method == "GET" and "<uuid:" not in made.path and not made.host_only]
    for made in lists:
        answer = call("GET", address(made, ""))
        assert answer.status_code == 200, made.id
        assert b"CANARY" not in answer.data, made.id
    for name, path in (("installation", "/conflicts?installation_id="), ("installation", "/problems?installation_id=")):
        assert call("GET", path + theirs[name]).json["data"] == []


def test_what_is_not_the_callers_to_set_is_refused(apps: Apps, ours: uuid.UUID) -> None:
    """Mass assignment (U05): no body takes a field that it does not name."""
    call = tenant_caller(apps, ours)
    for made in OPERATIONS:
        if not made.body or made.host_only:
            continue
        for name in ("tenant_id", "id_", "state", "created_by", "scopes", "lease_token", "version_", "sealed"):
            body = {**BODIES[made.id], name: str(uuid.uuid4())}
            answer = call(made.method, address(made, str(uuid.uuid4())), body)
            assert (answer.status_code, answer.json["code"]) == (422, "invalid"), (made.id, name)


def test_a_key_of_the_host_sees_only_the_tenant_that_it_names(
    apps: Apps, ours: uuid.UUID, theirs: dict[str, str]
) -> None:
    host = host_caller(apps)
    host("PUT", "/tenants/mine", {"name": "Mine"})
    named = host_caller(apps, "mine")
    for made in OPERATIONS:
        if made.tenant and made.method == "GET":
            assert host("GET", address(made, str(uuid.uuid4()))).json["code"] == "tenant_required", made.id
        if made.tenant and "<uuid:" in made.path:
            for foreign in theirs.values():
                answer = named(made.method, address(made, foreign), BODIES.get(made.id))
                assert answer.status_code == 404, (made.id, answer.status_code)
