"""A vendor that takes every call and never answers, beside one that works (V03)."""

import os
import statistics
import threading
import time
import uuid

import psycopg

from tests.connectors.sdk.servers import Talker
from tests.factories.tenants import activate, connect_kinto, make_tenant
from tests.faults.conftest import Site
from tests.processes import wait_for

RUNS = 10 if os.environ.get("PATCHBAY_SOAK") else 3


def timed(site: Site) -> float:
    """Return how long the working vendor's next run takes from its request to its end."""
    began = time.monotonic()
    site.run_again()
    wait_for(lambda: site.state() == "done", 60, every=0.02, about="the run to end")
    return time.monotonic() - began


def add_dead(site: Site, origin: str) -> uuid.UUID:
    """Return a tenant whose vendor was well when it was connected."""
    tenant_id = make_tenant(site.apps)
    with site.apps["web"].app_context():
        installation_id = connect_kinto(tenant_id, origin, "password")
    assert site.stack.postgres is not None
    with psycopg.connect(site.stack.postgres.url(), autocommit=True) as sql:
        sql.execute("DELETE FROM tasks WHERE kind = 'test_connection'")
        sql.execute(
            "UPDATE connections SET state = 'ready', account_id = 'a', tested_at = now() WHERE tenant_id = %s",
            (tenant_id,),
        )
    with site.apps["web"].app_context():
        activate(tenant_id, installation_id)
    return tenant_id


def test_a_vendor_that_never_answers_holds_no_more_workers_than_its_cap(site: Site) -> None:
    """Two workers and a cap of one. Red with the host left out of the tasks: both workers would hang."""
    ended, silent = threading.Event(), Talker(lambda _connection: ended.wait(60))  # type: ignore[arg-type,return-value]
    site.processes.environment["PATCHBAY_HOST_CAP"] = "1"
    site.processes.start("sync-1", "sync-2")
    site.activate()
    wait_for(lambda: site.state() == "done", 60, about="the first run")
    alone = [timed(site) for _ in range(RUNS)]
    for _ in range(3):
        add_dead(site, silent.origin)
    query = f"SELECT count(*) FROM tasks WHERE state = 'leased' AND host = '{silent.origin.removeprefix('http://')}'"
    wait_for(lambda: site.ask(query) == (1,), 20, every=0.02, about="a worker to hang")
    held: list[int] = []

    def watch() -> None:
        while not ended.wait(0.05):
            held.append(site.ask(query)[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    beside = [timed(site) for _ in range(RUNS)]
    ended.set()
    watcher.join()
    silent.stop()
    ratio = statistics.median(beside) / statistics.median(alone)
    print(
        f"\nHELD {max(held)}/1 BESIDE {statistics.median(beside):.2f} s ALONE {statistics.median(alone):.2f} s RATIO {ratio:.2f}"
    )
    assert max(held) == 1
    assert ratio < 2
