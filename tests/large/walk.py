"""Every page there is, with real ids: the routes of the application and, from each page, its own filters and next pages.

A new route is walked without being named here; only a new kind of id needs an example of it.
"""

import html
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg
from flask import Flask

from app.db import db
from app.models.accounts import User
from app.services import sessions
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.large import seed

# Who looks: e-mail address, and whether the customer is theirs.
PEOPLE = {
    "member": ("member@meridian.example", True), "admin": (seed.OWNER, True),
    "support": ("support@patchbay.example", False), "operator": ("operator@patchbay.example", False),
}  # fmt: skip
# What leads out of the house, spends a one-time link, or is no page.
SKIPPED = {
    "assets.show", "oauth.start", "oauth.callback", "connect.open_link", "auth.reset", "auth.verify", "auth.join",
    "health.live", "health.ready", "health.show_metrics", "mailbox.index", "mailbox.show", "styleguide.show",
}  # fmt: skip
_OF = "WHERE tenant_id = %(tenant)s AND"
_MAIN = f"(SELECT id FROM installations {_OF} name = 'Main CRM')"
_ENDPOINT = f"(SELECT id FROM endpoints {_OF} installation_id = {_MAIN})"
_LISTENER = "(SELECT id FROM subscriptions WHERE tenant_id = %(tenant)s ORDER BY name LIMIT 1)"
# The one with most of everything, so that a page shows what it shows at its largest.
EXAMPLES = {
    "installation_id": f"SELECT {_MAIN}",
    "run_id": f"SELECT id FROM runs {_OF} installation_id = {_MAIN} AND trigger = 'first' ORDER BY id LIMIT 1",
    "record_id": f"SELECT record_id FROM record_keys {_OF} value = 'person.20@large.example'",
    "problem_id": f"SELECT id FROM problems {_OF} installation_id = {_MAIN} AND state = 'open' AND code = 'records_refused' ORDER BY id LIMIT 1",
    "conflict_id": f"SELECT id FROM conflicts {_OF} installation_id = {_MAIN} AND state = 'open' ORDER BY id LIMIT 1",
    "failed_id": f"SELECT id FROM failed_records {_OF} installation_id = {_MAIN} AND state = 'parked' AND direction = 'out' ORDER BY id LIMIT 1",
    "delivery_id": f"SELECT id FROM deliveries {_OF} endpoint_id = {_ENDPOINT} AND verdict = 'accepted' ORDER BY id LIMIT 1",
    "subscription_id": f"SELECT {_LISTENER}",
    "dispatch_id": f"SELECT id FROM dispatches {_OF} subscription_id = {_LISTENER} ORDER BY id LIMIT 1",
    "destination_id": f"SELECT id FROM destinations {_OF} name = 'Channel 1'",
    "erasure_id": "SELECT id FROM erasures ORDER BY id LIMIT 1",
    "tenant_id": "SELECT %(tenant)s::uuid",
    "oauth_clients.deliveries:slug": "SELECT 'hubspot'",
    "slug": "SELECT 'sandbox'", "stream": "SELECT 'contacts'", "target": "SELECT 'city'", "name": "SELECT 'city'",
}  # fmt: skip
# Questions that a page asks by a form and no link shows.
ASKED = {
    "catalog.index": ("?q=ledgr", "?q=crm&can=webhooks"), "records.index": ("?q=person.20%40large.example", "?q=ext_20"),
    "diagnoses.show": ("?q=person.20%40large.example", "?q=nobody%40large.example"),
    "diagnoses.everywhere": ("?q=person.20%40large.example",), "mappings.rule": ("?part=row",),
    "fleet.index": ("?tenant=Meridian", "?status=late"), "audit.index": ("?actor=Ada", "?action=member"),
}  # fmt: skip
_SAME_PAGE = re.compile(r'(?:href|hx-get)="([^"#]*\?[^"#]+)"')


@dataclass(frozen=True)
class Page:
    """One address of a route, asked for by somebody (`role`, empty: nobody is signed in)."""

    endpoint: str
    path: str
    role: str

    @property
    def name(self) -> str:
        """What it is called where several sites are compared: ids and positions differ between them."""
        place = re.sub(r"\d{4}-\d\d-\d\dT[^~&]*|[0-9a-f]{8}-[0-9a-f-]{27}", "*", self.path)
        return f"{self.endpoint} {place} {self.role}"


class Walk:
    """All pages of a site that seed.py has filled."""

    def __init__(self, app: Flask, owner: psycopg.Connection[Any]) -> None:
        self._app, self._owner = app, owner
        self._found: dict[tuple[str, uuid.UUID], str] = {}

    def _example(self, name: str, tenant_id: uuid.UUID, endpoint: str) -> str:
        name = f"{endpoint}:{name}" if f"{endpoint}:{name}" in EXAMPLES else name
        assert name in EXAMPLES, f"A route takes <{name}>: say in tests/large/walk.py which one to look at."
        if (name, tenant_id) not in self._found:
            row = self._owner.execute(EXAMPLES[name], {"tenant": tenant_id}).fetchone()  # type: ignore[arg-type]
            assert row is not None, f"The large site has no <{name}>."
            self._found[(name, tenant_id)] = str(row[0])
        return self._found[(name, tenant_id)]

    def first(self) -> Iterator[Page]:
        """Yield each page that can be named from the routes alone."""
        for rule in sorted(self._app.url_map.iter_rules(), key=lambda rule: rule.rule):
            page = "GET" in (rule.methods or ()) and rule.endpoint not in SKIPPED and not rule.rule.endswith("/file")
            if not page or rule.rule.startswith("/api/v1"):
                continue
            access = getattr(self._app.view_functions[rule.endpoint], "access", "public")
            host = access == "staff:operator" and "subscription_id" in rule.arguments
            for path in self._paths(rule.rule, uuid.UUID(int=0) if host else seed.TENANT, rule.endpoint):
                for asked in ("", *ASKED.get(rule.endpoint, ())):
                    for role in roles_of(access):
                        yield Page(rule.endpoint, path + asked, role)

    def _paths(self, rule: str, tenant_id: uuid.UUID, endpoint: str) -> list[str]:
        choice = re.search(r"<any\(([^)]*)\):\w+>", rule)
        if choice:
            return [
                path
                for one in choice[1].split(",")
                for path in self._paths(rule.replace(choice[0], one.strip()), tenant_id, endpoint)
            ]
        return [re.sub(r"<(?:\w+:)?(\w+)>", lambda found: self._example(found[1], tenant_id, endpoint), rule)]


def roles_of(access: str) -> tuple[str, ...]:
    """Return the roles that see a page of this access, those that may see it in different ways."""
    if access.startswith("staff:"):
        return ("operator",) if access == "staff:operator" else ("support",)
    return {"public": ("", "admin"), "signed_in": ("admin",), "member": ("member", "admin")}.get(access, ("admin",))


def further(page: Page, text: str, known: Mapping[str, object]) -> list[Page]:
    """Return the filters, sorts and next pages that a page leads to, a few of each kind; `known` names are left out."""
    path, _, own = page.path.partition("?")
    kinds: dict[tuple[str, ...], int] = {}
    found = []
    for link in dict.fromkeys(html.unescape(one) for one in _SAME_PAGE.findall(text)):
        place = urlsplit(link)
        kind = tuple(sorted(name for name, _ in parse_qsl(place.query)))
        if (place.path or path) != path or place.query == own or kinds.get(kind, 0) >= 3:
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
        found.append(Page(page.endpoint, f"{path}?{place.query}", page.role))
    return [one for one in found if one.name not in known]


def sign_in(app: Flask, role: str) -> str:
    """Return the cookie of a browser in which somebody of this role is signed in; `app` is the owner's."""
    email, inside = PEOPLE[role]
    tenant_id = seed.TENANT if inside else None
    with app.app_context(), bind_tenant(tenant_id), transaction():
        user_id = db.session.scalars(db.select(User.id).where(User.email == email)).one()
    with app.app_context(), bind_tenant(tenant_id, user_id), transaction():
        return sessions.start_session(user_id, tenant_id, app.extensions["settings"], ip="", user_agent="")
