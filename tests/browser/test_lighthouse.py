"""Lighthouse on the pages a customer begins with, where it is installed: LIGHTHOUSE names its program."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.test_every_page import company
from tests.browser.test_main_job import page
from tests.conftest import find_chromium
from tests.tour.company import Company

__all__ = ["company", "page"]
_PROGRAM = os.environ.get("LIGHTHOUSE", "")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not _PROGRAM, reason="LIGHTHOUSE names no program")]
_KINDS = ("performance", "accessibility")


def _measure(address: str, cookie: str, folder: Path) -> dict[str, int]:
    """Return the scores of a page, 0 to 100, as a desktop sees it."""
    headers = folder / "headers.json"
    headers.write_text(json.dumps({"Cookie": cookie}))
    command = [
        _PROGRAM, address, "--preset=desktop", "--output=json", f"--output-path={folder / 'report.json'}", "--quiet",
        f"--only-categories={','.join(_KINDS)}", f"--extra-headers={headers}", "--chrome-flags=--headless=new --no-sandbox",
    ]  # fmt: skip
    subprocess.run(command, check=True, env={**os.environ, "CHROME_PATH": str(find_chromium())}, timeout=180)
    found = json.loads((folder / "report.json").read_text())["categories"]
    return {kind: round(100 * found[kind]["score"]) for kind in _KINDS}


def test_catalog_wizard_installation_and_mapping_editor_score_95(company: Company, page: Page, tmp_path: Path) -> None:
    company.make_everything(page)
    cookie = "; ".join(f"{item['name']}={item['value']}" for item in page.context.cookies())
    ready = company.ask("SELECT id FROM installations WHERE state = 'active' AND name = 'Sandbox CRM'")
    draft = company.ask("SELECT id FROM installations WHERE state = 'setting_up'")
    paths = {
        "catalog": "/", "listing": "/integrations/sandbox", "wizard, configure": f"/installations/{draft}/setup/configure",
        "wizard, map": f"/installations/{draft}/setup/map", "wizard, activate": f"/installations/{draft}/setup/activate",
        "installation": f"/installations/{ready}", "mapping editor": f"/installations/{ready}/mapping/contacts",
        "home": "/home",
    }  # fmt: skip
    scores = {}
    for name, path in paths.items():
        scores[name] = _measure(company.url + path, cookie, tmp_path)
        print(f"LIGHTHOUSE {name:<20} {scores[name]}", flush=True)
    assert all(score >= 95 for found in scores.values() for score in found.values())
