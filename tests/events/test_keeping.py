"""How long events, dispatches and attempts are kept."""

from app.services import retention, subscriptions
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.events.conftest import Bus

OLD = "overlay(id::text placing '01800000-0000' from 1 for 13)::uuid"


def test_what_is_over_goes_after_its_time_with_its_attempts(bus: Bus) -> None:
    receiver = bus.receiver()
    bus.subscribe(receiver.url, types=["record.*"])
    bus.write(3)
    bus.turn()
    bus.owner.execute("ALTER TABLE attempts DISABLE TRIGGER ALL")
    bus.owner.execute(f"UPDATE attempts SET dispatch_id = {OLD.replace('id::text', 'dispatch_id::text')}")
    bus.owner.execute(f"UPDATE dispatches SET id = {OLD}")
    bus.owner.execute("ALTER TABLE attempts ENABLE TRIGGER ALL")
    bus.owner.execute("UPDATE dispatches SET state = 'pending' WHERE id = (SELECT min(id::text)::uuid FROM dispatches)")
    _prune(bus)
    assert bus.ask("SELECT state FROM dispatches") == [("pending",)]
    assert bus.one("SELECT count(*) FROM attempts") == 1


def test_a_removed_subscription_goes_with_its_log_after_its_time(bus: Bus) -> None:
    receiver = bus.receiver()
    subscription_id, _ = bus.subscribe(receiver.url, types=["record.*"])
    bus.write(2)
    bus.turn()
    bus.act(lambda tenant: subscriptions.remove(tenant, subscription_id))
    _prune(bus)
    assert bus.one("SELECT count(*) FROM dispatches") == 2
    bus.owner.execute("UPDATE subscriptions SET updated_at = now() - interval '31 days'")
    _prune(bus)
    for table in ("subscriptions", "signing_secrets", "dispatches", "attempts"):
        assert bus.one(f"SELECT count(*) FROM {table}") == 0, table


def _prune(bus: Bus) -> None:
    with bus.apps["worker"].app_context(), bind_tenant(bus.tenant_id), transaction():
        retention.prune_tenant(bus.tenant_id)
