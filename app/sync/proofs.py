"""What closes a problem: a call that has worked, or its cause being gone. Nothing else does. Pure."""

from typing import Literal

Proof = Literal["run", "stream", "test", "write", "decided", "settled", "resumed", "removed", "moved", "webhook"]

# What people read of a problem that is closed.
SENTENCES: dict[Proof, str] = {
    "run": "A run was done.",
    "stream": "The data was read.",
    "test": "A test of the connection succeeded.",
    "write": "A write was accepted.",
    "decided": "Somebody decided.",
    "settled": "The last of its records was settled.",
    "resumed": "The installation was resumed.",
    "removed": "The installation was removed.",
    "moved": "It is part of another problem now.",
    "webhook": "A webhook came.",
}
# However well a run reads: these close when a write is accepted, their records are in order, a webhook
# comes, or somebody has decided.
NOT_BY_RUN = frozenset(
    {
        "records_refused", "conflicts_open", "schema_drift", "deletes_ask", "promise_ask", "deletes_out_ask",
        "write_forbidden", "webhooks_silent",
    }
)  # fmt: skip
# What a test of the connection proves: it reads of every stream. Where one stream alone is forbidden, its own read does.
BY_TEST = frozenset({"reconnect", "permission_missing", "settings_wrong"})


def closed_by_run(code: str) -> bool:
    """Whether a run that was done proves that a problem of this code is solved."""
    return code not in NOT_BY_RUN


def closed_by_test(code: str, *, stops_sync: bool) -> bool:
    """Whether a test of the connection that succeeded proves it."""
    return stops_sync and code in BY_TEST
