"""Errors as programs see them: RFC 9457 problem details with a stable code and the request's id."""

from collections.abc import Mapping
from typing import Any

from flask import Response, g, make_response
from pydantic import BaseModel, ConfigDict, Field

from app.errors import AppError
from app.extensions import settings

CONTENT_TYPE = "application/problem+json"
# The stable codes that every operation may answer with. Services add codes of their own, named with the operation.
CODES = {
    "invalid_request": "The request cannot be read",
    "invalid_parameter": "A parameter does not fit",
    "invalid_json": "The body is not JSON",
    "invalid": "A value does not fit",
    "invalid_cursor": "The cursor was not made here",
    "cursor_expired": "What the cursor stands at is no longer kept",
    "tenant_required": "A host key must name the tenant",
    "key_required": "A key is missing or not known",
    "key_expired": "The key has ended",
    "key_revoked": "The key was revoked",
    "forbidden": "The key does not allow it",
    "scope_missing": "The key lacks a scope",
    "cross_site": "The request came from another site",
    "not_found": "There is nothing at this address",
    "method_not_allowed": "The address knows other methods",
    "conflict": "Something else was faster, or the state does not allow it",
    "external_id_taken": "Another record has this external id",
    "duplicate_in_batch": "The record is more than once in the batch",
    "ambiguous_match": "Several records fit",
    "idempotency_key_reused": "The Idempotency-Key was used for another request",
    "request_in_progress": "The same request is still under way",
    "not_active": "The installation is not active",
    "removed": "The installation has been removed",
    "person_needed": "Somebody has to consent at the vendor",
    "stream_claimed": "Another installation syncs this data of the account",
    "no_oauth_client": "The host has not entered its application at the vendor",
    "conflict_settled": "The conflict is settled",
    "conflict_open": "The conflict is not settled yet",
    "conflict_moved": "Something has changed since the conflict was shown",
    "conflict_gone": "There is nothing left to decide about",
    "version_mismatch": "The record has another version by now",
    "too_large": "What was sent is too large",
    "unsupported_media_type": "The body must be application/json",
    "too_many": "Too many requests",
    "internal": "Something went wrong here",
    "unavailable": "Not available at the moment",
}
_BY_STATUS = {
    400: "invalid_request", 401: "key_required", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    409: "conflict", 412: "version_mismatch", 413: "too_large", 415: "unsupported_media_type", 422: "invalid",
    429: "too_many", 503: "unavailable",
}  # fmt: skip


class FieldProblem(BaseModel):
    """What is wrong with one value of the request."""

    pointer: str = Field(description="JSON pointer into the body, or the name of the field or parameter.")
    detail: str


class ProblemDetails(BaseModel):
    """An error (RFC 9457). `code` is stable; `detail` is for people and may change."""

    model_config = ConfigDict(title="Problem")

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    fix: str | None = Field(None, description="What to do about it, when that is known.")
    errors: list[FieldProblem] | None = None


class ApiError(AppError):
    """An error of the API itself. `errors` maps a JSON pointer or parameter to its message."""

    def __init__(self, status: int, code: str, message: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.fields = dict(errors or {})


def answer(status: int, code: str, detail: str, fix: str = "", fields: Mapping[str, str] | None = None) -> Response:
    """Return the answer for an error."""
    if code == "http" or (code == "invalid_request" and status != 400):
        code = _BY_STATUS.get(status, "internal" if status >= 500 else "invalid_request")
    title = CODES.get(code) or CODES[_BY_STATUS.get(status, "internal" if status >= 500 else "invalid_request")]
    body = ProblemDetails(
        type=f"{settings().base_url}/api/docs#{code}", title=title, status=status, detail=detail or title, code=code,
        request_id=g.get("request_id", ""), fix=fix or None,
        errors=[FieldProblem(pointer=name, detail=text) for name, text in (fields or {}).items()] or None,
    )  # fmt: skip
    response = make_response(body.model_dump_json(exclude_none=True), status)
    response.content_type = CONTENT_TYPE
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="Patchbay"'
    if status in (429, 503):
        response.headers.setdefault("Retry-After", "5")
    return response


def of_error(error: AppError) -> Response:
    """Return the answer for an error of a service."""
    fields: dict[str, Any] = getattr(error, "fields", {})
    response = answer(error.status, error.code, error.message, error.fix, fields)
    if hasattr(error, "retry_after"):
        response.headers["Retry-After"] = str(error.retry_after)
    return response
