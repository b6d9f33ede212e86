"""The contract of connectors/sandbox, against fixtures recorded from its vendor by record.py."""

from typing import Any

from connectors.sdk import Connector, Outgoing, Session
from connectors.sdk.manifest import Request
from connectors.sdk.testing import WriteCase
from tests.connectors.contract import HouseContract

SERVER = "https://sandbox.example.test"
SINCE = "2026-01-01T05:02:00Z"
HOOK = "https://patchbay.example.test/hooks/1"
NEW = {"properties.email": "new@example.test", "properties.firstname": "Nia"}
# What the vendor makes anew each time; record.py writes these instead.
NAMES = {
    "made": "contact-made",
    "version": "2026-11-24T09:00:00.000Z",
    "later": "2026-11-24T09:00:01.000Z",
    "hook": "sub_1",
}
BATCH = (
    Outgoing({"properties.name": "One"}, reference="ref-1"), Outgoing({"properties.domain": "two.test"}, reference="ref-2"),
)  # fmt: skip
CHANGES = (
    Outgoing({"properties.city": "Oslo"}, id="companie-0"), Outgoing({"properties.city": "Oslo"}, id="companie-none"),
)  # fmt: skip


def subscribe(connector: Connector, session: Session) -> Any:
    """Make the subscription of the manifest and end it; return the answer to the first."""
    hooks = connector.manifest.webhooks
    assert hooks is not None
    create, renew, remove = hooks.subscribe.create, hooks.subscribe.renew, hooks.subscribe.remove
    assert isinstance(create, Request)
    assert isinstance(renew, Request)
    assert isinstance(remove, Request)
    made = connector.call(session, create, {"hook": {"url": HOOK}}).json()
    assert hooks.subscribe.find
    connector.call(session, hooks.subscribe.find.request, {"hook": {"url": HOOK}})
    connector.call(session, renew, {"hook": {"id": made["id"]}})
    connector.call(session, remove, {"hook": {"id": made["id"]}})
    return made


class TestContract(HouseContract):
    slug = "sandbox"
    settings = {"server": SERVER}
    since = {"contacts": SINCE}
    refused = {"contacts": {"contact-101", "contact-202", "contact-303"}}
    writes = (
        WriteCase("contacts", "create", [Outgoing(NEW, key="key-1")]),
        WriteCase(
            "contacts", "update", [Outgoing({"properties.city": "Oslo"}, id=NAMES["made"], version=NAMES["version"])]
        ),
        WriteCase("contacts", "delete", [Outgoing({}, id=NAMES["made"], version=NAMES["later"])]),
        WriteCase("companies", "batch_create", BATCH),
        WriteCase("companies", "batch_update", CHANGES),
    )

    def ask_more(self, connector: Connector, session: Session) -> None:
        subscribe(connector, session)
