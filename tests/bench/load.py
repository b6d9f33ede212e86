"""First load and unchanged re-sync through the real worker code, beside a bare script and dlt, in interleaved pairs.

The yardsticks lie outside the project, in ../shared/bench or where PATCHBAY_BENCH names.
"""

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

from tests.bench.site import YARDSTICKS, Patchbay, ratio, started, static_vendor, vendor
from tests.processes import ROOT

RECORDS = int(os.environ.get("BENCH_RECORDS", "50000"))
PAIRS = int(os.environ.get("BENCH_PAIRS", "5"))


def yardstick(script: str, python: str, vendor: str, dsn: str) -> tuple[float, float]:
    """Return (first load, unchanged) records/s of a yardstick."""
    done = subprocess.run([python, str(YARDSTICKS / script), vendor, dsn], capture_output=True, text=True, check=True)
    found = re.findall(r"(\d+) records/s", done.stdout)
    return float(found[0]), float(found[1])


def tools() -> str | None:
    """Return a Python with what the yardsticks need, in a venv of its own; None when it cannot be made."""
    folder = ROOT / ".data" / "bench-venv"
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        uv = str(Path(sys.executable).parent / "uv")
        packages = ["httpx", "orjson", "psycopg[binary]", "dlt[postgres]==1.31.0"]
        made = (
            subprocess.run(
                [uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=False
            ).returncode
            == 0
        )
        if (
            not made
            or subprocess.run([uv, "pip", "install", "-q", "--python", str(python), *packages], check=False).returncode
        ):
            return None
        (folder / ".ready").touch()
    return str(python)


def main() -> None:
    """Run the pairs and print the table."""
    python = tools() if YARDSTICKS.exists() else None
    results: dict[str, list[tuple[float, float]]] = {"patchbay": [], "bare": [], "dlt": []}
    with started(tcp=True) as stack, vendor(static_vendor(), RECORDS) as url:
        assert stack.postgres is not None
        for name in ("bare", "dlt"):
            stack.postgres.ensure_database(name)
        dlt_url = f"postgresql://postgres:trusted@127.0.0.1:{stack.postgres.tcp_port}/dlt"
        side = Patchbay(stack, url)
        for number in range(PAIRS):
            ids = side.install()
            results["patchbay"].append((RECORDS / side.run(*ids), RECORDS / side.run(*ids)))
            if python:
                results["bare"].append(yardstick("bare.py", python, url, stack.postgres.url("bare")))
                results["dlt"].append(yardstick("dlt_merge.py", python, url, dlt_url))
            print(
                f"pair {number + 1}: "
                + ", ".join(f"{k} {v[-1][0]:,.0f} / {v[-1][1]:,.0f}" for k, v in results.items() if v),
                flush=True,
            )
    _table(results)
    if python is None:
        print("The yardsticks could not be run: their packages could not be installed.")


def _table(results: dict[str, list[tuple[float, float]]]) -> None:
    print(f"\n{RECORDS:,} records, 100 a page, medians of {PAIRS} interleaved pairs (spread)")
    for index, what in enumerate(("first load", "unchanged again")):
        ours = [pair[index] for pair in results["patchbay"]]
        for name in ("bare", "dlt"):
            theirs = [pair[index] for pair in results[name]]
            line = f"{what + ' / ' + name:<24} {statistics.median(ours):>9,.0f}/s  ({min(ours):,.0f}-{max(ours):,.0f})"
            if theirs:
                line += f"   yardstick {statistics.median(theirs):>8,.0f}/s   ratio {ratio(ours, theirs)}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
