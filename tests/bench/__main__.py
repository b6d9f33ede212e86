"""`make bench`: speed as ratios against yardsticks run beside it. `python -m tests.bench load` runs one part alone."""

import sys

from tests.bench import events, fairness, flat, load, mapping, pages, two_way, webhooks

PARTS = {
    "mapping": mapping.main, "load": load.main, "two_way": two_way.main, "fairness": fairness.main, "flat": flat.main,
    "webhooks": webhooks.main, "events": events.main, "pages": pages.main,
}  # fmt: skip


def main() -> None:
    """Run the parts that are named, all of them when none is."""
    for name in sys.argv[1:] or PARTS:
        print(f"\n== {name} ==", flush=True)
        PARTS[name]()


if __name__ == "__main__":
    main()
