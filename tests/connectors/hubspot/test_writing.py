"""Writing: values as HubSpot takes them, a create that is never done twice, and an answer for each record of a batch."""

from typing import Any

import orjson
import pytest

from connectors.sdk import ConfigError, ConnectorError, Outgoing, RecordError, Refused, Writer, Written
from tests.connectors.hubspot.cases import STREAMS
from tests.connectors.hubspot.documents import Witness
from tests.connectors.hubspot.sessions import here, session_at
from tests.connectors.hubspot.vendor import HubSpot


def writer(origin: str, stream: str = "contacts") -> Writer:
    """Return what writes to a stream."""
    return here().writer(session_at(origin), stream)


def sent(witness: Witness) -> Any:
    """Return the body of the last call."""
    return orjson.loads(witness.seen[-1][0].body)


def new(number: int, **more: str) -> Outgoing:
    """Return a contact to create."""
    return Outgoing({"properties.email": f"n{number}@example.test", **more}, reference=f"pb-{number}")


def test_values_are_texts_and_nothing_is_an_empty_one(witness: Witness, origin: str) -> None:
    fields = {
        "properties.seats": 250, "properties.score_own": 12.5, "properties.is_member": True, "properties.gone": False,
        "properties.shades": ["blue", "red"], "properties.city": None, "properties.renewal": "2026-11-24",
        "properties.name": "Grün & Söhne",
    }  # fmt: skip
    writer(origin).create(Outgoing(fields, reference="pb-1"))
    assert sent(witness) == {
        "associations": [],
        "properties": {
            "seats": "250", "score_own": "12.5", "is_member": "true", "gone": "false", "shades": "blue;red", "city": "",
            "renewal": "2026-11-24", "name": "Grün & Söhne", "patchbay_reference": "pb-1",
        },
    }  # fmt: skip


@pytest.mark.parametrize("stream", STREAMS)
def test_a_create_whose_answer_was_lost_is_found_and_not_done_twice(hubspot: HubSpot, origin: str, stream: str) -> None:
    outgoing = Outgoing({"properties.phone": "1"}, reference="pb-7")
    writing = writer(origin, stream)
    assert writing.find("pb-7") == []
    made = writing.create(outgoing)
    assert [record.id for record in writing.find("pb-7")] == [made.id]
    assert made.version is not None
    with pytest.raises(RecordError):
        writing.create(outgoing)
    assert len(hubspot.records[stream]) == 1


def test_a_contact_of_the_same_address_is_no_find_of_ours(hubspot: HubSpot, origin: str) -> None:
    hubspot.add("contacts", email="n1@example.test")
    assert writer(origin).find("pb-1") == []
    with pytest.raises(RecordError) as caught:
        writer(origin).create(new(1))
    assert "unique value" in caught.value.user_message


def test_an_update_sends_what_changed_and_not_the_reference(witness: Witness, origin: str) -> None:
    made = writer(origin).create(new(1))
    done = writer(origin).update(Outgoing({"properties.city": "York"}, id=made.id, reference="pb-1"))
    assert sent(witness) == {"properties": {"city": "York"}}
    with pytest.raises(ConfigError):
        writer(origin).update(Outgoing({"properties.patchbay_reference": "pb-2"}, id=made.id))
    assert (done.id, done.data["properties"]["city"]) == (made.id, "York")  # type: ignore[index]  # HubSpot sends it back


def test_a_delete_archives_and_may_be_repeated(hubspot: HubSpot, origin: str) -> None:
    made = writer(origin).create(new(1))
    for _ in range(2):
        writer(origin).delete(Outgoing({}, id=made.id))
    assert [record.archived for record in hubspot.records["contacts"].values()] == [True]


def test_an_update_of_a_record_that_is_gone_concerns_that_record(origin: str) -> None:
    with pytest.raises(RecordError) as caught:
        writer(origin).update(Outgoing({"properties.city": "York"}, id="999"))
    assert "no longer in HubSpot" in caught.value.user_message


def test_a_batch_answers_for_each_record(witness: Witness, origin: str) -> None:
    witness.vendor.add("contacts", email="n2@example.test")
    made = writer(origin).batch("create", [new(1), new(2), new(3)])
    assert [type(one) for one in made] == [Written, Refused, Written]
    assert "already exists" in made[1].message  # type: ignore[union-attr]  # as asserted
    assert [item["objectWriteTraceId"] for item in sent(witness)["inputs"]] == ["pb-1", "pb-2", "pb-3"]
    assert [item["properties"]["patchbay_reference"] for item in sent(witness)["inputs"]] == ["pb-1", "pb-2", "pb-3"]
    ids = [one.id for one in made if isinstance(one, Written)]
    changes = [Outgoing({"properties.city": "York"}, id=one, reference=f"up-{one}") for one in [ids[1], "999", ids[0]]]
    done = writer(origin).batch("update", changes)
    assert [one.id if isinstance(one, Written) else one.message for one in done] == [
        ids[1],
        "999 was not found",
        ids[0],
    ]
    assert "patchbay_reference" not in sent(witness)["inputs"][0]["properties"]


def test_answers_of_a_batch_may_come_in_any_order(witness: Witness, origin: str) -> None:
    answer = witness.vendor._batch

    def turned(*args: Any) -> Any:
        status, headers, body = answer(*args)
        return status, headers, body | {"results": body["results"][::-1]}

    witness.vendor._batch = turned  # type: ignore[method-assign]  # HubSpot promises no order
    made = writer(origin).batch("create", [new(n) for n in range(5)])
    emails = [one.data["properties"]["email"] for one in made]  # type: ignore[union-attr,index]  # all were made
    assert emails == [f"n{n}@example.test" for n in range(5)]


@pytest.mark.parametrize("name", ["createdate", "lastmodifieddate", "notes_last_contacted"])
def test_what_can_only_be_read_is_not_written(witness: Witness, origin: str, name: str) -> None:
    outgoing = Outgoing({f"properties.{name}": "x"}, id="1", reference="pb-1")
    for write in (writer(origin).create, writer(origin).update, lambda o: writer(origin).batch("update", [o])):
        with pytest.raises(ConfigError):
            write(outgoing)
    assert witness.seen == []


def test_an_outage_in_a_create_leaves_it_to_be_looked_up(hubspot: HubSpot, origin: str) -> None:
    hubspot.fault = (503, {}, {"message": "Service unavailable"})
    with pytest.raises(ConnectorError) as caught:
        writer(origin).create(new(1))
    assert caught.value.code == "vendor_down"
