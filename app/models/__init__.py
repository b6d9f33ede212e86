"""Imports every model, so that migrations and mappers see all of them."""

from app.models import (
    accounts,
    api_keys,
    audit,
    breakers,
    connect_sessions,
    connections,
    destinations,
    endpoints,
    events,
    exports,
    fleet,
    installations,
    integration_requests,
    intents,
    listings,
    mails,
    object_types,
    records,
    runs,
    support_grants,
    tasks,
    tenant_data,
    volumes,
)

__all__ = [
    "accounts", "api_keys", "audit", "breakers", "connect_sessions", "connections", "destinations", "endpoints", "events", "exports", "fleet",
    "installations", "integration_requests", "intents", "listings", "mails", "object_types", "records", "runs", "support_grants", "tasks",
    "tenant_data", "volumes",
]  # fmt: skip
