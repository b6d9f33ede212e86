"""The rules of the house, as tests."""

import ast
import re
from importlib import import_module
from pathlib import Path

from app.config import Settings, variable
from connectors.registry import ROOT as CONNECTORS
from connectors.registry import SLUGS, all_connectors
from connectors.sdk.manifest import Manifest
from connectors.sdk.transforms import transforms_markdown
from jobs.kinds import KINDS, handler_of

ROOT = Path(__file__).resolve().parents[2]
CODE = [file for folder in ("app", "connectors", "jobs") for file in (ROOT / folder).rglob("*.py")]


def test_the_registry_is_the_folders() -> None:
    folders = {file.parent.name for file in CONNECTORS.glob("*/manifest.yaml")}
    assert set(SLUGS) == folders


def test_every_connector_has_its_parts() -> None:
    for connector in all_connectors():
        folder = CONNECTORS / connector.manifest.slug
        for name in ("README.md", "icon.svg", "manifest.yaml"):
            assert (folder / name).stat().st_size > 50, f"{folder.name}/{name}"
        assert all(scope.reason for scope in connector.manifest.auth.scopes)


def test_every_kind_of_task_has_its_function() -> None:
    for kind in KINDS:
        assert callable(handler_of(kind))


def test_every_task_added_has_a_kind() -> None:
    named = set()
    for file in (ROOT / "app").rglob("*.py"):
        named |= set(re.findall(r'add_task\(\s*\w+, "\w+", "(\w+)"', file.read_text()))
    assert named <= set(KINDS)
    assert {"sync", "send_mail", "preview"} <= named


def test_only_transaction_py_commits() -> None:
    for file in CODE:
        if "sandbox/vendor" in str(file) or file.name in ("transaction.py", "db.py"):
            continue
        assert ".commit(" not in file.read_text(), file


def test_services_open_no_transaction() -> None:
    for file in (ROOT / "app/services").glob("*.py"):
        assert "app.transaction import transaction" not in file.read_text(), file


def test_no_grab_bags() -> None:
    names = {file.stem for file in CODE}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


def test_files_and_functions_stay_readable() -> None:
    for file in CODE:
        text = file.read_text()
        assert text.count("\n") <= 400, f"{file}: more than 400 lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno <= 60, f"{file}: {node.name}"


def test_every_module_says_what_it_is_for() -> None:
    for file in CODE:
        text = file.read_text()
        if text.strip():
            assert ast.get_docstring(ast.parse(text)), file


def test_fragments_extend_nothing() -> None:
    for file in (ROOT / "templates").rglob("_*.html"):
        assert "{% extends" not in file.read_text(), file


def test_templates_trust_nothing() -> None:
    for file in (ROOT / "templates").rglob("*.html"):
        assert "|safe" not in file.read_text().replace(" ", ""), file


def test_every_setting_is_in_the_docs() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    for name in Settings.model_fields:
        assert f"`{variable(name)}`" in page, name


def test_every_manifest_key_is_in_the_docs() -> None:
    page = (ROOT / "docs/manifest.md").read_text()

    def keys(model: type) -> set[str]:
        return {field.alias or name for name, field in model.model_fields.items()}  # type: ignore[attr-defined]

    module = import_module("connectors.sdk.manifest")
    models = [
        value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
    ]
    for model in models:
        if hasattr(model, "model_fields"):
            for key in keys(model):
                assert f"`{key}`" in page, f"{model.__name__}.{key}"
    assert "manifest" in page.lower()
    assert Manifest


def test_the_transforms_page_is_true() -> None:
    assert (ROOT / "docs/transforms.md").read_text().strip() == transforms_markdown().strip()
