"""Records over the API: one by one and in batches, by version and by the host's own ids."""

import threading
import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from tests.factories.api_keys import Caller, host_caller, make_key, tenant_caller
from tests.factories.tenants import make_tenant

Apps = dict[str, Flask]
Owner = psycopg.Connection[Any]


@pytest.fixture
def tenant(apps: Apps, clean: None) -> uuid.UUID:
    return make_tenant(apps)


@pytest.fixture
def call(apps: Apps, tenant: uuid.UUID) -> Caller:
    return tenant_caller(apps, tenant)


def test_the_life_of_a_record(call: Caller, owner: Owner) -> None:
    made = call("POST", "/records/contact", {"data": {"email": "ada@example.com", "city": "London"}})
    assert made.status_code == 201
    address = f"/records/contact/{made.json['id']}"
    etag = made.headers["ETag"]
    assert call("GET", address).json["data"]["city"] == "London"
    changed = call("PATCH", address, {"data": {"city": "Bonn"}}, headers={"If-Match": etag})
    assert (changed.status_code, changed.json["data"], changed.json["version"]) == (
        200, {"email": "ada@example.com", "city": "Bonn"}, 2,
    )  # fmt: skip
    late = call("PATCH", address, {"data": {"city": "Oslo"}}, headers={"If-Match": etag})
    assert (late.status_code, late.json["code"]) == (412, "version_mismatch")
    wrong = call("PATCH", address, {"data": {"score": "many", "nothing": 1}})
    assert (wrong.status_code, len(wrong.json["errors"])) == (422, 2)
    assert call("DELETE", address, headers={"If-Match": etag}).status_code == 412
    assert call("DELETE", address).status_code == 204
    assert call("DELETE", address).status_code == 404
    assert call("GET", address).json["deleted_at"] is not None
    assert call("GET", "/records/contact").json["data"] == []
    assert len(call("GET", "/records/contact?deleted=true").json["data"]) == 1
    journal = owner.execute("SELECT operation, writer FROM changes ORDER BY id").fetchall()
    assert journal == [("created", "API key Test"), ("updated", "API key Test"), ("deleted", "API key Test")]


def test_upsert_by_external_id(call: Caller) -> None:
    first = call("PUT", "/records/contact/external/u-1", {"data": {"email": "ada@example.com"}})
    again = call("PUT", "/records/contact/external/u-1", {"data": {"city": "Bonn"}})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json["data"] == {"email": "ada@example.com", "city": "Bonn"}
    assert first.json["id"] == again.json["id"]
    assert call("POST", "/records/contact", {"data": {}, "external_id": "u-1"}).json["code"] == "external_id_taken"
    call("DELETE", f"/records/contact/{first.json['id']}")
    back = call("PUT", "/records/contact/external/u-1", {"data": {"city": "Oslo"}})
    assert (back.json["id"], back.json["deleted_at"]) == (first.json["id"], None)
    assert [r["id"] for r in call("GET", "/records/contact?external_id=u-1").json["data"]] == [first.json["id"]]
    # The same id of another type, and of another tenant, is another record.
    assert call("PUT", "/records/company/external/u-1", {"data": {"name": "A"}}).status_code == 201


def test_upsert_takes_a_record_that_fits(call: Caller) -> None:
    synced = call("POST", "/records/contact", {"data": {"email": "ADA@example.com"}}).json
    taken = call("PUT", "/records/contact/external/u-1", {"data": {"email": "ada@example.com"}, "match": "email"})
    assert (taken.status_code, taken.json["id"], taken.json["external_id"]) == (200, synced["id"], "u-1")
    for _ in range(2):
        call("POST", "/records/contact", {"data": {"email": "bob@example.com"}})
    both = call("PUT", "/records/contact/external/u-2", {"data": {"email": "bob@example.com"}, "match": "email"})
    assert (both.status_code, both.json["code"]) == (409, "ambiguous_match")
    none = call("PUT", "/records/contact/external/u-2", {"data": {"city": "Bonn"}, "match": "city"})
    assert none.status_code == 422


def test_a_batch_has_a_result_for_each(call: Caller, owner: Owner) -> None:
    made = call("POST", "/records/contact", {"data": {"email": "a@example.com"}}).json
    items = [
        {"action": "upsert", "external_id": "n-1", "data": {"email": "n1@example.com"}},
        {"action": "update", "id": made["id"], "data": {"city": "Bonn"}, "version": 1},
        {"action": "update", "id": made["id"], "data": {"city": "Oslo"}},
        {"action": "create", "data": {"email": "no address"}},
        {"action": "delete", "id": str(uuid.uuid4())},
        {"action": "create", "data": {"email": "n2@example.com"}},
        {"action": "upsert", "external_id": "n-1", "data": {}},
    ]
    answer = call("POST", "/records/contact/batch", {"items": items})
    found = [(r["outcome"], r["error"] and r["error"]["code"]) for r in answer.json["results"]]
    assert found == [
        ("created", None), ("updated", None), ("failed", "duplicate_in_batch"), ("failed", "invalid"),
        ("failed", "not_found"), ("created", None), ("failed", "duplicate_in_batch"),
    ]  # fmt: skip
    assert answer.json["results"][3]["error"]["errors"][0]["pointer"] == "/data/email"
    again = call("POST", "/records/contact/batch", {"items": items[:1]})
    assert again.json["results"][0]["outcome"] == "unchanged"
    assert owner.execute("SELECT count(*) FROM record_keys WHERE value = 'n1@example.com'").fetchone() == (1,)
    assert call("POST", "/records/contact/batch", {"items": []}).status_code == 422
    assert call("POST", "/records/nothing/batch", {"items": items[:1]}).status_code == 404


def test_five_hundred_records_are_a_handful_of_statements(apps: Apps, call: Caller) -> None:
    from sqlalchemy import event

    from app.db import db

    def count(items: list[dict[str, Any]]) -> int:
        asked = []
        with apps["web"].app_context():
            engine = db.engine

        def note(*_: Any) -> None:
            asked.append(1)

        event.listen(engine, "before_cursor_execute", note)
        try:
            answer = call("POST", "/records/contact/batch", {"items": items})
        finally:
            event.remove(engine, "before_cursor_execute", note)
        assert not [r for r in answer.json["results"] if r["outcome"] == "failed"]
        return len(asked)

    def upserts(first: int, many: int, city: str) -> list[dict[str, Any]]:
        return [
            {"action": "upsert", "external_id": f"b-{n}", "data": {"email": f"b{n}@example.com", "city": city}}
            for n in range(first, first + many)
        ]

    few, many = count(upserts(0, 5, "Bonn")), count(upserts(100, 500, "Bonn"))
    assert many <= few + 6, (few, many)
    few, many = count(upserts(0, 5, "Oslo")), count(upserts(100, 500, "Oslo"))
    assert many <= few + 6, (few, many)


def test_two_requests_at_once_make_one_record(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    value = make_key(apps, tenant)
    found: list[int] = []

    def upsert(city: str) -> None:
        call = Caller(apps, value)
        for number in range(10):
            answer = call("PUT", f"/records/contact/external/r-{number}", {"data": {"city": city}})
            found.append(answer.status_code)

    threads = [threading.Thread(target=upsert, args=(city,)) for city in ("Bonn", "Oslo", "Rome")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert owner.execute("SELECT count(*) FROM records").fetchone() == (10,)
    assert sorted(set(found)) == [200, 201]
    assert found.count(201) == 10


def test_two_parallel_posts_with_one_idempotency_key_do_it_once(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    value = make_key(apps, tenant)
    answers: list[Any] = []
    start = threading.Barrier(4)

    def post(number: int) -> None:
        call = Caller(apps, value)
        start.wait()
        answers.append(
            call(
                "POST",
                "/records/contact",
                {"data": {"email": f"{number}@example.com"}},
                headers={"Idempotency-Key": f"order-{number}"},
            )
        )

    for number in range(5):
        threads = [threading.Thread(target=post, args=(number,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert owner.execute("SELECT count(*) FROM records").fetchone() == (5,)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.data for answer in answers}) == 5
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 15


def test_a_key_without_payloads_sees_no_values(apps: Apps, tenant: uuid.UUID, call: Caller) -> None:
    made = call("POST", "/records/contact", {"data": {"email": "secret@example.com"}}).json
    monitor = tenant_caller(apps, tenant, "list", "read")
    for path in ("/records/contact", f"/records/contact/{made['id']}", "/changes"):
        answer = monitor("GET", path)
        assert answer.status_code == 200, path
        assert b"secret@example.com" not in answer.data, path
    assert monitor("POST", "/records/contact", {"data": {}}).json["code"] == "scope_missing"
    assert tenant_caller(apps, tenant, "list")("GET", f"/records/contact/{made['id']}").status_code == 403


def test_pages_hold_every_record_once(call: Caller) -> None:
    items = [{"action": "create", "data": {"email": f"p{n}@example.com"}} for n in range(25)]
    call("POST", "/records/contact/batch", {"items": items})
    seen: list[str] = []
    cursor = ""
    while True:
        page = call("GET", f"/records/contact?limit=7&cursor={cursor}").json
        seen += [row["id"] for row in page["data"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert (len(seen), len(set(seen))) == (25, 25)
    assert call("GET", "/records/contact?cursor=nonsense").json["code"] == "invalid_cursor"
    assert call("GET", "/records/contact?limit=0").status_code == 400
    assert call("GET", "/records/contact?find=p3@EXAMPLE.com").json["data"][0]["data"]["email"] == "p3@example.com"


def test_a_host_key_needs_a_tenant_for_records(apps: Apps, tenant: uuid.UUID) -> None:
    host = host_caller(apps)
    assert host("GET", "/records/contact").json["code"] == "tenant_required"
    host("PUT", "/tenants/c-1", {"name": "One"})
    one = {"Patchbay-Tenant": "c-1"}
    assert host("POST", "/records/contact", {"data": {"city": "Bonn"}}, headers=one).status_code == 201
    assert len(host("GET", "/records/contact", headers=one).json["data"]) == 1
