"""Imports every model, so that migrations and mappers see all of them."""

from app.models import (
    accounts,
    audit,
    breakers,
    connections,
    events,
    fleet,
    installations,
    intents,
    listings,
    mails,
    object_types,
    records,
    runs,
    support_grants,
    tasks,
)

__all__ = [
    "accounts", "audit", "breakers", "connections", "events", "fleet", "installations", "intents", "listings",
    "mails", "object_types", "records", "runs", "support_grants", "tasks",
]  # fmt: skip
