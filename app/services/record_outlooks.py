"""What changing, deleting or restoring a record by hand would do at its other sides, told before it is done."""

from dataclasses import dataclass

from app.services.diagnoses import Case
from app.services.record_traces import Trace


@dataclass(frozen=True)
class Reach:
    """What one side would hear of it. `writes`: something is written there; `can_create`: it can be made there again."""

    case: Case
    text: str
    writes: bool = False
    can_create: bool = False


def reaches_of_edit(trace: Trace, name: str) -> list[Reach]:
    """Return for each linked side whether a new value of a field is written there, and why not."""
    label = trace.labels[name]
    return [_edit(case, name, label) for case in trace.cases if _live(case)]


def _live(case: Case) -> bool:
    return case.link is not None and case.link.deleted_at is None


def _edit(case: Case, name: str, label: str) -> Reach:
    vendor, rules = case.names.vendor, case.rules
    at = f"{vendor}, {case.external_id}"
    if rules is None or (name not in rules.mapping.targets and name not in rules.mapping.outgoing_targets):
        return Reach(case, f"{at}: nothing is written. {label} is not mapped.")
    if name not in rules.mapping.outgoing_targets:
        return Reach(
            case, f"{at}: nothing is written. {label} only flows in, and a change in {vendor} may replace your value."
        )
    if case.diagnosis.outcome == "filtered":
        return Reach(case, f"{at}: nothing is written while a filter leaves this record out.")
    if case.clash and name in case.clash.theirs:
        return Reach(case, f"{at}: nothing is written before the open conflict about {label} is decided.")
    if "update" not in case.scene.standing_of(case.stream).operations:
        return Reach(case, f"{at}: nothing is written. {vendor} does not let them be changed.")
    return Reach(case, f"{at}: {_soon(case, 'written')}", writes=True)


def _soon(case: Case, word: str) -> str:
    standing = case.scene.standing
    if standing.state != "active" or standing.blocked:
        return f"it is {word} once {case.names.vendor} is active again."
    return f"it is {word} within seconds."


def reaches_of_delete(trace: Trace) -> list[Reach]:
    """Return for each linked side whether the record is deleted there as well."""
    return [_delete(case) for case in trace.cases if _live(case)]


def _delete(case: Case) -> Reach:
    standing, vendor = case.scene.standing_of(case.stream), case.names.vendor
    at = f"{vendor}, {case.external_id}"
    if standing.direction == "in":
        return Reach(case, f"{at}: it stays. {case.names.stream} only flow in, and an edit in {vendor} brings it back.")
    if standing.delete_policy != "mirror" or "delete" not in standing.operations:
        return Reach(case, f"{at}: it stays. Deletes are not carried over, and an edit in {vendor} brings it back.")
    return Reach(case, f"{at}: {_soon(case, 'deleted')}", writes=True)


def reaches_of_restore(trace: Trace) -> list[Reach]:
    """Return for each side that has, or had, the record what becomes of it there."""
    return [_restore(case) for case in trace.cases if case.link is not None]


def _restore(case: Case) -> Reach:
    at = f"{case.names.vendor}, {case.external_id}"
    if _live(case):
        return Reach(case, f"{at}: it is still in {case.names.vendor}. What differs is joined as always.", writes=True)
    standing = case.scene.standing_of(case.stream)
    if standing.direction != "in" and "create" in standing.operations:
        return Reach(case, f"{at}: it was deleted in {case.names.vendor}.", can_create=True)
    return Reach(case, f"{at}: it was deleted in {case.names.vendor} and stays so.")
