"""The contract tests find what they promise to find: each row breaks one thing in a copy of a good connector."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors import registry
from connectors.sdk import ManifestError
from connectors.sdk.errors import ConnectorError
from connectors.sdk.testing import ContractSuite
from tests.connectors.kinto.test_contract import TestContract as KintoContract
from tests.connectors.sandbox.test_contract import TestContract as SandboxContract

Break = Callable[[Path], Any]


def replaced(name: str, old: str, new: str) -> Break:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text, f"{name} no longer holds {old!r}"
        (folder / name).write_text(text.replace(old, new))

    return change


def gone(name: str) -> Break:
    return lambda folder: (folder / name).unlink()


def added(name: str, text: str) -> Break:
    return lambda folder: (folder / name).write_text(text)


def in_fixture(name: str, change: Callable[[Any], Any]) -> Break:
    def apply(folder: Path) -> None:
        data = orjson.loads((folder / "fixtures" / name).read_bytes())
        change(data)
        (folder / "fixtures" / name).write_bytes(orjson.dumps(data))

    return apply


def svg(inner: str, box: str = "0 0 40 40") -> Break:
    return added("icon.svg", f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{inner}</svg>')


def twice(data: Any) -> None:
    data["response"]["body"]["data"].append(data["response"]["body"]["data"][0])


ICON, README = "test_icon_is_small_and_safe", "test_readme_has_its_sections"
SECRET, FULL = "test_fixtures_hold_no_secret", "test_streams_are_read_in_full"
ROWS: list[tuple[str, str, Break, str, str]] = [
    ("kinto", "no icon", gone("icon.svg"), "test_files_are_there", "icon.svg"),
    ("kinto", "no README", gone("README.md"), "test_files_are_there", "README.md"),
    ("kinto", "script in the icon", svg("<script/>"), ICON, "script"),
    ("kinto", "handler in the icon", svg('<path d="M0 0" onclick="x()"/>'), ICON, "onclick"),
    ("kinto", "picture of others in the icon", svg('<path fill="url(https://x.test/a)"/>'), ICON, "fill"),
    ("kinto", "link in the icon", svg('<path href="https://x.test"/>'), ICON, "href"),
    ("kinto", "style in the icon", svg('<path style="fill:red"/>'), ICON, "style"),
    ("kinto", "not square", svg("", "0 0 40 30"), ICON, "square"),
    ("kinto", "entity in the icon", added("icon.svg", '<!DOCTYPE svg [<!ENTITY a "b">]><svg/>'), ICON, "declaration"),
    ("kinto", "large icon", svg("<g>" + "<path/>" * 400 + "</g>"), ICON, "bytes"),
    ("kinto", "no XML", added("icon.svg", "<svg"), ICON, "not XML"),
    ("kinto", "no section Limits", replaced("README.md", "## Limits", "## Things"), README, "Limits"),
    ("kinto", "section empty", replaced("README.md", "The password is deleted at once. You choose whether the records that were read stay or go. Kinto is left as it is.", ""), README, "empty"),
    ("kinto", "sections out of order", lambda f: (replaced("README.md", "## Removal", "## X")(f), replaced("README.md", "## Set up", "## Removal")(f), replaced("README.md", "## X", "## Set up")(f)), README, "order"),
    ("kinto", "a token in a fixture", in_fixture("check.json", lambda d: d["response"]["body"].update(note="ghp_" + "a" * 36)), SECRET, "secret"),
    ("kinto", "a password in a fixture", in_fixture("check.json", lambda d: d["response"]["body"].update(password="hunter2")), SECRET, "password"),
    ("kinto", "a person in a fixture", in_fixture("check.json", lambda d: d["response"]["body"].update(by="ada@gmail.com")), SECRET, "ada@gmail.com"),
    ("kinto", "not verified", in_fixture("check.json", lambda d: d.update(verified="")), "test_fixtures_say_how_they_were_verified", "check.json"),
    ("sandbox", "no account", in_fixture("check.json", lambda d: d["response"].update(body={})), "test_check_names_the_account", "does not name the account"),
    ("kinto", "check goes elsewhere", replaced("manifest.yaml", "path: /v1/buckets/{config.bucket}\n", "path: /v1/\n"), "test_check_names_the_account", "no fixture"),
    ("kinto", "records elsewhere", replaced("manifest.yaml", "    records: data\n    version", "    records: items\n    version"), FULL, "no list of records"),
    ("kinto", "the same record twice", in_fixture("contacts-full.json", twice), FULL, "more than once"),
    ("kinto", "wrong version path", replaced("manifest.yaml", "version: last_modified", "version: modified"), FULL, "modified"),
    ("kinto", "wrong page header", replaced("manifest.yaml", "header: Next-Page", "header: X-Next"), "test_every_fixture_is_asked_for", "contacts-full-2.json"),
    ("kinto", "page size changed", replaced("manifest.yaml", "_limit: 100", "_limit: 50"), FULL, "query"),
    ("kinto", "wrong cursor", replaced("manifest.yaml", "parameter: _since", "parameter: since"), "test_changes_are_read", "no fixture"),
    ("kinto", "a field nobody has", replaced("manifest.yaml", "{target: email, sources: [email]", "{target: phone_number, sources: [email]"), "connector", "not mapped"),
    ("kinto", "a target the host has not", replaced("manifest.yaml", "{target: score, sources", "{target: points, sources"), "test_default_mapping_takes_every_record", "points"),
    ("kinto", "a value that fails", in_fixture("contacts-full.json", lambda d: d["response"]["body"]["data"][0].update(email="nobody")), "test_default_mapping_takes_every_record", "nobody"),
    ("kinto", "update without its version", replaced("manifest.yaml", "concurrency: {kind: if_match, header: If-Match, format: '\"{version}\"'}", "concurrency: {kind: if_match, header: If-Match, format: '*'}"), "test_requests_of_writes_are_built", "If-Match"),
    ("kinto", "update by GET", lambda f: (replaced("manifest.yaml", "method: PATCH", "method: GET")(f), replaced("manifest.yaml", '          body: {data: "{fields}"}\n        record: data\n      concurrency', "        record: data\n      concurrency")(f)), "test_requests_of_writes_are_built", "GET"),
    ("sandbox", "a fixture nobody asks for", in_fixture("contacts-one.json", lambda d: d["request"].update(path="/api/other")), "test_every_fixture_is_asked_for", "contacts-one.json"),
    ("sandbox", "an error that passes", replaced("manifest.yaml", "  - status: [422]\n    means: skip_record", "  - status: [422]\n    means: ignore"), "test_errors_are_understood", "lets it pass"),
    ("sandbox", "an error of another meaning", in_fixture("error-2.json", lambda d: d.update(expect="reconnect")), "test_errors_are_understood", "record_failed"),
    ("sandbox", "an event no rule is for", replaced("manifest.yaml", "{path: object, one_of: [deals]}", "{path: object, one_of: [orders]}"), "test_webhook_is_verified", "no rule"),
    ("sandbox", "an event read wrongly", replaced("manifest.yaml", "      id: record_id\n      record: record", "      id: id\n      record: record"), "test_webhook_is_verified", "it says"),
    ("sandbox", "no fixture of an event", lambda f: [gone(f"fixtures/webhook-{n}.json")(f) for n in ("delete", "upsert")], "test_webhook_is_verified", "no fixture"),
    ("sandbox", "a batch that names nothing", replaced("manifest.yaml", "{id: \"{id}\", properties: \"{fields.properties}\"}", "{id: \"{id}\", properties: \"{fields.props}\"}"), "test_every_fixture_is_asked_for", "no fixture"),
]  # fmt: skip


def suite_of(slug: str, folder: Path) -> ContractSuite:
    suite: type[ContractSuite] = {"kinto": KintoContract, "sandbox": SandboxContract}[slug]
    return type("Suite", (suite,), {"folder": folder})()


def run(suite: ContractSuite, test: str) -> None:
    found = getattr(suite, test)
    found()


@pytest.mark.parametrize(
    ("slug", "change", "test", "word"), [row[:1] + row[2:] for row in ROWS], ids=[row[1] for row in ROWS]
)
def test_what_is_broken_is_found(tmp_path: Path, slug: str, change: Break, test: str, word: str) -> None:
    folder = tmp_path / slug
    shutil.copytree(registry.folder(slug), folder)
    change(folder)
    with pytest.raises((AssertionError, ConnectorError, ManifestError, ValueError)) as error:
        run(suite_of(slug, folder), test)
    assert word in str(error.value)


def test_a_signature_that_leaves_the_body_out_cannot_even_be_declared(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    shutil.copytree(registry.folder("sandbox"), folder)
    replaced(
        "manifest.yaml", "verify: {kind: standard_webhooks, secret: subscription}",
        "verify: {kind: hmac, parts: [{kind: url}]}",
    )(folder)  # fmt: skip
    with pytest.raises(ManifestError, match="proves nothing"):
        _ = suite_of("sandbox", folder).connector


def test_without_a_host_the_mapping_is_tested_by_the_streams_own_types(tmp_path: Path) -> None:
    alone = type("Alone", (ContractSuite,), {"slug": "kinto", "settings": KintoContract.settings})()
    alone.test_default_mapping_takes_every_record()
    assert {field.name for field in alone.target_fields("company")} >= {"name", "domain", "employees"}
