"""The address of every page, with ids of things that are there: made from the routes, so that none is forgotten."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
from flask import Flask

# Routes that answer GET and are no page: a part of one, a file, an answer for machines, or a way to somewhere else.
NO_PAGES = {
    "assets.show", "api_docs.openapi", "health.live", "health.ready", "health.show_metrics", "hooks.receive",
    "installations.live", "mapping_samples.preview", "mapping_samples.fields", "mappings.rule", "mappings.unmapped",
    "failed_records.payload", "oauth.start", "oauth.callback", "record_edits.show",
    "exports.fetch", "dry_runs.file", "tenant_data.fetch", "host_tenants.fetch", "host_tenants.report",
}  # fmt: skip
# Where not any id does: argument names, or a route -> a query for their values, each row a page.
_OF_INSTALLATION = "SELECT installation_id, {column} FROM {table} WHERE tenant_id = %(tenant)s ORDER BY id LIMIT {most}"
_QUERIES = {
    "installation_id": "SELECT id FROM installations WHERE tenant_id = %(tenant)s AND state = 'active' ORDER BY id",
    "installation_id failed_id": _OF_INSTALLATION.format(column="id", table="failed_records", most=2),
    "installation_id delivery_id": "SELECT e.installation_id, d.id FROM deliveries d JOIN endpoints e "
    "ON e.id = d.endpoint_id WHERE d.tenant_id = %(tenant)s ORDER BY d.id LIMIT 2",
    "installation_id stream": "SELECT installation_id, stream FROM installation_streams s WHERE tenant_id = %(tenant)s "
    "AND enabled ORDER BY s.id LIMIT 2",
    "installation_id step": "SELECT id, s FROM installations, unnest(ARRAY['connect', 'configure', 'map', 'activate']) s "
    "WHERE tenant_id = %(tenant)s AND state = 'setting_up'",
    "installation_id stream target": "SELECT installation_id, stream, 'email' FROM installation_streams "
    "WHERE tenant_id = %(tenant)s AND enabled AND stream = 'contacts' LIMIT 1",
    "run_id": "SELECT id FROM runs WHERE tenant_id = %(tenant)s ORDER BY id DESC LIMIT 2",
    "record_id": "SELECT record_id FROM conflicts WHERE tenant_id = %(tenant)s UNION SELECT record_id FROM failed_records "
    "WHERE tenant_id = %(tenant)s AND record_id IS NOT NULL LIMIT 2",
    "problem_id": "SELECT id FROM problems WHERE tenant_id = %(tenant)s ORDER BY id LIMIT 4",
    "conflict_id": "SELECT DISTINCT ON (kind, theirs ? 'phone') id FROM conflicts WHERE tenant_id = %(tenant)s",
    "destination_id": "SELECT id FROM destinations WHERE tenant_id = %(tenant)s ORDER BY id LIMIT 1",
    "subscription_id": "SELECT id FROM subscriptions WHERE tenant_id = %(owner)s AND state <> 'removed' LIMIT 1",
    "subscription_id dispatch_id": "SELECT subscription_id, id FROM dispatches WHERE tenant_id = %(owner)s "
    "ORDER BY id LIMIT 2",
    "slug": "SELECT slug FROM listings WHERE slug IN ('sandbox', 'hubspot') ORDER BY slug",
    # Only a vendor with one address for all accounts has this page.
    "oauth_clients.deliveries": "SELECT slug FROM listings WHERE slug = 'hubspot'",
    "token": "SELECT 'no-such-token'",
    "tenant_id": "SELECT %(tenant)s::text",
}  # fmt: skip


def list_addresses(
    app: Flask, owner: psycopg.Connection[Any], tenant_id: Any, access: set[str]
) -> Iterator[tuple[str, str]]:
    """Give (endpoint, address) of each page whose view declares one of `access`, as `member` or `staff:operator`."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        asked = getattr(app.view_functions[rule.endpoint], "access", None)
        if "GET" not in (rule.methods or ()) or rule.rule.startswith("/api/v1/") or rule.endpoint in NO_PAGES:
            continue
        if asked is None or not access & {
            asked,
            *(f"staff:{name}" for name in asked.removeprefix("staff:").split("|")),
        }:
            continue
        names = re.findall(r"<(?:[^:<>]+:)?([a-z_]+)>", rule.rule)
        rows = [()] if not names else _rows(owner, tenant_id, rule.endpoint, names)
        for row in rows:
            values = iter(row)
            yield rule.endpoint, re.sub(r"<[^>]+>", lambda _, values=values: str(next(values)), rule.rule)  # type: ignore[misc]


def _rows(owner: psycopg.Connection[Any], tenant_id: Any, endpoint: str, names: list[str]) -> list[tuple[Any, ...]]:
    query = _QUERIES.get(endpoint) or _QUERIES.get(" ".join(names))
    assert query, f"{endpoint} is a page with {names}: say in tests/tour/addresses.py where these are found"
    # The host's own subscriptions are kept by the platform.
    mine = "00000000-0000-0000-0000-000000000000" if endpoint.startswith("host_") else str(tenant_id)
    return owner.execute(query, {"tenant": str(tenant_id), "owner": mine}).fetchall()  # type: ignore[call-overload,no-any-return]
