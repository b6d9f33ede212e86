"""The contract of connectors/datasette."""

from tests.connectors.contract import HouseContract


class TestContract(HouseContract):
    slug = "datasette"
    settings = {"server": "https://datasette.example.test"}
    since = {"contacts": "2026-11-24T08:00:00Z"}
