"""Health for orchestrators and numbers for Prometheus."""

import hmac

from alembic.script import ScriptDirectory
from flask import Blueprint, Response, jsonify, make_response, request

from app import metrics
from app.access import public
from app.errors import NotFoundError
from app.extensions import ROOT, settings
from app.services import health

blueprint = Blueprint("health", __name__)


@blueprint.get("/health/live")
@public
def live() -> Response:
    return jsonify(status="live")


@blueprint.get("/health/ready")
@public
def ready() -> Response:
    found = health.check_all(_head(), settings().redis_url.get_secret_value())
    good = all(found.values())
    return make_response(jsonify(status="ready" if good else "not ready", checks=found), 200 if good else 503)


def _head() -> str | None:
    return ScriptDirectory(str(ROOT / "migrations")).get_current_head()


@blueprint.get("/metrics")
@public
def show_metrics() -> Response:
    token = settings().metrics_token.get_secret_value()
    sent = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token:
        allowed = hmac.compare_digest(token.encode(), sent.encode())
    else:
        allowed = request.remote_addr in ("127.0.0.1", "::1") and "x-forwarded-for" not in request.headers
    if not allowed:
        raise NotFoundError
    return Response(metrics.collect(), content_type="text/plain; version=0.0.4")
