"""A connect link: opens the wizard for somebody without an account, and ends when they are done."""

from flask import Blueprint, g
from werkzeug.wrappers import Response

from app import guests
from app.access import public
from app.extensions import settings
from app.htmx import go, render
from app.services import connect_sessions
from app.services.connect_sessions import LASTS, Guest
from app.tenancy import bind_tenant
from app.transaction import transaction

blueprint = Blueprint("connect", __name__, url_prefix="/connect")


@blueprint.get("/<token>")
@public
def open_link(token: str) -> Response:
    found = connect_sessions.find_token(token)
    if found is None:
        text = f"It was used or has expired. Open it anew from where you found it in {settings().host_name}, or ask who sent it for a new one."
        return render(
            "auth/link_ended.html", status=404, title="This link no longer works", text=text,
            ways=[("Sign in", "/sign-in"), ("Open the catalog", "/")],
        )  # fmt: skip
    session_id, tenant_id = found
    with bind_tenant(tenant_id), transaction():
        row, cookie = connect_sessions.open_session(tenant_id, session_id)
    address = "/"
    if row.installation_id:
        address = f"/installations/{row.installation_id}"
    elif row.connector:
        address = f"/integrations/{row.connector}"
    response = go(address)
    response.set_cookie(
        guests.cookie_name(settings()), cookie, max_age=int(LASTS.total_seconds()), secure=settings().secure,
        httponly=True, samesite="Lax",
    )  # fmt: skip
    return response


@blueprint.post("/leave")
@public
def leave() -> Response:
    guest: Guest | None = g.get("guest")
    if guest is not None:
        with transaction():
            connect_sessions.end(guest.tenant.id, guest.session_id)
    # Not a redirect to the host: browsers apply form-action to every redirect that follows a form.
    response = render(
        "connect/ended.html", return_url=guest.return_url if guest else None, host_name=settings().host_name
    )
    response.delete_cookie(guests.cookie_name(settings()), secure=settings().secure, httponly=True, samesite="Lax")
    return response
