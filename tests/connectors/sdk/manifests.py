"""A small manifest to bend, and the session that goes with it."""

from collections.abc import Mapping
from typing import Any

from connectors.sdk import Connector, HttpClient, Pace, Secret, Session, manifest_from_json
from connectors.sdk.http import resolve
from tests.connectors.sdk.servers import ALLOW

CANARY = "canary-7f3a91"
_SENTENCE = "A sentence that is long enough to be one."


def make_connector(*, stream: Mapping[str, Any] | None = None, **changes: Any) -> Connector:
    """Return a connector for a server of one's own choice; `stream` and the rest replace parts of its manifest."""
    contacts = {
        "name": "contacts", "label": "Contacts", "object_type": "contact", "request": {"path": "/contacts"},
        "records": "data", "fields": [{"name": "email", "label": "E-mail", "type": "email"}],
        "mapping": [{"target": "email", "sources": ["email"]}], "fetch": {"path": "/contacts/{id}"},
    }  # fmt: skip
    secret = {"name": "key", "label": "Key", "kind": "secret", "help": _SENTENCE}
    server = {"name": "server", "label": "Server", "kind": "origin", "help": _SENTENCE}
    listing = {
        "name": "Acme", "summary": _SENTENCE, "description": _SENTENCE, "categories": ["Sales"], "removal": _SENTENCE,
        "data": [{"object": "Contacts", "text": _SENTENCE}],
    }  # fmt: skip
    manifest: dict[str, Any] = {
        "slug": "acme", "version": "1.0.0", "listing": listing, "hosts": {"from": "server"},
        "auth": {"kind": "api_key", "field": "key", "parameter": "X-Api-Key"}, "config": [server, secret],
        "check": {"request": {"path": "/me"}, "account_id": "id"}, "streams": [{**contacts, **(stream or {})}],
    }  # fmt: skip
    return Connector(manifest_from_json({**manifest, **changes}))


def make_session(connector: Connector, origin: str, **settings: Any) -> Session:
    """Return a session whose guard is on, but for the networks of the test vendors."""
    chosen = {"server": origin, **settings}
    http = HttpClient(hosts=connector.hosts(chosen), allow=ALLOW, resolver=resolve, timeout=5.0)
    return Session(
        settings=chosen, credentials={"key": Secret(CANARY)}, http=http, pace=Pace(connector.manifest.limits)
    )
