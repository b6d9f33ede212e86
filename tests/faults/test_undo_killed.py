"""A worker that is killed in the middle of an undo: exactly what a quiet one leaves behind."""

import random
import time
import uuid
from typing import Any

from app.services import undos
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.counterparts.kinto import contact
from tests.faults.conftest import Site
from tests.processes import wait_for


def state(site: Site, run_id: uuid.UUID) -> dict[str, Any]:
    found: dict[str, Any] = site.ask(f"SELECT undo FROM runs WHERE id = '{run_id}'")[0] or {"step": "", "seen": 0}
    return found


def act(site: Site, what: Any, *values: Any) -> None:
    with site.apps["web"].app_context(), bind_tenant(site.tenant_id), transaction():
        what(site.tenant_id, *values)


def test_a_worker_killed_mid_undo_undoes_each_record_once(site: Site) -> None:
    """SIGKILL at random moments. Red when the position moved in a transaction of its own."""
    site.processes.start("sync-1", "sync-2")
    site.activate()
    wait_for(lambda: site.state() == "done", 60, about="the first run")
    changed, made = range(0, site.records, 2), range(site.records, site.records + site.records // 2)
    site.kinto.put_all("contacts", [contact(n, city="Bonn") for n in changed])
    site.kinto.put_all("contacts", [contact(n) for n in made])
    site.run_again()
    wait_for(lambda: site.ask("SELECT count(*) FROM runs WHERE state = 'done'")[0] == 2, 60, about="the second run")
    run_id = site.ask("SELECT id FROM runs ORDER BY id DESC LIMIT 1")[0]
    act(site, undos.look, run_id)
    wait_for(lambda: state(site, run_id)["step"] == "ready", 30, about="the look")
    counts = {"put_back": len(changed), "delete": len(made), "bring_back": 0, "edited": 0, "same": 0}
    assert state(site, run_id)["counts"] == counts

    act(site, undos.begin, run_id, uuid.uuid4())
    act(site, undos.begin, run_id, uuid.uuid4())
    rng, kills, seen = random.Random(7), 0, [0]
    while kills < 8 and state(site, run_id)["step"] == "undo":
        wait_for(
            lambda: state(site, run_id)["seen"] > seen[-1] or state(site, run_id)["step"] == "done", 30,
            every=0.01, about="progress",
        )  # fmt: skip
        if state(site, run_id)["step"] == "done":
            break
        time.sleep(rng.random() * 0.03)
        for name in ("sync-1", "sync-2"):
            site.processes.kill(name)
        kills += 1
        seen.append(state(site, run_id)["seen"])
        site.processes.start("sync-1", "sync-2")
    wait_for(lambda: state(site, run_id)["step"] == "done", 60, about="the undo to end")
    assert seen == sorted(seen)
    assert state(site, run_id)["counts"] == counts
    rows = site.ask(
        "SELECT count(*), count(DISTINCT record_id), count(*) FILTER (WHERE operation = 'deleted') FROM changes "
        "WHERE writer LIKE 'Undo of the run of %'"
    )
    total = len(changed) + len(made)
    wrong = site.ask(
        "SELECT count(*) FROM records WHERE (deleted_at IS NULL) <> ((data->>'score')::int < "
        f"{site.records}) OR data->>'city' <> 'London' AND deleted_at IS NULL"
    )[0]
    print(f"\nUNDO LOST {total - rows[1]}/{total} DUP {rows[0] - rows[1]} WRONG {wrong} KILLS {kills}")
    assert tuple(rows) == (total, total, len(made))
    assert wrong == 0
    assert kills >= 2
