"""The log of deliveries: what people see of a request, and sending it round again."""

from datetime import timedelta

import orjson
import psycopg
import pytest
from flask import Flask

from app.clock import now
from app.errors import ConflictError, NotFoundError
from app.ids import first_at
from app.models.endpoints import Endpoint
from app.services import delivery_log, endpoints, listings, retention, runs
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.endpoints import Hook, make_hook

Owner = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def hook(apps: dict[str, Flask], clean: None) -> Hook:
    return make_hook(apps)


def endpoint_of(hook: Hook) -> Endpoint:
    found = endpoints.find(hook.tenant_id, hook.installation_id)
    assert found
    return found


def test_sensitive_values_are_not_shown(apps: dict[str, Flask], hook: Hook) -> None:
    """Red when a field that the manifest marks as sensitive is shown as it came."""
    with apps["web"].app_context(), bind_tenant(hook.tenant_id), transaction():
        version = runs.get_installation(hook.tenant_id, hook.installation_id).listing_version_id
        manifest = listings.manifest_of(version)
        hidden = [f.name for s in manifest.streams for f in s.fields if f.sensitive]
    assert hidden
    name = hidden[0].rpartition(".")[2]
    record = {"id": "con_1", "properties": {name: "CANARY", "firstname": "Ada"}}
    assert hook.send(apps["web"].test_client(), hook.event(1, record=record)).status_code == 200
    with apps["web"].app_context(), bind_tenant(hook.tenant_id), transaction():
        (line,) = delivery_log.list_deliveries(endpoint_of(hook))
        body = delivery_log.shown_body(line.delivery, manifest)
        assert body
        assert "CANARY" not in body
        assert orjson.loads(body)["record"]["properties"] == {name: "hidden", "firstname": "Ada"}


def test_replaying_is_bounded_and_only_of_what_was_verified(apps: dict[str, Flask], hook: Hook, owner: Owner) -> None:
    client = apps["web"].test_client()
    for number in range(3):
        hook.send(client, hook.event(number))
    client.post(hook.path, data=b"{}", headers={"webhook-id": "x"})
    owner.execute("UPDATE hints SET state = 'applied'")
    owner.execute("UPDATE tasks SET state = 'done' WHERE kind = 'apply_hint'")
    with apps["web"].app_context(), bind_tenant(hook.tenant_id):
        with transaction():
            endpoint, installation = endpoint_of(hook), runs.get_installation(hook.tenant_id, hook.installation_id)
            assert delivery_log.count_replay(endpoint, "failed") == 0
            assert delivery_log.count_replay(endpoint, "hour") == 3
            assert delivery_log.replay_many(endpoint, installation, "hour") == 3
        refused = owner.execute("SELECT id FROM deliveries WHERE verdict = 'bad_signature'").fetchone()
        assert refused
        with pytest.raises(ConflictError), transaction():
            delivery_log.replay_one(endpoint, installation, refused[0])  # type: ignore[arg-type]  # a uuid
    assert owner.execute("SELECT count(*) FROM hints WHERE state = 'waiting'").fetchone() == (3,)
    assert owner.execute("SELECT count(*) FROM tasks WHERE kind = 'apply_hint' AND state = 'ready'").fetchone() == (3,)


def test_another_tenants_delivery_is_not_there(apps: dict[str, Flask], hook: Hook, owner: Owner) -> None:
    theirs = make_hook(apps)
    assert theirs.send(apps["web"].test_client(), theirs.event(1)).status_code == 200
    row = owner.execute("SELECT id FROM deliveries").fetchone()
    assert row
    with apps["web"].app_context(), bind_tenant(hook.tenant_id), transaction(), pytest.raises(NotFoundError):
        delivery_log.get_delivery(hook.tenant_id, endpoint_of(hook), row[0])  # type: ignore[arg-type]  # a uuid


def test_bodies_go_before_their_rows(apps: dict[str, Flask], hook: Hook, owner: Owner) -> None:
    """After 14 days a delivery has no body, after 30 it is gone; its id is known until then."""
    client = apps["web"].test_client()
    for number in range(3):
        hook.send(client, hook.event(number))
    owner.execute("DELETE FROM hints")
    for days in (15, 31):
        old = first_at(now() - timedelta(days=days))
        owner.execute("UPDATE deliveries SET id = %s WHERE event_id = %s", (old, f"evt_{days // 15 - 1}"))
    with apps["worker"].app_context(), bind_tenant(hook.tenant_id), transaction():
        assert retention.prune_tenant(hook.tenant_id) == 1
    rows = owner.execute("SELECT event_id, body IS NULL FROM deliveries ORDER BY event_id").fetchall()
    assert rows == [("evt_0", True), ("evt_2", False)]
