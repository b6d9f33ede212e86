"""The connector as it is, but for where it calls: a server of the test stands in for the hosts of the manifest."""

from datetime import UTC, datetime

from connectors.sdk import Checkpoint, Connector, HttpClient, Pace, Page, Secret, Session
from tests.connectors import local
from tests.connectors.sdk.servers import ALLOW

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
TOKEN = "test-token-github"


class LocalConnector(local.LocalConnector):
    """GitHub at a server of the test."""

    def __init__(self, at: str) -> None:
        super().__init__("github", at)


def session(connector: Connector, *repositories: str) -> Session:
    """Return a session with a personal access token."""
    settings = {"auth": "token", "repositories": list(repositories)}
    http = HttpClient(hosts=connector.hosts(settings), allow=ALLOW, timeout=5.0)
    pace = Pace(connector.manifest.limits, sleep=lambda _seconds: None)
    return Session(settings, {"token": Secret(TOKEN)}, http, pace, lambda: NOW)


def read_all(connector: Connector, with_: Session, stream: str, since: str | None = None) -> list[Page]:
    """Return the pages of one pass; each checkpoint goes through JSON, as it does between slices."""
    at, pages = Checkpoint.start("incremental" if since else "full", since), []
    while not pages or not pages[-1].last:
        pages.append(connector.read(with_, stream, at))
        at = Checkpoint.from_json(pages[-1].checkpoint.to_json())
    return pages
