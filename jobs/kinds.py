"""Which function works on which kind of task; a house test imports each."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

KINDS: dict[str, str] = {
    "sync": "jobs.runs:sync",
    "give_up": "jobs.runs:give_up",
    "send_intents": "jobs.intents:send_intents",
    "read_record": "jobs.records:read_record",
    "retry_records": "jobs.failed_records:retry_records",
    "link_record": "jobs.failed_records:link_record",
    "undo_run": "jobs.undo:undo_run",
    "settle_conflicts": "jobs.conflicts:settle_conflicts",
    "test_connection": "jobs.connections:test_connection",
    "exchange_code": "jobs.connections:exchange_code",
    "refresh_token": "jobs.connections:refresh_token",
    "test_oauth_client": "jobs.connections:test_client",
    "revoke": "jobs.connections:revoke",
    "apply_hint": "jobs.hints:apply_hint",
    "keep_endpoint": "jobs.endpoints:keep_endpoint",
    "preview": "jobs.previews:answer",
    "dry_run": "jobs.dry_runs:dry_run",
    "check_fields": "jobs.drift:check_fields",
    "send_mail": "jobs.mails:send_mail",
    "send_reset": "jobs.mails:send_reset",
    "notify": "jobs.notices:notify",
    "send_notices": "jobs.notices:send_notices",
    "fan_out": "jobs.fan_out:spread",
    "send_dispatches": "jobs.dispatches:send_dispatches",
    "erase_tenant": "jobs.tenant_data:erase_tenant",
    "prune": "jobs.prune:prune",
    "check_writes": "jobs.missed_writes:check",
    "delete_brought": "jobs.removals:delete_brought",
    "make_export": "jobs.exports:make_export",
    "fold_volumes": "jobs.volumes:fold",
}


def handler_of(kind: str) -> Callable[..., Any]:
    """Return the function for a kind of task; KeyError when there is none."""
    module, name = KINDS[kind].split(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
