"""Records the fixtures of connectors/datasette from a real Datasette: `python -m tests.connectors.datasette.record`.

Reading is recorded as `flask connectors record` does it; the writes and the refusals are added here.
"""

import tempfile
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from connectors import registry
from connectors.sdk import Checkpoint, ConnectorError, HttpClient, Outgoing, Secret, trial
from tests.connectors.datasette.test_contract import CREATED, SINCE
from tests.counterparts.datasette import RELEASE, Datasette

FOLDER = registry.folder("datasette") / "fixtures"


def main() -> None:
    """Start the server with three people, ask all that the connector can ask, and write the files."""
    for file in FOLDER.glob("*.json"):
        file.unlink()
    server = Datasette(Path(tempfile.mkdtemp())).start()
    try:
        _record(server)
    finally:
        server.stop()


def _record(server: Datasette) -> None:
    server.add(3)
    connector, secrets = registry.get("datasette"), {"token": server.token()}
    settings = {"server": server.origin, "database": "crm", "table": "contacts"}
    base = HttpClient(connector.hosts(settings), allow=[ip_network("127.0.0.0/8")])
    verified = f"live, {RELEASE.replace('==', ' ').capitalize()}, 2026-11-24"
    http = trial.recorder(connector, settings, secrets, base, verified)
    session = trial.open_session(connector, settings, secrets, http)
    trial.record(trial.Trial(connector, session, pages=2), http, FOLDER, 3, print)
    writer = connector.writer(session, "contacts")
    http.call_it("create")
    made = writer.create(CREATED)
    http.call_it("what became of a create")
    writer.find(str(CREATED.reference))
    http.call_it("update")
    writer.update(Outgoing({"city": "Oslo"}, id=made.id))
    http.call_it("delete is a mark")
    writer.delete(Outgoing({}, id=made.id))
    http.write(FOLDER, "contacts-write")
    (FOLDER / "contacts-changes.json").unlink()
    http.call_it("what changed, with one that is marked as deleted")
    connector.read(session, "contacts", Checkpoint.start("incremental", SINCE))
    http.write(FOLDER, "contacts-changes")
    http.call_it("a second create with our reference is refused")
    with suppress(ConnectorError):
        writer.create(CREATED)
    http.call_it("a token that is not accepted")
    for name, token in (("token", "dstok_wrong"), ("permission", server.token("stranger"))):
        http.secrets = [*secrets.values(), token]
        with suppress(ConnectorError):
            connector.read(
                replace(session, credentials={"token": Secret(token)}), "contacts", Checkpoint.start("full", None)
            )
        http.call_it(f"an account without the permission, after {name}")
    http.write(FOLDER, "error")


if __name__ == "__main__":
    main()
