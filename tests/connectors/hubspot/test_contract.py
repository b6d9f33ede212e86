"""The contract of the HubSpot connector, from its fixtures."""

from connectors.sdk import Connector, Session
from tests.connectors.contract import HouseContract
from tests.connectors.hubspot.cases import SINCE, STREAMS, writes_of


class TestContract(HouseContract):
    slug = "hubspot"
    since = dict.fromkeys(STREAMS, SINCE)
    writes = [case for stream in STREAMS for case in writes_of(stream)]

    def ask_more(self, connector: Connector, session: Session) -> None:
        for stream in STREAMS:
            assert connector.discover(session, stream)
