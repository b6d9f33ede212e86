"""Sandbox CRM's own promises: what it stores and what it refuses."""

import threading
from pathlib import Path

import orjson
import pytest
import requests

from connectors.sandbox.vendor.store import Store
from connectors.sdk import (
    AuthError,
    ChangedError,
    Checkpoint,
    Outgoing,
    RecordError,
    Refused,
    ScopeError,
    Written,
)
from tests.connectors.sandbox.running import Running, call
from tests.connectors.sandbox.test_contract import subscribe


def test_a_key_makes_one_record_however_often_it_is_sent(vendor: Running) -> None:
    connector, session = vendor.session()
    writer = connector.writer(session, "contacts")
    record = Outgoing({"properties.email": "a@example.test"}, key="key-1")
    found: list[str | None] = []

    token = session.credentials["access_token"].reveal()

    def send() -> None:
        answer = call(
            vendor, "POST", "/api/contacts", token, json={"properties": {"email": "a@example.test"}},
            headers={"idempotency-key": "key-1"},
        )  # fmt: skip
        found.append(answer.json()["id"])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.append(writer.create(record).id)
    assert len(found) == 9
    assert len(set(found)) == 1
    assert vendor.store.count("contacts", None) == 1001


def test_a_key_for_other_values_is_refused(vendor: Running) -> None:
    token = vendor.access()
    headers = {"idempotency-key": "key-1"}
    first = call(vendor, "POST", "/api/deals", token, json={"properties": {"name": "One"}}, headers=headers)
    other = call(vendor, "POST", "/api/deals", token, json={"properties": {"name": "Two"}}, headers=headers)
    assert (first.status_code, other.status_code) == (201, 409)
    same_key_elsewhere = call(
        vendor, "POST", "/api/companies", token, json={"properties": {"name": "One"}}, headers=headers
    )
    assert same_key_elsewhere.status_code == 201


def test_an_old_version_changes_and_deletes_nothing(vendor: Running) -> None:
    connector, session = vendor.session()
    writer = connector.writer(session, "contacts")
    first = connector.fetch(session, "contacts", "contact-1")
    assert first is not None
    second = writer.update(Outgoing({"properties.city": "Oslo"}, id="contact-1", version=first.version))
    assert second.version not in (None, first.version)
    with pytest.raises(ChangedError):
        writer.update(Outgoing({"properties.city": "Bergen"}, id="contact-1", version=first.version))
    with pytest.raises(ChangedError):
        writer.delete(Outgoing({}, id="contact-1", version=first.version))
    kept = connector.fetch(session, "contacts", "contact-1")
    assert kept is not None
    assert kept.data["properties"]["city"] == "Oslo"
    assert kept.data["properties"]["lastname"] == first.data["properties"]["lastname"]
    writer.delete(Outgoing({}, id="contact-1", version=second.version))
    assert connector.fetch(session, "contacts", "contact-1") is None
    writer.delete(Outgoing({}, id="contact-1", version=second.version))


@pytest.mark.parametrize(
    ("stream", "fields", "word"),
    [
        ("contacts", {"properties.nothing": "x"}, "nothing"), ("companies", {"properties.city": "Oslo"}, "name"),
        ("contacts", {"properties.lifecyclestage": "baron"}, "lifecyclestage"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused(vendor: Running, stream: str, fields: dict[str, str], word: str) -> None:
    connector, session = vendor.session()
    before = vendor.store.count(stream, None)
    with pytest.raises(RecordError):
        connector.writer(session, stream).create(Outgoing(fields, key="key"))
    body = {"properties": {name.removeprefix("properties."): value for name, value in fields.items()}}
    answer = call(vendor, "POST", f"/api/{stream}", session.credentials["access_token"].reveal(), json=body)
    assert answer.status_code == 422
    assert word in answer.json()["error"]["message"]
    assert vendor.store.count(stream, None) == before


def test_a_batch_answers_for_each_and_can_be_sent_again(vendor: Running) -> None:
    connector, session = vendor.session()
    writer = connector.writer(session, "companies")
    records = [
        Outgoing({"properties.name": "One"}, reference="r1"), Outgoing({"properties.city": "Oslo"}, reference="r2"),
        Outgoing({"properties.name": "Three"}, reference="r3"),
    ]  # fmt: skip
    first, again = writer.batch("create", records), writer.batch("create", records)
    assert [type(answer) for answer in first] == [Written, Refused, Written]
    assert [getattr(answer, "id", None) for answer in first] == [getattr(answer, "id", None) for answer in again]
    assert vendor.store.count("companies", None) == 202
    made = first[0]
    assert isinstance(made, Written)
    changed = writer.batch(
        "update", [Outgoing({"properties.city": "Rome"}, id="none"), Outgoing({"properties.city": "Rome"}, id=made.id)]
    )
    assert [type(answer) for answer in changed] == [Refused, Written]
    found = vendor.store.find("companies", str(made.id))
    assert found is not None
    assert found["properties"] == {"name": "One", "city": "Rome"}


def test_without_the_permission_nothing_is_written(vendor: Running) -> None:
    connector, session = vendor.session(scope="crm.read")
    writer = connector.writer(session, "contacts")
    with pytest.raises(ScopeError):
        writer.create(Outgoing({"properties.city": "Oslo"}, key="key"))
    with pytest.raises(ScopeError):
        writer.delete(Outgoing({}, id="contact-1"))
    assert vendor.store.count("contacts", None) == 1000
    assert subscribe(connector, session)["id"], "being told of changes needs no permission to write"


def test_what_changed_since_a_time_comes_with_tombstones(vendor: Running) -> None:
    connector, session = vendor.session()
    made = vendor.store.save("deals", None, {"name": "New"})
    vendor.store.delete("deals", "deal-3")
    page = connector.read(session, "deals", Checkpoint.start("incremental", made["updated_at"]))
    assert ([record.id for record in page.records], page.deleted) == ([made["id"]], ("deal-3",))


def test_an_old_refresh_token_ends_the_grant(vendor: Running) -> None:
    tokens = vendor.exchange(vendor.code())
    fresh = vendor.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json()
    assert call(vendor, "GET", "/api/me", fresh["access_token"]).status_code == 200
    again = vendor.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})
    assert call(vendor, "GET", "/api/me", fresh["access_token"]).status_code == 401


@pytest.mark.parametrize(("fault", "status"), [("rate_limit", 429), ("outage", 503), ("none", 200)])
def test_a_fault_is_switched_on_and_off(vendor: Running, fault: str, status: int) -> None:
    token = vendor.access()
    requests.post(f"{vendor.origin}/faults", data={"fault": fault}, timeout=5)
    answer = call(vendor, "GET", "/api/me", token)
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (fault == "rate_limit")


def test_a_token_taken_back_is_refused(vendor: Running) -> None:
    connector, session = vendor.session()
    requests.post(f"{vendor.origin}/faults", data={"fault": "expire"}, timeout=5)
    with pytest.raises(AuthError):
        connector.check(session)


def test_its_records_survive_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path / "s.sqlite")
    made = first.save("contacts", None, {"city": "Oslo"})
    again = Store(tmp_path / "s.sqlite")
    assert again.find("contacts", made["id"]) == made
    assert again.count("contacts", None) == 1001
    assert orjson.loads(orjson.dumps(again.find("contacts", "contact-7"))) == first.find("contacts", "contact-7")
