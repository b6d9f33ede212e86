"""Our side of the benchmarks: real PostgreSQL and Valkey, a tenant with one installation, the real worker code."""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask

from app import create_app
from app.config import load_settings
from app.db import db
from app.devstack.process import spawn, stop
from app.devstack.stack import Stack
from app.models.accounts import Tenant
from app.models.connections import Connection
from app.models.installations import Installation, InstallationStream, Mapping, Schedule
from app.models.listings import Listing, ListingVersion
from app.services import runs
from app.services.object_types import seed_object_types
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors.sdk import Connector, canonical, load_manifest, rules_to_json
from jobs import drain as drain_module
from jobs.worker import collect_rarely
from tests.processes import ROOT, free_port, wait_for

YARDSTICKS = Path(os.environ.get("PATCHBAY_BENCH", ROOT.parent / "shared" / "bench"))
_FIELDS = {
    "email": "email", "first_name": "firstname", "last_name": "lastname", "phone": "phone", "company_name": "company",
    "city": "city", "country": "country", "stage": "lifecyclestage", "notes": "notes",
}  # fmt: skip


# What the vendor of this folder can do beyond listing.
_WAYS = """    version: version
    incremental: {kind: field, field: version, parameter: since, format: text}
    fetch: {path: "/contacts/{id}"}
    writes:
      update: {request: {method: PATCH, path: "/contacts/{id}", body: "{fields}"}}
      concurrency: {kind: if_match, header: If-Match, format: '"{version}"'}
"""


def manifest(*, both: bool = False) -> str:
    """Return the manifest of the static vendor, or of the one that is written to: nine fields, as the bare script maps."""
    fields = "\n".join(
        f"      - {{name: properties.{name}, label: {name}, type: {'email' if name == 'email' else 'text'}}}"
        for name in _FIELDS.values()
    )
    rules = "\n".join(
        f"      - {{target: {target}, sources: [properties.{source}]"
        + (", transforms: [{name: trim}, {name: case, args: {to: lower}}]}" if target == "email" else "}")
        for target, source in _FIELDS.items()
    )
    return f"""
schema_version: 1
slug: bench
version: "1.0.0"
listing:
  name: Bench
  summary: The static vendor of the benchmark.
  description: It answers pages of one hundred contacts that never change.
  categories: [Testing]
  data: [{{object: Contacts, text: All.}}]
  removal: Nothing stays.
hosts: {{from: server}}
auth: {{kind: none}}
config:
  - {{name: server, label: Server, kind: origin, help: Where it runs.}}
check: {{request: {{path: /contacts}}, account_id_template: bench}}
streams:
  - name: contacts
    label: Contacts
    object_type: contact
    request: {{path: /contacts, query: {{limit: 100}}}}
    records: results
{"" if both else "    updated: updatedAt"}
    paging: {{kind: cursor, parameter: after, path: paging.next.after}}
    match_key: email
{_WAYS if both else ""}    fields:
{fields}
    mapping:
{rules}
"""


class Patchbay:
    """Our side: a fresh tenant for each pair."""

    def __init__(self, stack: Stack, vendor: str, *, both: bool = False) -> None:
        environment = {
            **stack.environment(private_key=True), "PATCHBAY_PROFILE": "test", "PATCHBAY_LOG_LEVEL": "ERROR",
            "PATCHBAY_EGRESS_ALLOW": "127.0.0.0/8", "PATCHBAY_SLICE_SECONDS": "600", "PATCHBAY_LEASE_SECONDS": "60",
        }  # fmt: skip
        env = {**os.environ, **environment, "PATCHBAY_PROCESS": "owner"}
        subprocess.run([sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"], env=env, cwd=ROOT, check=True)
        self.apps: dict[str, Flask] = {k: create_app(k, load_settings(environment)) for k in ("owner", "worker")}  # type: ignore[arg-type]
        drain_module.worker_app = lambda: self.apps["worker"]  # type: ignore[assignment]
        collect_rarely()
        self.vendor, self.both = vendor, both
        self.connector = Connector(load_manifest(manifest(both=both)))
        with self.apps["owner"].app_context(), transaction():
            seed_object_types()
            listing = Listing(slug="bench", name="Bench", summary="", categories=[])
            db.session.add(listing)
            db.session.flush()
            self.version = ListingVersion(
                listing_id=listing.id,
                number=1,
                label="1",
                digest=self.connector.digest,
                manifest=canonical(self.connector.manifest).decode(),
            )
            db.session.add(self.version)

    def install(self) -> tuple[uuid.UUID, uuid.UUID]:
        """Return (tenant, installation) ready to run."""
        tenant_id, stream = uuid.uuid4(), self.connector.manifest.streams[0]
        with self.apps["owner"].app_context(), bind_tenant(tenant_id), transaction():
            db.session.add(Tenant(id=tenant_id, name="Bench"))
            connection = Connection(
                tenant_id=tenant_id, id=uuid.uuid4(), connector="bench", state="ready", settings={"server": self.vendor}
            )
            db.session.add(connection)
            db.session.flush()
            made = Installation(
                tenant_id=tenant_id, id=uuid.uuid4(), connector="bench", listing_version_id=self.version.id,
                connection_id=connection.id, name="Bench", state="active", settings={},
            )  # fmt: skip
            db.session.add(made)
            db.session.flush()
            db.session.add(
                InstallationStream(
                    tenant_id=tenant_id,
                    installation_id=made.id,
                    stream="contacts",
                    object_type="contact",
                    connector="bench",
                    direction="both" if self.both else "in",
                )
            )
            db.session.add(
                Mapping(
                    tenant_id=tenant_id,
                    installation_id=made.id,
                    stream="contacts",
                    version=1,
                    rules=rules_to_json(stream.rules()),
                )
            )
            db.session.add(Schedule(tenant_id=tenant_id, installation_id=made.id, kind="manual"))
            return tenant_id, made.id

    def run(self, tenant_id: uuid.UUID, installation_id: uuid.UUID, *, mode: str = "full") -> float:
        """Run once through the real task code, all that it causes too; return the seconds it took."""
        with self.apps["worker"].app_context(), bind_tenant(tenant_id), transaction():
            run_id = runs.start_run(tenant_id, installation_id, trigger="manual", mode=mode).id
        began = time.perf_counter()
        while drain_module.drain("sync"):
            pass
        took = time.perf_counter() - began
        with self.apps["worker"].app_context(), bind_tenant(tenant_id), transaction():
            run = runs.get_run(tenant_id, run_id)
            assert run.state == "done", (run.state, run.error_detail)
        return took


@contextmanager
def started(*, tcp: bool = False) -> Iterator[Stack]:
    """Start PostgreSQL and Valkey with empty data; `tcp` for programs that know no socket."""
    stack = Stack(Path(tempfile.mkdtemp(prefix="patchbay-bench-")), {})
    assert stack.postgres is not None
    stack.postgres.tcp_port = free_port() if tcp else None
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


@contextmanager
def vendor(command: list[str], records: int) -> Iterator[str]:
    """Start a vendor with so many records; yields its address."""
    port = free_port()
    child = spawn([sys.executable, *command, str(port), str(records)], cwd=ROOT)
    try:
        wait_for(lambda: _answers(port), 180, about="the vendor")
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(child)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def static_vendor() -> list[str]:
    """Return the command of the vendor that the yardsticks read, or end with a word about where it should be."""
    script = YARDSTICKS / "vendor.py"
    if not script.exists():
        sys.exit(f"The static vendor is not there: {script}. Set PATCHBAY_BENCH to its folder.")
    return [str(script)]


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Return the median of the ratios of interleaved pairs, with their spread."""
    found = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f}-{max(found):.2f})"
