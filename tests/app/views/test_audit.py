"""The audit log in words: every act that is written has a sentence, and the page narrows by what it is about."""

import ast
import re
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from flask import Flask

from app.services import audit
from app.tenancy import bind_tenant
from app.transaction import transaction
from app.views.audit_words import KINDS, WORDS, told
from tests.factories.mappings import Workspace
from tests.processes import ROOT

# Acts whose name is put together where they are written.
_MADE = {
    "connect_{}.created": ("link", "session"), "connect_{}.opened": ("link", "session"),
    "subscription.{}": ("created", "changed", "secret_rotated", "disabled", "enabled", "removed", "tested"),
    "destination.{}": ("created", "changed", "enabled", "disabled", "removed", "tested"),
    "integration.{}": ("approved", "declined", "withdrawn"), "tenant.export_{}": ("requested", "fetched"), "export.{}": ("requested", "fetched"),
}  # fmt: skip


def _texts(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from _texts(one)
            yield from _texts(other)
        case ast.JoinedStr(values=parts):
            pattern = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts)  # type: ignore[str-bytes-safe]
            yield from (pattern.format(name) for name in _MADE[pattern])


def _written() -> set[str]:
    found: set[str] = set()
    for folder in ("app", "jobs"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "audit.write":
                    found |= set(_texts(node.args[1]))
    return found


def test_every_act_has_a_sentence_and_a_place_in_the_filter() -> None:
    acts = _written()
    assert len(acts) > 50
    assert acts - set(WORDS) == set()
    prefixes = tuple(prefix for _, found in KINDS.values() for prefix in found)
    # What operators do is in the platform's log, which has no filter.
    assert {act for act in acts if not act.startswith((*prefixes, "oauth_client.", "object_"))} == set()


@pytest.fixture
def work(apps: dict[str, Flask], clean: None) -> Workspace:
    return Workspace(apps)


def test_the_page_tells_in_words_and_narrows(work: Workspace) -> None:
    def write() -> None:
        audit.write(work.tenant_id, "api_key.created", "api_key", str(uuid.uuid4()), "Billing", scopes=["read"])
        audit.write(
            work.tenant_id, "member.role_changed", "user", "1", "tom@example.com", before="member", after="admin"
        )
        audit.write(work.tenant_id, "something.new", "thing", "1")

    work.act(write)
    browser = work.browser("admin")
    page = browser.get("/audit").get_data(as_text=True)
    assert "Made the API key “Billing”" in page
    assert "Changed the role of tom@example.com from member to admin" in page
    assert "something: new" in page
    narrowed = browser.get("/audit?kind=programs").get_data(as_text=True)
    assert "Billing" in narrowed
    assert "tom@example.com" not in narrowed
    assert "No entry fits" in browser.get("/audit?actor=nobody").get_data(as_text=True)
    assert browser.get("/audit?kind=../x&before=x").status_code == 200


def test_an_entry_leads_to_what_it_is_about_unless_that_is_gone(work: Workspace, owner: psycopg.Connection) -> None:
    name = str(uuid.uuid4())

    def write() -> None:
        audit.write(work.tenant_id, "record.edited", "record", name, "Ada", field="city")
        audit.write(work.tenant_id, "subscription.removed", "subscription", name, "Product")

    work.act(write)
    with work.apps["web"].app_context(), bind_tenant(work.tenant_id), transaction():
        removed, edited = audit.list_entries(work.tenant_id, actions=["record.", "subscription."], limit=2)
        assert told(edited)[1:] == ("Changed city of the record Ada", f"/records/{name}")
        assert told(removed)[2] == ""
    assert not re.search(r"\{[a-z_]+\}", told(edited)[1])
