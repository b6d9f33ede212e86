"""What a dry run tells: figures, samples and causes of each stream and their totals, as a page shows them."""

from collections.abc import Sequence
from typing import Any

from app.models.installations import InstallationStream
from app.services.dry_run_state import StreamState
from app.sync.promise import promise_of


def report(streams: Sequence[tuple[StreamState, InstallationStream]]) -> dict[str, Any]:
    """Return the result of a dry run that has read all it may: its streams and their totals."""
    told = [_stream(state, installed) for state, installed in streams]
    read = [item for item in told if not item["error"]]
    changed = [(label, count) for item in read for label, count in item["alone"].items()]
    return {
        "streams": told,
        "totals": {
            "created": _sum(read, "into", "create"), "changed": _sum(read, "into", "change"),
            "linked": _sum(read, "into", "link"), "unchanged": _sum(read, "into", "unchanged"),
            "there": sum(_sum(read, "there", kind) for kind in ("create", "change", "delete")),
            "deleted_there": _sum(read, "there", "delete"),
            "left_out": _sum(read, "into", "left_out") + _sum(read, "there", "left_out"),
            "guessed": any(item["ended"] != "all" for item in read),
            "flows_out": any(item["there"] for item in read),
            "alone": max(changed, key=lambda pair: pair[1], default=None),
        },
    }  # fmt: skip


def _sum(streams: Sequence[dict[str, Any]], side: str, kind: str) -> int:
    # Of a stream that was read in part, what is expected of all of it.
    rows = [(item.get("expected") or item)[side] or {} for item in streams]
    return sum(row.get(kind) or 0 for row in rows)


def _stream(state: StreamState, installed: InstallationStream) -> dict[str, Any]:
    tally, counts = state.tally, state.tally.counts
    into = {
        "read": counts.read, "create": counts.created, "link": counts.linked, "change": tally.changed,
        "unchanged": counts.unchanged + tally.idle, "conflict": counts.conflicts,
        "left_out": counts.filtered + counts.failed, "delete": tally.missing,
    }  # fmt: skip
    there = _there(state) if installed.direction != "in" else None
    return {
        "stream": state.stream, "label": state.label, "direction": installed.direction,
        "delete_policy": installed.delete_policy, "ended": state.ended, "read": state.read, "total": state.known_total,
        "error": state.error, "error_fix": state.error_fix, "into": into, "there": there,
        "counts": dict(vars(counts)), "expected": _expected(state, into, there), "promise": _promise(state, installed),
        "alone": tally.alone, "samples": tally.samples, "causes": _most(tally.causes),
        "causes_there": _most(tally.causes_there), "clashes": _most(tally.clashes), "matches": tally.matches,
    }  # fmt: skip


def _most(groups: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(groups.values(), key=lambda group: -int(group["count"]))


def _there(state: StreamState) -> dict[str, Any]:
    found, only = state.tally.there, state.tally.there.get("only_here", 0)
    looked = found.get("looked_at", 0)
    create = found.get("create", 0)
    if 0 < looked < only:
        create = round(create * only / looked)
    return {
        "only_here": only, "looked_at": looked, "read": state.tally.matched + only, "create": create,
        "change": found.get("change", 0), "delete": found.get("delete", 0),
        "unchanged": max(0, state.tally.matched - state.tally.counts.outgoing),
        "left_out": sum(cause["count"] for cause in state.tally.causes_there.values()),
    }  # fmt: skip


def _expected(state: StreamState, into: dict[str, Any], there: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the figures for all records where only some were read; what only the host has can but become less."""
    factor = state.factor
    if factor is None or state.ended == "all":
        return None
    grown = {kind: round(value * factor) for kind, value in into.items() if value is not None}
    if there is None:
        return {"into": grown, "there": None}
    joined = round(state.tally.matched * (factor - 1))
    left = max(0, there["only_here"] - joined) / there["only_here"] if there["only_here"] else 0
    return {
        "into": grown,
        "there": {**there, "change": round(there["change"] * factor), "create": round(there["create"] * left)},
    }


def _promise(state: StreamState, installed: InstallationStream) -> dict[str, list[int]] | None:
    factor, counts = state.factor, state.tally.counts
    if state.error or factor is None:
        return None
    kinds = {kind: getattr(counts, kind) for kind in ("created", "linked", "updated", "conflicts")}
    if installed.direction != "in":
        kinds |= {"update_there": counts.outgoing, "create_there": state.tally.there.get("only_here", 0)}
    return promise_of(kinds, factor=factor)
