"""Page or fragment: the same address answers both; the client never names a template."""

from typing import Any

from flask import Response, make_response, redirect, render_template
from htmx_flask import request
from werkzeug.wrappers import Response as BaseResponse


def wants_fragment() -> bool:
    """Whether htmx asks for a part of the page, not for a whole one."""
    found = request.htmx
    return bool(found) and not found.boosted and not found.history_restore_request


def render(page: str, fragment: str | None = None, status: int = 200, **context: Any) -> Response:
    """Return the page, or its fragment for htmx."""
    template = fragment if fragment and wants_fragment() else page
    response = make_response(render_template(template, **context), status)
    response.vary.update(("HX-Request", "Cookie"))
    return response


def go(address: str) -> BaseResponse:
    """Leave to another page after a POST: 303, or HX-Redirect for htmx."""
    if wants_fragment():
        response = make_response("", 204)
        response.headers["HX-Redirect"] = address
        return response
    return redirect(address, 303)


def stop_polling(response: Response) -> Response:
    """Answer 286, at which htmx ends its polling."""
    if wants_fragment():
        response.status_code = 286
    return response
