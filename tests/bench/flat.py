"""Whether a record costs the same however many there are: first load and unchanged re-sync at several sizes."""

import os
import statistics

from tests.bench.site import Patchbay, started, static_vendor, vendor

# Records -> rounds. The sizes take turns, so that a busy minute of the machine meets all of them.
SIZES = {10_000: 5, 100_000: 3, int(os.environ.get("BENCH_LARGEST", "1000000")): 1}


def main() -> None:
    """Print microseconds a record for each size, and the largest against the smallest."""
    took: dict[int, list[tuple[float, float]]] = {size: [] for size in SIZES}
    for turn in range(max(SIZES.values())):
        for size, rounds in SIZES.items():
            if turn < rounds:
                with started() as stack, vendor(static_vendor(), size) as url:
                    side = Patchbay(stack, url)
                    ids = side.install()
                    took[size].append((side.run(*ids) / size * 1e6, side.run(*ids) / size * 1e6))
    smallest = min(SIZES)
    for index, what in enumerate(("first load", "unchanged again")):
        base = statistics.median(pair[index] for pair in took[smallest])
        for size, pairs in took.items():
            values = [pair[index] for pair in pairs]
            middle = statistics.median(values)
            spread = f"({min(values):.0f}-{max(values):.0f})"
            print(
                f"{what:<16} {size:>9,} records {middle:>6.0f} us each {spread:<11} {middle / base:.2f} of {smallest:,}",
                flush=True,
            )


if __name__ == "__main__":
    main()
