"""Records a second through a mapping of ten fields with typical transforms, beside the same ten written by hand."""

import os
import statistics
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from connectors.sdk import Choice, CompiledMapping, Rule, TargetField, Transform, compile_mapping

RECORDS = int(os.environ.get("BENCH_MAPPED", "20000"))
PAIRS = int(os.environ.get("BENCH_PAIRS", "5"))
_STAGES = ("lead", "customer", "subscriber", "other")
_TABLE = {"opportunity": "lead", "evangelist": "customer", "newsletter": "subscriber"}
FIELDS = (
    TargetField("email", "E-mail", "email"), TargetField("first_name", "First name", "text"),
    TargetField("full_name", "Full name", "text"), TargetField("phone", "Phone", "phone"),
    TargetField("company_name", "Company name", "text"), TargetField("city", "City", "text"),
    TargetField("stage", "Stage", "choice", choices=tuple(Choice(name, name.capitalize()) for name in _STAGES)),
    TargetField("score", "Score", "number"), TargetField("birthday", "Birthday", "date"),
    TargetField("consent", "Consent", "flag"),
)  # fmt: skip
TRIM = Transform("trim")
RULES = (
    Rule("email", ("properties.email",), (TRIM, Transform("case", {"to": "lower"}))),
    Rule("first_name", ("properties.firstname",), (TRIM,)),
    Rule("full_name", ("properties.firstname", "properties.lastname"), (Transform("concat", {"separator": " "}), TRIM)),
    Rule("phone", ("properties.phone",)), Rule("company_name", ("properties.company",), (TRIM,)),
    Rule("city", ("properties.city",)),
    Rule("stage", ("properties.lifecyclestage",), (Transform("value_table", {"table": _TABLE}),), default="other"),
    Rule("score", ("properties.score",), (Transform("number", {"decimal": "."}),)),
    Rule("birthday", ("properties.birthday",), (Transform("date_parse", {"format": "DD/MM/YYYY"}),)),
    Rule("consent", ("properties.consent",), (Transform("boolean"),)),
)  # fmt: skip


def records(number: int) -> list[dict[str, Any]]:
    """Return that many records as a vendor's JSON holds them; a tenth of the values is empty."""
    stages, answers = ("opportunity", "customer", "Evangelist", "lead"), ("Yes", "no", "true", "0")
    return [
        {
            "id": str(n), "updatedAt": "2026-11-24T09:30:00Z",
            "properties": {
                "email": f" Ada.{n}@Example.com", "firstname": f" Ada{n % 700} ", "lastname": f"Byron-{n % 900}",
                "phone": f"+46 8 {n:06}", "company": None if n % 10 == 0 else f"Company {n % 300}",
                "city": "" if n % 10 == 1 else f"City {n % 99}", "lifecyclestage": stages[n % 4],
                "score": f"£{n % 9000 + 1000:,}.50" if n % 4 == 0 else f"{n % 100}.25", "consent": answers[n % 4],
                "birthday": f"{n % 28 + 1:02}/{n % 12 + 1:02}/{1950 + n % 50}",
            },
        }
        for n in range(number)
    ]  # fmt: skip


def by_hand(record: dict[str, Any]) -> dict[str, Any]:
    """Return the same ten fields as a script for this one vendor would make them, without a check of any value."""
    p = record["properties"]
    score = "".join(sign for sign in p["score"] if sign.isdigit() or sign == ".")
    return {
        "email": p["email"].strip().lower(), "first_name": p["firstname"].strip(),
        "full_name": f"{p['firstname']} {p['lastname']}".strip(), "phone": p["phone"] or None,
        "company_name": p["company"].strip() if p["company"] else None, "city": p["city"] or None,
        "stage": _TABLE.get(p["lifecyclestage"].lower(), p["lifecyclestage"]), "score": float(score),
        "birthday": datetime.strptime(p["birthday"], "%d/%m/%Y").date().isoformat(),
        "consent": p["consent"].lower() in ("yes", "true", "1", "on"),
    }  # fmt: skip


def mapping() -> CompiledMapping:
    """Return the mapping that is measured."""
    return compile_mapping(RULES, FIELDS)


def rate(make: Callable[[dict[str, Any]], Any], data: list[dict[str, Any]]) -> float:
    """Return records a second of one pass, in time of this process: others on the machine do not count."""
    started = time.process_time()
    for record in data:
        make(record)
    return len(data) / (time.process_time() - started)


def main() -> None:
    """Measure both in turn and print medians with their ratio and spread."""
    data, ready = records(RECORDS), mapping()
    assert [ready.apply(record).values for record in data[:200]] == [by_hand(record) for record in data[:200]]
    pairs = [(rate(ready.apply, data), rate(by_hand, data)) for _ in range(PAIRS)]
    ours, hand = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(mine / theirs for mine, theirs in pairs)
    print(f"mapping, ten fields: {ours:,.0f} records/s; by hand {hand:,.0f} records/s")
    print(
        f"  ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), {PAIRS} pairs of {RECORDS:,}"
    )


if __name__ == "__main__":
    main()
