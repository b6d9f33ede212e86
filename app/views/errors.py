"""Errors as people see them: the only file that knows both a status and a template."""

from typing import Any
from urllib.parse import quote

from flask import Flask, Response, g, jsonify, make_response, redirect, render_template, request
from flask_wtf.csrf import CSRFError
from psycopg.errors import UniqueViolation
from sqlalchemy.exc import IntegrityError, OperationalError
from werkzeug.exceptions import HTTPException, SecurityError
from werkzeug.wrappers import Response as BaseResponse

from app import log
from app.api import errors as api_errors
from app.db import db
from app.errors import AppError, SignInRequiredError
from app.htmx import wants_fragment

_logger = log.logger(__name__)
_TEXTS = {
    400: ("This request cannot be read", "Something in it does not fit. Go back and try again."),
    403: ("You may not do this", "Your role does not allow it."),
    404: ("There is nothing here", "The address is wrong, or what was here is gone."),
    405: ("This does not work that way", "Go back and use the buttons of the page."),
    409: ("Somebody was faster", "Load the page again and decide anew."),
    413: ("Too much at once", "What was sent is larger than one megabyte."),
    422: ("Something does not fit", "Look at the message below."),
    429: ("Too many tries", "Wait a minute, then try again."),
    500: (
        "Something went wrong here",
        "It has been written down. Try again; tell support the number below if it stays.",
    ),
    503: ("Not available at the moment", "Try again in a minute."),
}


def register(flask_app: Flask) -> None:
    """Add the handlers."""
    flask_app.register_error_handler(AppError, _app_error)
    flask_app.register_error_handler(CSRFError, _stale_form)
    flask_app.register_error_handler(HTTPException, _http_error)
    flask_app.register_error_handler(OperationalError, _database_down)
    flask_app.register_error_handler(Exception, _unexpected)


def _app_error(error: AppError) -> BaseResponse:
    db.session.rollback()
    if isinstance(error, SignInRequiredError) and not _is_api():
        return _sign_in()
    if _is_api():
        return api_errors.of_error(error)
    response = _page(error.status, error.message, error.fix, error.code)
    if error.status == 429:
        response.headers["Retry-After"] = str(getattr(error, "retry_after", 60))
    return response


def _sign_in() -> BaseResponse:
    back = request.full_path.rstrip("?") if request.method == "GET" and not wants_fragment() else "/installations"
    address = f"/sign-in?next={quote(back, safe='/')}"
    if wants_fragment():
        response = make_response("", 401)
        response.headers["HX-Redirect"] = address
        return response
    return redirect(address, 303)


def _stale_form(error: CSRFError) -> Response:
    return _page(400, "The page was open for too long, so it could not be sent. Load it again and repeat.", "", "csrf")


def _http_error(error: HTTPException) -> Response:
    db.session.rollback()
    if isinstance(error, SecurityError):
        # A foreign Host header: no address can be made for a page's files, so there is no page.
        if _is_api():
            return api_errors.answer(400, "invalid_request", "This name is not served here.")
        return Response("This name is not served here.\n", 400, content_type="text/plain")
    response = _page(error.code or 500, "", "", "http")
    if "Allow" in (sent := error.get_response().headers):
        response.headers["Allow"] = sent["Allow"]
    return response


def _database_down(error: OperationalError) -> Response:
    _logger.warning("database not available", error=type(error).__name__)
    db.session.remove()
    response = _page(503, "The database cannot be reached.", "", "unavailable")
    response.headers["Retry-After"] = "30"
    return response


def _unexpected(error: Exception) -> Response:
    if _is_api() and isinstance(error, IntegrityError) and isinstance(error.orig, UniqueViolation):
        db.session.rollback()
        return api_errors.answer(409, "conflict", "Another request was faster. Send it again.")
    _logger.error("request failed", path=request.path, exc_info=error)
    db.session.rollback()
    return _page(500, "", "", "internal")


def _is_api() -> bool:
    return request.path.startswith("/api/")


def _page(status: int, message: str, fix: str, code: str) -> Response:
    title, standard = _TEXTS.get(status, _TEXTS[500 if status >= 500 else 400])
    context: dict[str, Any] = {
        "status": status, "title": title, "message": message or standard, "fix": fix, "request_id": g.get("request_id"),
    }  # fmt: skip
    if _is_api():
        return api_errors.answer(status, code, context["message"], fix)
    if request.path.startswith("/health/"):
        return make_response(jsonify(error={"code": code, "message": context["message"], "fix": fix}), status)
    template = "errors/_error.html" if wants_fragment() else "errors/error.html"
    response = make_response(render_template(template, **context), status)
    if wants_fragment():
        response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#toasts", "innerHTML"
    return response
