"""Sandbox CRM's API for changes: create once for a key, change by version, delete, and several at once."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from connectors.sandbox.vendor import api
from connectors.sandbox.vendor.api import error, shown, store

blueprint = Blueprint("writes", __name__, url_prefix="/api")
blueprint.before_request(api.check)
_BATCH = 100


def _refusal(kind: str, sent: Any, *, new: bool) -> str | None:
    """Return why these properties cannot be stored, None when they can."""
    if not isinstance(sent, dict) or not sent:
        return "properties must be an object with at least one property."
    known = {info["name"]: info for info in store().properties(kind)}
    strange = sorted(set(sent) - set(known))
    if strange:
        return f"There is no property {', '.join(strange)}."
    missing = [name for name, info in known.items() if info["required"] and new and sent.get(name) in (None, "")]
    if missing:
        return f"{', '.join(missing)} is required."
    for name, value in sent.items():
        allowed = [choice["value"] for choice in known[name]["choices"]]
        if allowed and value not in (None, *allowed):
            return f"{name} is none of {', '.join(allowed)}."
    return None


def _sent() -> Any:
    data = request.get_json(silent=True)
    return data.get("properties") if isinstance(data, dict) else None


@blueprint.post("/<any(contacts, companies, deals):kind>")
def create(kind: str) -> Response:
    key, sent = request.headers.get("idempotency-key"), _sent()
    refusal = _refusal(kind, sent, new=True)
    if refusal:
        return error(422, "invalid", refusal)
    made = store().create_once(kind, key, sent) if key else store().save(kind, None, sent)
    if made is None:
        return error(409, "key_reused", "This key was used with other properties.")
    return shown(made, 201) if made else error(410, "gone", "What this key has made is deleted.")


@blueprint.route("/<any(contacts, companies, deals):kind>/<record_id>", methods=["PATCH", "DELETE"])
def change(kind: str, record_id: str) -> Any:
    found, version = store().find(kind, record_id), request.headers.get("if-match")
    if found is None:
        return error(404, "not_found", "There is no such record.")
    if version and version not in ("*", f'"{found["updated_at"]}"'):
        return error(412, "changed", "The record was changed since.")
    if request.method == "DELETE":
        store().delete(kind, record_id)
        return "", 204
    sent = _sent()
    refusal = _refusal(kind, sent, new=False)
    return error(422, "invalid", refusal) if refusal else shown(store().save(kind, record_id, sent))


@blueprint.post("/<any(contacts, companies, deals):kind>/batch/<any(create, update):what>")
def batch(kind: str, what: str) -> Response:
    data = request.get_json(silent=True)
    inputs = data.get("inputs") if isinstance(data, dict) else None
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= _BATCH:
        return error(422, "invalid", f"inputs must be a list of 1 to {_BATCH}.")
    results, errors = [], []
    for item in inputs:
        item = item if isinstance(item, dict) else {}
        about = {name: item[name] for name in ("reference", "id") if item.get(name)}
        made = _one(kind, what, item)
        if isinstance(made, str):
            errors.append({**about, "message": made})
        else:
            results.append({**made, **about})
    response = jsonify(results=results, errors=errors)
    response.status_code = 207 if errors else 200
    return response


def _one(kind: str, what: str, item: dict[str, Any]) -> dict[str, Any] | str:
    refusal = _refusal(kind, item.get("properties"), new=what == "create")
    if refusal:
        return refusal
    if what == "create":
        # The reference of an item is its key, so that a batch can be sent again.
        reference = item.get("reference")
        made = store().create_once(kind, f"reference/{reference}", item["properties"]) if reference else None
        return (made or "This reference was used with other properties.") if reference else store().save(
            kind, None, item["properties"]
        )  # fmt: skip
    record_id = str(item.get("id") or "")
    return (
        store().save(kind, record_id, item["properties"])
        if store().find(kind, record_id)
        else "There is no such record."
    )
