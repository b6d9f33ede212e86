"""How each field of a record stands with one other side: the same, waiting to be sent, refused, or ours alone. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

FieldState = Literal["same", "waits", "refused", "conflict", "left_out", "not_sent", "kept", "new", "unmapped"]
# What keeps every difference of a record from being sent, by the outcome of its diagnosis.
_HELD: dict[str, FieldState] = {
    "refused_there": "refused", "parked": "refused", "mapping_failed": "refused", "filtered": "left_out",
    "ignored": "left_out", "not_sent": "not_sent",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flow:
    """What a stream's mapping does: the fields it makes of an external record, and those it sends."""

    targets: Collection[str]
    outgoing: Collection[str]


def state_of(
    name: str, here: Any, base: Mapping[str, Any], flow: Flow, *, disputed: Collection[str] = (), outcome: str = ""
) -> FieldState:
    """Return how a field stands: `here` against what was last agreed in `base`.

    `disputed` are fields of an open conflict; `outcome` is that of the record's diagnosis. What was never agreed on is
    `new`, what neither flows in nor out `unmapped`, what differs and does not flow out `kept`.
    """
    if name in disputed:
        return "conflict"
    sent = name in flow.outgoing
    if name not in base:
        if sent and here not in (None, ""):
            return _HELD.get(outcome, "waits")
        return "new" if name in flow.targets else "unmapped"
    if here == base[name] or (here in (None, "") and base[name] in (None, "")):
        return "same"
    return _HELD.get(outcome, "waits") if sent else "kept"
