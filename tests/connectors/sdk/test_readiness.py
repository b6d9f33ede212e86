"""The readiness list follows from what is there: each row takes one thing away and names the item that notices."""

import shutil
from pathlib import Path

import pytest

from connectors import registry
from connectors.sdk import load_manifest
from connectors.sdk.readiness import Item, Subject, readiness

TESTS = Path(__file__).resolve().parents[1]


def look(folder: Path, tests: Path | None = None) -> dict[str, Item]:
    manifest = load_manifest((folder / "manifest.yaml").read_bytes())
    return {item.id: item for item in readiness(Subject(manifest, folder, tests))}


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(registry.folder("sandbox"), tmp_path / "sandbox", ignore=shutil.ignore_patterns("vendor"))
    )


def test_the_sandbox_is_ready() -> None:
    found = look(registry.folder("sandbox"), TESTS / "sandbox")
    assert {item.id: item.state for item in found.values() if item.state != "done"} == {}
    assert "idempotency key, if match" in found["writes"].detail
    assert found["fixtures"].detail.startswith("3 of 3 streams")


def test_kinto_says_that_it_is_asked_on_a_schedule() -> None:
    found = look(registry.folder("kinto"), TESTS / "kinto")
    assert (found["webhooks"].state, "schedule" in found["webhooks"].detail) == ("missing", True)
    assert found["limits"].state == "partly"


@pytest.mark.parametrize(
    ("old", "new", "item", "state"),
    [
        ("    incremental: {kind: field, field: updated_at, parameter: updated_since, format: iso, lookback_seconds: 60}\n", "", "incremental", "missing"),
        ("limits:\n  remaining_header: X-RateLimit-Remaining\n  reset_header: X-RateLimit-Reset\n  reset_kind: epoch\n", "", "limits", "partly"),
        ("      concurrency: {kind: if_match, header: If-Match, format: '\"{version}\"'}\n", "", "writes", "partly"),
        ("create_safety: {kind: idempotency_key, header: Idempotency-Key, window_hours: 24}", "create_safety: {kind: review, because: none}", "writes", "partly"),
        ("    fix: Connect Sandbox CRM again. No data is lost.\n", "", "errors", "partly"),
    ],
)  # fmt: skip
def test_what_the_manifest_lacks_is_seen(sandbox: Path, old: str, new: str, item: str, state: str) -> None:
    text = (sandbox / "manifest.yaml").read_text()
    assert old in text
    (sandbox / "manifest.yaml").write_text(text.replace(old, new))
    assert look(sandbox)[item].state == state


def test_deletes_are_seen_in_pages_or_events(sandbox: Path) -> None:
    text = (sandbox / "manifest.yaml").read_text().replace("    deleted: {path: deleted}\n", "")
    (sandbox / "manifest.yaml").write_text(text)
    assert look(sandbox)["deletes"].state == "done", "events tell it"
    (sandbox / "manifest.yaml").write_text(text[: text.index("# Events are signed")])
    found = look(sandbox)
    assert (found["deletes"].state, found["deletes"].detail) == ("partly", "0 of 3 streams; the others by a full pass")
    assert found["webhooks"].state == "missing"


@pytest.mark.parametrize(
    ("gone", "item", "state"),
    [
        ("README.md", "docs", "missing"), ("icon.svg", "docs", "missing"), ("fixtures/check.json", "auth", "missing"),
        ("fixtures/deals-full.json", "fixtures", "partly"), ("fixtures/error-3.json", "auth", "partly"),
    ],
)  # fmt: skip
def test_files_that_are_missing_are_seen(sandbox: Path, gone: str, item: str, state: str) -> None:
    (sandbox / gone).unlink()
    assert look(sandbox)[item].state == state


def test_fixtures_that_leak_or_cannot_be_read_count_for_nothing(sandbox: Path) -> None:
    (sandbox / "fixtures/leak.json").write_text('{"note": "ghp_' + "a" * 36 + '"}')
    assert look(sandbox)["fixtures"].state == "missing"
    assert look(sandbox)["auth"].state == "missing"


def test_a_contract_test_has_to_inherit_the_contract(tmp_path: Path) -> None:
    (tmp_path / "test_contract.py").write_text("class TestContract:\n    pass\n")
    assert look(registry.folder("kinto"), tmp_path)["contract"].state == "missing"
    (tmp_path / "test_contract.py").write_text("class TestContract(HouseContract):\n    pass\n")
    assert look(registry.folder("kinto"), tmp_path)["contract"].state == "done"
    assert look(registry.folder("kinto"), tmp_path / "none")["contract"].state == "missing"
