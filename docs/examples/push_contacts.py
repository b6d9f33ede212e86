"""Push contacts from a product: a CSV with the columns id, email, first_name, last_name, city.

    PATCHBAY_URL=https://integrations.example.com PATCHBAY_KEY=pb_t_... python push_contacts.py contacts.csv

Run it as often as you like: contacts are known by your ids, and what has not changed is not written. A contact that an
integration has brought already is taken by its e-mail address instead of being made twice.
"""

import csv
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from patchbay_client import Patchbay

FIELDS = ("email", "first_name", "last_name", "city")


def items(path: str) -> Iterator[dict[str, Any]]:
    """Yield an upsert for each row."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            data = {name: row[name] or None for name in FIELDS if name in row}
            yield {"action": "upsert", "external_id": row["id"], "data": data, "match": "email"}


def main(path: str) -> int:
    """Push all, say what became of them, and return 1 when some were refused."""
    client = Patchbay(os.environ["PATCHBAY_URL"], os.environ["PATCHBAY_KEY"], tenant=os.environ.get("PATCHBAY_TENANT"))
    counts: Counter[str] = Counter()
    for result in client.write_batch("contact", items(path)):
        counts[result["outcome"]] += 1
        if result["error"]:
            print(f"{result['external_id']}: {result['error']['detail']}", file=sys.stderr)
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
