"""Writes to a real Kinto: what a lost answer, an old version and a second delete lead to."""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from connectors import registry
from connectors.sdk import ChangedError, HttpClient, Outgoing, Pace, Secret, Session
from connectors.sdk.writing import Writer
from tests.counterparts.kinto import PASSWORD, USER, Kinto, contact


@pytest.fixture(scope="module")
def kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    server = Kinto(Path(tmp_path_factory.mktemp("kinto"))).start()
    server.put_all("contacts", [contact(1)])
    yield server
    server.stop()


@pytest.fixture
def session(kinto: Kinto) -> Session:
    connector, settings = registry.get("kinto"), {"server": kinto.origin, "user": USER, "bucket": "crm"}
    http = HttpClient(connector.hosts(settings), allow=[ip_network("127.0.0.0/8")])
    return Session(settings, {"password": Secret(PASSWORD)}, http, Pace(connector.manifest.limits))


@pytest.fixture
def writer(session: Session) -> Writer:
    return registry.get("kinto").writer(session, "contacts")


def test_a_create_whose_answer_was_lost_is_found_again(writer: Writer) -> None:
    record = Outgoing({"email": "nia@example.test"}, reference="patchbay-77")
    assert writer.find("patchbay-77") == []
    writer.create(record)
    with pytest.raises(ChangedError):
        writer.create(record)
    found = writer.find("patchbay-77")
    assert [(one.id, one.data["email"]) for one in found] == [("patchbay-77", "nia@example.test")]


def test_an_update_sets_what_it_names_and_an_old_version_sets_nothing(writer: Writer, session: Session) -> None:
    connector = registry.get("kinto")
    first = connector.fetch(session, "contacts", "contact-1")
    assert first is not None
    second = writer.update(Outgoing({"city": "Oslo"}, id="contact-1", version=first.version))
    assert second.data is not None
    assert (second.data["city"], second.data["last_name"]) == ("Oslo", "Byron 1")
    with pytest.raises(ChangedError):
        writer.update(Outgoing({"city": "Rome"}, id="contact-1", version=first.version))
    now = connector.fetch(session, "contacts", "contact-1")
    assert now is not None
    assert (now.data["city"], now.version) == ("Oslo", second.version)


def test_a_delete_needs_the_version_and_a_second_one_is_none(writer: Writer, session: Session) -> None:
    made = writer.create(Outgoing({"email": "gone@example.test"}, reference="patchbay-88"))
    with pytest.raises(ChangedError):
        writer.delete(Outgoing({}, id=made.id, version="1"))
    writer.delete(Outgoing({}, id=made.id, version=made.version))
    assert registry.get("kinto").fetch(session, "contacts", str(made.id)) is None
    writer.delete(Outgoing({}, id=made.id))
