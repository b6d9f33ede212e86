"""The connector as it is, but at a server of the test's own: only its host is another."""

from functools import lru_cache

import orjson

from connectors import registry
from connectors.sdk import Connector, HttpClient, Pace, Secret, Session, canonical, manifest_from_json
from connectors.sdk.http import resolve
from connectors.sdk.schema.operations import Limits
from tests.connectors.hubspot.vendor import TOKEN
from tests.connectors.sdk.servers import ALLOW


@lru_cache
def here() -> Connector:
    """Return the connector with `hosts` from a setting and addresses of the sign-in below it."""
    text = canonical(registry.get("hubspot").manifest).replace(b"https://api.hubapi.com", b"{origin}")
    data = orjson.loads(text)
    server = {"name": "server", "label": "Server", "kind": "origin", "help": "Where the test's vendor listens."}
    return Connector(manifest_from_json({**data, "hosts": {"from": "server"}, "config": [*data["config"], server]}))


def session_at(
    origin: str, sources: dict[str, tuple[str, ...]] | None = None, http: HttpClient | None = None
) -> Session:
    """Return a session at a vendor; nothing waits for the pace."""
    settings = {"server": origin}
    client = http or HttpClient(hosts=here().hosts(settings), allow=ALLOW, resolver=resolve, timeout=10.0)
    return Session(settings, {"access_token": Secret(TOKEN)}, client, Pace(Limits()), sources=sources or {})
