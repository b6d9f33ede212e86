"""The examples of docs/examples as they are, against the real processes."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask

from tests.factories.api_keys import make_key
from tests.factories.tenants import make_tenant
from tests.processes import ROOT, Processes, free_port, wait_for

EXAMPLES = ROOT / "docs" / "examples"
Apps = dict[str, Flask]


@pytest.fixture
def tenant(apps: Apps, clean: None) -> uuid.UUID:
    return make_tenant(apps)


@pytest.fixture
def site(environment: dict[str, str], tenant: uuid.UUID, tmp_path: Path) -> Iterator[str]:
    processes = Processes(environment, tmp_path / "log")
    processes.start("web", "dispatcher", "send-1")
    yield processes.url
    processes.stop()


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []
    yield running
    for process in running:
        process.terminate()
        process.wait(10)


def command(name: str, *values: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / name), *values]


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code < 600
    except requests.RequestException:
        return False


def test_contacts_are_pushed_and_their_events_received(
    apps: Apps, tenant: uuid.UUID, site: str, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    sys.path.insert(0, str(EXAMPLES))
    from patchbay_client import Patchbay, PatchbayError

    key, port = make_key(apps, tenant), free_port()
    client = Patchbay(site, key)
    made = client.subscribe("Billing", f"http://127.0.0.1:{port}/events", ["record.created", "record.deleted"])
    log = (tmp_path / "events").open("w+")
    env = {**os.environ, "PATCHBAY_SECRET": made["secret"]}
    started.append(
        subprocess.Popen(
            command("receive_events.py", str(port), str(tmp_path / "seen")), env=env, stdout=log, text=True
        )
    )
    wait_for(lambda: answers(f"http://127.0.0.1:{port}/"), about="the receiver")
    contacts = tmp_path / "contacts.csv"
    rows = [f"u-{n},p{n}@example.com,Person,{n},Bonn" for n in range(700)]
    contacts.write_text("id,email,first_name,last_name,city\n" + "\n".join(rows) + "\n")
    push: dict[str, Any] = {
        "env": {**os.environ, "PATCHBAY_URL": site, "PATCHBAY_KEY": key}, "capture_output": True, "text": True,
    }  # fmt: skip
    first = subprocess.run(command("push_contacts.py", str(contacts)), check=True, **push)
    assert first.stdout == "700 created\n"
    contacts.write_text(contacts.read_text().replace("u-5,p5@example.com", "u-5,nobody"))
    again = subprocess.run(command("push_contacts.py", str(contacts)), check=False, **push)
    assert (again.returncode, again.stdout) == (1, "1 failed, 699 unchanged\n")
    assert "u-5: Some values do not fit" in again.stderr

    def events() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (tmp_path / "events").read_text().splitlines() if line]

    wait_for(lambda: len(events()) >= 700, 60, about="700 events")
    [record] = client.records("contact", external_id="u-7")
    changed = client.update_record(record, {"city": "Oslo"})
    with pytest.raises(PatchbayError) as refused:
        client.update_record(record, {"city": "Rome"})
    assert refused.value.code == "version_mismatch"
    client.delete_record(changed)
    wait_for(lambda: events()[-1]["type"] == "record.deleted", about="the last event")
    assert len({event["id"] for event in events()}) == len(events()) == 701
    assert requests.post(f"http://127.0.0.1:{port}/", data=b"{}", timeout=5).status_code == 401
    cursor, kinds = "", []
    while True:
        part = client.changes(cursor)
        kinds += [change["kind"] for change in part["data"]]
        cursor = part["next"]
        if not part["more"]:
            break
    assert sorted(kinds) == ["added"] * 700 + ["deleted", "updated"]
    assert sum(1 for _ in client.records("contact")) == 699


def test_the_wizard_is_embedded(apps: Apps, site: str, started: list[subprocess.Popen[str]]) -> None:
    from app.tenancy import PLATFORM_TENANT

    port = free_port()
    env = {**os.environ, "PATCHBAY_URL": site, "PATCHBAY_KEY": make_key(apps, PLATFORM_TENANT, "connect", "admin")}
    started.append(subprocess.Popen(command("embed_wizard.py", str(port)), env=env, text=True))
    product = f"http://127.0.0.1:{port}/settings/integrations"
    wait_for(lambda: answers(product), about="the product")
    browser = requests.Session()
    assert "Set up an integration" in browser.get(product, timeout=5).text
    page = browser.post(product, data={"integration": "kinto"}, timeout=10)
    assert page.status_code == 200
    assert page.url == f"{site}/integrations/kinto"
    assert "Install Kinto" in page.text
    assert browser.get(f"{site}/members", timeout=5).status_code == 403


def test_the_client_and_the_examples_are_typed(tmp_path: Path) -> None:
    """As copied into a product: beside the package they are in, mypy would know them by two names."""
    for file in EXAMPLES.glob("*.py"):
        (tmp_path / file.name).write_text(file.read_text())
    asked = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "."]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
