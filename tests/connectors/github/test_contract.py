"""The contract of connectors/github, and that its fixtures are what GitHub's OpenAPI document allows."""

from urllib.parse import unquote

import orjson
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from connectors.sdk import Outgoing
from connectors.sdk.fixtures import load_fixtures
from connectors.sdk.testing import CONNECTORS, WriteCase
from tests.connectors.contract import HouseContract


class TestContract(HouseContract):
    slug = "github"
    since = {"issues": "2026-11-24T08:00:00Z"}
    writes = (
        WriteCase("issues", "create", [Outgoing({"title": "The bell is silent", "body": "Since Monday.", "labels": ["bug"]})]),
        WriteCase("issues", "update", [Outgoing({"state": "closed", "title": "The door closes"}, id="octo-org/support/1")]),
    )  # fmt: skip


def test_fixtures_are_what_githubs_document_allows(api: OpenAPI) -> None:
    checked = 0
    for fixture in load_fixtures(CONNECTORS / "github" / "fixtures").exchanges:
        path = fixture.path.replace("/repositories/1/", "/repos/octo-org/support/")
        if not path.startswith("/repos/"):
            continue
        body = orjson.dumps(fixture.body) if fixture.body else None
        asked = MockRequest(
            "https://api.github.com", fixture.method.lower(), unquote(path), args=dict(fixture.query), data=body,
            content_type="application/json",
        )  # fmt: skip
        api.validate_request(asked)
        if fixture.response.status < 300:
            told = MockResponse(
                fixture.response.body, status_code=fixture.response.status, content_type="application/json"
            )
            api.validate_response(asked, told)
            checked += 1
    assert checked == 6
