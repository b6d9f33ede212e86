"""Why a record is not in sync, each outcome brought about on a real Kinto, worker functions called in this process."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from app.services import diagnoses, failed_records, installations, record_edits, runs
from app.tenancy import bind_tenant
from tests.counterparts.asked import Asked, limit_phone
from tests.counterparts.kinto import PASSWORD, Kinto, contact
from tests.counterparts.test_two_way_on_kinto import Owner, drain_module
from tests.factories.tenants import activate


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    settings = {"kinto.experimental_collection_schema_validation": "true"}
    made = Kinto(Path(tmp_path_factory.mktemp("kinto")), settings=settings).start()
    yield made
    made.stop()


@pytest.fixture
def kinto(server: Kinto) -> Kinto:
    """The one server of these tests, as new."""
    server.clear()
    server.put_all("contacts", [contact(n) for n in range(5)])
    return server


@pytest.fixture
def asked(apps: dict[str, Flask], clean: None, owner: Owner, kinto: Kinto, monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    return Asked(apps, owner, kinto, drain_module.drain)


def test_a_record_in_sync_is_found_by_whatever_is_pasted(asked: Asked) -> None:
    asked.start()
    record_id, _ = asked.record("person1@example.test")
    for text in (
        "person1@example.test", " Person1@Example.TEST ", "contact-1", str(record_id), f"record:{record_id}",
        f"http://localhost/records/{record_id}", "https://kinto.example.com/v1/buckets/crm/records/contact-1?x=1",
    ):  # fmt: skip
        (case,) = asked.ask(text)
        assert (case.diagnosis.outcome, case.external_id, case.title) == ("in_sync", "contact-1", "Ada Byron 1"), text
    assert asked.ask("  ") == []


def test_a_refused_record_names_the_field_and_stays_so_through_its_states(asked: Asked) -> None:
    asked.kinto.put_all("contacts", [contact(7, birthday="31/02/1990"), contact(8, email="nobody")])
    asked.start()
    bad = asked.owner.execute("SELECT id FROM failed_records WHERE external_id = 'contact-7'").fetchone()
    assert bad is not None
    for text in ("contact-7", "person7@example.test"):
        stop = asked.stop(text)
        assert (stop.outcome, stop.act.kind if stop.act else "", stop.act.target if stop.act else "") == (
            "mapping_failed", "change_mapping", "birthday",
        )  # fmt: skip
        assert "31/02/1990" not in stop.text, "a sensitive value"
        assert "the value (hidden, as it is sensitive) is not a date" in stop.text
    assert asked.stop("nobody").text == "E-mail: “nobody” is not an e-mail address."
    asked.act(failed_records.ignore, bad[0])
    assert asked.outcome("contact-7") == ("ignored", "retry")
    asked.owner.execute("UPDATE failed_records SET state = 'parked', tries = 4 WHERE id = %s", (bad[0],))
    assert asked.outcome("contact-7") == ("parked", "retry")
    asked.kinto.put_all("contacts", [contact(7)])
    assert asked.look("contact-7") == ("not_read", "read_now"), "it would be accepted now"
    asked.act(runs.queue_read, asked.installation_id, "contacts", "contact-7")
    assert asked.outcome("contact-7") == ("waiting", None)
    asked.settle()
    assert asked.outcome("person7@example.test") == ("in_sync", None)


def test_what_nobody_has_seen_is_asked_for_by_id_only(asked: Asked) -> None:
    asked.start()
    assert asked.outcome("stranger@example.test") == ("never_seen", "ask_id")
    assert "can only be asked by id" in asked.stop("stranger@example.test").text
    assert asked.outcome("contact-99") == ("not_looked", "look_there")
    assert asked.look("contact-99") == ("not_there", "ask_id")


def test_what_is_there_and_not_read_is_told_with_what_stands_against_it(asked: Asked) -> None:
    asked.start()
    asked.kinto.put_all("contacts", [contact(20), contact(21, country="DE"), contact(22, email="x@y")])
    asked.filter({"field": "country", "op": "is", "values": ["GB"], "mode": "include"})
    assert asked.look("contact-20") == ("not_read", "read_now")
    assert asked.look("contact-21") == ("filtered", "widen_filter")
    stop = asked.stop("contact-21")
    assert "Country is not GB" in stop.text
    assert [(e.label, e.value) for e in stop.evidence] == [("Country", "“DE”")]
    assert asked.look("contact-22") == ("mapping_failed", "change_mapping")
    asked.act(runs.queue_read, asked.installation_id, "contacts", "contact-20")
    asked.settle()
    assert asked.outcome("contact-20") == ("in_sync", None)


def test_what_changed_there_is_seen_by_a_look_and_forgotten_once_it_is_read(asked: Asked) -> None:
    asked.start()
    asked.kinto.put_all("contacts", [contact(1, city="Bonn", birthday="1991-02-03")])
    assert asked.outcome("contact-1") == ("in_sync", None), "as far as anybody here knows"
    assert asked.look("contact-1") == ("not_read", "read_now")
    stop = asked.stop("contact-1")
    assert stop.text == "Birthday and City differ in Kinto from what was last agreed."
    assert {e.label: e.value for e in stop.evidence} | {"Next run": 0} == {
        "Birthday there": "“hidden”", "City there": "“Bonn”", "Next run": 0,
    }  # fmt: skip
    asked.act(runs.queue_read, asked.installation_id, "contacts", "contact-1")
    asked.settle()
    assert asked.outcome("contact-1") == ("in_sync", None)


def test_a_linked_record_that_a_filter_leaves_out_says_which(asked: Asked) -> None:
    asked.start()
    asked.filter({"field": "city", "op": "is", "values": ["London"], "mode": "exclude"})
    assert asked.outcome("person1@example.test") == ("filtered", "widen_filter")
    assert "City is London" in asked.stop("contact-1").text


def test_a_key_that_two_records_have_is_a_conflict_found_by_it(asked: Asked) -> None:
    asked.start()
    for city in ("Oslo", "Rome"):
        values = {"email": "twin@example.test", "city": city}
        asked.act(record_edits.create, "contact", values, writer="Host")
    asked.owner.execute("UPDATE intents SET state = 'dropped'")
    asked.kinto.put_all("contacts", [contact(30, email="twin@example.test")])
    assert asked.look("contact-30") == ("match_many", "read_now")
    asked.sync()
    assert asked.outcome("contact-30") == ("match_many", "open_conflict")
    assert asked.outcome("twin@example.test") == ("match_many", "open_conflict")
    assert "2 records of Fieldstone" in asked.stop("twin@example.test").text


def test_conflicts_are_told_with_their_values(asked: Asked) -> None:
    asked.start()
    asked.kinto.put_all("contacts", [contact(3, city="Bonn")])
    asked.edit("person3@example.test", city="Oslo")
    asked.settle()
    stop = asked.stop("person3@example.test")
    assert (stop.outcome, stop.key) == ("conflict", "agreed")
    assert ("City", "last agreed “London”, Fieldstone “Oslo”, Kinto “Bonn”") in [
        (e.label, e.value) for e in stop.evidence
    ]


def test_deletes_of_either_side_are_told(asked: Asked) -> None:
    asked.start()
    asked.kinto.delete("contacts", "contact-4")
    assert asked.look("person4@example.test") == ("deleted_there", "run_now"), "before it was noticed"
    asked.edit("person4@example.test", city="Oslo")
    asked.settle()
    assert asked.outcome("person4@example.test") == ("conflict", "open_conflict")
    asked.kinto.delete("contacts", "contact-3")
    asked.sync()
    assert asked.outcome("contact-3") == ("deleted_there", "restore")
    assert asked.outcome("person3@example.test") == ("deleted_there", "restore"), (
        "a deleted record has no keys any more"
    )
    record_id, _ = asked.record("person2@example.test")
    asked.act(record_edits.delete, record_id, writer="Maja")
    stop = asked.stop("person2@example.test")
    assert (stop.outcome, stop.text) == (
        "deleted_here",
        "It was deleted in Fieldstone by Maja. The delete is on its way to Kinto.",
    )
    asked.settle()
    assert asked.stop("contact-2").text == "It was deleted in Fieldstone by Maja. Kinto has followed."


def test_a_write_is_told_in_each_of_its_states(asked: Asked) -> None:
    asked.start()
    limit_phone(asked.kinto)
    asked.edit("person1@example.test", phone="+44 20 7946 0188 ext. 4410")
    assert asked.outcome("contact-1") == ("to_send", None)
    assert "Phone waits to be sent to Kinto" in asked.stop("contact-1").text
    for state, outcome in (("sent", "to_send"), ("in_doubt", "in_doubt")):
        asked.owner.execute("UPDATE intents SET state = %s", (state,))
        assert asked.outcome("contact-1")[0] == outcome
    asked.owner.execute("UPDATE intents SET state = 'planned'")
    asked.settle()
    assert asked.outcome("contact-1") == ("refused_there", "retry")
    assert ("Phone here", "“+44 20 7946 0188 ext. 4410”") in [
        (e.label, e.value) for e in asked.stop("contact-1").evidence
    ]
    asked.owner.execute("UPDATE failed_records SET state = 'parked'")
    assert asked.outcome("person1@example.test") == ("parked", "retry")
    asked.act(failed_records.ignore, asked.failed())
    asked.edit("person1@example.test", phone="1")
    asked.settle()
    assert asked.outcome("contact-1") == ("in_sync", None)


def test_a_difference_that_nobody_planned_to_send_can_be_sent(asked: Asked) -> None:
    asked.start(direction="in")
    asked.edit("person1@example.test", city="Oslo")
    found = asked.stop("contact-1")
    assert (found.outcome, found.text[:20]) == ("in_sync", "Both sides agree on ")
    asked.set_stream(direction="both")
    assert asked.outcome("contact-1") == ("not_sent", "send_now")


def test_what_only_we_have_is_told_by_direction_first_pass_and_write(asked: Asked) -> None:
    asked.start(direction="in")
    asked.act(record_edits.create, "contact", {"email": "new@example.test", "city": "Rome"}, writer="Host")
    assert asked.outcome("new@example.test") == ("direction", "change_direction")
    asked.set_stream(direction="both")
    assert asked.outcome("new@example.test") == ("not_sent", "send_now")
    asked.set_stream(last_complete_at=None)
    assert asked.outcome("new@example.test") == ("first_pass", "run_now")
    asked.sync(mode="full")
    assert asked.outcome("new@example.test") == ("in_sync", None)


def test_how_the_installation_stands_comes_first(asked: Asked) -> None:
    assert asked.outcome("contact-1") == ("setting_up", "finish_setup")
    with asked.apps["web"].app_context():
        activate(asked.tenant_id, asked.installation_id)
    assert asked.outcome("contact-1") == ("first_pass", "open_run")
    asked.settle()
    asked.act(installations.pause, asked.installation_id)
    assert asked.outcome("contact-1") == ("paused", "resume")
    asked.act(installations.resume, asked.installation_id, user_id=uuid.uuid4())
    asked.settle()
    asked.set_stream(enabled=False)
    assert asked.outcome("contact-1") == ("stream_off", "choose_stream")
    asked.set_stream(enabled=True)
    asked.kinto.set_password("another one")
    asked.sync()
    asked.kinto.set_password(PASSWORD, now="another one")
    assert asked.outcome("contact-1") == ("blocked", "reconnect")
    asked.act(installations.remove, asked.installation_id, delete_records=False)
    assert asked.outcome("contact-1")[0] == "removed"


def test_a_run_that_asks_stops_every_record(asked: Asked) -> None:
    asked.kinto.put_all("contacts", [contact(n) for n in range(30)])
    asked.start(direction="in")
    for number in range(25):
        asked.kinto.delete("contacts", f"contact-{number}")
    asked.sync()
    assert asked.outcome("contact-29") == ("asking", "open_run")


def test_a_stream_that_may_not_be_read_says_so(asked: Asked) -> None:
    asked.start()
    asked.owner.execute(
        "INSERT INTO problems (tenant_id, id, installation_id, signature, code, message, fix) SELECT tenant_id, "
        "gen_random_uuid(), id, 'permission_missing:contacts', 'permission_missing', 'Contacts: it may not.', 'Allow it.' "
        "FROM installations"
    )
    assert asked.outcome("contact-1") == ("forbidden", "reconnect")


def test_without_an_installation_named_all_are_asked_and_no_other_tenants(asked: Asked) -> None:
    asked.start()
    with asked.apps["web"].app_context(), bind_tenant(asked.tenant_id):
        (case,) = diagnoses.find(asked.tenant_id, "contact-1", host="Fieldstone")
        assert case.scene.installation.id == asked.installation_id
    other = uuid.uuid4()
    with asked.apps["web"].app_context(), bind_tenant(other):
        assert diagnoses.find(other, "contact-1", host="Fieldstone") == []
