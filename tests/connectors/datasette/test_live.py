"""The worked example against a real Datasette: read in full, what changed, and every write."""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from connectors import registry
from connectors.sdk import (
    AuthError,
    Checkpoint,
    ConfigError,
    HttpClient,
    Outgoing,
    Pace,
    Page,
    RecordError,
    ScopeError,
    Secret,
    Session,
)
from tests.counterparts.datasette import ACTOR, Datasette

CONNECTOR = registry.get("datasette")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    found = Datasette(Path(tmp_path_factory.mktemp("datasette"))).start()
    found.add(250)
    yield found
    found.stop()


def session_of(server: Datasette, token: str, **settings: str) -> Session:
    chosen = {"server": server.origin, "database": "crm", "table": "contacts", **settings}
    http = HttpClient(CONNECTOR.hosts(chosen), allow=[ip_network("127.0.0.0/8")])
    return Session(chosen, {"token": Secret(token)}, http, Pace(CONNECTOR.manifest.limits))


@pytest.fixture(scope="module")
def session(server: Datasette) -> Session:
    return session_of(server, server.token())


def read(session: Session, since: str | None = None) -> list[Page]:
    at, pages = Checkpoint.start("full" if since is None else "incremental", since), []
    while not pages or not pages[-1].last:
        pages.append(CONNECTOR.read(session, "contacts", at))
        at = pages[-1].checkpoint
    return pages


def test_the_account_is_named(session: Session, server: Datasette) -> None:
    account = CONNECTOR.check(session)
    assert (account.id, account.name) == (f"{server.origin}/crm/contacts", ACTOR)


def test_everything_once_then_only_what_changed(session: Session, server: Datasette) -> None:
    pages = read(session)
    ids = [record.id for page in pages for record in page.records]
    assert (len(pages), len(ids), len(set(ids))) == (3, 250, 250)
    since = CONNECTOR.next_since("contacts", pages[-1].checkpoint)
    server.execute("UPDATE contacts SET city = 'Oslo' WHERE id = 7")
    server.execute("UPDATE contacts SET deleted = 1 WHERE id = 8")
    changed = read(session, since)
    # The look-back of five minutes brings the newest of the first load again.
    found = {record.id: record for page in changed for record in page.records}
    assert found["7"].data["city"] == "Oslo"
    assert [one for page in changed for one in page.deleted] == ["8"]
    assert len(found) < 60


def test_a_create_can_be_found_again_and_is_not_made_twice(session: Session) -> None:
    writer = CONNECTOR.writer(session, "contacts")
    record = Outgoing({"name": "Nia", "email": "nia@example.test"}, reference="patchbay-77")
    assert writer.find("patchbay-77") == []
    made = writer.create(record)
    with pytest.raises(RecordError):
        writer.create(record)
    assert [one.id for one in writer.find("patchbay-77")] == [made.id]


def test_an_update_sets_what_it_names_and_a_delete_marks(session: Session) -> None:
    writer = CONNECTOR.writer(session, "contacts")
    made = writer.create(Outgoing({"name": "Ada", "city": "Rome"}, reference="patchbay-88"))
    changed = writer.update(Outgoing({"city": "Oslo"}, id=made.id))
    assert changed.data is not None
    assert (changed.data["name"], changed.data["city"]) == ("Ada", "Oslo")
    assert changed.version not in (None, made.version)
    writer.delete(Outgoing({}, id=made.id))
    assert CONNECTOR.fetch(session, "contacts", str(made.id)) is None
    assert CONNECTOR.fetch(session, "contacts", "99999") is None


def test_what_is_refused_says_what_to_do(server: Datasette, session: Session) -> None:
    with pytest.raises(AuthError, match="401") as refused:
        CONNECTOR.check(session_of(server, "dstok_wrong"))
    assert refused.value.fix == "Make a new token in Datasette and enter it."
    stranger = session_of(server, server.token("stranger"))
    with pytest.raises(ScopeError) as missing:
        read(stranger)
    assert "view-table" in missing.value.fix
    with pytest.raises((ConfigError, ScopeError)):
        read(session_of(server, server.token(), table="nothing"))
    with pytest.raises(RecordError):
        CONNECTOR.writer(session, "contacts").create(Outgoing({"nothing": "x"}, reference="patchbay-99"))
