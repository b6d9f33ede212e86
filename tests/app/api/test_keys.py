"""Keys of the API: shown once, stored as a hash, and opening exactly what they should (U15)."""

import hashlib
import re
import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.clock import now, replace_source
from app.services import tenants
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from tests.factories.api_keys import Caller, host_caller, make_key, tenant_caller
from tests.factories.people import make_staff, sign_in
from tests.factories.tenants import make_tenant

Apps = dict[str, Flask]
Owner = psycopg.Connection[Any]


@pytest.fixture
def tenant(apps: Apps, clean: None) -> uuid.UUID:
    return make_tenant(apps)


def test_only_the_hash_is_kept_and_use_is_noted(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    value = make_key(apps, tenant)
    assert value.startswith("pb_t_")
    stored = owner.execute("SELECT token_hash, start, row_to_json(k)::text FROM api_keys k").fetchone()
    assert stored is not None
    assert stored[0] == hashlib.sha256(value.encode()).digest()
    assert value.startswith(stored[1])
    assert value not in stored[2]
    answer = Caller(apps, value)("GET", "/key")
    assert answer.status_code == 200
    assert answer.json["tenant_id"] == str(tenant)
    assert owner.execute("SELECT last_used_at IS NOT NULL FROM api_keys").fetchone() == (True,)


@pytest.mark.parametrize("value", ["", "pb_t_" + "x" * 43, "Bearer", "pb_t_\x7f", "ü" * 20])
def test_an_unknown_key_opens_nothing(apps: Apps, tenant: uuid.UUID, value: str) -> None:
    answer = Caller(apps, None)("GET", "/key", headers={"Authorization": f"Bearer {value}"})
    assert (answer.status_code, answer.json["code"]) == (401, "key_required")
    assert answer.content_type == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_browsers_session_opens_nothing(apps: Apps, tenant: uuid.UUID) -> None:
    assert sign_in(apps, tenant).get("/api/v1/key").status_code == 401


def test_revoked_and_expired_keys_say_so(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    value = make_key(apps, tenant, days=1)
    call = Caller(apps, value)
    try:
        replace_source(lambda: _moved(timedelta(hours=25)))
        answer = call("GET", "/key")
        assert (answer.status_code, answer.json["code"]) == (401, "key_expired")
    finally:
        replace_source(None)
    assert call("GET", "/key").status_code == 200
    owner.execute("UPDATE api_keys SET revoked_at = now()")
    answer = call("GET", "/key")
    assert (answer.status_code, answer.json["code"]) == (401, "key_revoked")


def _moved(by: timedelta) -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC) + by


def test_rotation_has_both_keys_work_until_the_overlap_ends(apps: Apps, tenant: uuid.UUID) -> None:
    old = Caller(apps, make_key(apps, tenant, "list"))
    made = old("POST", "/key/rotate", {"overlap_hours": 2})
    assert made.status_code == 201
    assert made.json["scopes"] == ["list"]
    new = Caller(apps, made.json["value"])
    assert (old("GET", "/key").status_code, new("GET", "/key").status_code) == (200, 200)
    assert old("POST", "/key/rotate", {}).status_code == 409
    try:
        replace_source(lambda: _moved(timedelta(hours=3)))
        assert old("GET", "/key").json["code"] == "key_expired"
        assert new("GET", "/key").status_code == 200
    finally:
        replace_source(None)
    assert now()


def test_a_host_key_acts_for_the_tenant_it_names(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    host = host_caller(apps)
    made = host("PUT", "/tenants/cust-7", {"name": "Aldgate", "zone": "Europe/Berlin"})
    assert made.status_code == 201
    assert host("PUT", "/tenants/cust-7", {"name": "Aldgate & Co"}).status_code == 200
    shown = host("GET", "/tenants/cust-7").json
    assert (shown["name"], shown["zone"]) == ("Aldgate & Co", "Europe/Berlin")
    named = host("GET", "/key", headers={"Patchbay-Tenant": "cust-7"})
    assert named.json["tenant_id"] == shown["id"]
    unknown = host("GET", "/key", headers={"Patchbay-Tenant": "cust-8"})
    assert (unknown.status_code, unknown.json["code"]) == (404, "not_found")
    assert tenant_caller(apps, tenant)("PUT", "/tenants/cust-9", {"name": "x"}).status_code == 403
    # The header of a tenant's own key changes nothing.
    own = tenant_caller(apps, tenant)("GET", "/key", headers={"Patchbay-Tenant": "cust-7"})
    assert own.json["tenant_id"] == str(tenant)


def test_a_host_key_lists_the_customers(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    host = host_caller(apps)
    for number in range(4):
        host("PUT", f"/tenants/cust-{number}", {"name": f"Customer {number}"})
    first = host("GET", "/tenants?limit=3").json
    assert len(first["data"]) == 3
    rest = host("GET", f"/tenants?limit=3&cursor={first['next']}").json
    assert rest["next"] is None
    found = {row["external_id"]: row["name"] for row in first["data"] + rest["data"]}
    assert found.keys() == {"", *(f"cust-{number}" for number in range(4))}, "also who has signed up without the host"
    assert found["cust-2"] == "Customer 2"
    assert str(PLATFORM_TENANT) not in str(first) + str(rest)
    refused = tenant_caller(apps, tenant)("GET", "/tenants")
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")


def test_without_a_live_key_of_the_host_the_database_lists_nobody(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    keys = {"host": make_key(apps, PLATFORM_TENANT), "tenant": make_key(apps, tenant), "nobody": "pb_h_x"}

    def seen(name: str) -> int:
        with apps["web"].app_context(), bind_tenant(tenant), transaction():
            return len(tenants.list_customers(keys[name]))

    assert [seen(name) for name in keys] == [1, 0, 0]
    owner.execute("UPDATE api_keys SET expires_at = now() WHERE kind = 'host'")
    assert seen("host") == 0
    owner.execute("UPDATE api_keys SET expires_at = NULL, revoked_at = now() WHERE kind = 'host'")
    assert seen("host") == 0


def test_a_key_with_single_scopes_is_made_on_the_page(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    person = sign_in(apps, tenant)
    token = re.search(r'name="csrf-token" content="([^"]+)"', person.get("/api-keys").text)
    assert token

    def make(**chosen: Any) -> Any:
        sent = {"csrf_token": token[1], "name": "Billing", "days": "30", **chosen}
        return person.post("/api-keys", data=sent, headers={"Origin": "http://localhost"})

    refused = make(profile="custom")
    assert refused.status_code == 422
    assert "Choose from the list, at least one." in refused.text
    wrong = make(profile="custom", scopes=["list", "root"])
    assert wrong.status_code == 422
    assert re.search(r'value="list" checked', wrong.text), "what was chosen stays"
    made = make(profile="custom", scopes=["write", "list"])
    value = re.search(r"pb_t_[\w-]+", made.text)
    assert value
    # A profile says it all, whatever else is sent.
    make(profile="monitor", scopes=["admin"])
    rows = owner.execute("SELECT profile, scopes FROM api_keys ORDER BY id").fetchall()
    assert rows == [("custom", ["list", "write"]), ("monitor", ["list", "read"])]
    call = Caller(apps, value[0])
    assert call("GET", "/object-types").status_code == 200
    assert call("GET", "/audit").json["code"] == "scope_missing"


def test_the_budget_is_on_every_answer_and_ends_in_429(apps: Apps, tenant: uuid.UUID) -> None:
    web = apps["web"]
    settings = web.extensions["settings"]
    call = tenant_caller(apps, tenant)
    try:
        web.extensions["settings"] = settings.model_copy(update={"api_per_minute": 10})
        # The hook was given the settings at start, so the budget is spent by hand.
        answer = call("GET", "/key")
        assert int(answer.headers["RateLimit-Remaining"]) == int(answer.headers["RateLimit-Limit"]) - 1
        nobody = Caller(apps, None)
        codes = [nobody("GET", "/nothing").status_code for _ in range(61)]
    finally:
        web.extensions["settings"] = settings
    assert codes[0] == 404
    assert codes[-1] == 429
    refused = nobody("GET", "/key")
    assert refused.json["code"] == "too_many"
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit-Remaining"] == "0"


def test_admins_make_replace_and_revoke_keys_on_their_page(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    try:
        browser = sign_in(apps, tenant)
        page = browser.post("/api-keys", data={"name": "Import", "profile": "read_only", "days": "90"})
        value = page.get_data(as_text=True).split('id="value" value="')[1].split('"')[0]
        assert Caller(apps, value)("GET", "/key").json["scopes"] == ["list", "read", "payloads"]
        assert value not in browser.get("/api-keys").get_data(as_text=True)
        key_id = owner.execute("SELECT id FROM api_keys").fetchone()[0]  # type: ignore[index]
        page = browser.post(f"/api-keys/{key_id}/rotate", data={"overlap": "24"})
        assert 'id="value" value="pb_t_' in page.get_data(as_text=True)
        assert browser.post(f"/api-keys/{key_id}/revoke").status_code == 303
        assert Caller(apps, value)("GET", "/key").json["code"] == "key_revoked"
        acts = owner.execute("SELECT action FROM audit WHERE subject_type = 'api_key' ORDER BY id").fetchall()
        assert [row[0] for row in acts] == ["api_key.created", "api_key.rotated", "api_key.revoked"]
    finally:
        apps["web"].config["WTF_CSRF_ENABLED"] = True


def test_keys_of_the_host_are_the_platforms(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    value = make_key(apps, PLATFORM_TENANT)
    assert value.startswith("pb_h_")
    assert owner.execute("SELECT kind FROM api_keys").fetchone() == ("host",)
    assert make_staff(apps, "operator")


def test_an_answer_is_the_same_on_repeat_and_another_body_is_refused(
    apps: Apps, tenant: uuid.UUID, owner: Owner
) -> None:
    call = tenant_caller(apps, tenant)
    key = {"Idempotency-Key": "once"}
    first = call("POST", "/key/rotate", {"overlap_hours": 5}, headers=key)
    again = call("POST", "/key/rotate", {"overlap_hours": 5}, headers=key)
    assert (first.status_code, again.status_code) == (201, 201), again.json
    assert first.data == again.data
    assert again.headers["Idempotent-Replayed"] == "true"
    other = call("POST", "/key/rotate", {"overlap_hours": 6}, headers=key)
    assert (other.status_code, other.json["code"]) == (409, "idempotency_key_reused")
    kept = owner.execute("SELECT answer FROM idempotency_keys").fetchone()
    assert kept is not None
    assert first.json["value"].encode() not in kept[0]
    try:
        replace_source(lambda: _moved(timedelta(hours=25)))
        anew = Caller(apps, first.json["value"])("POST", "/key/rotate", {}, headers=key)
        assert anew.status_code == 201
    finally:
        replace_source(None)
