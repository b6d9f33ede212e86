"""Three-way merge of one record, field by field, against the values both sides last agreed on. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Policy = Literal["theirs", "ours", "newest", "ask"]
Side = Literal["theirs", "ours"]


@dataclass(frozen=True, slots=True)
class Directions:
    """What may flow where, by names of the host's fields, and who wins.

    `policies` are those of single fields, `policy` that of the stream. `creates`: an external record that is not
    known yet becomes one of the host's.
    """

    incoming: frozenset[str]
    outgoing: frozenset[str] = frozenset()
    policy: Policy = "theirs"
    policies: Mapping[str, Policy] = field(default_factory=dict)
    creates: bool = True


@dataclass(frozen=True, slots=True)
class Clash:
    """A field that both sides have changed differently. `winner` is None while a person must choose."""

    field: str
    base: Any
    ours: Any
    theirs: Any
    policy: str
    winner: Side | None


@dataclass(frozen=True, slots=True)
class Merged:
    """`values`: the host's fields as they are to be. `base`: what is agreed on from now on. `clashes`: who gave way."""

    values: dict[str, Any]
    base: dict[str, Any]
    clashes: tuple[Clash, ...]


_NEVER = object()
_NOTHING = (None, _NEVER)
# `base` holds under this prefix what we have written where the other side keeps another form of it and the field does
# not flow back: both are the value agreed on.
OURS = "="


def merge(
    base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any], directions: Directions,
    *, newer: Side | None = None, echoed: Collection[str] = (),
) -> Merged:  # fmt: skip
    """Join the external record's values `theirs` with the host's `ours`; both in the host's fields.

    A field that `base` does not name has never been agreed on: an empty side takes the other's value. `newer` is the
    side changed last where both clocks can be trusted, else None. `echoed` are fields whose value over there is one
    that we have written ourselves: they agree, and are no change.

    What is sent to the other side afterwards is every outgoing field in which `values` differs from `base`.
    """
    values, clashes = dict(ours), []
    # What the mapping no longer names is no longer agreed on.
    agreed = {name: value for name, value in base.items() if name in theirs or name in directions.outgoing}
    for name, there in theirs.items():
        here, last = ours.get(name), base.get(name, _NEVER)
        if here == there or name in echoed:
            agreed[name] = there
            continue
        if last is not _NEVER and there == last:
            if name in directions.incoming and base.get(OURS + name, _NEVER) == here:
                values[name] = there
            continue  # Only we have changed it, or nobody may: it stays, and is sent where it may flow out.
        if name not in directions.incoming and (name not in directions.outgoing or (here is None and last in _NOTHING)):
            # Nothing is agreed on, and whoever writes it for the first time looks first: what is theirs is not lost.
            agreed.pop(name, None)
            continue
        winner, policy = _judge(name, last, here, there, directions, newer)
        if policy:
            clashes.append(Clash(name, None if last is _NEVER else last, here, there, policy, winner))
        if winner == "theirs":
            values[name] = there
        if winner is not None:
            agreed[name] = there
    _keep_forms(base, agreed)
    return Merged(values, agreed, tuple(clashes))


def _judge(
    name: str, last: Any, here: Any, there: Any, directions: Directions, newer: Side | None
) -> tuple[Side | None, str]:
    """Return who wins a field that differs, and the policy by which; none where only one side has anything to say."""
    if last is _NEVER and there is None:
        return "ours", ""
    if name not in directions.incoming:
        return "ours", "out"
    if here is None if last is _NEVER else here == last:
        return "theirs", ""
    policy = directions.policies.get(name, directions.policy)
    return newer if policy == "newest" else None if policy == "ask" else policy, policy


def _keep_forms(base: Mapping[str, Any], agreed: dict[str, Any]) -> None:
    for form in [name for name in base if name.startswith(OURS)]:
        name = form.removeprefix(OURS)
        if name in agreed and agreed[name] == base.get(name):
            agreed[form] = base[form]


def unsent(values: Mapping[str, Any], base: Mapping[str, Any], outgoing: Collection[str]) -> list[str]:
    """Return the outgoing fields in which the host's record differs from what was last agreed on, in a fixed order."""
    differs = [name for name in sorted(outgoing) if values.get(name) != base.get(name)]
    return [name for name in differs if values.get(name) != base.get(OURS + name, _NEVER)]
