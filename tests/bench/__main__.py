"""`make bench`: first load and unchanged re-sync of 50,000 records through the real worker code, beside yardsticks.

Prints records/s and ratios: medians of interleaved pairs with their spread. The yardstick, a bare script, lies outside
the project, in ../shared/bench or where PATCHBAY_BENCH names.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

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
from tests.processes import ROOT, free_port, wait_for

RECORDS = int(os.environ.get("BENCH_RECORDS", "50000"))
PAIRS = int(os.environ.get("BENCH_PAIRS", "5"))
YARDSTICKS = Path(os.environ.get("PATCHBAY_BENCH", ROOT.parent / "shared" / "bench"))
_FIELDS = {
    "email": "email", "first_name": "firstname", "last_name": "lastname", "phone": "phone", "company_name": "company",
    "city": "city", "country": "country", "stage": "lifecyclestage", "notes": "notes",
}  # fmt: skip


def manifest() -> str:
    """Return the manifest of the static vendor: the same nine fields as the bare script maps."""
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
    updated: updatedAt
    paging: {{kind: cursor, parameter: after, path: paging.next.after}}
    match_key: email
    fields:
{fields}
    mapping:
{rules}
"""


class Patchbay:
    """Our side: a fresh tenant for each pair."""

    def __init__(self, stack: Stack, vendor: str) -> None:
        environment = {
            **stack.environment(private_key=True), "PATCHBAY_PROFILE": "test", "PATCHBAY_LOG_LEVEL": "ERROR",
            "PATCHBAY_EGRESS_ALLOW": "127.0.0.0/8", "PATCHBAY_SLICE_SECONDS": "600", "PATCHBAY_LEASE_SECONDS": "60",
        }  # fmt: skip
        env = {**os.environ, **environment, "PATCHBAY_PROCESS": "owner"}
        subprocess.run([sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"], env=env, cwd=ROOT, check=True)
        self.apps: dict[str, Flask] = {k: create_app(k, load_settings(environment)) for k in ("owner", "worker")}  # type: ignore[arg-type]
        drain_module.worker_app = lambda: self.apps["worker"]  # type: ignore[assignment]
        self.vendor = vendor
        self.connector = Connector(load_manifest(manifest()))
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

    def run(self, tenant_id: uuid.UUID, installation_id: uuid.UUID) -> float:
        """Run once in full through the real task code; return records a second."""
        with self.apps["worker"].app_context(), bind_tenant(tenant_id), transaction():
            run_id = runs.start_run(tenant_id, installation_id, trigger="resync", mode="full").id
        began = time.perf_counter()
        while drain_module.drain("sync"):
            pass
        took = time.perf_counter() - began
        with self.apps["worker"].app_context(), bind_tenant(tenant_id), transaction():
            run = runs.get_run(tenant_id, run_id)
            assert run.state == "done", (run.state, run.error_detail)
        return RECORDS / took


def yardstick(script: str, python: str, vendor: str, dsn: str) -> tuple[float, float]:
    """Return (first load, unchanged) records/s of a yardstick."""
    done = subprocess.run([python, str(YARDSTICKS / script), vendor, dsn], capture_output=True, text=True, check=True)
    found = re.findall(r"(\d+) records/s", done.stdout)
    return float(found[0]), float(found[1])


def tools() -> str | None:
    """Return a Python with what the yardsticks need, in a venv of its own; None when it cannot be made."""
    folder = ROOT / ".data" / "bench-venv"
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        uv = str(Path(sys.executable).parent / "uv")
        packages = ["httpx", "orjson", "psycopg[binary]", "dlt[postgres]==1.31.0"]
        made = (
            subprocess.run(
                [uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=False
            ).returncode
            == 0
        )
        if (
            not made
            or subprocess.run([uv, "pip", "install", "-q", "--python", str(python), *packages], check=False).returncode
        ):
            return None
        (folder / ".ready").touch()
    return str(python)


def show(name: str, ours: list[float], theirs: list[float] | None) -> None:
    """Print one line: medians, spread, ratio."""
    line = f"{name:<28} {statistics.median(ours):>9,.0f}/s  ({min(ours):,.0f}-{max(ours):,.0f})"
    if theirs:
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        line += f"   yardstick {statistics.median(theirs):>8,.0f}/s   ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    print(line, flush=True)


def main() -> None:
    """Run the pairs and print the table."""
    python = tools() if YARDSTICKS.exists() else None
    vendor_script = YARDSTICKS / "vendor.py"
    if not vendor_script.exists():
        sys.exit(f"The static vendor is not there: {vendor_script}. Set PATCHBAY_BENCH to its folder.")
    port = free_port()
    vendor = spawn([sys.executable, str(vendor_script), str(port), str(RECORDS)])
    stack = Stack(Path(tempfile.mkdtemp(prefix="patchbay-bench-")), {})
    assert stack.postgres is not None
    stack.postgres.tcp_port = free_port()  # dlt knows no socket.
    stack.start()
    for name in ("bare", "dlt"):
        stack.postgres.ensure_database(name)
    dlt_url = f"postgresql://postgres:trusted@127.0.0.1:{stack.postgres.tcp_port}/dlt"
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: not _refused(port), 60, about="the static vendor")
    results: dict[str, list[tuple[float, float]]] = {"patchbay": [], "bare": [], "dlt": []}
    try:
        side = Patchbay(stack, url)
        for number in range(PAIRS):
            ids = side.install()
            results["patchbay"].append((side.run(*ids), side.run(*ids)))
            if python:
                results["bare"].append(yardstick("bare.py", python, url, stack.postgres.url("bare")))
                results["dlt"].append(yardstick("dlt_merge.py", python, url, dlt_url))
            print(
                f"pair {number + 1}: "
                + ", ".join(f"{k} {v[-1][0]:,.0f} / {v[-1][1]:,.0f}" for k, v in results.items() if v),
                flush=True,
            )
        _table(results)
        if python is None:
            print("The yardsticks could not be run: their packages could not be installed.")
    finally:
        stop(vendor)
        stack.stop()


def _refused(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _table(results: dict[str, Any]) -> None:
    print(f"\n{RECORDS:,} records, 100 a page, medians of {PAIRS} interleaved pairs (spread)")
    for index, what in enumerate(("first load", "unchanged again")):
        ours = [pair[index] for pair in results["patchbay"]]
        for name in ("bare", "dlt"):
            show(f"{what} / {name}", ours, [pair[index] for pair in results[name]] or None)


if __name__ == "__main__":
    main()
