"""The contract of connectors/kinto, against fixtures recorded from a real Kinto by record.py."""

from connectors.sdk import Outgoing
from connectors.sdk.testing import WriteCase
from tests.connectors.contract import HouseContract

SERVER = "https://kinto.example.test"
# Kinto's versions are times; record.py writes these instead, so that the files can be recorded again.
SINCE = {"contacts": "1790000000000", "companies": "1790000000001"}
VERSIONS = ("1790000000100", "1790000000200")
CREATED = Outgoing({"email": "new@example.test", "first_name": "Nia"}, reference="patchbay-0001")
UPDATED = {"city": "Oslo"}


class TestContract(HouseContract):
    slug = "kinto"
    settings = {"server": SERVER, "user": "patchbay", "bucket": "crm"}
    since = {"contacts": SINCE["contacts"]}
    writes = (
        WriteCase("contacts", "create", [CREATED]),
        WriteCase("contacts", "find", [CREATED]),
        WriteCase("contacts", "update", [Outgoing(UPDATED, id="patchbay-0001", version=VERSIONS[0])]),
        WriteCase("contacts", "delete", [Outgoing({}, id="patchbay-0001", version=VERSIONS[1])]),
    )
