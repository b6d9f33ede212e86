"""`flask connectors`: what is made passes its own tests, what is wrong is named, what is tried is only read."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask

from connectors import registry
from connectors.sdk.scaffold import AUTHS, with_slug
from tests.connectors.sandbox.running import Running
from tests.counterparts.kinto import PASSWORD, USER, Kinto, company, contact

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def vendor() -> Iterator[Running]:
    found = Running(largest_page=4)
    yield found
    found.stop()


def flask(apps: dict[str, Flask], *args: str) -> tuple[int, str]:
    found = apps["owner"].test_cli_runner().invoke(args=["connectors", *args])
    return found.exit_code, found.output


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a new connector is tested with."""
    root = tmp_path_factory.mktemp("project")
    for name in ("app", "connectors", "jobs"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "vendor"))
    tests = root / "tests/connectors"
    tests.mkdir(parents=True)
    for file in (root / "tests/__init__.py", tests / "__init__.py"):
        file.touch()
    shutil.copy(ROOT / "tests/connectors/contract.py", tests)
    return root


def test_new_connectors_pass_their_own_tests(apps: dict[str, Flask], project: Path) -> None:
    slugs = {auth: f"acme-{auth.replace('_', '-')}" for auth in AUTHS}
    for auth, slug in slugs.items():
        where = ["--self-hosted"] if auth == "basic" else ["--host", "api.acme.example"]
        code, out = flask(apps, "new", slug, "--name", "Acme", *where, "--auth", auth, "--root", str(project))
        assert code == 0, out
        assert f'"{slug}"' in (project / "connectors/registry.py").read_text()
        assert flask(apps, "check", str(project / f"connectors/{slug}")) == (0, f"{slug}: nothing is wrong.\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(project),
         *(str(project / "tests/connectors" / slug.replace("-", "_")) for slug in slugs.values())],
        cwd=project, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(project)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "failed" not in done.stdout


def test_a_name_that_does_not_fit_makes_nothing(apps: dict[str, Flask], project: Path) -> None:
    code, out = flask(apps, "new", "Acme Corp", "--name", "Acme", "--host", "api.acme.example", "--root", str(project))
    assert code == 1
    assert "slug" in out
    assert not (project / "connectors/Acme Corp").exists()
    code, out = flask(apps, "new", "kinto", "--name", "Kinto", "--self-hosted", "--root", str(project))
    assert (code, "there already" in out) == (1, True)
    code, out = flask(apps, "new", "acme", "--name", "Acme", "--root", str(project))
    assert (code, "--self-hosted" in out) == (2, True)


def test_a_slug_is_added_in_order_and_once() -> None:
    text = 'A = 1\nSLUGS = ("b", "d")\nROOT = 2\n'
    assert with_slug(text, "c") == 'A = 1\nSLUGS = ("b", "c", "d")\nROOT = 2\n'
    assert with_slug(text, "b") == text
    long = with_slug(text, "x" * 120)
    assert with_slug(long, "a").count("\n    ") == 4


def test_check_names_id_line_path_and_fix(apps: dict[str, Flask], tmp_path: Path) -> None:
    folder = tmp_path / "kinto"
    shutil.copytree(registry.folder("kinto"), folder)
    text = (folder / "manifest.yaml").read_text()
    (folder / "manifest.yaml").write_text(text.replace("match_key: email", "match_key: mail"))
    (folder / "icon.svg").write_text("<svg")
    code, out = flask(apps, "check", str(folder))
    line = 1 + text[: text.index("match_key: email")].count("\n")
    assert code == 1
    assert f"kinto/manifest.yaml:{line} streams.0.match_key: mail is not mapped." in out
    assert out.startswith("mapping-fits")
    assert "Fix: Map it" in out
    assert "icon " in out
    code, out = flask(apps, "check", "kinto", "--ids")
    assert (code, "mapping-fits" in out, "readme" in out) == (0, True, True)
    assert flask(apps, "check", "nobody")[0] == 1


@pytest.mark.parametrize("slug", registry.SLUGS)
def test_our_own_connectors_are_in_order(apps: dict[str, Flask], slug: str) -> None:
    assert flask(apps, "check", slug) == (0, f"{slug}: nothing is wrong.\n")


def test_run_reads_a_page_of_each_stream_and_shows_no_secret(apps: dict[str, Flask], vendor: Running) -> None:
    token = vendor.access(scope="crm.read")
    code, out = flask(apps, "run", "sandbox", "--set", f"server={vendor.origin}", "--secret", f"access_token={token}")
    assert code == 0, out
    assert "account acme: Acme Tools Ltd" in out
    assert [f"{name}: 4 records" in out for name in ("companies", "contacts", "deals")] == [True] * 3
    assert f"GET {vendor.origin}/api/deals?limit=100 -> 200" in out
    assert token not in out
    code, out = flask(
        apps,
        "run",
        "sandbox",
        "--set",
        f"server={vendor.origin}",
        "--secret",
        "access_token=wrong-token-1",
        "--stream",
        "deals",
    )
    assert code == 1
    assert "Connect Sandbox CRM again" in out
    assert "wrong-token-1" not in out


def test_what_is_missing_is_asked_for(apps: dict[str, Flask]) -> None:
    code, out = flask(apps, "run", "kinto", "--set", "server=http://127.0.0.1:1")
    assert code == 1
    assert "--set user=…, --secret password=…, --set bucket=…" in out
    code, out = flask(apps, "run", "sandbox", "--set", "server=http://127.0.0.1:1")
    assert (code, "--secret access_token" in out) == (1, True)
    assert flask(apps, "run", "sandbox", "--set", "server")[0] == 2
    code, out = flask(
        apps, "run", "sandbox", "--set", "server=http://127.0.0.1:1", "--secret", "access_token=x", "--stream", "no"
    )
    assert (code, "no stream no" in out) == (1, True)


def test_what_is_recorded_is_a_contract_that_holds(apps: dict[str, Flask], vendor: Running, tmp_path: Path) -> None:
    token = vendor.access(scope="crm.read")
    folder = tmp_path / "sandbox"
    shutil.copytree(registry.folder("sandbox"), folder)
    shutil.rmtree(folder / "fixtures")
    (tmp_path / "token").write_text(token + "\n")
    code, out = flask(
        apps, "record", str(folder), "--set", f"server={vendor.origin}", "--secret", f"access_token=@{tmp_path / 'token'}",
        "--keep", "2",
    )  # fmt: skip
    assert code == 0, out
    written = sorted(file.name for file in (folder / "fixtures").iterdir())
    assert {
        "check.json",
        "contacts-full.json",
        "contacts-full-2.json",
        "contacts-changes.json",
        "deals-one.json",
    } <= set(written)
    text = "".join(file.read_text() for file in (folder / "fixtures").iterdir())
    assert token not in text
    assert vendor.origin not in text
    last: Any = orjson.loads((folder / "fixtures/contacts-full-2.json").read_bytes())
    assert [len(last["response"]["body"]["results"]), last["response"]["body"]["paging"]["next"]["cursor"]] == [2, None]
    assert {r["properties"]["phone"] for r in last["response"]["body"]["results"]} == {"+44 20 7946 0000"}
    assert {r["properties"]["birthday"] for r in last["response"]["body"]["results"]} == {"2026-11-24"}
    suite = _suite(folder, "https://sandbox.example.test")
    for name in (
        "check_names_the_account",
        "streams_are_read_in_full",
        "default_mapping_takes_every_record",
        "fixtures_hold_no_secret",
    ):
        getattr(suite, f"test_{name}")()


def test_next_page_in_a_header_is_recorded_to_an_end(apps: dict[str, Flask], tmp_path: Path) -> None:
    kinto = Kinto(tmp_path, page=3).start()
    try:
        kinto.put_all("contacts", [contact(n) for n in range(9)])
        kinto.put_all("companies", [company(1)])
        code, out = flask(
            apps, "record", "kinto", "--set", f"server={kinto.origin}", "--set", f"user={USER}", "--set", "bucket=crm",
            "--secret", f"password={PASSWORD}", "--into", str(tmp_path / "kinto/fixtures"),
        )  # fmt: skip
    finally:
        kinto.stop()
    assert code == 0, out
    assert "since = {" in out
    shutil.copy(registry.folder("kinto") / "manifest.yaml", tmp_path / "kinto")
    suite = _suite(tmp_path / "kinto", "https://kinto.example.test", user=USER, bucket="crm")
    assert len(suite.records("contacts")) == 6
    suite.test_fixtures_hold_no_secret()


def _suite(folder: Path, server: str, **more: str) -> Any:
    from tests.connectors.contract import HouseContract

    return type(
        "Suite", (HouseContract,), {"slug": folder.name, "folder": folder, "settings": {"server": server, **more}}
    )()
