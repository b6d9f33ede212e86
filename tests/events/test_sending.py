"""E01, E06, E07, E09 and what else the sender promises, with real endpoints."""

import gzip
import time
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from app.services import dispatches, subscriptions
from app.services.subscriptions import Wish
from app.sync.attempts import SCHEDULE
from app.tenancy import PLATFORM_TENANT
from tests.events.conftest import Bus, FakeClock
from tests.events.receiver import Message

STATE = "SELECT state, tries, attempts, status FROM dispatches"


def test_a_change_arrives_signed_and_is_on_record(bus: Bus) -> None:
    receiver = bus.receiver()
    _, secret = bus.subscribe(receiver.url, types=["record.*"])
    (change_id,) = bus.write(operation="updated")
    bus.turn()
    (message,) = receiver.messages
    body = Webhook(secret).verify(message.body, message.headers)
    assert body["id"] == message.id == f"evt_{change_id}"
    assert body["type"] == "record.updated"
    assert body["tenant"]["id"] == str(bus.tenant_id)
    assert (body["sequence"], body["version"]) == (1, 1)
    assert body["data"]["changed"] == {"name": "Ada"}
    assert bus.ask(STATE) == [("delivered", 1, 1, 204)]
    assert bus.ask("SELECT number, outcome, status, error FROM attempts") == [(1, "delivered", 204, None)]
    assert bus.one("SELECT count(*) FROM tasks WHERE state IN ('ready', 'leased')") == 0


def test_the_host_hears_of_a_tenant(bus: Bus) -> None:
    receiver = bus.receiver()
    _, secret = bus.subscribe(receiver.url, PLATFORM_TENANT)
    bus.write(2)
    bus.turn()
    assert len(receiver.messages) == 2
    assert Webhook(secret).verify(receiver.messages[0].body, receiver.messages[0].headers)["tenant"]["id"] == str(
        bus.tenant_id
    )


def test_e01_exact_schedule(bus: Bus, fake_clock: FakeClock) -> None:
    """Tries at 0, 5 s, 5 min .. 24 h after the one before, each within a fifth; then it is over and can be replayed."""
    receiver = bus.receiver(lambda _: 500)
    subscription_id, _ = bus.subscribe(receiver.url, types=["record.*"])
    bus.write()
    bus.turn()
    waits: list[float] = []
    for number in range(1, len(SCHEDULE)):
        assert len(receiver.messages) == number
        due = bus.one("SELECT due_at FROM dispatches")
        assert bus.one("SELECT next_at FROM attempts ORDER BY id DESC LIMIT 1") == due
        waits.append((due - fake_clock.at).total_seconds())
        fake_clock.at = due - timedelta(milliseconds=1)
        bus.turn()
        assert len(receiver.messages) == number, "not a moment earlier"
        fake_clock.at = due
        bus.turn()
    assert len(receiver.messages) == len(SCHEDULE) == 10
    assert SCHEDULE[1:] == (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
    for wait, planned in zip(waits, SCHEDULE[1:], strict=True):
        assert 0.8 * planned <= wait <= 1.2 * planned
    assert len({round(wait / planned, 3) for wait, planned in zip(waits, SCHEDULE[1:], strict=True)}) > 5, "no jitter"
    assert bus.ask(STATE) == [("failed", 10, 10, 500)]
    assert bus.one("SELECT count(DISTINCT dispatch_id), count(*) FROM attempts WHERE outcome = 'failed'") == (1, 10)
    assert {message.id for message in receiver.messages} == {receiver.messages[0].id}
    fake_clock.forward(100_000)
    bus.turn()
    assert len(receiver.messages) == 10
    assert bus.one("SELECT state FROM subscriptions WHERE id = %s", subscription_id) == "active"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_e06_3xx_is_a_failure_and_not_followed(bus: Bus, status: int) -> None:
    other = bus.receiver()
    receiver = bus.receiver(lambda _: (status, {"Location": other.url}, b""))
    bus.subscribe(receiver.url)
    bus.write()
    bus.turn()
    assert len(receiver.messages) == 1
    assert other.messages == []
    assert bus.ask(STATE) == [("pending", 1, 1, status)]
    assert "redirects are not followed" in bus.one("SELECT error FROM dispatches")


def test_e06_410_disables_at_once_with_a_notice(bus: Bus) -> None:
    from tests.factories.people import sign_in

    sign_in(bus.apps, bus.tenant_id)
    receiver = bus.receiver(lambda _: 410)
    subscription_id, _ = bus.subscribe(receiver.url, types=["record.*"])
    bus.write(20)
    bus.turn()
    row = bus.one("SELECT state, disabled_code FROM subscriptions WHERE id = %s", subscription_id)
    assert row == ("disabled", "gone")
    assert len(receiver.messages) < 10, "what was under way, no more"
    assert set(bus.ask("SELECT state FROM dispatches")) == {("failed",)}
    assert bus.one("SELECT count(*) FROM mails WHERE template = 'subscription_off'") == 1
    assert bus.one("SELECT data ->> 'code' FROM events WHERE type = 'subscription.disabled'") == "gone"
    bus.write()
    bus.turn()
    assert bus.one("SELECT count(*) FROM dispatches") == 20


@pytest.mark.parametrize("status", [429, 503])
def test_e06_retry_after_is_obeyed_for_the_whole_endpoint(bus: Bus, fake_clock: FakeClock, status: int) -> None:
    receiver = bus.receiver(lambda _: (status, {"Retry-After": "600"}, b""))
    bus.subscribe(receiver.url, types=["record.*"])
    bus.write(3)
    bus.turn()
    before = len(receiver.messages)
    receiver.answer = lambda _: 204
    bus.write(2)
    fake_clock.forward(599)
    bus.turn()
    assert len(receiver.messages) == before
    fake_clock.forward(2)
    bus.turn()
    assert bus.one("SELECT count(*) FROM dispatches WHERE state = 'delivered'") == 5


@pytest.mark.parametrize("success", [False, True])
def test_e07_auto_disable(bus: Bus, fake_clock: FakeClock, success: bool) -> None:
    receiver = bus.receiver(lambda _: 500)
    subscription_id, _ = bus.subscribe(receiver.url, types=["record.*"])
    for hour in range(0, 121, 12):
        receiver.answer = (lambda _: 204) if success and hour == 60 else (lambda _: 500)
        bus.write()
        bus.turn()
        assert bus.one("SELECT state FROM subscriptions") == ("active" if hour < 120 or success else "disabled")
        fake_clock.forward(12 * 3600)
    row = bus.one("SELECT state, disabled_code FROM subscriptions WHERE id = %s", subscription_id)
    assert row == (("active", None) if success else ("disabled", "failing"))


def test_e07_one_notice_and_the_way_back(bus: Bus, fake_clock: FakeClock) -> None:
    from tests.factories.people import sign_in

    sign_in(bus.apps, bus.tenant_id)
    receiver = bus.receiver(lambda _: 500)
    subscription_id, _ = bus.subscribe(receiver.url, types=["record.*"])
    bus.write(3)
    bus.turn()
    fake_clock.forward(5 * 86_400)
    bus.write(3)
    bus.turn()
    assert bus.one("SELECT disabled_code FROM subscriptions") == "failing"
    assert bus.one("SELECT count(*) FROM mails") == 1
    receiver.answer = lambda _: 204
    bus.act(lambda tenant: subscriptions.enable(tenant, subscription_id))
    count = bus.act(lambda tenant: dispatches.replay(tenant, subscription_id, dispatches.Selection()))
    # Those of the second three that were handed on before it was switched off are among them.
    assert count == bus.one("SELECT count(*) FROM dispatches")
    assert 3 <= count <= 6
    bus.turn()
    assert bus.one("SELECT count(*) FROM dispatches WHERE state = 'delivered'") == count


def _endless(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/plain")
    handler.end_headers()
    handler.close_connection = True
    sent = 0
    try:
        while sent < 50_000_000:
            handler.wfile.write(b"x" * 65536)
            sent += 65536
    finally:
        handler.server.sent = sent


def _drip(handler: Any) -> None:
    handler.close_connection = True
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 200:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.1)


def test_e09_response_bomb(bus: Bus) -> None:
    """An endless answer, a giant one and one that inflates: 64 kB of it are read and none is unpacked."""
    bomb = gzip.compress(b"\0" * 20_000_000)
    answers: list[Any] = [_endless, (200, {}, b"y" * 5_000_000), (200, {"Content-Encoding": "gzip"}, bomb)]
    receiver = bus.receiver(lambda _: answers[len(receiver.messages) - 1])
    bus.subscribe(receiver.url, types=["record.*"])
    for _ in answers:
        bus.write()
        bus.turn()
    assert set(bus.ask("SELECT state, attempts FROM dispatches")) == {("delivered", 1)}
    assert receiver._server.sent < 8_000_000  # type: ignore[attr-defined]
    assert bus.one("SELECT max(length(response)) FROM attempts") == 1024


def test_a_dripping_answer_ends_with_the_total_time(bus: Bus) -> None:
    receiver = bus.receiver(lambda _: _drip)
    bus.subscribe(receiver.url, types=["record.*"])
    bus.write()
    began = time.monotonic()
    bus.turn()
    assert time.monotonic() - began < 4
    assert bus.ask("SELECT state, error FROM dispatches") == [("pending", "No answer within 2 s.")]


def test_addresses_are_checked_at_the_call(bus: Bus) -> None:
    """The name may lead elsewhere than when it was entered: the guard looks at each call."""
    bus.subscribe("https://localhost:1/in", types=["record.*"])
    bus.owner.execute("UPDATE subscriptions SET url = 'https://10.0.0.1/in'")
    bus.write()
    bus.turn()
    assert "private network" in bus.one("SELECT error FROM dispatches")


@pytest.mark.parametrize(
    "url",
    ["ftp://a.test", "https://user:secret@a.test/", "https://10.0.0.1/", "https://[::1]/", "https://a.test/#x", "x"],
)
def test_addresses_that_are_refused(bus: Bus, url: str) -> None:
    from app.errors import InvalidError

    with pytest.raises(InvalidError):
        bus.subscribe(url)


def test_a_breaker_rests_an_endpoint_that_is_down(bus: Bus, fake_clock: FakeClock) -> None:
    receiver = bus.receiver(lambda _: 503)
    bus.subscribe(receiver.url, types=["record.*"])
    bus.write(30)
    bus.turn()
    first = len(receiver.messages)
    assert 5 <= first <= 12
    assert bus.one("SELECT breaker ->> 'state' FROM subscriptions") == "open"
    assert bus.one("SELECT count(*) FROM dispatches WHERE state = 'pending' AND attempts = 0") == 30 - first
    fake_clock.forward(50)
    bus.turn()
    assert len(receiver.messages) == first + 1, "one probe"
    receiver.answer = lambda _: 204
    fake_clock.forward(3600)
    bus.turn()
    assert bus.one("SELECT count(*) FROM dispatches WHERE state = 'delivered'") == 30
    assert bus.one("SELECT breaker FROM subscriptions") is None


def test_two_secrets_sign_while_one_is_replaced(bus: Bus, fake_clock: FakeClock) -> None:
    receiver = bus.receiver()
    subscription_id, old = bus.subscribe(receiver.url, types=["record.*"])
    new = bus.act(lambda tenant: subscriptions.rotate(tenant, subscription_id))
    bus.write()
    bus.turn()
    fake_clock.forward(24 * 3600 + 1)
    bus.write()
    bus.turn()
    both, one = receiver.messages
    assert len(both.headers["webhook-signature"].split()) == 2
    assert len(one.headers["webhook-signature"].split()) == 1
    for secret in (old, new):
        assert Webhook(secret).verify(both.body, both.headers)
    newest = bus.act(lambda tenant: subscriptions.rotate(tenant, subscription_id))
    third = bus.act(lambda tenant: subscriptions.rotate(tenant, subscription_id))
    bus.write()
    bus.turn()
    last = receiver.messages[-1]
    assert len(last.headers["webhook-signature"].split()) == 2
    signed = [_signs(secret, last) for secret in (old, new, newest, third)]
    assert signed == [False, False, True, True]


def _signs(secret: str, message: Message) -> bool:
    at = datetime.fromtimestamp(int(message.headers["webhook-timestamp"]))
    from datetime import UTC

    made = Webhook(secret).sign(message.id, at.astimezone(UTC), message.body.decode())
    return made in message.headers["webhook-signature"].split()


def test_a_test_event_goes_to_one_subscription_only(bus: Bus) -> None:
    receiver, other = bus.receiver(), bus.receiver()
    subscription_id, _ = bus.subscribe(receiver.url)
    bus.subscribe(other.url)
    bus.act(lambda tenant: subscriptions.send_test(tenant, subscription_id))
    bus.turn()
    assert orjson.loads(receiver.messages[0].body)["type"] == "subscription.tested"
    assert other.messages == []


def test_switched_off_by_a_person_nothing_is_sent_and_nothing_kept(bus: Bus) -> None:
    receiver = bus.receiver()
    subscription_id, _ = bus.subscribe(receiver.url, types=["record.*"])
    bus.write()
    bus.act(lambda tenant: subscriptions.disable(tenant, subscription_id))
    bus.write()
    bus.turn()
    assert receiver.messages == []
    bus.act(lambda tenant: subscriptions.enable(tenant, subscription_id))
    bus.write()
    bus.turn()
    assert len(receiver.messages) == 1


def test_a_change_of_the_address_is_for_what_waits_too(bus: Bus, fake_clock: FakeClock) -> None:
    receiver, other = bus.receiver(lambda _: 500), bus.receiver()
    subscription_id, _ = bus.subscribe(receiver.url, types=["record.*"])
    bus.write()
    bus.turn()
    wish = Wish("Product", other.url, ["record.*"])
    bus.act(lambda tenant: subscriptions.change(tenant, subscription_id, wish))
    fake_clock.forward(10)
    bus.turn()
    assert len(other.messages) == 1


def test_e10_replay_by_user(bus: Bus) -> None:
    """100 that failed are sent again: the same ids, new tries, and the audit log says how many."""
    receiver = bus.receiver()
    subscription_id, _ = bus.subscribe(receiver.url, types=["record.*"])
    bus.write(100)
    bus.write(7, operation="deleted")
    bus.turn()
    first = sorted(message.id for message in receiver.messages)
    bus.owner.execute("UPDATE dispatches SET state = 'failed', tries = 10 WHERE type = 'record.created'")
    receiver.messages.clear()
    which = dispatches.Selection()
    assert bus.act(lambda tenant: dispatches.count_replay(tenant, subscription_id, which)) == 100
    assert bus.act(lambda tenant: dispatches.replay(tenant, subscription_id, which)) == 100
    bus.turn()
    sent = sorted(message.id for message in receiver.messages)
    assert len(sent) == 100
    assert set(sent) < set(first)
    assert bus.one("SELECT count(*) FROM attempts WHERE number = 2 AND outcome = 'delivered'") == 100
    assert bus.one("SELECT details ->> 'count' FROM audit WHERE action = 'subscription.replayed'") == "100"
    assert bus.one("SELECT count(*) FROM dispatches WHERE state = 'delivered'") == 107


def test_neither_secrets_nor_payloads_are_in_the_log(bus: Bus, capfd: pytest.CaptureFixture[str]) -> None:
    receiver = bus.receiver(lambda _: _reset if len(receiver.messages) == 1 else 500)
    _, secret = bus.subscribe(f"{receiver.url}?token=CANARY-URL", types=["record.*"])
    for _ in range(2):
        bus.write()
        bus.turn()
    assert len(receiver.messages) == 2
    printed = "".join(capfd.readouterr())
    signature = receiver.messages[0].headers["webhook-signature"].split(",")[1]
    for canary in (secret, secret.removeprefix("whsec_"), signature, "CANARY-URL", '"Ada"', "Ada"):
        assert canary not in printed
    kept = str(bus.ask("SELECT * FROM attempts")) + str(bus.ask("SELECT details FROM audit"))
    for canary in (secret, signature, "CANARY-URL"):
        assert canary not in kept


def _reset(handler: Any) -> None:
    handler.close_connection = True
    handler.connection.close()
