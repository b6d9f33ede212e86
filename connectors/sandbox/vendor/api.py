"""Sandbox CRM's API."""

import base64
import json
import time
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request

from connectors.sandbox.vendor.oauth import ACCOUNTS
from connectors.sandbox.vendor.store import OBJECTS, PROPERTIES, Store

blueprint = Blueprint("api", __name__, url_prefix="/api")
_LIMIT = 1000


def _store() -> Store:
    found: Store = current_app.extensions["store"]
    return found


def _error(status: int, code: str, message: str, **headers: str) -> Response:
    response = jsonify(error={"code": code, "message": message})
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@blueprint.before_request
def _check() -> Response | None:
    fault = _store().get("fault", "kind") or "none"
    if fault == "rate_limit":
        return _error(429, "too_many", "Slow down.", Retry_After="5")
    if fault == "outage":
        return _error(503, "unavailable", "Out of order.")
    if fault == "garbage":
        return Response("<html>Sign in</html>", content_type="text/html")
    if fault == "slow":
        time.sleep(3)
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    found = _store().get("access", token)
    if (
        not found
        or found["ends"] < time.time()
        or found["epoch"] != (_store().get("fault", "epoch") or 0)
        or _store().get("revoked", found["grant"])
    ):
        return _error(401, "unauthorised", "The token is not accepted.")
    if request.method != "GET" and "crm.write" not in found["scope"]:
        return _error(403, "forbidden", "The permission crm.write is missing.")
    g.account = found["account"]
    return None


@blueprint.after_request
def _limits(response: Response) -> Response:
    response.headers["X-RateLimit-Remaining"] = str(_LIMIT)
    response.headers["X-RateLimit-Reset"] = str(int(time.time()) + 10)
    return response


@blueprint.get("/me")
def me() -> Response:
    return jsonify(account={"id": g.account, "name": ACCOUNTS[g.account]})


@blueprint.get("/properties/<any(contacts, companies, deals):kind>")
def properties(kind: str) -> Response:
    return jsonify(results=PROPERTIES[kind])


@blueprint.get("/<any(contacts, companies, deals):kind>")
def index(kind: str) -> Response:
    limit = min(max(request.args.get("limit", 100, type=int), 1), 100)
    since = request.args.get("updated_since")
    after = None
    if request.args.get("cursor"):
        try:
            after = tuple(json.loads(base64.urlsafe_b64decode(request.args["cursor"])))
        except ValueError:
            return _error(400, "bad_cursor", "The cursor is not one of ours.")
    found = _store().page(kind, limit=limit + 1, after=after, since=since)
    paging: dict[str, Any] = {}
    if len(found) > limit:
        found = found[:limit]
        mark = json.dumps([found[-1]["updated_at"], found[-1]["id"]]).encode()
        paging = {"next": {"cursor": base64.urlsafe_b64encode(mark).decode()}}
    return jsonify(results=found, paging=paging, total=_store().count(kind, since))


@blueprint.post("/<any(contacts, companies, deals):kind>")
def create(kind: str) -> Any:
    key = request.headers.get("idempotency-key")
    if key and (known := _store().get("idempotency", key)):
        return jsonify(_store().find(kind, known)), 201
    made = _store().save(kind, None, dict(request.get_json().get("properties") or {}))
    if key:
        _store().put("idempotency", key, made["id"])
    return jsonify(made), 201


@blueprint.route("/<any(contacts, companies, deals):kind>/<record_id>", methods=["GET", "PATCH", "DELETE"])
def one(kind: str, record_id: str) -> Any:
    assert kind in OBJECTS
    found = _store().find(kind, record_id)
    if found is None:
        return _error(404, "not_found", "There is no such record.")
    if request.method == "PATCH":
        return jsonify(_store().save(kind, record_id, dict(request.get_json().get("properties") or {})))
    if request.method == "DELETE":
        _store().delete(kind, record_id)
        return "", 204
    return jsonify(found)
