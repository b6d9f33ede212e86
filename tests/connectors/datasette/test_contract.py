"""The contract of connectors/datasette, against fixtures recorded from a real Datasette by record.py."""

from connectors.sdk import Outgoing
from connectors.sdk.testing import WriteCase
from tests.connectors.contract import HouseContract

SINCE = "2026-11-20T10:00:00Z"
CREATED = Outgoing({"name": "Nia", "email": "nia@example.test"}, reference="patchbay-0001")


class TestContract(HouseContract):
    slug = "datasette"
    since = {"contacts": SINCE}
    writes = (
        WriteCase("contacts", "create", [CREATED]),
        WriteCase("contacts", "find", [CREATED]),
        WriteCase("contacts", "update", [Outgoing({"city": "Oslo"}, id="4")]),
        WriteCase("contacts", "delete", [Outgoing({}, id="4")]),
    )
