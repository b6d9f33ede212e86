"""What every web request goes through: id, origin check, session, tenant binding, security headers."""

import uuid
from contextlib import ExitStack
from typing import Any

from flask import Flask, Response, current_app, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from app import guests, log
from app.access import Viewer, find_viewer
from app.api import gate
from app.config import Settings
from app.db import db
from app.errors import ForbiddenError
from app.services import conflicts, home, problems, sessions
from app.services.audit import SYSTEM, Actor, current_actor
from app.tenancy import bind_tenant
from app.transaction import transaction

_CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
_SAFE = {"GET", "HEAD", "OPTIONS"}
_NO_SESSION = ("assets.", "health.")


def register(flask_app: Flask, settings: Settings) -> None:
    """Add the hooks to the web application."""
    _trust_proxies(flask_app, settings.proxy_hops)
    cookie = cookie_name(settings)

    @flask_app.before_request
    def _begin() -> None:
        g.stack = ExitStack()
        g.request_id = uuid.uuid4().hex[:12]
        g.stack.enter_context(log.bind(request_id=g.request_id))
        _act_as(Actor(None, SYSTEM.name, request.remote_addr or "", g.request_id))
        called = gate.is_api(request.path)
        if called:
            gate.enter(settings)
        if request.method not in _SAFE:
            _check_origin(settings)
        if called or request.endpoint is None or request.endpoint.startswith(_NO_SESSION):
            return
        _load_viewer(request.cookies.get(cookie), settings)

    @flask_app.after_request
    def _finish(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if settings.secure:
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
        response.headers["X-Request-Id"] = g.get("request_id", "")
        if gate.is_api(request.path):
            gate.finish(response)
            return response
        if not request.path.startswith("/static/"):
            response.headers.setdefault("Cache-Control", "no-store" if find_viewer() else "private, no-cache")
            response.vary.update(("Cookie", "HX-Request"))
        return response

    @flask_app.teardown_request
    def _end(_error: BaseException | None) -> None:
        stack: ExitStack | None = g.pop("stack", None)
        if stack:
            stack.close()

    flask_app.context_processor(_page_context)


def _trust_proxies(flask_app: Flask, hops: int) -> None:
    if hops:
        flask_app.wsgi_app = ProxyFix(flask_app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]


def cookie_name(settings: Settings) -> str:
    """Return the name of the session cookie: `__Host-` binds it to this host and path where https allows."""
    return "__Host-patchbay" if settings.secure else "patchbay"


def _check_origin(settings: Settings) -> None:
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site not in (None, "same-origin", "none"):
        raise ForbiddenError("This request came from another site and was refused.", code="cross_site")
    # request.host can be relied on: TRUSTED_HOSTS names all it may be.
    if origin is not None and origin not in (settings.base_url, f"{request.scheme}://{request.host}"):
        raise ForbiddenError("This request came from another site and was refused.", code="cross_site")


def _load_viewer(cookie: str | None, settings: Settings) -> None:
    if guests.load(request.cookies.get(guests.cookie_name(settings)), signed_in=cookie is not None):
        return
    found = sessions.find_session(cookie, settings) if cookie else None
    db.session.rollback()
    if found is None:
        return
    g.stack.enter_context(bind_tenant(found.tenant_id, found.user_id))
    loaded = sessions.load(found)
    if loaded is None:
        return
    user, tenant, role, staff = loaded
    g.viewer = Viewer(user, found.session_id, tenant, role, staff)
    g.stack.enter_context(log.bind(tenant_id=str(tenant.id) if tenant else "", user_id=str(user.id)))
    _act_as(Actor(user.id, user.name, request.remote_addr or "", g.request_id))
    if found.stale:
        db.session.rollback()
        with transaction():
            sessions.touch(found.session_id)


def _act_as(actor: Actor) -> None:
    g.stack.callback(current_actor.reset, current_actor.set(actor))


def _page_context() -> dict[str, Any]:
    who = find_viewer()
    theme = who.user.theme if who else request.cookies.get("pb_theme", "system")
    return {
        "viewer": who, "theme": theme if theme in ("light", "dark") else "system", "request_id": g.get("request_id"),
        "host_name": current_app.extensions["settings"].host_name,
        "may_sign_up": current_app.extensions["settings"].signup == "open",
        "guest_limited": guests.is_limited(), "guest_installs": guests.may_install(),
        "zone": (who.user.zone or (who.tenant.zone if who.tenant else None)) if who else None,
        # Counted only by pages that show it, not by every fragment that is polled.
        "count_problems": lambda: problems.count_open(who.tenant.id) if who and who.tenant else 0,
        "count_for_admins": lambda: home.count_for_admins(who.tenant.id) if who and who.tenant else None,
        "count_conflicts": lambda: conflicts.count_open(who.tenant.id) if who and who.tenant else 0,
    }  # fmt: skip
