"""Schemathesis over the whole document: what it generates is answered as the document says, whoever asks.

A tenant, another tenant, the host acting for one, the host for itself, and nobody; with ids that are there and with made-up
ones. Then, for those who make things, in chains: what one operation has answered is what the next one is about.
A few made-up cases of each operation; with `PATCHBAY_EXAMPLES=50` that many, and before them one for each border that
the document has (thousands of cases, two minutes for each caller).
"""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from app.db import db
from app.models.runs import Conflict, Problem
from app.services import connect_sessions, installations, record_edits, runs, subscriptions
from app.services.subscriptions import Wish
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from tests.factories.api_keys import make_key
from tests.factories.tenants import make_tenant
from tests.processes import Processes

Apps = dict[str, Flask]
EXAMPLES = os.environ.get("PATCHBAY_EXAMPLES", "")
PHASES = f"examples,{'coverage,' if EXAMPLES else ''}fuzzing"
TAKEN = ("2xx", "304", "401", "403", "404", "409", "410", "412", "422")
WHO = ("tenant", "other", "host", "staff", "nobody")
MAKERS = ("tenant", "host")


class World:
    """Two tenants with one thing of each noun, the keys, and the schema."""

    def __init__(self, apps: Apps) -> None:
        self.apps = apps
        self.tenant, other = make_tenant(apps, "Ours"), make_tenant(apps, "Theirs")
        self.ids = self._things()
        key = {
            name: make_key(apps, of)
            for name, of in (("tenant", self.tenant), ("other", other), ("host", PLATFORM_TENANT))
        }
        with apps["owner"].app_context(), bind_tenant(self.tenant), transaction():
            db.session.execute(db.text("UPDATE tenants SET external_id = 'c-1' WHERE id = :t"), {"t": self.tenant})
        self.headers = {name: {"Authorization": f"Bearer {value}"} for name, value in key.items()}
        self.headers["host"]["Patchbay-Tenant"] = "c-1"
        # Without the name of a customer: what the host asks for itself.
        self.headers["staff"] = {"Authorization": self.headers["host"]["Authorization"]}
        self.headers["nobody"] = {}

    def _things(self) -> dict[str, str]:
        tenant = self.tenant
        with self.apps["web"].app_context(), bind_tenant(tenant), transaction():
            made = installations.create_installation(tenant, "kinto", user_id=uuid.uuid4())
            made.state = "active"
            db.session.flush()
            run = runs.start_run(tenant, made.id, trigger="manual")
            record = record_edits.create(tenant, "contact", {"city": "Bonn"}, writer="test")
            conflict = Conflict(
                tenant_id=tenant, installation_id=made.id, stream="contacts", external_id="1", kind="fields",
                record_id=record.id, base={"city": "York"}, theirs={"city": "Hull"}, ours={"city": "Bonn"},
            )  # fmt: skip
            problem = Problem(
                tenant_id=tenant, installation_id=made.id, signature="s", code="vendor_down", message="Down."
            )
            session, _ = connect_sessions.make(tenant, "session", person="Maja", created_by=uuid.uuid4())
            hears, _ = subscriptions.create(tenant, Wish("Hook", "https://example.com/hook"))
            db.session.add_all([conflict, problem])
            db.session.flush()
            sent = subscriptions.send_test(tenant, hears.id)
            things = {"installation": made, "run": run, "record": record, "conflict": conflict, "problem": problem}
            return {f"{name}_id": str(row.id) for name, row in things.items()} | {
                "session_id": str(session.id), "subscription_id": str(hears.id), "dispatch_id": str(sent),
                "object_type": "contact", "stream": "contacts", "slug": "kinto", "external_id": "c-1",
            }  # fmt: skip


@pytest.fixture
def world(apps: Apps, clean: None) -> World:
    return World(apps)


@pytest.fixture
def site(environment: dict[str, str], world: World, tmp_path: Path) -> Iterator[str]:
    processes = Processes({**environment, "PATCHBAY_API_PER_MINUTE": "1000000"}, tmp_path / "log")
    processes.start("web")
    yield processes.url
    processes.stop()


def schemathesis(
    site: str, folder: Path, headers: dict[str, str], ids: dict[str, str], *more: str, phases: str = PHASES
) -> str:  # fmt: skip
    """Run it with these headers; path parameters have the given values, others are made up. It must find nothing.

    Return what it prints.
    """
    lines = [f'"path.{name}" = "{value}"' for name, value in ids.items()]
    # What fits the schema may still not fit this tenant: fields of an object type, a conflict that is settled.
    # Who names no tenant is asked for one by whatever is about one.
    nameless = headers.get("Authorization", "").startswith("Bearer pb_h_") and "Patchbay-Tenant" not in headers
    taken = [*TAKEN, "400"] if nameless else list(TAKEN)
    lines = ["[checks]", f"positive_data_acceptance.expected-statuses = {json.dumps(taken)}", "[parameters]", *lines]
    (folder / "schemathesis.toml").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml"), "run"]
    command += [
        f"{site}/api/openapi.json",
        "--checks",
        "all",
        "--seed",
        "1",
        "--max-examples",
        EXAMPLES or "4",
        "--no-color",
    ]
    command += [
        "--phases",
        phases,
        "--generation-database",
        "none",
        "--warnings",
        "off",
        *more,
    ]
    for name, value in headers.items():
        command += ["-H", f"{name}:{value}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    summary = re.findall(r"^.*(?:cases?|passed|failed|Failures).*$", done.stdout, re.M)
    print("\n".join(summary[-8:]))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("who", WHO)
def test_every_answer_is_as_the_document_says(world: World, site: str, tmp_path: Path, who: str) -> None:
    # A key that exchanges itself ends, so that has a run of its own.
    apart = ("--exclude-operation-id", "rotate_key")
    schemathesis(site, tmp_path, world.headers[who], world.ids, *apart)
    if EXAMPLES:
        schemathesis(site, tmp_path, world.headers[who], {}, *apart)
    schemathesis(site, tmp_path, world.headers[who], {}, "--include-operation-id", "rotate_key")


@pytest.mark.parametrize("who", MAKERS)
def test_chains_of_operations_are_answered_as_the_document_says(
    world: World, site: str, tmp_path: Path, who: str
) -> None:
    """Schemathesis finds by itself which answers hold what which operations ask for: made, then shown, changed, ended."""
    apart = ("--exclude-operation-id", "rotate_key")
    told = schemathesis(site, tmp_path, world.headers[who], {}, *apart, phases="stateful")
    assert re.search(r"Stateful \(in", told), told
