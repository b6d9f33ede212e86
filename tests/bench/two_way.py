"""The steady state of two-way sync: 1 % of the records changed on each side, until both sides have everything."""

import os
import time
import uuid

import requests

from app.db import db
from app.services import record_edits
from app.services.record_edits import Edit
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.bench.site import Patchbay, started, vendor

RECORDS = int(os.environ.get("BENCH_TWO_WAY", "100000"))


def main() -> None:
    """Load, then change 1 % on each side in three rounds and print how long each takes to settle."""
    share = RECORDS // 100
    with started() as stack, vendor(["-m", "tests.bench.vendor"], RECORDS) as url:
        side = Patchbay(stack, url, both=True)
        ids = side.install()
        print(f"first load of {RECORDS:,}, both ways: {RECORDS / side.run(*ids):,.0f} records/s", flush=True)
        for turn in range(3):
            requests.post(f"{url}/touch?count={share}", timeout=60).raise_for_status()
            _edit(side, ids[0], share, turn)
            before = requests.get(f"{url}/writes", timeout=60).json()["writes"]
            began = time.perf_counter()
            side.run(*ids, mode="incremental")
            took = time.perf_counter() - began
            sent = requests.get(f"{url}/writes", timeout=60).json()["writes"] - before
            print(
                f"round {turn + 1}: {share:,} changed there and {share:,} here: settled in {took:.2f} s, "
                f"{2 * share / took:,.0f} records/s, {sent:,} written there",
                flush=True,
            )


def _edit(side: Patchbay, tenant_id: uuid.UUID, count: int, turn: int) -> None:
    with side.apps["worker"].app_context(), bind_tenant(tenant_id), transaction():
        query = db.text("SELECT id FROM records WHERE tenant_id = :t ORDER BY id DESC LIMIT :n")
        ids = db.session.scalars(query, {"t": tenant_id, "n": count}).all()
        record_edits.apply(
            tenant_id, [Edit(name, {"phone": f"+{turn} {n}"}) for n, name in enumerate(ids)], writer="Host"
        )


if __name__ == "__main__":
    main()
