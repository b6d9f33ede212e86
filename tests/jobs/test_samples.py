"""What the mapping editor asks of a vendor, answered by a worker: Sandbox CRM runs in a thread."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.errors import InvalidError
from app.models.installations import Preview
from app.services import mappings, previews, problems, samples, tasks
from connectors.sdk import Rule
from tests.connectors.sandbox.running import Running
from tests.factories.mappings import STREAM, Workspace

Owner = psycopg.Connection[Any]


@pytest.fixture
def vendor() -> Iterator[Running]:
    found = Running()
    yield found
    found.stop()


@pytest.fixture
def work(apps: dict[str, Flask], clean: None, vendor: Running) -> Workspace:
    return Workspace(apps, vendor=vendor)


def ask(work: Workspace, monkeypatch: pytest.MonkeyPatch, kind: str, **request: Any) -> Preview:
    """Ask, let a worker answer, and return the answer."""
    made = work.act(lambda: previews.ask(work.tenant_id, work.installation_id, kind, stream=STREAM, request=request).id)
    assert work.drain(monkeypatch) >= 1
    found: Preview = work.act(lambda: previews.get(work.tenant_id, made))
    return found


def test_samples_hold_what_the_editor_offers_and_nothing_sensitive(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(work, monkeypatch, "fields")
    found = ask(work, monkeypatch, "sample")
    assert found.state == "ready"
    records = found.result["records"]
    assert len(records) == samples.MOST
    values = records[0]["values"]
    assert values["properties.contract_value"].startswith("£")
    assert "properties.birthday" not in values
    assert not [name for name in values if not name.startswith("properties.")]
    assert samples.data_of(records[0])["properties"]["email"] == values["properties.email"]


def test_what_a_field_marked_sensitive_here_is_made_of_is_not_shown(
    work: Workspace, monkeypatch: pytest.MonkeyPatch, owner: Owner
) -> None:
    owner.execute("UPDATE object_fields SET sensitive = true WHERE object_type = 'contact' AND name = 'phone'")
    try:
        ask(work, monkeypatch, "fields")
        records = ask(work, monkeypatch, "sample").result["records"]
        assert not any("properties.phone" in record["values"] for record in records)
        page = work.browser().get(work.base).get_data(as_text=True)
        assert page.count("not shown, it is sensitive") == 4  # Birthday as well, in row and preview each.
        assert "+44" not in page
    finally:
        owner.execute("UPDATE object_fields SET sensitive = false WHERE object_type = 'contact' AND name = 'phone'")


def test_fields_are_loaded_with_a_sample_each(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ask(work, monkeypatch, "fields")
    assert found.result == {"count": 16, "new": 0, "removed": 0, "retyped": 0}
    fields = {field["name"]: field for field in work.content().installed.fields}
    own = fields["properties.contract_value"]
    assert (own["custom"], own["type"], own["sample"][:1]) == (True, "text", "£")
    # The manifest declares the stage, the account says what its choices are.
    assert [choice["value"] for choice in fields["properties.lifecyclestage"]["choices"]][:2] == ["lead", "customer"]


def test_what_changes_there_becomes_a_notice(
    work: Workspace, vendor: Running, monkeypatch: pytest.MonkeyPatch, owner: Owner
) -> None:
    ask(work, monkeypatch, "fields")
    work.change(
        lambda rules: [*(r for r in rules if r.target != "notes"), Rule("notes", ("properties.contract_value",))]
    )
    work.act(lambda: mappings.apply_draft(work.tenant_id, work.installation_id, STREAM, user_id=None))
    vendor.store.set_property("contacts", "shoe_size", "number")
    vendor.store.set_property("contacts", "contract_value", "number")
    owner.execute("UPDATE installation_streams SET fields_checked_at = now() - interval '25 hours'")
    work.act(
        lambda: tasks.add_task(
            work.tenant_id, "fast", "check_fields", str(work.installation_id), ref=work.installation_id
        )
    )
    work.drain(monkeypatch)
    found = work.act(lambda: problems.list_open(work.tenant_id, work.installation_id))
    assert [(p.code, p.stops_sync, p.count) for p in found] == [("schema_drift", False, 2)]
    assert "Contract value is a number now" in found[0].message
    checked = owner.execute(
        "SELECT count(*) FROM installation_streams WHERE fields_checked_at < now() - interval '1 h'"
    )
    assert checked.fetchone() == (0,)
    vendor.store.set_property("contacts", "shoe_size", None)
    vendor.store.set_property("contacts", "contract_value", "string")
    assert ask(work, monkeypatch, "fields").result["removed"] == 1
    assert work.act(lambda: problems.list_open(work.tenant_id, work.installation_id)) == []


def test_a_vendor_that_is_down_is_asked_again_in_a_day(
    work: Workspace, vendor: Running, monkeypatch: pytest.MonkeyPatch, owner: Owner
) -> None:
    vendor.store.put("fault", "kind", "outage")
    owner.execute("UPDATE installation_streams SET fields_checked_at = NULL")
    work.act(
        lambda: tasks.add_task(
            work.tenant_id, "fast", "check_fields", str(work.installation_id), ref=work.installation_id
        )
    )
    work.drain(monkeypatch)
    assert owner.execute("SELECT state FROM tasks WHERE kind = 'check_fields'").fetchone() == ("done",)
    assert owner.execute("SELECT count(*) FROM installation_streams WHERE fields_checked_at IS NULL").fetchone() == (0,)
    assert work.act(lambda: problems.list_open(work.tenant_id, work.installation_id)) == []


def test_one_record_is_fetched_by_its_id(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ask(work, monkeypatch, "lookup", external_id="contact-7")
    assert [record["id"] for record in found.result["records"]] == ["contact-7"]
    gone = ask(work, monkeypatch, "lookup", external_id="contact-99999")
    assert (gone.state, gone.error) == ("failed", "Sandbox CRM has no record “contact-99999” among its contacts.")


def test_a_record_is_found_by_id_or_by_the_key_it_is_linked_by(work: Workspace, owner: Owner) -> None:
    installed = work.content().installed

    def find(text: str) -> str:
        return str(work.act(lambda: samples.find_external_id(installed, text)))

    assert find(" contact-3 ") == "contact-3"
    with pytest.raises(InvalidError):
        find("  ")
    with pytest.raises(InvalidError) as raised:
        find("ada@example.test")
    assert "No record with “ada@example.test” is linked yet." in raised.value.fields["q"]
    owner.execute(
        "WITH made AS (INSERT INTO records (tenant_id, id, object_type, data, hash) VALUES (%(t)s, gen_random_uuid(), "
        "'contact', '{\"email\": \"ada@example.test\"}', '') RETURNING id), key AS (INSERT INTO record_keys (tenant_id, "
        "object_type, key, value, record_id) SELECT %(t)s, 'contact', 'email', 'ada@example.test', id FROM made) "
        "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
        "mapping_version) SELECT %(t)s, gen_random_uuid(), %(i)s, 'contacts', 'contact-42', id, '{}', '', 1 FROM made",
        {"t": work.tenant_id, "i": work.installation_id},
    )
    assert find("Ada@Example.test") == "contact-42"


def test_a_field_under_another_is_read_from_it() -> None:
    kept = {"values": {"owner": {"id": 7, "name": "Ada"}, "owner.name": "Ada", "emails.0.value": "a@b.c", "x.y": 1}}
    assert samples.data_of(kept) == {
        "owner": {"id": 7, "name": "Ada"},
        "emails": {"0": {"value": "a@b.c"}},
        "x": {"y": 1},
    }
