"""The API's document, for programs and as a page."""

from typing import Any

from flask import Blueprint, Response, jsonify
from werkzeug.wrappers import Response as BaseResponse

from app.access import public
from app.api.errors import CODES
from app.api.openapi import document
from app.extensions import settings
from app.htmx import render
from app.services.api_keys import SCOPES

blueprint = Blueprint("api_docs", __name__, url_prefix="/api")


@blueprint.get("/openapi.json")
@public
def openapi() -> Response:
    return jsonify(document(settings().base_url))


@blueprint.get("/docs")
@public
def index() -> BaseResponse:
    found = document(settings().base_url)
    groups: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in found["tags"]}
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            groups[operation["tags"][0]].append(_shown(method, path, operation, found))
    return render("api_docs/index.html", document=found, groups=groups, codes=CODES, scopes=SCOPES)


def _shown(method: str, path: str, operation: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    answers = [
        (status, answer["description"], answer.get("content", {}).get("application/json", {}).get("schema"))
        for status, answer in operation["responses"].items() if "$ref" not in answer
    ]  # fmt: skip
    return operation | {
        "method": method.upper(), "path": path, "body": _fields(body, found),
        "answers": [(status, about, _fields(schema, found)) for status, about, schema in answers if status != "304"],
        "errors": [status for status, answer in operation["responses"].items() if "$ref" in answer],
    }  # fmt: skip


def _fields(schema: dict[str, Any] | None, found: dict[str, Any]) -> list[tuple[str, str, bool, str]]:
    """Return (name, type, required, about) of the fields of a schema."""
    model = _resolved(schema or {}, found)
    needed = model.get("required", ())
    return [
        (name, _type(part, found), name in needed, part.get("description", ""))
        for name, part in model.get("properties", {}).items()
    ]


def _resolved(schema: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    model: dict[str, Any] = found["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return model


def _type(schema: dict[str, Any], found: dict[str, Any]) -> str:
    if "$ref" in schema:
        model = _resolved(schema, found)
        inner = ", ".join(model.get("properties", {}))
        return f"{model.get('title', 'object')} {{{inner}}}" if inner else _type(model, found)
    if "anyOf" in schema or "oneOf" in schema:
        return " or ".join(_type(part, found) for part in schema.get("anyOf", schema.get("oneOf", ())))
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), found)}"
    name = schema.get("type", "any value")
    return str(schema.get("format", name) if name == "string" else name)
