"""The current tenant, and the list of every way across tenants (architecture: tenancy and secrets).

Tenant tables carry `tenant_id` and FORCE row level security; the gate test in tests/house reads the lists below
and fails on any table, function or policy that is not in them.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from sqlalchemy import Select, select

# The tenant that owns the platform's own work: pruning, mail to staff, acts of operators.
PLATFORM_TENANT = uuid.UUID(int=0)

# (1) Platform tables: rows that belong to no tenant.
PLATFORM_TABLES = frozenset(
    {
        "users", "staff_roles", "listings", "listing_versions", "object_types", "object_fields", "oauth_clients",
        "heartbeats", "breakers", "alembic_version",
    }
)  # fmt: skip
# Tables whose rows belong to a user, not to a tenant: policy on patchbay.user.
USER_TABLES = frozenset({"sessions", "user_tokens"})
# (2) SECURITY DEFINER functions, owned by patchbay_lookup; they return ids only, those that prune a count.
LOOKUP_FUNCTIONS = frozenset(
    {
        "lookup_session", "lookup_user_token", "lookup_invitation", "lookup_oauth_state", "lookup_tenants",
        "lookup_tenant", "lookup_api_key", "lookup_connect_token", "lookup_connect_cookie", "lookup_listeners",
        "lookup_hook", "lookup_hook_account", "lookup_customers",
        "claim_task", "lane_waits", "erase_audit", "prune_sessions", "prune_user_tokens",
    }
)  # fmt: skip
# Tables on which patchbay_lookup has a policy of its own, for exactly those functions.
LOOKUP_TABLES = frozenset(
    {
        "sessions", "user_tokens", "invitations", "oauth_states", "tasks", "task_gates", "tenants", "subscriptions",
        "api_keys", "connect_sessions", "endpoints", "audit",
    }
)  # fmt: skip
# (3) Tables the dispatcher may cross; they hold no customer data.
DISPATCHER_TABLES = frozenset({"tasks", "task_gates", "schedules"})
# (4) Tables of which the host's support and operators read the rows of all tenants; they hold nothing that is synced.
STAFF_TABLES = frozenset({"installation_status", "support_grants", "integration_requests"})
# (5) Support reads one tenant by binding it read-only: views/fleet.py, after support_grants.begin_reading().
# (6) The fan-out of a tenant's events binds the platform's tenant for a moment, to add the host's dispatches in the same
# transaction: services/fan_out.py, by db.bound_meanwhile(). So does services/erasures.py for the row that outlives a tenant.
# Tables with a second, narrower SELECT policy: a user sees the memberships and tenants they belong to.
OWN_MEMBERSHIP_TABLES = frozenset({"memberships", "tenants"})

_tenant: ContextVar[uuid.UUID | None] = ContextVar("patchbay_tenant", default=None)
_user: ContextVar[uuid.UUID | None] = ContextVar("patchbay_user", default=None)
_read_only: ContextVar[bool] = ContextVar("patchbay_read_only", default=False)

BIND_SQL = "SELECT set_config('patchbay.tenant', %s, true), set_config('patchbay.user', %s, true)"


class TenantModel(Protocol):
    """A mapped class with a tenant column."""

    tenant_id: Any


M = TypeVar("M", bound=TenantModel)


def current_tenant() -> uuid.UUID | None:
    """Return the tenant bound to this context, or None."""
    return _tenant.get()


def current_user_id() -> uuid.UUID | None:
    """Return the user bound to this context, or None."""
    return _user.get()


def is_read_only() -> bool:
    """Whether transactions that begin in this context may only read."""
    return _read_only.get()


def bind_values() -> tuple[str, str]:
    """Return the two values for BIND_SQL; an empty string sees no row."""
    return str(_tenant.get() or ""), str(_user.get() or "")


@contextmanager
def bind_tenant(
    tenant_id: uuid.UUID | None, user_id: uuid.UUID | None = None, *, read_only: bool = False
) -> Iterator[None]:
    """Bind tenant (and user) for every transaction that begins inside; one already begun keeps its own.

    With `read_only` PostgreSQL refuses every write in them.
    """
    tenant_mark, user_mark, only_mark = _tenant.set(tenant_id), _user.set(user_id), _read_only.set(read_only)
    try:
        yield
    finally:
        _tenant.reset(tenant_mark)
        _user.reset(user_mark)
        _read_only.reset(only_mark)


def scoped(model: type[M], tenant_id: uuid.UUID) -> Select[M]:
    """Return `SELECT model` of one tenant; the policy guards too, this keeps the intent and the index in sight."""
    return select(model).where(model.tenant_id == tenant_id)
