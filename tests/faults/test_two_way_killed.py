"""Both ways against a live Kinto with real processes: workers killed at random, answers of creates lost."""

import os
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from app.services import record_edits
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.counterparts.kinto import contact
from tests.faults.conftest import Site
from tests.faults.cutting_proxy import CuttingProxy
from tests.processes import wait_for

SOAK = bool(os.environ.get("PATCHBAY_SOAK"))
EDITS, CONFLICTS, DELETES, CREATES, KILLS = (300, 60, 100, 200, 20) if SOAK else (40, 10, 16, 30, 4)
HISTORY = """
CREATE TABLE steps (id bigserial, run_stream uuid, before int, after int);
CREATE FUNCTION note_step() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
  INSERT INTO steps (run_stream, before, after) VALUES (NEW.id, OLD.pages, NEW.pages); RETURN NEW; END $$;
CREATE TRIGGER steps AFTER UPDATE ON run_streams FOR EACH ROW EXECUTE FUNCTION note_step();
"""


class Both:
    """The site, both of its sides, and who has which of the contacts."""

    def __init__(self, site: Site, proxy: CuttingProxy) -> None:
        self.site, self.proxy = site, proxy
        numbers = iter(range(site.records))
        self.theirs = [next(numbers) for _ in range(EDITS)]
        self.ours = [next(numbers) for _ in range(EDITS)]
        self.both = [next(numbers) for _ in range(CONFLICTS)]
        self.gone_there = [next(numbers) for _ in range(DELETES // 2)]
        self.gone_here = [next(numbers) for _ in range(DELETES // 2)]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, as the owner."""
        assert self.site.stack.postgres is not None
        with psycopg.connect(self.site.stack.postgres.url(), autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []

    def ids(self) -> dict[str, uuid.UUID]:
        """Return e-mail -> the host's record."""
        return dict(self.rows("SELECT data->>'email', id FROM records WHERE deleted_at IS NULL"))

    def change_everything(self) -> None:
        """Let people on both sides work at once."""
        ids, kinto = self.ids(), self.site.kinto
        kinto.put_all("contacts", [contact(n, city="Oslo") for n in (*self.theirs, *self.both)])
        for number in self.gone_there:
            kinto.delete("contacts", f"contact-{number}")
        with self.site.apps["web"].app_context(), bind_tenant(self.site.tenant_id):
            for start in range(0, CREATES, 10):
                with transaction():
                    for number in range(start, start + 10):
                        values = {"email": f"new{number}@example.test", "first_name": "New", "city": "Rome"}
                        record_edits.create(self.site.tenant_id, "contact", values, writer="Host")
            edits = [(n, {"phone": "+1"}) for n in self.ours] + [(n, {"city": "Bonn"}) for n in self.both]
            for number, values in edits:
                with transaction():
                    record_edits.update(self.site.tenant_id, ids[f"person{number}@example.test"], values, writer="Host")
            with transaction():
                gone = [ids[f"person{number}@example.test"] for number in self.gone_here]
                record_edits.remove(self.site.tenant_id, gone, writer="Host")

    def quiet(self) -> bool:
        """Whether nothing is under way or waits."""
        live = "SELECT count(*) FROM intents WHERE state IN ('planned', 'sent', 'in_doubt')"
        due = "SELECT count(*) FROM tasks WHERE lane = 'sync' AND state IN ('ready', 'leased') AND due_at < now() + interval '5 s'"
        return self.site.state() == "done" and self.rows(live)[0][0] == 0 and self.rows(due)[0][0] == 0

    def settle(self) -> None:
        """Run and wait until both sides have everything; what waits for a pause is due now."""

        def hurry() -> bool:
            self.rows("UPDATE intents SET due_at = now() WHERE state IN ('planned', 'in_doubt')")
            self.rows("UPDATE tasks SET due_at = now() WHERE lane = 'sync' AND state = 'ready'")
            return self.quiet()

        self.site.run_again()
        wait_for(hurry, 240, every=0.5, about="both sides to settle")


@pytest.fixture
def both(site: Site) -> Iterator[Both]:
    proxy = CuttingProxy(int(site.kinto.origin.rsplit(":", 1)[1]), 0.3)
    found = Both(site, proxy)
    found.rows(HISTORY)
    found.rows("GRANT ALL ON steps TO PUBLIC")
    found.rows(f'UPDATE connections SET settings = settings || \'{{"server": "{proxy.origin}"}}\'')
    found.rows(
        "UPDATE installation_streams SET direction = 'both', conflict_policy = 'ask', enabled = stream = 'contacts'"
    )
    yield found
    proxy.stop()


def test_two_sides_meet_while_workers_are_killed_and_answers_are_lost(both: Both) -> None:
    site = both.site
    site.processes.start("sync-1", "sync-2")
    site.activate()
    wait_for(lambda: site.state() == "done", 120, about="the first run")
    both.change_everything()
    rng = random.Random(23)
    for _ in range(KILLS):
        if site.state() != "running":
            site.run_again()
        time.sleep(0.2 + rng.random())
        name = rng.choice(("sync-1", "sync-2"))
        site.processes.kill(name)
        site.processes.start(name)
    both.settle()
    both.settle()

    there = {item["id"]: item for item in site.kinto.all("contacts")}
    emails = Counter(str(item["email"]).strip().lower() for item in there.values())
    here = dict(both.rows("SELECT data->>'email', data FROM records WHERE deleted_at IS NULL"))
    lost = sum(here[f"person{n}@example.test"]["city"] != "Oslo" for n in both.theirs)
    lost += sum(there[f"contact-{n}"]["phone"] != "+1" for n in both.ours)
    lost += sum(emails[f"new{n}@example.test"] == 0 for n in range(CREATES))
    lost += sum(f"person{n}@example.test" in here for n in both.gone_there)
    lost += sum(f"contact-{n}" in there for n in both.gone_here)
    asked = both.rows("SELECT external_id, ours->>'city', theirs->>'city' FROM conflicts WHERE state = 'open'")
    lost += CONFLICTS - len({row[0] for row in asked if row[1:] == ("Bonn", "Oslo")})
    doubled = both.rows(
        "SELECT count(*) FROM (SELECT data->>'email' FROM records WHERE deleted_at IS NULL GROUP BY 1 HAVING count(*) > 1) d"
    )[0][0]
    vendor_doubled = sum(count > 1 for count in emails.values())
    stale = both.rows(
        "SELECT count(*) FROM (SELECT after, lag(after) OVER w AS last, before AS was, operation FROM changes "
        "WINDOW w AS (PARTITION BY record_id ORDER BY id)) c WHERE after = last AND operation = 'updated'"
    )[0][0]
    backwards = both.rows("SELECT count(*) FROM steps WHERE after < before")[0][0]
    steps = both.rows("SELECT count(*) FROM steps")[0][0]
    changed = 2 * EDITS + CONFLICTS + DELETES + CREATES
    print(
        f"LOST {lost}/{changed} DUP {doubled}/{len(here)} VENDOR_DUP {vendor_doubled}/{CREATES} STALE {stale}/{changed} "
        f"BACKWARDS {backwards}/{steps} KILLS {KILLS} CUT {both.proxy.cut}/{both.proxy.creates} CONFLICTS {len(asked)}/{CONFLICTS}"
    )
    assert (lost, doubled, vendor_doubled, stale, backwards) == (0, 0, 0, 0, 0)
    assert len(asked) == CONFLICTS
    assert both.proxy.cut
    journal, written = both.rows("SELECT count(*) FROM changes")[0][0], both.proxy.creates
    both.settle()
    assert both.rows("SELECT count(*) FROM changes")[0][0] == journal, "a second sync has something to do"
    assert both.proxy.creates == written
