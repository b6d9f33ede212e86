"""The vendor of the state machine behind a socket, and a tenant that syncs with it: for cases that need its traits."""

import os
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import psycopg
import pytest
from flask import Flask

from app.db import db
from app.models.installations import InstallationStream
from app.services import record_edits, runs, tasks
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors import registry
from connectors.sdk import ChangedError, ConnectorError, RetryableError, canonical, manifest_from_json
from jobs import drain as drain_module
from tests.app.sync.model.vendor import FIELDS, Item, RefusedError, Traits, Vendor
from tests.connectors.sdk.servers import Answer, Call
from tests.connectors.sdk.servers import Vendor as Server
from tests.factories.tenants import activate, connect_kinto, make_tenant

SOAK = bool(os.environ.get("PATCHBAY_SOAK"))
Owner = psycopg.Connection[Any]
# The host's fields that the vendor's four are mapped to.
NAMES = dict(zip(FIELDS, ("company_name", "first_name", "city", "notes"), strict=True))
_RECORDS = "/v1/buckets/crm/collections/contacts/records"
_BATCH = "/v1/buckets/crm/collections/contacts/batch"


class KilledError(BaseException):
    """The worker is lost here: nothing it does from now on is written."""


class Served:
    """The vendor, listening. `faults` decides for each write what goes wrong; `meanwhile` runs once before the next."""

    def __init__(self, traits: Traits | None = None) -> None:
        self.vendor = Vendor(traits or Traits())
        self.faults: Callable[[str], str | None] = lambda _operation: None
        self.refuses: Callable[[dict[str, Any]], bool] = lambda _fields: False
        self.meanwhile: Callable[[], None] | None = None
        self.hidden = False
        self.cuts = 0
        # Seconds by which the vendor's clock is ahead of this machine's.
        self.ahead = 0.0
        self._server = Server(self._answer)
        self.origin = self._server.origin

    def stop(self) -> None:
        """Stop listening."""
        self._server.stop()

    def count(self, method: str, path: str = _RECORDS) -> int:
        """Return how often something was asked for."""
        return sum(call.method == method and call.path.startswith(path) for call in self._server.calls)

    def fill(self, count: int, **values: Any) -> list[str]:
        """Let people there make records; return their ids."""
        return [self.vendor.create_by_person({"key": f"k{n}", "a": f"a{n}", **values}) for n in range(count)]

    def named(self, **values: Any) -> list[str]:
        """Return the ids of records that are there and hold these values."""
        live = self.vendor.live().items()
        return [name for name, item in live if all(item.data.get(field) == value for field, value in values.items())]

    def _answer(self, call: Call) -> Answer:
        self.vendor.clock = time.time() + self.ahead
        try:
            return self._serve(call)
        except RetryableError:
            self.cuts += 1
            return 503, {}, {"message": "Out of order."}
        except ChangedError:
            return 412, {}, {"message": "It was changed since."}
        except RefusedError as error:
            return (404 if error.code == "not_found" else 400), {}, {"message": error.message}

    def _serve(self, call: Call) -> Answer:
        if call.path == _BATCH:
            return self._batch(orjson.loads(call.body))
        if not call.path.startswith(_RECORDS):
            return 200, {}, {"data": {"id": "crm"}}
        name = call.path.removeprefix(_RECORDS).strip("/")
        if call.method == "GET":
            return self._one(name) if name else self._listed(call.query)
        if self.meanwhile:
            act, self.meanwhile = self.meanwhile, None
            act()
        self.vendor.fault = self.faults({"POST": "create", "PATCH": "update", "DELETE": "delete"}[call.method])  # type: ignore[assignment]
        version = call.headers.get("if-match", "").strip('"') or None
        if call.method == "DELETE":
            self.vendor.delete(name, version)
            return 200, {}, {"data": {"id": name, "deleted": True}}
        fields = orjson.loads(call.body)["data"]
        if call.method == "PATCH":
            return self._written(*self.vendor.update(name, self._checked(fields), version))
        reference = call.headers.get("idempotency-key") or fields.pop("ref", None) or f"none-{self.vendor.seq}"
        return self._written(*self.vendor.create(self._checked(fields), reference))

    def _batch(self, body: dict[str, Any]) -> Answer:
        """Create or update several, each with an answer of its own."""
        results: list[dict[str, Any]] = []
        for item in body["items"]:
            fields = dict(item["fields"])
            reference = fields.pop("ref", None)
            try:
                made = (
                    self.vendor.update(item["id"], self._checked(fields), None)
                    if item.get("id")
                    else self.vendor.create(self._checked(fields), reference)
                )
                results.append({**self._shown(made[0]), "about": item.get("id") or reference})
            except ConnectorError as error:
                results.append({"about": item.get("id") or reference, "message": error.message})
        failed = [result for result in results if "message" in result]
        return 200, {}, {"data": [r for r in results if "message" not in r], "errors": failed}

    def _checked(self, fields: dict[str, Any]) -> dict[str, Any]:
        if self.refuses(fields):
            raise RefusedError("These values are not accepted.", code="refused")
        return fields

    def _written(self, external_id: str, version: str | None, data: dict[str, Any] | None) -> Answer:
        if data is None:
            return 200, {}, {"data": {"id": external_id}}
        item = self.vendor.items[external_id]
        return 200, {}, {"data": {"id": external_id, "last_modified": version, "ref": item.reference, **data}}

    def _one(self, name: str) -> Answer:
        if self.vendor.fetch(name) is None:
            return 404, {}, {"message": "There is no such record."}
        return 200, {}, {"data": self._shown(name)}

    def _listed(self, query: dict[str, str]) -> Answer:
        if "ref" in query:
            found = self.vendor.find(query["ref"])
            return 200, {}, {"data": [self._shown(found)] if found else []}
        since = int(query["_since"].strip('"')) if query.get("_since") else None
        headers = {"ETag": f'"{self.vendor.seq}"', "Total-Records": str(0 if self.hidden else len(self.vendor.live()))}
        if self.hidden:
            return 200, headers, {"data": []}
        after = orjson.loads(query["_token"]) if "_token" in query else None
        records, dead, position = self.vendor.page(since, after, int(query.get("_limit", "100")))
        if position is not None:
            token = orjson.dumps(position).decode().replace('"', "%22")
            more = f"&_since=%22{since}%22" if since is not None else ""
            headers["Next-Page"] = f"{self.origin}{_RECORDS}?_limit={query.get('_limit', '100')}&_token={token}{more}"
        shown = [self._shown(name) for name, _, _ in records]
        return 200, headers, {"data": [*shown, *({"id": name, "deleted": True} for name in dead)]}

    def _shown(self, name: str) -> dict[str, Any]:
        item: Item = self.vendor.items[name]
        version = self.vendor.show(name)[0]
        return {"id": name, "last_modified": version, "ref": item.reference, **item.data}


def manifest_for(traits: Traits, *, batch: int = 0) -> str:
    """Return Kinto's manifest, bent to a vendor with these traits; `batch`: how many it takes in one call."""
    data = orjson.loads(canonical(registry.get("kinto").manifest))
    data["streams"] = [stream for stream in data["streams"] if stream["name"] == "contacts"]
    stream = data["streams"][0]
    stream["fields"] = [{"name": name, "label": name.upper()} for name in FIELDS] + [{"name": "ref", "label": "Ref"}]
    stream["mapping"] = [{"target": target, "sources": [source]} for source, target in NAMES.items()]
    stream["match_key"] = NAMES["key"]
    stream["request"]["query"]["_limit"] = 100
    if not traits.tombstones:
        stream["deleted"] = None
    if not traits.fetch:
        stream["fetch"] = None
    writes = stream["writes"]
    writes["create"]["request"] = {"method": "POST", "path": _RECORDS, "body": {"data": "{fields}"}}
    search = {"request": {"path": _RECORDS, "query": {"ref": "{reference}"}}, "records": "data"}
    writes["create_safety"] = {
        "idempotency_key": {
            "kind": "idempotency_key", "header": "Idempotency-Key", "window_hours": traits.window,
            **(search if traits.key_and_lookup else {}),
        },
        "lookup": {"kind": "lookup", "field": "ref", "lag_seconds": traits.lag, **search},
        "review": {"kind": "review", "because": "It takes no key and cannot be searched."},
    }[traits.safety]  # fmt: skip
    if not traits.if_match:
        writes["concurrency"] = {"kind": "none"}
    for operation in ("create", "update", "delete"):
        if operation not in traits.operations:
            writes[operation] = None
    if batch:
        shape = {
            "request": {"method": "POST", "path": _BATCH, "body": {"items": "{items}"}}, "size": batch, "results": "data",
            "match_path": "about", "errors": "errors", "error_match": "about",
        }  # fmt: skip
        writes["batch_create"] = {**shape, "match": "reference", "item": {"fields": "{fields}"}}
        writes["batch_update"] = {**shape, "match": "id", "item": {"id": "{id}", "fields": "{fields}"}}
    return canonical(manifest_from_json(data)).decode()


class Pair:
    """One tenant that syncs with the vendor, both ways unless told otherwise; its workers run in this process."""

    def __init__(
        self, apps: dict[str, Flask], owner: Owner, served: Served, *, direction: str = "both", policy: str = "ask",
        batch: int = 0, start: bool = True,
    ) -> None:  # fmt: skip
        self.apps, self.owner, self.served, self.vendor = apps, owner, served, served.vendor
        self.tenant_id = make_tenant(apps)
        owner.execute(
            "UPDATE listing_versions SET manifest = %s FROM listings l WHERE l.id = listing_id AND l.slug = 'kinto'",
            (manifest_for(served.vendor.traits, batch=batch),),
        )
        with apps["web"].app_context():
            self.installation_id = connect_kinto(self.tenant_id, served.origin, "password")
        drain_module.drain("fast")
        self.set_stream(direction=direction, conflict_policy=policy)
        with apps["web"].app_context():
            activate(self.tenant_id, self.installation_id)
        if start:
            self.settle()

    def set_stream(self, **values: Any) -> None:
        """Set columns of the stream."""

        def change() -> None:
            for stream in db.session.scalars(db.select(InstallationStream)):
                for name, value in values.items():
                    setattr(stream, name, value)

        self.act(change)

    def act(self, what: Callable[[], Any]) -> Any:
        """Return what `what` answers in a transaction of the web process."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            return what()

    def work(self) -> int:
        """Do what is due now."""
        return drain_module.drain("sync")

    def lapse(self, *, hours: float = 0) -> None:
        """Let what waits be due and forget what was counted about the vendor; `hours`: and so long ago."""
        past = f"interval '{hours} hours'"
        self.owner.execute("DELETE FROM breakers")
        self.owner.execute("UPDATE intents SET due_at = now() WHERE state IN ('planned', 'in_doubt')")
        self.owner.execute("UPDATE tasks SET due_at = now() WHERE lane = 'sync' AND state = 'ready'")
        if hours:
            self.served.ahead += hours * 3600
            self.owner.execute(f"UPDATE intents SET sent_at = sent_at - {past}, settled_at = settled_at - {past}")

    def settle(self, rounds: int = 400) -> None:
        """Work until nothing waits, whatever it waits for."""
        for _ in range(rounds):
            self.lapse()
            self.work()
            if not self.one("SELECT count(*) FROM tasks WHERE lane = 'sync' AND state IN ('ready', 'leased') "
                            "AND kind IN ('sync', 'send_intents', 'read_record')"):  # fmt: skip
                return
        raise AssertionError("no end")

    def sync(self, mode: str = "incremental") -> None:
        """Run once and settle."""
        self.act(lambda: runs.start_run(self.tenant_id, self.installation_id, trigger="manual", mode=mode))
        self.settle()

    def recover(self) -> None:
        """What a lost worker held is free."""
        self.owner.execute("UPDATE tasks SET lease_until = now() - interval '1 second' WHERE state = 'leased'")
        with self.apps["dispatcher"].app_context(), transaction():
            tasks.sweep()

    def create(self, count: int = 1, **values: Any) -> list[uuid.UUID]:
        """Let the host's product make records, each with a key of its own; return their ids."""

        def make() -> list[uuid.UUID]:
            return [
                record_edits.create(
                    self.tenant_id, "contact", {NAMES["key"]: f"new{n}", NAMES["a"]: f"A{n}", **values}, writer="Host"
                ).id
                for n in range(count)
            ]

        return list(self.act(make))

    def edit(self, record_ids: Sequence[uuid.UUID], **values: Any) -> None:
        """Let the host's product change records; fields by the vendor's names."""
        named = {NAMES[name]: value for name, value in values.items()}
        edits = [record_edits.Edit(record_id, named) for record_id in record_ids]
        self.act(lambda: record_edits.apply(self.tenant_id, edits, writer="Host"))

    def remove(self, record_ids: Sequence[uuid.UUID]) -> None:
        """Let the host's product delete records."""
        self.act(lambda: record_edits.remove(self.tenant_id, record_ids, writer="Host"))

    def ids(self) -> list[uuid.UUID]:
        """Return the records that are there, oldest first."""
        return [row[0] for row in self.rows("SELECT id FROM records WHERE deleted_at IS NULL ORDER BY id")]

    def data(self, record_id: uuid.UUID) -> dict[str, Any]:
        """Return the values of a record by the vendor's names."""
        row = self.owner.execute("SELECT data FROM records WHERE id = %s", (record_id,)).fetchone()
        assert row is not None
        return {source: row[0].get(target) for source, target in NAMES.items()}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.owner.execute(query).fetchall()

    def one(self, query: str) -> Any:
        """Return the first value of a query."""
        row = self.owner.execute(query).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture
def pair(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a maker of pairs: pair(Traits(...), ...)."""
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    made: list[Served] = []

    def make(traits: Traits | None = None, *, records: int = 0, **more: Any) -> Pair:
        served = Served(traits)
        made.append(served)
        served.fill(records)
        return Pair(apps, owner, served, **more)

    yield make
    for served in made:
        served.stop()
