"""Imports every model, so that migrations and mappers see all of them."""

from app.models import accounts, audit, connections, installations, listings, mails, object_types, records, runs, tasks

__all__ = [
    "accounts", "audit", "connections", "installations", "listings", "mails", "object_types", "records", "runs",
    "tasks",
]  # fmt: skip
