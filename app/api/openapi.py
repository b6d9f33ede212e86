"""The OpenAPI 3.1 document, made from the operations and their pydantic models: what is checked is what is shown.

pydantic writes JSON Schema 2020-12, the dialect of OpenAPI 3.1, so its schemas go in as they are.
"""

import re
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api import gate
from app.api.errors import CONTENT_TYPE, ProblemDetails
from app.api.operations import NOUNS, OPERATIONS, Operation
from app.services.api_keys import SCOPES

_INFO = """All times are RFC 3339 in UTC. Lists answer `data` and `next`: send `next` as `cursor` to go on.
Errors are RFC 9457 problem details with a stable `code`. Send an `Idempotency-Key` with a POST, and it is done once
however often it arrives. Ids of other tenants answer as ids that do not exist."""
_ERRORS = {
    400: "Something in the request cannot be read.", 401: "The key is missing, unknown, revoked or has ended.",
    403: "The key lacks the scope.", 404: "There is no such thing, or it belongs to another tenant.",
    409: "Something else was faster, or the state does not allow it.", 410: "What follows the cursor is no longer kept.", 412: "The version is another one by now.",
    413: "What was sent is too large.", 415: "The body is not application/json.", 422: "A value does not fit.",
    429: "Too many requests; go on after Retry-After.", 500: "Something went wrong here.",
    503: "Not available at the moment; send it again after Retry-After.",
}  # fmt: skip
_HEADERS = {
    "X-Request-Id": ("Name it when you ask for help.", {"type": "string"}),
    "RateLimit-Limit": ("Requests in a minute.", {"type": "integer"}),
    "RateLimit-Remaining": ("Requests left in this minute.", {"type": "integer"}),
    "RateLimit-Reset": ("Seconds until the minute is over.", {"type": "integer"}),
    "ETag": ("Send it as If-None-Match, and an unchanged answer is 304.", {"type": "string"}),
    "Retry-After": ("Seconds to wait.", {"type": "integer"}),
}
_ALWAYS = ("X-Request-Id", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_PATH_PART = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>")


@lru_cache(maxsize=1)
def document(base_url: str) -> dict[str, Any]:
    """Return the document."""
    schemas = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for made in OPERATIONS:
        paths.setdefault(_PATH_PART.sub(r"{\2}", made.path), {})[made.method.lower()] = _operation(made, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Patchbay", "version": "1", "description": _INFO},
        "servers": [{"url": f"{base_url}{gate.PREFIX}"}],
        "tags": [{"name": noun.title, "description": noun.about} for noun in NOUNS],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["components"],
            "responses": {str(status): _error(status, text) for status, text in _ERRORS.items()},
            "headers": {name: {"description": about, "schema": kind} for name, (about, kind) in _HEADERS.items()},
            "securitySchemes": {
                "key": {
                    "type": "http", "scheme": "bearer",
                    "description": "A key of the tenant or of the host. Scopes: "
                    + "; ".join(f"`{name}`: {text}" for name, text in SCOPES.items()),
                }
            },
        },
    }  # fmt: skip


def _schemas() -> dict[str, Any]:
    asked: list[tuple[type[BaseModel], Any]] = [(ProblemDetails, "serialization")]
    for made in OPERATIONS:
        asked += [(model, "validation") for model in (made.query, made.body) if model]
        asked += [(made.answer, "serialization")] if made.answer else []
    named, found = models_json_schema(list(dict.fromkeys(asked)), ref_template="#/components/schemas/{model}")
    return {"named": named, "components": found["$defs"]}


def _operation(made: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "Done.", "headers": _refs(_ALWAYS)}
    if made.answer:
        answer["content"] = {"application/json": {"schema": schemas["named"][made.answer, "serialization"]}}
    if made.method == "GET":
        answer["headers"] = _refs((*_ALWAYS, "ETag"))
    done = {str(status): answer for status in (made.status, *made.also) if status < 300}
    if made.method == "GET":
        done["304"] = {"description": "It is as you have it.", "headers": _refs((*_ALWAYS, "ETag"))}
    found: dict[str, Any] = {
        "operationId": made.id, "tags": [made.tag], "summary": made.summary,
        "description": "\n\n".join(part for part in (made.description, _needs(made)) if part),
        "parameters": _parameters(made, schemas),
        "responses": done | {str(status): {"$ref": f"#/components/responses/{status}"} for status in _errors(made)},
    }  # fmt: skip
    if made.body:
        schema = schemas["named"][made.body, "validation"]
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _needs(made: Operation) -> str:
    needs = f"Needs the scope `{made.scope}`." if made.scope else "Any key will do."
    return f"{needs} Only for keys of the host." if made.host_only else needs


def _errors(made: Operation) -> list[int]:
    found = {400, 401, 403, 404, 429, 500, 503} | {status for status in made.also if status >= 400}
    if made.body:
        found |= {413, 415, 422}
    if made.query:
        found |= {422}
    if made.method == "POST":
        found |= {409, 422}
    if made.if_match:
        found |= {412}
    return sorted(found)


def _parameters(made: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for kind, name in _PATH_PART.findall(made.path):
        schema = {"type": "string", "format": "uuid"} if kind == "uuid" else {"type": "string", "minLength": 1}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    if made.query:
        name = schemas["named"][made.query, "validation"]["$ref"].rsplit("/", 1)[1]
        model = schemas["components"][name]
        for field, schema in model["properties"].items():
            about = {"description": schema["description"]} if "description" in schema else {}
            shape = {key: value for key, value in schema.items() if key not in ("description", "title")}
            found.append(
                {"name": field, "in": "query", "required": field in model.get("required", ()), "schema": shape} | about
            )
    if not made.owner and not made.host_only:
        found.append(_header(gate.TENANT_HEADER, "For keys of the host: your product's id of the tenant."))
    if made.method == "POST" and not made.own_transaction:
        found.append(_header("Idempotency-Key", "Any text of yours; the same request is done once in 24 hours.", 255))
    if made.method == "GET":
        found.append(_etag("If-None-Match", "The ETag of the answer you have."))
    if made.if_match:
        found.append(_etag("If-Match", "The ETag of the record that you have seen; another version answers 412."))
    return found


def _etag(name: str, about: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": about, "schema": {"type": "string"}}


def _header(name: str, about: str, most: int = gate.LONGEST_NAME) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": most, "pattern": f"^{gate.PLAIN}+$"}
    return {"name": name, "in": "header", "required": False, "description": about, "schema": schema}


def _refs(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _error(status: int, text: str) -> dict[str, Any]:
    names = (*_ALWAYS, "Retry-After") if status in (429, 503) else _ALWAYS
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {"description": text, "headers": _refs(names), "content": {CONTENT_TYPE: {"schema": schema}}}
