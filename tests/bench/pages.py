"""Every page of a large deployment (`make seed-large`): time in the server, statements, and how many are over 100 ms.

`python -m tests.bench pages`. With PATCHBAY_DATA it measures the data there, which nothing else may be using; without,
it makes some first. LARGE_SCALE=0.01 makes less. `cpu ms` is the web process' own work, the same on a busy machine; the rest
is PostgreSQL and waiting for a turn. The yardstick is the same server answering a page without a database.
"""

import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import requests

from app import create_app
from app.config import load_settings
from app.devstack.process import spawn, stop
from app.devstack.stack import Stack
from app.devstack.up import Supervisor, hold
from tests.bench.site import started
from tests.large import seed
from tests.large.walk import PEOPLE, Page, Walk, further, sign_in
from tests.processes import ROOT, free_port, wait_for

REQUESTS = int(os.environ.get("BENCH_REQUESTS", "30"))
REACH = 100
_ONLY = os.environ.get("BENCH_PAGES", "")


@dataclass
class Measured:
    """What asking for one page so many times has shown."""

    page: Page
    status: int
    size: int = 0
    ms: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    statements: set[int] = field(default_factory=set)

    @property
    def p50(self) -> float:
        return statistics.median(self.ms)

    @property
    def p95(self) -> float:
        return sorted(self.ms)[max(0, round(len(self.ms) * 0.95) - 1)]


class Asker:
    """Browsers of all roles against one running server."""

    def __init__(self, url: str, cookies: dict[str, str]) -> None:
        self._url, self._sessions = url, {"": requests.Session()}
        for role, cookie in cookies.items():
            self._sessions[role] = requests.Session()
            self._sessions[role].cookies.set("patchbay", cookie, domain="localhost.local")

    def ask(self, page: Page) -> requests.Response:
        return self._sessions[page.role].get(self._url + page.path, allow_redirects=False, timeout=60)

    def measure(self, page: Page) -> tuple[Measured, str]:
        """Return what a page takes, and the page; it is warm once each worker has answered it."""
        for _ in range(4):
            answer = self.ask(page)
        found = Measured(page, answer.status_code, len(answer.content))
        for number in range(REQUESTS):
            answer = self.ask(page)
            found.ms.append(float(answer.headers["X-Bench-Ms"]))
            found.cpu.append(float(answer.headers["X-Bench-Cpu"]))
            found.statements.add(int(float(answer.headers["X-Bench-Statements"])))
            # A page of seconds is known after a few: the others are waiting.
            if number >= 4 and sum(found.ms) > 20_000:
                break
        return found, answer.text


def measured(asker: Asker, walk: Walk) -> list[Measured]:
    """Return the measures of all pages, and of the filters and next pages each leads to."""
    found: dict[str, Measured] = {}
    waiting = [page for page in walk.first() if _ONLY in page.endpoint]
    while waiting:
        page = waiting.pop(0)
        if page.name in found:
            continue
        found[page.name], text = asker.measure(page)
        if "?" not in page.path:
            waiting[:0] = further(page, text, found)
    return list(found.values())


def report(found: list[Measured], yardstick: Measured) -> None:
    """Print the worst pages first, and the verdict."""
    bad = [one for one in found if one.status >= 400]
    slow = [one for one in found if one.p95 > REACH]
    print(f"{'p50 ms':>8} {'p95 ms':>8} {'cpu ms':>7} {'x live':>7} {'sql':>7} {'KiB':>6}  page")
    for one in sorted(found, key=lambda one: -one.p95):
        asked = "-".join(map(str, sorted({min(one.statements), max(one.statements)})))
        note = f" [{one.status}]" if one.status != 200 else ""
        print(f"{one.p50:8.1f} {one.p95:8.1f} {statistics.median(one.cpu):7.1f} {one.p50 / yardstick.p50:7.0f} {asked:>7} {one.size / 1024:6.0f}  "
              f"{one.page.endpoint} {one.page.path[:110]} {one.page.role}{note}")  # fmt: skip
    print(
        f"yardstick, /health/live: p50 {yardstick.p50:.2f} ms, p95 {yardstick.p95:.2f} ms; load {os.getloadavg()[0]:.1f}"
    )
    print(f"PAGES {len(found)}, over {REACH} ms p95: {len(slow)}, refused or failed: {len(bad)}")


def main() -> None:
    """Measure the data of PATCHBAY_DATA, or data made for it."""
    if "PATCHBAY_DATA" not in os.environ:
        with started() as stack:
            _measure(stack)
        return
    held = hold(Path(os.environ["PATCHBAY_DATA"]).resolve())
    stack = Stack(Path(os.environ["PATCHBAY_DATA"]), {})
    stack.start()
    try:
        _measure(stack)
    finally:
        stack.stop()
        held.close()


def _measure(stack: Stack) -> None:
    supervisor, port = Supervisor(stack, 0), free_port()
    # No dispatcher and no workers: nothing else moves while pages are measured.
    supervisor.prepare()
    environment = {
        **supervisor.environment("web"),
        "PATCHBAY_BASE_URL": f"http://localhost:{port}",
        "PATCHBAY_LOG_LEVEL": "ERROR",
    }
    owner_app = create_app("owner", load_settings(environment))
    assert stack.postgres is not None
    with psycopg.connect(stack.postgres.url(), autocommit=True) as owner:
        if not seed.is_there(owner):
            seed.fill(owner_app, stack.postgres.url(), seed.Size.from_environment())
        seed.fold(owner_app)
        cookies = {role: sign_in(owner_app, role) for role in PEOPLE}
        walk = Walk(create_app("web", load_settings(environment)), owner)
        command = [sys.executable, "-m", "gunicorn", "-c", "python:app.devstack.gunicorn", "-b", f"127.0.0.1:{port}"]
        child = spawn([*command, "tests.bench.page_server:app"], env=environment, cwd=ROOT)
        try:
            wait_for(lambda: _answers(port), about="web")
            asker, began = Asker(f"http://localhost:{port}", cookies), time.monotonic()
            found = measured(asker, walk)
            yardstick, _ = asker.measure(Page("health.live", "/health/live", ""))
            report(found, yardstick)
            print(f"measured in {time.monotonic() - began:.0f} s")
        finally:
            stop(child)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://localhost:{port}/health/live", timeout=5).ok
    except requests.RequestException:
        return False
