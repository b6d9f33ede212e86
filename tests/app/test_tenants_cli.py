"""The commands about one tenant, as an operator types them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from jobs import drain as drain_module
from tests.factories.conflicts import Desk

Owner = psycopg.Connection[Any]


@pytest.fixture
def desk(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    made = Desk(apps, owner)
    made.clash()
    owner.execute("UPDATE tenants SET external_id = 'aldgate' WHERE id = %s", (made.tenant_id,))
    return made


def run(desk: Desk, *words: str) -> tuple[int, str]:
    found = desk.apps["owner"].test_cli_runner().invoke(args=["tenants", *words])
    return found.exit_code, found.output


def test_an_export_is_written_by_the_command_itself(desk: Desk, tmp_path: Path) -> None:
    for slug in ("aldgate", str(desk.tenant_id)):
        file = tmp_path / f"{slug}.zip"
        code, said = run(desk, "export", slug, "--to", str(file))
        assert code == 0, said
        assert "rows of Aldgate Joinery" in said
        assert b"Priya Raman" in zipfile.ZipFile(file).read("tables/records.jsonl")
        assert file.stat().st_mode & 0o077 == 0
    assert desk.all("SELECT count(*) FROM exports") == [(0,)]
    (entry,) = desk.all("SELECT DISTINCT actor FROM audit WHERE action = 'tenant.export_fetched'")
    assert entry == ("Command line",)


def test_erasing_takes_the_name_and_leaves_a_report_that_can_be_verified(desk: Desk, tmp_path: Path) -> None:
    assert run(desk, "erase", "aldgate", "--name", "Somebody else")[0] == 1
    code, said = run(desk, "erase", "aldgate", "--name", "Aldgate Joinery")
    assert "flask tenants keep aldgate" in said
    assert run(desk, "keep", "aldgate") == (0, "Aldgate Joinery is kept.\n")
    code, said = run(desk, "erase", "aldgate", "--name", "Aldgate Joinery", "--at-once")
    assert code == 0, said
    erasure = said.rstrip(".\n").rsplit(" ", 1)[1]
    assert run(desk, "report", erasure)[0] == 1, "not done yet"
    for _ in range(3):
        desk.owner.execute("UPDATE tasks SET due_at = now() - interval '1 s' WHERE state = 'ready'")
        drain_module.drain("fast")
        drain_module.drain("sync")
    code, report = run(desk, "report", erasure)
    assert code == 0, report
    assert json.loads(report)["tenant"]["external_id"] == "aldgate"
    file = tmp_path / "report.json"
    file.write_text(report)
    assert run(desk, "verify", str(file))[0] == 0
    file.write_text(report.replace("Aldgate", "Oldgate"))
    assert run(desk, "verify", str(file))[0] == 1
    assert run(desk, "export", "aldgate")[0] == 1


@pytest.mark.parametrize("slug", ["nobody", "00000000-0000-0000-0000-000000000000"])
def test_who_is_not_there_is_said_so(desk: Desk, slug: str) -> None:
    for command in ("export", "erase", "keep"):
        code, said = run(desk, command, slug)
        assert code == 1
        assert "There is no tenant" in said
