"""The pages about webhooks: how many queries they take, and who may do what on them."""

from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import event

from app.db import db
from tests.factories.endpoints import Hook, make_hook
from tests.house.test_privileges import client_of, sign_in


@pytest.fixture
def hook(apps: dict[str, Flask], clean: None) -> Hook:
    return make_hook(apps)


def queries(apps: dict[str, Flask], client: Any, path: str) -> int:
    """Return how many statements a page sends."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        seen.append(statement)

    with apps["web"].app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        assert client.get(path).status_code == 200
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_the_log_takes_the_same_queries_whatever_it_lists(
    apps: dict[str, Flask], hook: Hook, owner: psycopg.Connection[Any]
) -> None:
    client = client_of(apps, sign_in(apps, "admin", hook.tenant_id))
    sender, page = apps["web"].test_client(), f"/installations/{hook.installation_id}/webhooks"
    hook.send(sender, hook.event(1))
    one = owner.execute("SELECT id FROM deliveries").fetchone()
    assert one
    few = queries(apps, client, page), queries(apps, client, f"{page}/{one[0]}")
    for number in range(2, 70):
        hook.send(sender, hook.event(number))
    assert (queries(apps, client, page), queries(apps, client, f"{page}/{one[0]}")) == few
    assert b"Older" in client.get(page).data


def test_an_installation_without_an_endpoint_can_have_one(
    apps: dict[str, Flask], hook: Hook, owner: psycopg.Connection[Any]
) -> None:
    """Activated before there were webhooks: an admin turns them on, a member cannot."""
    owner.execute("DELETE FROM endpoints")
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    page = f"/installations/{hook.installation_id}/webhooks"
    try:
        member = client_of(apps, sign_in(apps, "member", hook.tenant_id))
        assert b"not in use yet" in member.get(page).data
        assert b"Use webhooks" not in member.get(page).data
        assert member.post(f"{page}/register").status_code == 403
        admin = client_of(apps, sign_in(apps, "admin", hook.tenant_id))
        assert b"Use webhooks" in admin.get(page).data
        assert admin.post(f"{page}/register").status_code == 303
    finally:
        apps["web"].config["WTF_CSRF_ENABLED"] = True
    assert owner.execute("SELECT state FROM endpoints").fetchone() == ("waiting",)


def test_a_secret_to_enter_by_hand_is_shown_to_admins_alone(
    apps: dict[str, Flask], hook: Hook, owner: psycopg.Connection[Any]
) -> None:
    """GitHub has no call for it here: address and secret stand on the page, for those who may enter them there."""
    from tests.app.views.test_hooks import with_manifest

    with_manifest(apps, hook, subscribe={"by_hand": "Enter address and secret at the vendor."})
    page = f"/installations/{hook.installation_id}/webhooks"
    admin = client_of(apps, sign_in(apps, "admin", hook.tenant_id)).get(page).get_data(as_text=True)
    member = client_of(apps, sign_in(apps, "member", hook.tenant_id)).get(page).get_data(as_text=True)
    assert hook.secret in admin
    assert hook.address in admin
    assert hook.secret not in member
    assert "Enter address and secret at the vendor." in member
