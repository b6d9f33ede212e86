"""E04, E05, E11: real dispatcher and workers; one is killed, an endpoint hangs, another is dead."""

import os
import random
import socket
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.errors import ConflictError
from app.services import dispatches, subscriptions
from app.services.dispatches import Selection
from app.tenancy import PLATFORM_TENANT
from tests.events.conftest import Bus
from tests.events.receiver import Message, Receiver
from tests.factories.tenants import make_tenant
from tests.processes import Processes, free_port, wait_for

Owner = psycopg.Connection[Any]
KILLS = 40 if os.environ.get("PATCHBAY_SOAK") else 6
EVENTS = 2000


@pytest.fixture
def processes(environment: dict[str, str], bus: Bus, tmp_path: Path) -> Iterator[Processes]:
    made = Processes({**environment, "PATCHBAY_LEASE_SECONDS": "1.5"}, tmp_path / "log")
    made.start("dispatcher")
    yield made
    made.stop()


def test_e04_kill_deliverer(bus: Bus, processes: Processes) -> None:
    """SIGKILL at random moments: every event arrives at least once, and always under its own id."""

    def slowly(_: Message) -> int:
        time.sleep(0.02)
        return 204

    receiver = bus.receiver(slowly)
    bus.subscribe(receiver.url, types=["record.*"])
    for _ in range(20):
        bus.write(EVENTS // 20)
    rng, kills = random.Random(4), 0
    processes.start("send-1")
    while kills < KILLS:
        before = len(receiver.messages)
        wait_for(lambda before=before: len(receiver.messages) > before + 20, 30, every=0.02, about="progress")
        time.sleep(rng.random() * 0.2)
        processes.kill("send-1")
        kills += 1
        processes.start("send-1")
        if len({message.id for message in receiver.messages}) > EVENTS - 300:
            break
    wait_for(
        lambda: bus.one("SELECT count(*) FROM dispatches WHERE state = 'delivered'") == EVENTS, 120, about="the rest"
    )
    ids = [message.id for message in receiver.messages]
    assert len(set(ids)) == EVENTS
    assert set(ids) == {f"evt_{row[0]}" for row in bus.ask("SELECT event_id FROM dispatches")}
    lost = bus.one("SELECT count(*) FROM attempts WHERE outcome = 'lost'")
    print(f"\nDELIV {len(set(ids))}/{EVENTS} KILLS {kills} TWICE {len(ids) - len(set(ids))} LOST ATTEMPTS {lost}")
    assert kills >= 3
    assert lost >= 1, "no kill met a message under way"
    assert bus.one("SELECT count(*) FROM dispatches WHERE tries > 1") == 0, "a lost attempt uses up none"


def test_e04_killed_after_the_send(bus: Bus, processes: Processes) -> None:
    """The endpoint has the message, its answer never comes home: it gets it again, under the same id."""
    let_go = threading.Event()

    def hold(_: Message) -> int:
        if len(receiver.messages) == 1:
            let_go.wait(20)
        return 204

    receiver = bus.receiver(hold)
    bus.subscribe(receiver.url, types=["record.*"])
    processes.start("send-1")
    bus.write()
    wait_for(lambda: receiver.messages, 20, every=0.02, about="the first message")
    processes.kill("send-1")
    let_go.set()
    processes.start("send-1")
    wait_for(lambda: bus.one("SELECT state FROM dispatches") == "delivered", 30, about="the second attempt")
    assert [message.id for message in receiver.messages] == [receiver.messages[0].id] * 2
    assert bus.ask("SELECT number, outcome FROM attempts ORDER BY id") == [(1, "lost"), (2, "delivered")]
    assert bus.one("SELECT tries FROM dispatches") == 1


def test_e04_killed_between_claim_and_send(bus: Bus, processes: Processes) -> None:
    """Claimed and on record, and nothing has left yet: it leaves with the next worker."""
    port = free_port()
    full = socket.create_server(("127.0.0.1", port), backlog=0)
    # Nobody accepts: once the queue is full a connection is never made.
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
    bus.subscribe(f"http://127.0.0.1:{port}/in", types=["record.*"])
    processes.start("send-1")
    bus.write()
    wait_for(lambda: bus.ask("SELECT 1 FROM dispatches WHERE state = 'sending'"), 20, every=0.01, about="the claim")
    processes.kill("send-1")
    for one in (*waiting, full):
        one.close()
    receiver = Receiver(port=port)
    bus.receivers.append(receiver)
    processes.start("send-1")
    wait_for(lambda: bus.one("SELECT state FROM dispatches") == "delivered", 40, about="the message")
    assert len(receiver.messages) == 1
    assert bus.ask("SELECT outcome FROM attempts ORDER BY id")[0] == ("lost",)


class Traffic:
    """Other tenants with an endpoint each, that something happens to now and then."""

    def __init__(self, bus: Bus, count: int) -> None:
        self._bus, self._written = bus, {}
        self.receiver = bus.receiver()
        self._tenants = [make_tenant(bus.apps, f"Other {number}") for number in range(count)]
        for tenant_id in self._tenants:
            bus.subscribe(self.receiver.url, tenant_id, types=["record.*"])

    def measure(self, rounds: int) -> float:
        """Return the p95 of the seconds from a change to its message."""
        wanted: dict[uuid.UUID, float] = {}
        for _ in range(rounds):
            for tenant_id in self._tenants:
                (change_id,) = self._bus.write(1, tenant_id)
                wanted[change_id] = time.monotonic()
            time.sleep(0.5)
        names = {f"evt_{change_id}" for change_id in wanted}

        def arrived() -> bool:
            return names <= {message.id for message in self.receiver.messages}

        wait_for(arrived, 40, about="the messages of the others")
        at = {message.id: message.at for message in reversed(self.receiver.messages)}
        return statistics.quantiles([at[f"evt_{i}"] - began for i, began in wanted.items()], n=20)[-1]


def test_e05_slow_receiver_isolated(bus: Bus, processes: Processes) -> None:
    """One endpoint answers after 15 s, always: others of its tenant and of other tenants get theirs within 2 s."""

    def sleep(_: Message) -> int:
        time.sleep(14)
        return 204

    slow, quick = bus.receiver(sleep), bus.receiver()
    bus.subscribe(slow.url, types=["record.*"])
    bus.subscribe(quick.url, types=["record.*"])
    traffic = Traffic(bus, 4)
    processes.start("send-1")
    traffic.measure(2)
    bus.write(20)
    wait_for(lambda: slow.messages, 20, about="the slow endpoint to be called")
    p95 = traffic.measure(20)
    began = time.monotonic()
    (change_id,) = bus.write()
    wait_for(lambda: any(m.id == f"evt_{change_id}" for m in quick.messages), 10, every=0.02, about="the neighbour's")
    neighbour = time.monotonic() - began
    print(f"\nE05 others p95 {p95:.2f} s, the same tenant's other endpoint {neighbour:.2f} s")
    assert p95 <= 2
    assert neighbour <= 3


def test_e11_poison_endpoint_fair(bus: Bus, processes: Processes) -> None:
    """10,000 messages wait for an endpoint that refuses connections: others hardly notice."""
    traffic = Traffic(bus, 4)
    processes.start("send-1")
    traffic.measure(2)
    alone = traffic.measure(12)
    bus.subscribe(f"http://127.0.0.1:{free_port()}/in", types=["record.*"])
    for _ in range(10):
        bus.write(1000)
    wait_for(
        lambda: bus.one("SELECT count(*) FROM dispatches WHERE tenant_id = %s", bus.tenant_id) == 10_000, 60,
        about="the fan-out",
    )  # fmt: skip
    beside = traffic.measure(12)
    print(f"\nE11 p95 alone {alone:.2f} s, beside 10,000 for a dead endpoint {beside:.2f} s")
    assert beside <= max(1.5 * alone, 2)
    assert bus.one("SELECT count(*) FROM attempts WHERE outcome = 'failed'") < 30, "the breaker"


def test_who_hands_on_who_sends_and_who_switches_off_never_wait_for_each_other(bus: Bus, processes: Processes) -> None:
    """Two workers, the host and a tenant listening, endpoints that fail or are gone, a person who clicks: no deadlock."""
    answers = [204, 500, 410, 204, 503]
    receivers = [bus.receiver(lambda m, n=n: answers[(len(m.body) + n) % 5] if n else 204) for n in range(4)]
    ids = [bus.subscribe(receiver.url, PLATFORM_TENANT if n % 2 else None)[0] for n, receiver in enumerate(receivers)]
    before = bus.one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    processes.start("send-1", "send-2")
    clicks, ends = 0, time.monotonic() + 12
    while time.monotonic() < ends:
        bus.write(20)
        for n, subscription_id in enumerate(ids):
            place = PLATFORM_TENANT if n % 2 else None
            for act in (
                lambda tenant, i=subscription_id: subscriptions.disable(tenant, i),
                lambda tenant, i=subscription_id: subscriptions.enable(tenant, i),
                lambda tenant, i=subscription_id: subscriptions.send_test(tenant, i),
                lambda tenant, i=subscription_id: dispatches.replay(tenant, i, Selection()),
            ):
                try:
                    bus.act(act, place)
                except ConflictError:
                    continue  # It was switched off by its endpoint.
                clicks += 1
    bus.owner.execute("SELECT pg_stat_clear_snapshot()")
    after = bus.one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    sent = sum(len(receiver.messages) for receiver in receivers)
    print(f"\nDEADLOCKS {after - before} in {clicks} acts and {sent} messages")
    assert after == before
    assert "deadlock" not in processes.log()
    assert sent > 100
