"""Sandbox CRM's API."""

import base64
import json
import time
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request

from connectors.sandbox.vendor.oauth import ACCOUNTS
from connectors.sandbox.vendor.store import Store

blueprint = Blueprint("api", __name__, url_prefix="/api")
_LIMIT = 1000


def store() -> Store:
    """Return the records of this vendor."""
    found: Store = current_app.extensions["store"]
    return found


def error(status: int, code: str, message: str, **headers: str) -> Response:
    """Return an error as the API writes it."""
    response = jsonify(error={"code": code, "message": message})
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@blueprint.before_request
def check() -> Response | None:
    """Refuse a call without a good token and the permission, or as the switched-on fault says."""
    fault = store().get("fault", "kind") or "none"
    if fault == "rate_limit":
        return error(429, "too_many", "Slow down.", Retry_After="5")
    if fault == "outage":
        return error(503, "unavailable", "Out of order.")
    if fault == "garbage":
        return Response("<html>Sign in</html>", content_type="text/html")
    if fault == "slow":
        time.sleep(3)
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    found = store().get("access", token)
    if (
        not found
        or found["ends"] < time.time()
        or found["epoch"] != (store().get("fault", "epoch") or 0)
        or store().get("revoked", found["grant"])
    ):
        return error(401, "unauthorised", "The token is not accepted.")
    # To be told of changes it is enough to be allowed to read.
    if request.method != "GET" and request.blueprint != "events" and "crm.write" not in found["scope"]:
        return error(403, "forbidden", "The permission crm.write is missing.")
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
    return jsonify(results=store().properties(kind))


@blueprint.get("/<any(contacts, companies, deals):kind>")
def index(kind: str) -> Response:
    limit = min(max(request.args.get("limit", 100, type=int), 1), current_app.config["LARGEST_PAGE"])
    since = request.args.get("updated_since")
    after = None
    if request.args.get("cursor"):
        try:
            after = tuple(json.loads(base64.urlsafe_b64decode(request.args["cursor"])))
        except ValueError:
            return error(400, "bad_cursor", "The cursor is not one of ours.")
    found = store().page(kind, limit=limit + 1, after=after, since=since)
    paging: dict[str, Any] = {}
    if len(found) > limit:
        found = found[:limit]
        mark = json.dumps([found[-1]["updated_at"], found[-1]["id"]]).encode()
        paging = {"next": {"cursor": base64.urlsafe_b64encode(mark).decode()}}
    return jsonify(results=found, paging=paging, total=store().count(kind, since))


@blueprint.get("/<any(contacts, companies, deals):kind>/<record_id>")
def show(kind: str, record_id: str) -> Response:
    found = store().find(kind, record_id)
    return error(404, "not_found", "There is no such record.") if found is None else shown(found)


def shown(record: dict[str, Any], status: int = 200) -> Response:
    """Return a record with its version as ETag."""
    response = jsonify(record)
    response.status_code = status
    response.headers["ETag"] = f'"{record["updated_at"]}"'
    return response
