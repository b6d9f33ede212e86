"""Who may open which route: every route is listed, and called with another tenant's ids (T01, U01, U07)."""

import re
import uuid
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.access import CAPABILITIES
from app.crypto import token_hash
from app.db import db
from app.models.accounts import AuthSession, StaffRole
from app.models.runs import Conflict
from app.services import accounts, installations, runs, sessions
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.tenants import make_tenant

# endpoint -> who may: public, signed_in, member, admin, owner, staff:<role>|<role>
MATRIX = {
    "assets.show": "public",
    "auth.sign_in": "public", "auth.demo": "public", "auth.sign_up": "public", "auth.forgot": "public",
    "auth.reset": "public", "auth.verify": "public", "auth.join": "public",
    "auth.sign_out": "signed_in", "auth.switch": "signed_in",
    "webhooks.index": "member", "webhooks.show": "member", "webhooks.replay": "member",
    "webhooks.replay_many": "member", "webhooks.rotate": "admin", "webhooks.register": "admin",
    "health.live": "public", "health.ready": "public", "health.show_metrics": "public",
    "catalog.index": "public", "catalog.show": "public", "catalog.install": "admin",
    "integration_requests.index": "member", "integration_requests.new": "member",
    "integration_requests.approve": "admin", "integration_requests.decline": "admin",
    "integration_requests.withdraw": "member", "integration_requests.missing": "staff:support|operator",
    "members.index": "member", "members.invite": "admin", "members.revoke": "admin", "members.change_role": "admin",
    "members.remove": "admin", "members.grant_support": "admin", "members.end_support": "admin",
    "profile.show": "signed_in", "profile.update": "signed_in", "profile.change_password": "signed_in",
    "profile.save_notifications": "member", "profile.end_session": "signed_in", "profile.end_other_sessions": "signed_in", "profile.verify": "signed_in",
    "audit.index": "admin",
    "destinations.index": "member",
    **{
        f"destinations.{name}": "admin"
        for name in ("new", "create", "show", "edit", "change", "rotate", "test", "disable", "enable", "remove")
    },
    **{
        f"tenant_data.{name}": role
        for role, names in (("admin", ("show", "export", "fetch", "delete_export")), ("owner", ("erase", "keep")))
        for name in names
    },
    **{
        f"host_tenants.{name}": "staff:operator"
        for name in ("index", "report", "show", "export", "fetch", "delete_export", "erase", "keep")
    },
    "home.show": "member", "home.hide_steps": "member",
    "installations.index": "member", "installations.show": "member", "installations.live": "member",
    "installations.run_now": "member", "installations.resync": "admin", "installations.pause": "admin",
    "installations.resume": "admin", "installations.upgrade": "admin", "installations.run_list": "member",
    "removals.show": "admin", "removals.remove": "admin",
    "exports.index": "admin", "exports.create": "admin", "exports.delete": "admin", "exports.fetch": "admin",
    "activity.index": "member", "installation_settings.show": "admin", "installation_settings.save": "admin",
    "failed_records.index": "member", "failed_records.retry_all": "member", "failed_records.show": "member",
    "failed_records.act": "member", "failed_records.correct": "admin", "failed_records.ask_payload": "member",
    "failed_records.payload": "member", "failed_records.link": "admin", "failed_records.send_again": "admin",
    "wizard.show": "admin", "wizard.connect": "admin", "wizard.configure": "admin", "wizard.confirm_map": "admin",
    "dry_runs.show": "admin", "dry_runs.file": "admin", "dry_runs.start": "admin", "dry_runs.stop": "admin", "dry_runs.run": "admin",
    "wizard.activate": "admin", "wizard.discard": "admin",
    "mappings.show": "member", "mappings.rule": "member", "mappings.unmapped": "member", "mappings.save": "admin",
    "mappings.connect": "admin", "mappings.suggested": "admin", "mappings.reset": "admin",
    "mapping_samples.preview": "member", "mapping_samples.look_up": "member", "mapping_samples.fields": "member",
    "mapping_samples.load_fields": "admin",
    "mapping_versions.draft": "admin", "mapping_versions.versions": "member", "mapping_versions.bring_back": "admin",
    "drift.show": "member", "drift.choose": "admin",
    "oauth.start": "admin", "oauth.callback": "signed_in",
    "runs.show": "member", "runs.stop": "member", "runs.confirm": "admin", "runs.keep": "admin",
    "runs.show_undo": "member", "runs.look_at_undo": "admin", "runs.undo": "admin",
    "records.index": "member", "records.show": "member", "records.look": "member", "records.read": "member",
    "record_edits.show": "admin", "record_edits.save": "admin", "record_edits.delete": "admin",
    "record_edits.restore": "admin",
    "diagnoses.show": "member", "diagnoses.everywhere": "member", "diagnoses.look": "member",
    "diagnoses.read": "member", "diagnoses.send": "member",
    "problems.index": "member", "problems.show": "member", "problems.try_now": "member",
    "problems.answer_deletes": "admin",
    "conflicts.index": "member", "conflicts.of_installation": "member", "conflicts.show": "member",
    "conflicts.preview": "member", "conflicts.decide": "member", "conflicts.take_other": "member",
    "object_types.index": "staff:operator", "object_types.create": "staff:operator",
    "object_types.create_field": "staff:operator",
    "oauth_clients.index": "staff:operator", "oauth_clients.show": "staff:operator",
    "oauth_clients.save": "staff:operator", "oauth_clients.remove": "staff:operator",
    "oauth_clients.check": "staff:operator", "oauth_clients.deliveries": "staff:operator",
    "fleet.index": "staff:support|operator", "fleet.show": "staff:support",
    "api_keys.index": "admin", "api_keys.create": "admin", "api_keys.rotate": "admin", "api_keys.revoke": "admin",
    "api_keys.host_index": "staff:operator", "api_keys.host_create": "staff:operator",
    "api_keys.host_rotate": "staff:operator", "api_keys.host_revoke": "staff:operator",
    "connect.open_link": "public", "connect.leave": "public",
    **{
        f"{blueprint}.{name}": access
        for blueprint, access in (("subscriptions", "admin"), ("host_subscriptions", "staff:operator"))
        for name in (
            "index", "new", "create", "show", "edit", "change", "rotate", "test",
            "disable", "enable", "remove", "choose_replay", "replay", "dispatch", "replay_one",
        )
    },
    "api_docs.index": "public", "api_docs.openapi": "public",
}  # fmt: skip
RANK = {"anon": 0, "member": 1, "admin": 2, "owner": 3}


def routes(app: Flask) -> list[tuple[str, str, str]]:
    return [
        (rule.endpoint, method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods or ())
        # The API is called with keys, and has its own: tests/app/api/test_access.py.
        if method in ("GET", "POST") and not rule.rule.startswith("/api/v1/")
    ]


def test_every_route_is_listed(apps: dict[str, Flask]) -> None:
    assert {endpoint for endpoint, _, _ in routes(apps["web"])} == set(MATRIX)


def test_every_view_declares_what_the_matrix_says(apps: dict[str, Flask]) -> None:
    for endpoint, access in MATRIX.items():
        if endpoint != "assets.show":
            assert getattr(apps["web"].view_functions[endpoint], "access", None) == access, endpoint


def test_what_the_members_page_says_of_roles_is_what_the_views_demand(apps: dict[str, Flask]) -> None:
    for role, words, endpoint in CAPABILITIES:
        assert getattr(apps["web"].view_functions[endpoint], "access", None) == role, words


def address(rule: str, value: str) -> str:
    rule = re.sub(r"<uuid:[^>]+>", value, rule)
    rule = re.sub(r"<any\(([a-z]+)[^)]*\):[^>]+>", r"\1", rule)
    return re.sub(r"<[^>]+>", "contacts", rule)


def sign_in(apps: dict[str, Flask], role: str, tenant_id: uuid.UUID | None, *, staff: str = "") -> str:
    app = apps["owner"]
    email = f"{role}-{uuid.uuid4().hex[:8]}@example.com"
    with app.app_context(), bind_tenant(tenant_id), transaction():
        user = accounts.make_user(email, role.capitalize(), "a long password")
        if tenant_id:
            accounts.add_member(tenant_id, user.id, role)
        if staff:
            db.session.add(StaffRole(user_id=user.id, role=staff))
        return sessions.start_session(user.id, tenant_id, app.extensions["settings"], ip="127.0.0.1", user_agent="test")


@pytest.fixture
def people(apps: dict[str, Flask], clean: None) -> dict[str, Any]:
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    ours, theirs = make_tenant(apps, "Ours"), make_tenant(apps, "Theirs CANARY")
    ids = {}
    with apps["web"].app_context(), bind_tenant(theirs), transaction():
        made = installations.create_installation(theirs, "kinto", user_id=uuid.uuid4())
        made.name = "CANARY installation"
        ids["installation"] = str(made.id)
        db.session.flush()
        made.state = "active"
        ids["run"] = str(runs.start_run(theirs, made.id, trigger="manual").id)
        conflict = Conflict(
            tenant_id=theirs, installation_id=made.id, stream="contacts", external_id="1", kind="fields",
            record_id=uuid.uuid4(), theirs={"city": "CANARY"},
        )  # fmt: skip
        db.session.add(conflict)
        db.session.flush()
        ids["conflict"] = str(conflict.id)
    found: dict[str, Any] = {role: sign_in(apps, role, ours) for role in ("member", "admin", "owner")}
    found |= {
        "staff:support": sign_in(apps, "support", None, staff="support"),
        "staff:operator": sign_in(apps, "operator", None, staff="operator"),
    }
    yield found | {"ids": ids}
    apps["web"].config["WTF_CSRF_ENABLED"] = True


def client_of(apps: dict[str, Flask], cookie: str | None) -> FlaskClient:
    client = apps["web"].test_client()
    if cookie:
        client.set_cookie("patchbay", cookie)
    return client


def allowed(who: str, access: str) -> bool:
    if access == "public":
        return True
    if access == "signed_in":
        return who != "anon"
    if access.startswith("staff:"):
        return who.removeprefix("staff:") in access.removeprefix("staff:").split("|")
    return RANK.get(who, 0) >= RANK[access]


def test_roles_and_routes(apps: dict[str, Flask], people: dict[str, Any]) -> None:
    """A refused role is sent to sign in, or told 403 or 404; an allowed one never is for its role."""
    checked = 0
    for who in ("anon", "member", "admin", "owner", "staff:support", "staff:operator"):
        client = client_of(apps, people.get(who))
        for endpoint, method, rule in routes(apps["web"]):
            if endpoint in ("auth.sign_out", "profile.end_session"):
                continue
            response = client.open(address(rule, str(uuid.uuid4())), method=method)
            refused = response.status_code == 403 or (
                response.status_code == 303 and response.headers["location"].startswith("/sign-in?next=")
            )
            if MATRIX[endpoint].startswith("staff:") and not allowed(who, MATRIX[endpoint]):
                assert refused or response.status_code == 404, (who, endpoint)
            else:
                assert refused is not allowed(who, MATRIX[endpoint]), (who, endpoint, method, response.status_code)
            # The test has no dispatcher and no workers, so it is not ready.
            assert response.status_code < 500 or endpoint == "health.ready", (who, endpoint, method)
            checked += 1
    print(f"\nAUTHZ 0/{checked}")


def test_another_tenants_ids_answer_as_unknown_ones(apps: dict[str, Flask], people: dict[str, Any]) -> None:
    client, checked = client_of(apps, people["owner"]), 0
    for endpoint, method, rule in routes(apps["web"]):
        if "<uuid:" not in rule:
            continue
        for foreign in people["ids"].values():
            theirs = client.open(address(rule, foreign), method=method)
            unknown = client.open(address(rule, str(uuid.uuid4())), method=method)
            assert theirs.status_code == unknown.status_code, (endpoint, method)
            assert b"CANARY" not in theirs.data, endpoint
            checked += 1
    print(f"\nCROSS 0/{checked}")


def test_unsafe_methods_need_a_token(apps: dict[str, Flask], people: dict[str, Any]) -> None:
    apps["web"].config["WTF_CSRF_ENABLED"] = True
    client = client_of(apps, people["owner"])
    for endpoint, method, rule in routes(apps["web"]):
        if method == "POST":
            assert client.post(address(rule, str(uuid.uuid4()))).status_code == 400, endpoint


def test_unsafe_methods_need_our_own_origin(apps: dict[str, Flask], people: dict[str, Any]) -> None:
    client = client_of(apps, people["owner"])
    for endpoint, method, rule in routes(apps["web"]):
        if method == "POST":
            target = address(rule, str(uuid.uuid4()))
            assert client.post(target, headers={"Origin": "https://evil.example"}).status_code == 403, endpoint
            assert client.post(target, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403, endpoint


def test_headers_on_every_answer(apps: dict[str, Flask], people: dict[str, Any]) -> None:
    client = client_of(apps, people["owner"])
    for path in ("/", "/installations", "/nothing-here", "/health/live", "/sign-in"):
        headers = client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] != "public" or path == "/health/live"


def test_pages_hold_no_inline_script_or_style(apps: dict[str, Flask], people: dict[str, Any]) -> None:
    client = client_of(apps, people["owner"])
    for path in (
        "/",
        "/integrations/kinto",
        "/integrations/sandbox",
        "/installations",
        "/members",
        "/profile",
        "/records",
        "/problems",
        "/audit",
    ):
        page = client.get(path).get_data(as_text=True)
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", page), path


def test_a_session_is_found_by_its_hash_only(apps: dict[str, Flask], people: dict[str, Any]) -> None:
    with apps["owner"].app_context():
        stored = db.session.query(AuthSession.token_hash).all()
        db.session.rollback()
    assert token_hash(people["owner"]) in [row[0] for row in stored]
