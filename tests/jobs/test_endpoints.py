"""Subscriptions at a live Sandbox CRM: made, checked, exchanged, renewed and ended; silences that are looked into."""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.clock import now
from app.services import accounts, connections, credentials, delivery_log, endpoints, installations, runs
from app.sync import silence
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors.sdk import Secret
from connectors.sdk.oauth import TokenSet
from jobs import drain as drain_module
from tests.connectors.sandbox.running import Running
from tests.factories.endpoints import Hook
from tests.factories.tenants import make_tenant
from tests.factories.versions import change_manifest

Owner = psycopg.Connection[Any]


class Scene:
    """A connected installation of the Sandbox CRM that has just been activated."""

    def __init__(self, apps: dict[str, Flask], owner: Owner, vendor: Running) -> None:
        self.apps, self.owner, self.vendor = apps, owner, vendor
        vendor.store.execute("DELETE FROM records WHERE object <> 'contacts' OR rowid % 100 <> 1")
        self.tenant_id = make_tenant(apps)
        with apps["owner"].app_context(), bind_tenant(self.tenant_id), transaction():
            user = accounts.make_user("maja@example.com", "Maja Lindqvist", "a long password")
            accounts.add_member(self.tenant_id, user.id, "admin")
        with apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            made = installations.create_installation(self.tenant_id, "sandbox", user_id=uuid.uuid4())
            connection = connections.get_connection(self.tenant_id, made.connection_id)
            connection.settings = {"server": vendor.origin}
            connection.state, connection.account_id, connection.tested_at = "ready", "acme", now()
            credentials.save_tokens(self.tenant_id, connection.id, TokenSet(Secret(vendor.access()), None, None))
            installations.activate(self.tenant_id, made.id, user_id=uuid.uuid4())
            self.id = made.id
        self.drain()

    def drain(self, lane: str = "fast") -> None:
        while drain_module.drain(lane):
            pass

    def again(self) -> None:
        """Let the endpoint's next look be due."""
        self.owner.execute("UPDATE tasks SET due_at = now() WHERE kind = 'keep_endpoint' AND state = 'ready'")
        self.drain()

    def act(self, what: Any) -> Any:
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            return what()

    def endpoint(self, *columns: str) -> Any:
        row = self.owner.execute(f"SELECT {', '.join(columns)} FROM endpoints").fetchone()
        return row[0] if row and len(row) == 1 else row

    def problems(self) -> list[tuple[Any, ...]]:
        return self.owner.execute(
            "SELECT state, message, count, closed_by FROM problems WHERE code = 'webhooks_silent' ORDER BY id"
        ).fetchall()

    def mails(self) -> list[str]:
        return [row[0] for row in self.owner.execute("SELECT subject FROM mails ORDER BY id").fetchall()]

    def tell(self, number: int, kind: str = "updated") -> int:
        """Let the vendor send a webhook, signed with the newest secret."""
        hook = Hook(self.tenant_id, self.id, self.endpoint("address"), self.secrets()[0])
        event = {**hook.event(number), "type": kind}
        return int(hook.send(self.apps["web"].test_client(), event).status_code)

    def subscriptions(self) -> dict[str, Any]:
        return self.vendor.store.all_of("subscription")

    def secrets(self) -> list[str]:
        """Return the secrets that are accepted, newest first."""

        def read() -> list[str]:
            endpoint = endpoints.find(self.tenant_id, self.id)
            assert endpoint
            return [
                endpoints.open_secret(
                    credentials.ring(), row.sealed, self.tenant_id, endpoint.id, row.version
                ).reveal()
                for row in endpoints.active_versions(endpoint)
            ]  # fmt: skip

        found: list[str] = self.act(read)
        return found


@pytest.fixture
def scene(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    vendor = Running()
    # Nobody listens at the address of the test: nothing is sent.
    vendor.store.on_change = lambda *_: None
    yield Scene(apps, owner, vendor)
    vendor.stop()


def test_activation_makes_the_subscription(scene: Scene) -> None:
    (made,) = scene.subscriptions().values()
    assert made["url"] == f"http://localhost/hooks/{scene.endpoint('address')}"
    assert scene.endpoint("state", "subscription", "account") == ("active", made["id"], "acme")
    assert scene.secrets() == [made["secret"]]
    assert made["secret"].encode() not in bytes(
        scene.owner.execute("SELECT sealed FROM endpoint_secrets").fetchone()[0]
    )
    scene.again()
    assert list(scene.subscriptions()) == [made["id"]]


def test_activating_again_leaves_what_works(scene: Scene) -> None:
    (made,) = scene.subscriptions()
    scene.act(lambda: installations.activate(scene.tenant_id, scene.id, user_id=uuid.uuid4()))
    scene.drain()
    assert list(scene.subscriptions()) == [made]
    assert scene.endpoint("state") == "active"


def test_w08_the_secret_is_exchanged_at_the_vendor(scene: Scene) -> None:
    (before,) = scene.subscriptions().values()
    scene.act(lambda: endpoints.ask_rotation(scene.tenant_id, scene.id))
    scene.drain()
    (after,) = scene.subscriptions().values()
    assert after["id"] != before["id"]
    assert scene.secrets() == [after["secret"], before["secret"]]
    assert scene.endpoint("rotate") is False
    scene.owner.execute("UPDATE endpoint_secrets SET expires_at = now() WHERE expires_at IS NOT NULL")
    assert scene.secrets() == [after["secret"]]


def test_removal_ends_the_subscription_before_the_access(scene: Scene) -> None:
    scene.act(lambda: installations.remove(scene.tenant_id, scene.id, delete_records=False))
    scene.drain()
    assert scene.subscriptions() == {}
    assert scene.endpoint("state", "subscription") == ("removed", None)
    assert scene.owner.execute("SELECT count(*) FROM endpoint_secrets").fetchone() == (0,)


def lose_answer(scene: Scene, method: str, path: str) -> list[str]:
    """Let the vendor do what it is asked and break the line before it answers; the list says how often."""
    answer, lost = scene.vendor.app.wsgi_app, []

    def losing(environ: dict[str, Any], start: Any) -> Any:
        done = answer(environ, start)
        if (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == (method, path) and not lost:
            lost.append(path)
            environ["werkzeug.socket"].shutdown(2)
        return done

    scene.vendor.app.wsgi_app = losing  # type: ignore[method-assign]  # as middleware is put in
    return lost


def test_an_answer_that_is_lost_leaves_no_orphan(scene: Scene) -> None:
    """The vendor has made it, and its secret is told once: what nobody can verify is ended before another is made."""
    for name in scene.subscriptions():
        scene.vendor.store.forget("subscription", name)
    scene.owner.execute("UPDATE endpoints SET subscription = NULL, registered_at = NULL, state = 'waiting'")
    # Another installation's, and one of somebody else, are left alone.
    for name, url in (("sub_other", "http://localhost/hooks/another"), ("sub_else", "https://else.test/")):
        made = {"id": name, "url": url, "account": "acme", "secret": "whsec_"}
        scene.vendor.store.put("subscription", name, made)
    lost = lose_answer(scene, "POST", "/api/webhooks")
    scene.again()
    assert lost
    assert scene.endpoint("state", "subscription") == ("failed", None)
    (orphan,) = set(scene.subscriptions()) - {"sub_other", "sub_else"}
    scene.again()
    assert {"sub_other", "sub_else"} < set(scene.subscriptions())
    (mine,) = set(scene.subscriptions()) - {"sub_other", "sub_else"}
    assert mine != orphan
    assert scene.endpoint("state", "subscription") == ("active", mine)
    assert scene.secrets()[0] == scene.subscriptions()[mine]["secret"]


def test_where_the_secret_is_ours_what_was_made_is_taken_over(scene: Scene) -> None:
    def told_by_us(manifest: dict[str, Any]) -> None:
        manifest["webhooks"]["subscribe"]["secret"] = None
        manifest["webhooks"]["subscribe"]["create"]["body"]["secret"] = "{hook.secret}"

    change_manifest(scene.owner, told_by_us)
    for name in scene.subscriptions():
        scene.vendor.store.forget("subscription", name)
    scene.owner.execute("UPDATE endpoints SET subscription = NULL, registered_at = NULL, state = 'waiting'")
    lost = lose_answer(scene, "POST", "/api/webhooks")
    scene.again()
    assert lost
    (made,) = scene.subscriptions().values()
    scene.again()
    assert list(scene.subscriptions()) == [made["id"]]
    assert scene.endpoint("state", "subscription") == ("active", made["id"])
    assert scene.endpoint("expires_at") == datetime.fromisoformat(made["expires_at"])
    assert scene.secrets()[0] == made["secret"]
    assert scene.tell(1) == 200


def test_removal_ends_also_what_nobody_here_knows_of(scene: Scene) -> None:
    scene.owner.execute("UPDATE endpoints SET subscription = NULL")
    scene.owner.execute("UPDATE tasks SET state = 'done' WHERE kind = 'keep_endpoint'")
    scene.act(lambda: installations.remove(scene.tenant_id, scene.id, delete_records=False))
    scene.drain()
    assert scene.subscriptions() == {}


def test_a_vendor_that_refuses_is_asked_again_later(scene: Scene) -> None:
    scene.owner.execute("UPDATE endpoints SET subscription = NULL, state = 'waiting'")
    scene.vendor.store.put("fault", "kind", "outage")
    scene.again()
    assert scene.endpoint("state", "error_code") == ("failed", "vendor_down")
    assert scene.endpoint("error_fix")
    scene.vendor.store.put("fault", "kind", "none")
    scene.owner.execute("DELETE FROM breakers")
    scene.again()
    assert scene.endpoint("state", "error_code") == ("active", None)


def test_what_ends_is_renewed_in_time(scene: Scene) -> None:
    (before,) = scene.subscriptions().values()
    ends, renewed = scene.endpoint("expires_at", "renew_at")
    assert ends == datetime.fromisoformat(before["expires_at"])
    assert timedelta(days=19) < renewed - now() < timedelta(days=21)
    scene.again()
    assert scene.subscriptions()[before["id"]] == before, "not before its time"
    scene.owner.execute("UPDATE endpoints SET expires_at = now() + interval '1 h', renew_at = now() - interval '1 s'")
    scene.again()
    (after,) = scene.subscriptions().values()
    assert (after["id"], after["secret"]) == (before["id"], before["secret"])
    assert scene.endpoint("expires_at") == datetime.fromisoformat(after["expires_at"]) > ends
    assert scene.endpoint("renew_at") > now()
    assert scene.secrets() == [before["secret"]]


def test_what_has_ended_before_it_was_renewed_is_made_anew_and_said(scene: Scene) -> None:
    (before,) = scene.subscriptions().values()
    scene.vendor.store.put("subscription", before["id"], {**before, "expires_at": "2026-01-01T00:00:00.000Z"})
    scene.owner.execute("UPDATE endpoints SET renew_at = now() - interval '1 s'")
    scene.again()
    assert scene.endpoint("subscription") != before["id"]
    assert scene.endpoint("state", "error_code") == ("active", None)
    assert [row[:2] for row in scene.problems()] == [("open", "Sandbox CRM had no subscription for webhooks any more")]


def quiet(scene: Scene, deliveries: int = 10, minutes: int = 10, silent: int = 120) -> None:
    """Let deliveries have come at a steady pace, and then none."""
    for number in range(deliveries):
        scene.owner.execute(
            "INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, verdict, method, headers, size, created_at) "
            "SELECT tenant_id, gen_random_uuid(), id, %s, 'accepted', 'POST', '{}', 0, now() - make_interval(mins => %s) "
            "FROM endpoints",
            (str(number), silent + minutes * number),
        )
    scene.owner.execute(
        "UPDATE deliveries d SET id = s.new FROM (SELECT id, lpad(row_number() OVER (ORDER BY created_at)::text, 32, '0')"
        "::uuid AS new FROM deliveries) s WHERE s.id = d.id"
    )


def test_a_silence_is_looked_into_and_says_what_was_missed(scene: Scene) -> None:
    scene.drain("sync")
    (before,) = scene.subscriptions()
    names = [row[0] for row in scene.vendor.store.execute("SELECT id FROM records WHERE deleted = 0")]
    quiet(scene)
    for name in names[:3]:
        scene.vendor.store.save("contacts", name, {"firstname": "Missed"})
    scene.again()
    assert scene.owner.execute("SELECT trigger FROM runs ORDER BY id DESC LIMIT 1").fetchone() == ("silence",)
    scene.drain("sync")
    scene.again()
    assert scene.endpoint("missed", "silence_run_id") == (3, None)
    (after,) = scene.subscriptions()
    assert after != before


def miss(scene: Scene) -> None:
    """Let three changes come without a webhook, and a silence in which they are found."""
    scene.drain("sync")
    names = [row[0] for row in scene.vendor.store.execute("SELECT id FROM records WHERE deleted = 0")]
    quiet(scene)
    for name in names[:3]:
        scene.vendor.store.save("contacts", name, {"firstname": str(uuid.uuid4())})
    scene.again()
    scene.drain("sync")
    scene.again()


def test_what_was_missed_is_a_problem_until_the_next_webhook(scene: Scene) -> None:
    miss(scene)
    said = "Sandbox CRM sent no webhooks for 3 changes"
    assert scene.problems() == [("open", said, 3, None)]
    assert scene.owner.execute("SELECT stops_sync FROM problems").fetchone() == (False,)
    assert scene.mails() == ["Sandbox CRM missed webhooks"]
    scene.act(lambda: runs.start_run(scene.tenant_id, scene.id, trigger="manual"))
    scene.drain("sync")
    scene.again()
    assert scene.problems() == [("open", said, 3, None)], "a run proves nothing about webhooks"
    assert scene.tell(1) == 200
    scene.drain()
    assert scene.problems() == [("closed", said, 3, "A webhook came.")]
    assert scene.mails() == ["Sandbox CRM missed webhooks", "Sandbox CRM gets webhooks again"]
    scene.tell(2)
    scene.drain()
    assert len(scene.mails()) == 2, "its end is told once"


def test_a_replay_of_what_came_before_the_silence_closes_nothing(scene: Scene) -> None:
    miss(scene)
    scene.tell(1)
    scene.drain()
    scene.owner.execute("UPDATE problems SET state = 'open', last_seen_at = clock_timestamp()")
    scene.act(lambda: delivery_log.replay_one(*both(scene)))
    scene.drain()
    assert [row[0] for row in scene.problems()] == ["open"]


def both(scene: Scene) -> tuple[Any, Any, uuid.UUID]:
    """Return endpoint, installation and the one delivery that came with a body."""
    endpoint = endpoints.find(scene.tenant_id, scene.id)
    assert endpoint
    row = scene.owner.execute("SELECT id FROM deliveries WHERE body IS NOT NULL").fetchone()
    assert row
    return endpoint, installations.get_installation(scene.tenant_id, scene.id), row[0]


def test_silences_that_come_and_go_are_told_once_a_day(scene: Scene) -> None:
    miss(scene)
    scene.tell(1)
    scene.drain()
    scene.owner.execute("DELETE FROM hints")
    scene.owner.execute("DELETE FROM deliveries")
    scene.owner.execute("UPDATE endpoints SET silence_checked_at = NULL")
    miss(scene)
    assert [row[0] for row in scene.problems()] == ["closed", "open"]
    scene.tell(2)
    scene.drain()
    assert scene.mails() == ["Sandbox CRM missed webhooks", "Sandbox CRM gets webhooks again"]


def test_a_silence_without_loss_leaves_the_subscription(scene: Scene) -> None:
    scene.drain("sync")
    before = list(scene.subscriptions())
    quiet(scene)
    scene.again()
    scene.drain("sync")
    scene.again()
    assert scene.endpoint("missed") == 0
    assert scene.problems() == []
    assert list(scene.subscriptions()) == before
    count = scene.owner.execute("SELECT count(*) FROM runs").fetchone()
    scene.again()
    assert scene.owner.execute("SELECT count(*) FROM runs").fetchone() == count


def test_a_subscription_that_is_gone_is_made_anew_at_once(scene: Scene) -> None:
    scene.drain("sync")
    (before,) = scene.subscriptions()
    scene.vendor.store.forget("subscription", before)
    quiet(scene)
    scene.again()
    (after,) = scene.subscriptions()
    assert after != before
    assert scene.endpoint("state") == "active"
    said = "Sandbox CRM had no subscription for webhooks any more"
    assert scene.problems() == [("open", said, 1, None)]
    scene.tell(1)
    # Also where it says nothing for us, and no worker looks at a record because of it.
    scene.owner.execute("DELETE FROM tasks WHERE kind = 'apply_hint'")
    scene.drain("sync")
    scene.again()
    scene.again()
    assert scene.problems() == [("closed", said, 1, "A webhook came.")]


def test_where_no_schedule_reads_a_run_reconciles_each_day(scene: Scene) -> None:
    scene.drain("sync")
    scene.owner.execute("UPDATE schedules SET active = false")
    scene.owner.execute("UPDATE installations SET last_success_at = now() - interval '25 h'")
    scene.again()
    assert scene.owner.execute("SELECT trigger FROM runs ORDER BY id DESC LIMIT 1").fetchone() == ("schedule",)


AT = datetime.fromisoformat("2026-11-27T12:00:00+00:00")


def test_how_long_a_silence_may_last() -> None:
    steady = [AT - timedelta(minutes=20 * n) for n in range(10)]
    assert silence.patience(steady) == timedelta(minutes=60)
    assert silence.patience([AT - timedelta(seconds=n) for n in range(10)]) == silence.FLOOR
    assert silence.patience(steady[:4]) is None
    assert silence.look_at(steady, None) == AT + timedelta(minutes=60)
    looked = AT + timedelta(minutes=60)
    assert silence.look_at(steady, looked) == AT + timedelta(minutes=120)
    assert silence.look_at(steady, AT - timedelta(days=1)) == AT + timedelta(minutes=60)
