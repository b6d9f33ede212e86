"""HubSpot's own OpenAPI documents, and what they say of a request and its answer."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from tests.connectors.hubspot.vendor import HubSpot
from tests.connectors.sdk.servers import Answer, Call

HOST = "https://api.hubapi.com"


def document(name: str, stream: str = "contacts") -> OpenAPI:
    """Return a document; that of contacts holds for the other kinds too, with their names in the path."""
    folder = os.environ.get("PATCHBAY_SPECS")
    if not folder:
        pytest.skip("PATCHBAY_SPECS does not name a folder with HubSpot's OpenAPI documents")
    data = json.loads((Path(folder) / name).read_text())
    data["paths"] = {path.replace("objects/contacts", f"objects/{stream}"): one for path, one in data["paths"].items()}
    for operations in data["paths"].values():
        for operation in operations.values():
            if isinstance(operation, dict):
                operation.pop("security", None)  # The test's own server checks the token.
    return OpenAPI.from_dict(data)


def hold_against(openapi: OpenAPI, call: Call, answer: Answer) -> None:
    """Raise what the document finds wrong with a request or its answer."""
    kind = call.headers.get("content-type", "application/json")
    request = MockRequest(
        HOST, call.method.lower(), call.path, args=dict(call.query), headers=dict(call.headers),
        data=call.body or None, content_type=kind,
    )  # fmt: skip
    openapi.validate_request(request)
    status, _, body = answer
    if body:
        openapi.validate_response(request, MockResponse(orjson.dumps(body), status, content_type="application/json"))


def form_call(path: str, form: dict[str, str]) -> Call:
    """Return a call with a form, as the connector would send it."""
    head = {"content-type": "application/x-www-form-urlencoded"}
    return Call("POST", path, {}, head, urlencode(form).encode())


def json_call(path: str, body: Any) -> Call:
    """Return a call with JSON."""
    return Call("POST", path, {}, {"content-type": "application/json"}, orjson.dumps(body))


class Witness:
    """Keeps each call with its answer."""

    def __init__(self, vendor: HubSpot) -> None:
        self.vendor = vendor
        self.seen: list[tuple[Call, Answer]] = []

    def answer(self, call: Call) -> Answer:
        """Answer as the vendor does."""
        found = self.vendor.answer(call)
        self.seen.append((call, found))
        return found
