"""The benchmark of fairness in small, with real worker processes, by the order in which tasks end instead of by time."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.bench.fairness import serve, workers

Owner = psycopg.Connection[Any]


@pytest.mark.usefixtures("clean")
def test_small_tenants_are_served_before_most_of_a_big_ones_tasks(
    environment: dict[str, str], owner: Owner, tmp_path: Path
) -> None:
    """P01: 10 tenants with 3 tasks, queued behind 150 of one. The oldest-first queue shows what it would be without."""
    with workers(owner, environment, tmp_path, count=2) as switch:
        size = {"big": 150, "small": 10, "each": 3}
        assert serve(owner, switch, "tenant", **size).big_before <= 40
        assert serve(owner, switch, "fifo", **size).big_before >= 147
    owner.execute("TRUNCATE tasks, task_gates")
