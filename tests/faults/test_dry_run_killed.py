"""Workers that die in the middle of a dry run: another one goes on, and every record is counted once."""

import time

from app.services import dry_runs
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.faults.conftest import PAGE, Site
from tests.processes import wait_for

KILLS = 4


def test_a_dry_run_goes_on_after_its_workers_were_killed(site: Site) -> None:
    """SIGKILL of parent and child. Red without the kept state: it would begin anew each time and never end."""
    with site.apps["web"].app_context(), bind_tenant(site.tenant_id), transaction():
        dry_runs.start(site.tenant_id, site.installation_id)

    def read() -> int:
        row = site.ask("SELECT result->'progress'->0->>'read' FROM previews WHERE kind = 'dry_run'")
        return int(row[0] or 0)

    def kept() -> int:
        row = site.ask("SELECT work->'streams'->0->'tally'->'counts'->>'read' FROM previews WHERE kind = 'dry_run'")
        return int(row[0] or 0)

    def state() -> str:
        return str(site.ask("SELECT state FROM previews WHERE kind = 'dry_run'")[0])

    site.processes.start("sync-1")
    kills, went_on = 0, []
    while kills < KILLS and state() == "waiting":
        before = kept()
        wait_for(lambda before=before: kept() > before or state() != "waiting", 40, every=0.01, about="progress")
        if state() != "waiting":
            break
        time.sleep(0.1)
        site.processes.kill("sync-1")
        kills += 1
        # What it remembers is dropped at its end.
        went_on += [kept()] if state() == "waiting" else []
        site.processes.start("sync-1")
    wait_for(lambda: state() != "waiting", 60, about="the end")
    assert state() == "ready"
    told = site.ask("SELECT result->'streams'->0->'counts' FROM previews WHERE kind = 'dry_run'")[0]
    print(f"\nKILLS {kills} at {went_on} of {site.records} records, {PAGE} a page; counted {told['read']}")
    assert kills >= 1
    assert went_on == sorted(went_on)
    assert (told["read"], told["created"]) == (site.records, site.records)
    assert site.ask("SELECT count(*) FROM records") == (0,)
    assert read() == 0
