"""Somebody who came by a connect link: sees the wizard and the status pages of one tenant, and nothing else."""

import uuid
from typing import Any

from flask import g, request

from app import log
from app.access import Viewer
from app.config import Settings
from app.db import db
from app.errors import ForbiddenError, NotFoundError
from app.models.accounts import User
from app.services import connect_sessions
from app.services.audit import Actor, current_actor
from app.services.connect_sessions import Guest
from app.tenancy import bind_tenant

# The pages of a guest. Of a limited one, only those of its installation or integration.
PAGES = frozenset(
    {
        "catalog.index", "catalog.show", "catalog.install", "installations.index", "installations.show",
        "installations.live", "installations.run_now", "installations.pause", "installations.resume",
        "installations.run_list", "installation_settings.show", "installation_settings.save", "problems.show", "problems.try_now", "runs.show", "runs.stop", "oauth.start", "oauth.callback", "connect.open_link",
        "connect.leave",
    }
)  # fmt: skip
_WIZARD = ("wizard.", "dry_runs.", "mappings.", "mapping_samples.", "mapping_versions.")
_OPEN = ("connect.", "oauth.callback")


def cookie_name(settings: Settings) -> str:
    """Return the name of the cookie of a connect session."""
    return "__Host-patchbay-connect" if settings.secure else "patchbay-connect"


def load(cookie: str | None, *, signed_in: bool) -> bool:
    """Make the guest the viewer; False when the cookie belongs to none. ForbiddenError for what is no page of theirs.

    Somebody who is `signed_in` as well has their own pages beside it.
    """
    endpoint = request.endpoint or ""
    theirs = endpoint in PAGES or endpoint.startswith(_WIZARD)
    if not theirs and (signed_in or endpoint.startswith("auth.")):
        return False
    guest = connect_sessions.find_guest(cookie) if cookie else None
    if guest is None:
        return False
    g.stack.enter_context(bind_tenant(guest.tenant.id))
    g.guest = guest
    # A name for the page; there is no such row.
    user = User(id=guest.session_id, name=guest.person, email="", theme="system", zone=None)
    g.viewer = Viewer(user, guest.session_id, guest.tenant, "admin", guest=True)
    g.stack.enter_context(log.bind(tenant_id=str(guest.tenant.id), connect_session=str(guest.session_id)))
    actor = Actor(guest.session_id, f"{guest.person} (connect link)", request.remote_addr or "", g.request_id)
    g.stack.callback(current_actor.reset, current_actor.set(actor))
    if not theirs:
        raise ForbiddenError("This link is for setting up an integration. Sign in to see more.")
    _limit(guest)
    return True


def is_limited() -> bool:
    """Whether the viewer is a guest who may see one installation or integration only."""
    guest: Guest | None = g.get("guest")
    return guest is not None and bool(guest.installation_id or guest.connector)


def may_install() -> bool:
    """Whether the viewer may begin a new installation, as far as a connect link says."""
    guest: Guest | None = g.get("guest")
    return guest is None or guest.installation_id is None


def may_see(installation_id: uuid.UUID) -> bool:
    """Whether an installation may be named to the viewer: a guest of one installation hears of no other."""
    guest: Guest | None = g.get("guest")
    return guest is None or guest.installation_id in (None, installation_id)


def _limit(guest: Guest) -> None:
    endpoint, values = request.endpoint or "", request.view_args or {}
    if endpoint.startswith(_OPEN) or not (guest.installation_id or guest.connector):
        return
    if not _is_of(guest, values):
        raise NotFoundError


def _is_of(guest: Guest, values: dict[str, Any]) -> bool:
    if "slug" in values and not guest.installation_id:
        return bool(values["slug"] == guest.connector)
    if request.endpoint == "catalog.show":
        # The page of the integration that an installation is of, to read about it.
        place = connect_sessions.place_of(guest.tenant.id, installation_id=guest.installation_id)
        db.session.rollback()
        return place is not None and place[1] == values["slug"]
    if not {"installation_id", "run_id", "problem_id"} & set(values):
        return False
    place = connect_sessions.place_of(
        guest.tenant.id, installation_id=values.get("installation_id"), run_id=values.get("run_id"),
        problem_id=values.get("problem_id"),
    )  # fmt: skip
    db.session.rollback()
    if place is None:
        return False
    return place[0] == guest.installation_id if guest.installation_id else place[1] == guest.connector
