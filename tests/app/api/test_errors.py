"""Every error under /api is a problem with a stable code and the request's id, whatever went wrong."""

import re
import uuid
from typing import Any

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator
from sqlalchemy.exc import OperationalError

from app.api import key as key_module
from app.api.errors import CODES
from tests.factories.api_keys import Caller, tenant_caller
from tests.factories.tenants import make_tenant
from tests.processes import ROOT

Apps = dict[str, Flask]


@pytest.fixture
def call(apps: Apps, clean: None) -> Caller:
    return tenant_caller(apps, make_tenant(apps))


def check(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.data
    assert answer.content_type == "application/problem+json"
    assert answer.json["request_id"] == answer.headers["X-Request-Id"] != ""
    assert answer.json["status"] == status
    assert answer.json["type"].endswith(f"/api/docs#{code}")
    assert "RateLimit-Remaining" in answer.headers


def test_wrong_requests(call: Caller) -> None:
    check(call("GET", "/nothing"), 404, "not_found")
    wrong = call("DELETE", "/key")
    check(wrong, 405, "method_not_allowed")
    assert "GET" in wrong.headers["Allow"]
    check(
        call("POST", "/key/rotate", data=b"{}", headers={"Content-Type": "text/plain"}), 415, "unsupported_media_type"
    )
    check(call("POST", "/key/rotate", data=b"{", headers={"Content-Type": "application/json"}), 400, "invalid_json")
    check(call("POST", "/key/rotate", {"overlap_hours": -1}), 422, "invalid")
    check(call("POST", "/key/rotate", {"scopes": ["admin"]}), 422, "invalid")
    check(call("POST", "/key/rotate", {}, headers={"Origin": "https://evil.example"}), 403, "cross_site")
    check(call("POST", "/key/rotate", {}, headers={"Idempotency-Key": "x" * 256}), 400, "invalid_parameter")
    huge = call("POST", "/key/rotate", data=b" " * (1024 * 1024 + 1), headers={"Content-Type": "application/json"})
    check(huge, 413, "too_large")


def test_what_breaks_here(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(key_module.api_keys, "show", broken)
    answer = call("GET", "/key")
    check(answer, 500, "internal")
    assert "secret detail" not in answer.get_data(as_text=True)

    def away(*_: Any) -> None:
        raise OperationalError("SELECT 1", {}, Exception("down"))

    monkeypatch.setattr(key_module.api_keys, "show", away)
    answer = call("GET", "/key")
    check(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "30"


def test_a_foreign_host_header_is_a_problem_too(apps: Apps, clean: None) -> None:
    answer = apps["web"].test_client().get("/api/v1/key", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_request")
    assert answer.content_type == "application/problem+json"


def test_an_unchanged_answer_is_304(call: Caller) -> None:
    first = call("GET", "/key")
    same = call("GET", "/key", headers={"If-None-Match": first.headers["ETag"]})
    assert (same.status_code, same.data) == (304, b"")
    assert call("GET", "/key", headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_scope_that_is_missing_is_named(apps: Apps, clean: None) -> None:
    host = tenant_caller(apps, make_tenant(apps), "list")
    assert host("GET", "/key").status_code == 200
    assert uuid.UUID(host("GET", "/key").json["id"])


def test_the_document_and_its_page_are_for_anyone(apps: Apps, clean: None) -> None:
    client = apps["web"].test_client()
    document = client.get("/api/openapi.json").json
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()
    page = client.get("/api/docs").get_data(as_text=True)
    for operations in document["paths"].values():
        for operation in operations.values():
            assert f'id="{operation["operationId"]}"' in page
    assert "<script>" not in page
    assert " style=" not in page


# Of pages that the API does not have: accounts, invitations, OAuth's way back, an operator's forms.
_OF_PAGES = {
    "bad_state", "email_taken", "field_exists", "last_owner", "link_used", "other_address", "reconnect", "type_exists",
    "wrong_password",
}  # fmt: skip


def test_every_code_that_may_be_answered_is_explained() -> None:
    found: set[str] = set()
    for folder in ("services", "api"):
        for file in (ROOT / "app" / folder).glob("*.py"):
            found |= set(re.findall(r'code="([a-z_]+)"', file.read_text()))
            found |= set(re.findall(r'ApiError\(\s*\d+, "([a-z_]+)"', file.read_text()))
    assert found - set(CODES) == _OF_PAGES
