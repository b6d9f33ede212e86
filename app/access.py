"""Who is asking: the signed-in viewer of a request, and what a view demands of them."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from flask import g

from app.errors import ForbiddenError, NotFoundError, SignInRequiredError

if TYPE_CHECKING:
    from app.models.accounts import Tenant, User

_RANK = {"member": 1, "admin": 2, "owner": 3}
# What somebody may do in a tenant: the least role, in words, and the view that stands for it (a house test holds them
# together). Whoever has a role may do what those before it may.
CAPABILITIES: tuple[tuple[str, str, str], ...] = (
    ("member", "See installations, runs, records, problems and conflicts", "installations.index"),
    ("member", "Start runs, retry records and decide conflicts", "conflicts.decide"),
    ("member", "Ask for an integration, and choose what they are told", "integration_requests.new"),
    ("admin", "Connect, map, pause and remove integrations", "wizard.activate"),
    ("admin", "Change, delete and restore records by hand", "record_edits.save"),
    ("admin", "Invite people and change their roles", "members.invite"),
    ("admin", "Approve what members ask for", "integration_requests.approve"),
    ("admin", "API keys, event subscriptions and notification destinations", "api_keys.create"),
    ("admin", "Let support in for some hours", "members.grant_support"),
    ("admin", "See the audit log, and export all data", "tenant_data.fetch"),
    ("owner", "Have everything erased", "tenant_data.erase"),
)
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Viewer:
    """A signed-in person in the tenant they have chosen; staff may have no tenant."""

    user: "User"
    session_id: uuid.UUID
    tenant: "Tenant | None"
    role: str | None
    staff_roles: frozenset[str] = frozenset()
    # Somebody without an account, who came by a connect link: guests.py says which pages are theirs.
    guest: bool = False

    @property
    def tenant_id(self) -> uuid.UUID:
        """The tenant's id; ForbiddenError for staff without one."""
        if self.tenant is None:
            raise ForbiddenError("This page belongs to a customer. Your account has none.")
        return self.tenant.id

    def may(self, role: str) -> bool:
        """Whether the viewer has at least this role in the tenant."""
        return _RANK.get(self.role or "", 0) >= _RANK[role]


def find_viewer() -> Viewer | None:
    """Return who is signed in, or None."""
    found: Viewer | None = g.get("viewer")
    return found


def viewer() -> Viewer:
    """Return who is signed in; SignInRequiredError when nobody is."""
    found = find_viewer()
    if found is None:
        raise SignInRequiredError("Sign in to see this page.")
    return found


def requires(role: str) -> Callable[[View], View]:
    """Demand a role in the tenant: member, admin or owner."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            who = viewer()
            _ = who.tenant_id
            if not who.may(role):
                raise ForbiddenError(f"Only {'owners' if role == 'owner' else 'admins'} may do this. Ask one of them.")
            return view(*args, **kwargs)

        checked.access = role  # type: ignore[attr-defined]  # read by the privilege matrix test
        return checked  # type: ignore[return-value]  # same signature

    return decorate


def requires_staff(*roles: str) -> Callable[[View], View]:
    """Demand one of these staff roles; others are told that there is nothing here."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if not viewer().staff_roles.intersection(roles):
                raise NotFoundError
            return view(*args, **kwargs)

        checked.access = f"staff:{'|'.join(roles)}"  # type: ignore[attr-defined]  # as above
        return checked  # type: ignore[return-value]  # as above

    return decorate


def public(view: View) -> View:
    """Say that a view is for anyone; one that says nothing fails the privilege matrix."""
    view.access = "public"  # type: ignore[attr-defined]  # as above
    return view


def signed_in(view: View) -> View:
    """Demand a signed-in person, with or without a tenant."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        viewer()
        return view(*args, **kwargs)

    checked.access = "signed_in"  # type: ignore[attr-defined]  # as above
    return checked  # type: ignore[return-value]  # as above
