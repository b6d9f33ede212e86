"""A vendor that speaks Kinto's protocol and can be told to misbehave, and an installation that syncs it for real."""

import uuid
from collections.abc import Callable
from typing import Any

import orjson
import psycopg
from flask import Flask

from app.services import runs
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors import registry
from connectors.sdk import canonical, manifest_from_json
from jobs import drain as drain_module
from tests.connectors.sdk.servers import Answer, Call, Vendor
from tests.factories.tenants import activate, connect_kinto, make_tenant

Owner = psycopg.Connection[Any]
FIRST_PAGE = ["p0@example.test", "p1@example.test"]
CONTACTS = "/v1/buckets/crm/collections/contacts/records"


def person(number: int, **values: Any) -> dict[str, Any]:
    """Return a contact as the vendor holds it."""
    return {
        "id": f"p{number}",
        "email": f"p{number}@example.test",
        "first_name": "Ada",
        "last_modified": 1000 + number,
    } | values


class Acme:
    """Holds contacts, `size` a page. `bad` may answer a call instead, `page` numbers start with 1."""

    def __init__(self, people: list[dict[str, Any]], size: int = 2) -> None:
        self.people, self.size, self.total = people, size, True
        self.bad: Callable[[Call, int], Answer | None] = lambda _call, _page: None
        self.vendor = Vendor(self._answer)
        self.origin = self.vendor.origin

    def _answer(self, call: Call) -> Answer:
        if call.path == CONTACTS:
            page = int(call.query.get("_token", "1"))
            return self.bad(call, page) or self.listed(page)
        if call.path.endswith("/companies/records"):
            return 200, {"ETag": '"1"'}, {"data": []}
        return 200, {}, {"data": {"id": "crm"}}

    def listed(self, page: int) -> Answer:
        """Return a page as a good vendor does."""
        start = (page - 1) * self.size
        headers = {"ETag": '"1"'}
        if self.total:
            headers["Total-Records"] = str(len(self.people))
        if start + self.size < len(self.people):
            headers["Next-Page"] = self.next_page(page + 1)
        return 200, headers, {"data": self.people[start : start + self.size]}

    def next_page(self, token: Any) -> str:
        """Return the address of a page."""
        return f"{self.origin}{CONTACTS}?_token={token}"

    def calls(self) -> list[Call]:
        """Return the calls for contacts."""
        return [call for call in self.vendor.calls if call.path == CONTACTS]

    def stop(self) -> None:
        """Stop listening."""
        self.vendor.stop()


class Sync:
    """A tenant with one installation of Kinto at `origin`, worked by the real functions; `manifest` bends the connector."""

    def __init__(
        self,
        apps: dict[str, Flask],
        owner: Owner,
        origin: str,
        manifest: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id = make_tenant(apps, name=f"Tenant {uuid.uuid4().hex[:6]}")
        if manifest:
            data = orjson.loads(canonical(registry.get("kinto").manifest))
            manifest(data)
            text = canonical(manifest_from_json(data)).decode()
            owner.execute(
                "UPDATE listing_versions SET manifest = %s FROM listings l WHERE l.id = listing_id AND l.slug = 'kinto'",
                (text,),
            )
        with apps["web"].app_context():
            self.id = connect_kinto(self.tenant_id, origin, "password")
        self.drain("fast")
        with apps["web"].app_context():
            activate(self.tenant_id, self.id)

    def drain(self, lane: str = "sync") -> None:
        """Do what is due now."""
        drain_module.drain(lane)

    def again(self) -> None:
        """Let what waits be due, and do it."""
        self.owner.execute("UPDATE tasks SET due_at = now() WHERE lane = 'sync' AND state <> 'done'")
        self.drain()

    def start(self, **more: Any) -> None:
        """Start another run and do it."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            runs.start_run(self.tenant_id, self.id, trigger="manual", **more)
        self.drain()

    def run(self, *columns: str) -> tuple[Any, ...]:
        """Return columns of the newest run."""
        row = self.owner.execute(
            f"SELECT {', '.join(columns)} FROM runs WHERE tenant_id = %s ORDER BY id DESC LIMIT 1", (self.tenant_id,)
        ).fetchone()
        assert row is not None
        return tuple(row)

    def stream(self, *columns: str) -> tuple[Any, ...]:
        """Return columns of contacts in the newest run."""
        row = self.owner.execute(
            f"SELECT {', '.join(columns)} FROM run_streams WHERE tenant_id = %s AND stream = 'contacts' ORDER BY run_id DESC LIMIT 1",
            (self.tenant_id,),
        ).fetchone()
        assert row is not None
        return tuple(row)

    def people(self) -> list[str]:
        """Return the e-mail addresses of the records that are there."""
        rows = self.owner.execute(
            "SELECT data->>'email' FROM records WHERE tenant_id = %s AND deleted_at IS NULL ORDER BY 1",
            (self.tenant_id,),
        ).fetchall()
        return [row[0] for row in rows]

    def rows(self) -> tuple[int, int, int]:
        """Return how many records, links and changes there are."""
        counts = [
            self.owner.execute(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", (self.tenant_id,)).fetchone()
            for table in ("records", "links", "changes")
        ]
        return tuple(row[0] for row in counts if row)  # type: ignore[return-value]


def second(answer: Answer) -> Callable[[Call, int], Answer | None]:
    return lambda _call, page: answer if page == 2 else None


def assert_stopped(sync: Sync, acme: Acme, code: str) -> None:
    """The first page is there, nothing of the second, the checkpoint stands between them, and the reason is named."""
    assert sync.people() == FIRST_PAGE
    assert sync.rows() == (2, 2, 2)
    pages, read, checkpoint = sync.stream("pages", "read", "checkpoint")
    assert (pages, read) == (1, 2)
    assert checkpoint["at"]["token"] == acme.next_page(2)
    assert code in sync.run("waiting_code", "error_code")


def assert_recovers(sync: Sync, acme: Acme) -> None:
    """Once the vendor answers well again the run goes on at the bad page and ends with everything once."""
    acme.bad = lambda _call, _page: None
    before = len(acme.calls())
    sync.again()
    assert sync.run("state") == ("done",)
    assert sync.rows() == (6, 6, 6)
    assert [call.query.get("_token") for call in acme.calls()[before:]] == ["2", "3"]


def move(sync: Sync, origin: str) -> None:
    """Let the installation's vendor be somewhere else from now on."""
    statement = (
        "UPDATE connections SET settings = jsonb_set(settings, '{server}', to_jsonb(%s::text)) WHERE tenant_id = %s"
    )
    sync.owner.execute(statement, (origin, sync.tenant_id))
