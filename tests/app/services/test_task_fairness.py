"""Whose turn it is: tenants one after the other, never more at once than their caps (P01, P02)."""

import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from flask import Flask

from app.services import tasks
from app.transaction import transaction
from tests.factories.tasks import Lane, together

Owner = psycopg.Connection[Any]
BIG, SMALL = uuid.UUID(int=1), [uuid.UUID(int=number) for number in range(10, 19)]
TENANT_CAP, HOST_CAP = 2, 4


def test_small_tenants_do_not_wait_behind_a_big_one(lane: Lane, owner: Owner) -> None:
    """P01, counted in turns. Red with first in, first out."""
    for number in range(60):
        lane.add(BIG, str(number))
    owner.execute("UPDATE tasks SET due_at = now() - interval '1 h'")
    for tenant_id in SMALL:
        for number in range(3):
            lane.add(tenant_id, str(number))
    turns = []
    for _ in range(3 * (len(SMALL) + 1)):
        task = lane.take()
        turns.append(task.tenant_id)
        lane.end(task)
    for start in range(0, len(turns), len(SMALL) + 1):
        assert set(turns[start : start + len(SMALL) + 1]) == {BIG, *SMALL}


def test_within_a_tenant_the_oldest_due_task_comes_first(lane: Lane, owner: Owner) -> None:
    for number in (3, 1, 2):
        lane.add(BIG, str(number))
    owner.execute("UPDATE tasks SET due_at = now() - interval '1 min' * (10 - key::int)")
    lane.add(BIG, "later")
    owner.execute("UPDATE tasks SET due_at = now() + interval '1 h' WHERE key = 'later'")
    order = []
    while task := lane.claim():
        order.append(task.key)
        lane.end(task)
    assert order == ["1", "2", "3"]


def test_a_tenant_at_its_cap_waits_and_the_next_one_is_served(lane: Lane) -> None:
    for number in range(TENANT_CAP + 1):
        lane.add(BIG, str(number))
    held = [lane.take() for _ in range(TENANT_CAP)]
    assert lane.claim() is None
    lane.add(SMALL[0])
    assert lane.take().tenant_id == SMALL[0]
    lane.end(held[0])
    assert lane.take().tenant_id == BIG


def test_a_vendor_host_at_its_cap_waits_and_other_hosts_are_served(lane: Lane) -> None:
    for tenant_id in SMALL[: HOST_CAP + 1]:
        lane.add(tenant_id, host="api.example.com")
    held = [lane.take() for _ in range(HOST_CAP)]
    assert lane.claim() is None
    lane.add(BIG, "a", host="api.example.com")
    lane.add(BIG, "b", host="other.example.com")
    assert lane.take().key == "b"
    lane.end(held[0])
    assert lane.claim() is not None
    assert lane.claim() is None


def test_many_tasks_of_a_host_at_its_cap_do_not_hide_the_tenants_other_work(lane: Lane, owner: Owner) -> None:
    for tenant_id in SMALL[:HOST_CAP]:
        lane.add(tenant_id, host="api.example.com")
        lane.take()
    for number in range(25):
        lane.add(BIG, str(number), host="api.example.com")
    owner.execute("UPDATE tasks SET due_at = now() - interval '1 h' WHERE state = 'ready'")
    lane.add(BIG, "other", host="other.example.com")
    assert lane.take().key == "other"
    lane.add(BIG, "none")
    assert lane.take().key == "none"


def test_a_claim_does_not_wait_for_one_that_is_under_way(lane: Lane, apps: dict[str, Flask], owner: Owner) -> None:
    """Neither for its lane, nor for its tenant while another has work, nor for its host."""
    lane.add(BIG, "a", host="api.example.com")
    for tenant_id, host in ((SMALL[0], "api.example.com"), (SMALL[1], None)):
        lane.add(tenant_id, host=host)
        owner.execute("UPDATE task_gates SET served_at = served_at + 1 WHERE tenant_id <> %s", (BIG,))
    owner.execute("UPDATE task_gates SET served_at = 9 WHERE tenant_id = %s", (SMALL[1],))
    with ThreadPoolExecutor(1) as pool, apps["worker"].app_context(), transaction():
        first = tasks.claim("sync", "slow")
        assert first is not None
        assert first.tenant_id == BIG
        second = pool.submit(lane.claim).result()
    assert second is not None
    assert second.tenant_id == SMALL[1]


def test_a_second_request_brings_a_task_its_host(lane: Lane) -> None:
    lane.add(BIG)
    lane.add(BIG, host="api.example.com")
    lane.add(BIG)
    assert lane.row("host") == ("api.example.com",)


def test_workers_at_the_caps_never_pass_them_and_never_block_each_other(lane: Lane, owner: Owner) -> None:
    """P02: more workers than tenants and hosts have room for. Red without the gate, or with claims that can deadlock."""
    for tenant_id in SMALL[:3]:
        for number in range(20):
            lane.add(tenant_id, str(number), host=f"h{number % 2}.example.com")
    ended = threading.Event()
    most: Counter[str] = Counter()

    def watch() -> None:
        query = (
            "SELECT tenant_id::text, count(*) FROM tasks WHERE state = 'leased' GROUP BY 1 "
            "UNION ALL SELECT host, count(*) FROM tasks WHERE state = 'leased' GROUP BY 1"
        )
        while not ended.is_set():
            for name, count in owner.execute(query).fetchall():
                most[name] = max(most[name], count)

    def work(number: int) -> None:
        if number == 0:
            return watch()
        while lane.count("state = 'done'") < 60:
            task = lane.claim(str(number))
            time.sleep(0.003)
            if task:
                lane.end(task)
        ended.set()
        return None

    together(11, work)
    assert {str(tenant_id) for tenant_id in SMALL[:3]} < set(most)
    assert max(most[str(tenant_id)] for tenant_id in SMALL[:3]) <= TENANT_CAP
    assert max(most[f"h{number}.example.com"] for number in range(2)) <= HOST_CAP
    assert lane.count("attempts > 1") == 0


def test_one_connection_is_worked_on_by_one_worker_however_often_it_is_asked_for(lane: Lane, owner: Owner) -> None:
    """P02, the cap of a connection: one live task, which runs once more when it was asked for meanwhile."""
    ended, most, runs = threading.Event(), 0, Counter[str]()

    def watch() -> None:
        nonlocal most
        query = (
            "SELECT count(*) FROM tasks WHERE state = 'leased' GROUP BY tenant_id, kind, key ORDER BY 1 DESC LIMIT 1"
        )
        while not ended.is_set():
            row = owner.execute(query).fetchone()
            most = max(most, row[0] if row else 0)

    def ask(number: int) -> None:
        for _ in range(25):
            lane.add(SMALL[number % 3], "installation")
        if asked.wait() == 0:
            ended.set()

    def work(number: int) -> None:
        while not ended.is_set() or lane.count("state IN ('ready', 'leased')"):
            task = lane.claim(str(number))
            if task:
                runs[str(task.tenant_id)] += 1
                time.sleep(0.003)
                lane.end(task)

    asked = threading.Barrier(4)
    together(9, lambda number: watch() if number == 0 else ask(number) if number < 5 else work(number))
    assert most == 1
    assert set(runs) == {str(tenant_id) for tenant_id in SMALL[:3]}
    assert lane.count("state = 'done'") <= sum(runs.values()) <= 100


def test_lanes_have_gates_of_their_own(lane: Lane, apps: dict[str, Flask]) -> None:
    settings = apps["worker"].extensions["settings"]
    assert (settings.tenant_cap, settings.host_cap) == (TENANT_CAP, HOST_CAP)
    for number in range(TENANT_CAP + 1):
        lane.add(BIG, str(number))
        lane.take() if number < TENANT_CAP else None
    lane.add(BIG, "quick", lane="fast")
    assert lane.claim() is None
    assert lane.claim(lane="fast") is not None
