"""A connector as it is, but for where it calls: a server of the test stands in for the hosts of the manifest."""

from collections.abc import Mapping
from typing import Any

from connectors.registry import get
from connectors.sdk import Connector


class LocalConnector(Connector):
    """Calls one origin, whatever host a request names."""

    def __init__(self, slug: str, at: str) -> None:
        super().__init__(get(slug).manifest)
        self._at = at

    def origin(self, settings: Mapping[str, Any], host: str | None = None) -> str:
        return self._at

    def hosts(self, settings: Mapping[str, Any]) -> list[str]:
        return [self._at]
