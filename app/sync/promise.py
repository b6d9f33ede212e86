"""What a dry run promises of the first run, and where that run leaves it. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Kind -> [least, most], as it is stored.
Promise = Mapping[str, Sequence[int]]
KINDS = ("created", "linked", "updated", "conflicts", "create_there", "update_there")
# Fewer conflicts or changes than predicted are no reason to ask; fewer matches make doubles.
_AT_LEAST = ("created", "linked")
# What a run has written is not met again by the next one; a conflict is.
_SPENT = ("created", "linked", "updated", "update_there")
# Both sides go on working between the dry run and the run.
_SLACK, _SHARE = 20, 0.10
# The records that were not read may be of another sort than those that were.
_SLACK_GUESSED, _SHARE_GUESSED = 100, 0.50


@dataclass(frozen=True, slots=True)
class Broken:
    """The kind of change that has left its range, and how far it is."""

    kind: str
    least: int
    most: int
    now: int


def promise_of(counts: Mapping[str, int], *, factor: float = 1.0) -> dict[str, list[int]]:
    """Return the ranges for what a dry run has counted of each kind.

    `factor` says how many times as many records there are as were read, 1 when all were. `create_there` is not
    multiplied: records that are not read yet can only lower it.
    """
    guessed = factor != 1.0
    found = {}
    for kind in KINDS:
        if kind not in counts:
            continue
        grows = guessed and kind != "create_there"
        middle = math.ceil(counts[kind] * factor) if grows else counts[kind]
        slack = _slack(middle, guessed=grows)
        least = 0 if guessed and not grows else max(0, middle - slack)
        found[kind] = [least, middle + slack]
    return found


def _slack(middle: int, *, guessed: bool) -> int:
    if guessed:
        return max(_SLACK_GUESSED, math.ceil(middle * _SHARE_GUESSED))
    return max(_SLACK, math.ceil(middle * _SHARE))


def broken(promise: Promise, counts: Mapping[str, int], *, over: bool = False) -> Broken | None:
    """Return the first kind of `counts` that has left its range; what is too few shows once the pass is `over`."""
    for kind in KINDS:
        if kind not in promise or kind not in counts:
            continue
        (least, most), now = promise[kind], counts[kind]
        if now > most or (over and now < least and kind in _AT_LEAST):
            return Broken(kind, least, most, now)
    return None


def left_of(promise: Promise, counts: Mapping[str, int]) -> dict[str, list[int]]:
    """Return what a run that has ended before its time leaves of a promise for the next one."""
    return {
        kind: [max(0, bound - (counts.get(kind, 0) if kind in _SPENT else 0)) for bound in bounds]
        for kind, bounds in promise.items()
    }
