"""A worker that dies, or sleeps past its lease, in the middle of a run (F01, F02, F04)."""

import os
import random
import signal
import time

from tests.faults.conftest import Site
from tests.processes import wait_for

KILLS = 30 if os.environ.get("PATCHBAY_SOAK") else 8


def test_a_worker_killed_mid_page_loses_and_doubles_nothing(site: Site) -> None:
    """SIGKILL of parent and child at random moments. Red without the checkpoint in the page's own transaction."""
    site.processes.start("sync-1", "sync-2")
    site.activate()
    rng, kills, moved = random.Random(11), 0, []
    while kills < KILLS and site.state() in ("queued", "running"):
        before = site.pages_done()
        wait_for(
            lambda before=before: site.pages_done() > before or site.state() == "done", 30, every=0.02, about="progress"
        )
        if site.state() == "done":
            break
        time.sleep(rng.random() * 0.05)
        for name in ("sync-1", "sync-2"):
            site.processes.kill(name)
        kills += 1
        moved.append(site.pages_done())
        site.processes.start("sync-1", "sync-2")
    wait_for(lambda: site.state() == "done", 60, about="the run to end")
    assert moved == sorted(moved)
    assert site.check() == site.expected()
    print(f"KILLS {kills}")
    assert kills >= min(KILLS, 3)


def test_a_worker_stopped_past_its_lease_commits_nothing_stale(site: Site) -> None:
    """SIGSTOP of the child past its lease while another takes over. Red without the fence in the page transaction."""
    site.processes.start("sync-1", "sync-2")
    site.activate()
    pauses = 0
    while pauses < 3 and site.state() in ("queued", "running"):
        before = site.pages_done()
        wait_for(
            lambda before=before: site.pages_done() > before or site.state() == "done", 30, every=0.02, about="progress"
        )
        horses = [horse for name in ("sync-1", "sync-2") if (horse := site.processes.horse_of(name))]
        if not horses:
            continue
        holder = site.ask("SELECT leased_by FROM tasks WHERE state = 'leased' AND kind = 'sync'")
        mine = [horse for horse in horses if holder and str(holder[0]).endswith(f":{horse}")]
        if not mine:
            continue
        # Stopped inside its transaction it holds the row until PostgreSQL ends that, after 4 s here.
        os.kill(mine[0], signal.SIGSTOP)
        token = site.ask("SELECT max(lease_token) FROM tasks WHERE kind = 'sync'")[0]
        wait_for(
            lambda token=token: site.ask("SELECT max(lease_token) FROM tasks WHERE kind = 'sync'")[0] > token
            or site.state() == "done",
            45, about="another worker to take over",
        )  # fmt: skip
        os.kill(mine[0], signal.SIGCONT)
        pauses += 1
    wait_for(lambda: site.state() == "done", 60, about="the run to end")
    print(f"PAUSES {pauses}")
    assert pauses >= 1
    found = site.check()
    assert found == site.expected()


def test_a_worker_told_to_end_hands_its_lease_back(site: Site) -> None:
    """SIGTERM: the next worker goes on at once. Red without the hand-back (the lease would have to run out)."""
    site.processes.start("sync-1")
    site.activate()
    wait_for(lambda: site.pages_done() > 3, 30, every=0.02, about="progress")
    site.processes.running["sync-1"].terminate()
    wait_for(
        lambda: site.ask("SELECT count(*) FROM tasks WHERE state = 'leased'")[0] == 0, 3, every=0.05, about="the lease"
    )
    assert site.state() == "running"
    site.processes.running.pop("sync-1").wait(10)
    site.processes.start("sync-1")
    wait_for(lambda: site.state() == "done", 60, about="the run to end")
    assert site.check() == site.expected()
