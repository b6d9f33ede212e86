"""Records the fixtures of connectors/kinto from a real Kinto: `python -m tests.connectors.kinto.record`."""

import tempfile
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from connectors import registry
from connectors.sdk import Checkpoint, ConnectorError, Outgoing, Pace, Secret, Session
from connectors.sdk.recording import Recorder
from tests.connectors.kinto.test_contract import CREATED, SERVER, SINCE, UPDATED, VERSIONS
from tests.counterparts.kinto import PASSWORD, USER, Kinto, company, contact

FOLDER = registry.folder("kinto") / "fixtures"


def session_for(kinto: Kinto, http: Recorder) -> Session:
    """Return a session at a running Kinto."""
    settings = {"server": kinto.origin, "user": USER, "bucket": "crm"}
    return Session(settings, {"password": Secret(PASSWORD)}, http, Pace(registry.get("kinto").manifest.limits))


def main() -> None:
    """Start Kinto with two pages of contacts, ask all that the connector can ask, and write the files."""
    for file in FOLDER.glob("*.json"):
        file.unlink()
    kinto = Kinto(Path(tempfile.mkdtemp()), page=3).start()
    try:
        _record(kinto)
    finally:
        kinto.stop()


def _record(kinto: Kinto) -> None:
    connector = registry.get("kinto")
    kinto.put_all("contacts", [contact(n) for n in range(5)])
    kinto.put_all("companies", [company(n) for n in range(2)])
    http = Recorder(
        connector.hosts({"server": kinto.origin}), allow=[ip_network("127.0.0.0/8")], secrets=[PASSWORD],
        verified="live, Kinto 26.5, 2026-11-24", rename={kinto.origin: SERVER},
    )  # fmt: skip
    session = session_for(kinto, http)
    http.call_it("check")
    connector.check(session)
    http.write(FOLDER, "check")
    for stream in ("contacts", "companies"):
        http.call_it(f"{stream}, full pass")
        at, last = Checkpoint.start("full", None), False
        while not last:
            page = connector.read(session, stream, at)
            at, last = page.checkpoint, page.last
        since = connector.next_since(stream, at)
        assert since is not None
        http.rename[since] = SINCE[stream]
        http.write(FOLDER, f"{stream}-full")
        if stream == "contacts":
            kinto.put_all("contacts", [contact(1, city="Oslo")])
            kinto.delete("contacts", "contact-2")
            http.call_it("contacts, what changed, with one that is gone")
            connector.read(session, "contacts", Checkpoint.start("incremental", since))
            http.write(FOLDER, "contacts-changes")
            http.call_it("one contact")
            connector.fetch(session, "contacts", "contact-3")
            http.write(FOLDER, "contacts-one")
    _writes(session, http)


def _writes(session: Session, http: Recorder) -> None:
    writer = registry.get("kinto").writer(session, "contacts")
    http.call_it("create")
    made = writer.create(CREATED)
    http.call_it("what became of a create")
    writer.find(str(CREATED.reference))
    http.call_it("update of the version that was read")
    changed = writer.update(Outgoing(UPDATED, id=made.id, version=made.version))
    http.call_it("delete")
    writer.delete(Outgoing({}, id=made.id, version=changed.version))
    http.rename |= dict(zip((str(made.version), str(changed.version)), VERSIONS, strict=True))
    http.write(FOLDER, "contacts-write")
    http.call_it("an old version is refused")
    with suppress(ConnectorError):
        writer.update(Outgoing(UPDATED, id="contact-1", version="1"))
    http.call_it("a create that was done before is refused")
    with suppress(ConnectorError):
        writer.create(Outgoing(CREATED.fields, reference="contact-1"))
    http.write(FOLDER, "error-changed")
    http.call_it("a password that is not accepted")
    with suppress(ConnectorError):
        registry.get("kinto").check(replace(session, credentials={"password": Secret("another")}))
    http.write(FOLDER, "error-password")


if __name__ == "__main__":
    main()
