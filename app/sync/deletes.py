"""When deletes may be applied, when a person is asked first, and which of them an edit stands against."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.sync.merge import OURS, unsent

SHARE = 0.20
FLOOR = 20


@dataclass(frozen=True)
class Verdict:
    """`apply` the deletes, or `ask`; neither: keep everything and do nothing."""

    apply: bool
    ask: bool


def judge(candidates: int, live: int, *, confirmed: bool) -> Verdict:
    """Decide about `candidates` deletes among `live` links (reliability 3.2, D12).

    More than 20 and more than 20 % asks, unless a person has confirmed this run.
    """
    if not candidates:
        return Verdict(False, False)
    if candidates > FLOOR and candidates > SHARE * live and not confirmed:
        return Verdict(False, True)
    return Verdict(True, False)


def shows_all(read: int, total: int | None) -> bool:
    """Whether a pass proves what is gone: neither an empty one does, nor one shorter than the vendor's count (D13)."""
    return read > 0 and (total is None or read >= total)


def edited(base: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record that were changed here since both sides agreed: a delete must not take them away."""
    names = [name for name in base if not name.startswith(OURS)]
    return {name: data.get(name) for name in unsent(data, base, names)}
