"""How a stream is synced: which way, whose value holds, what a delete does, which records. And what changing that costs."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.ids import new_id
from app.models.connections import Connection
from app.models.installations import InstallationStream
from app.services import full_passes, mappings
from app.services.full_passes import Cost
from app.services.mappings import Content, Filters
from app.services.object_types import fields_of
from app.services.stream_fields import AccountField
from connectors.sdk import MappingError, Rule, check_types, compile_filters, compile_mapping
from connectors.sdk.manifest import Manifest, Stream
from connectors.sdk.mapping_types import flows

DELETES = ("mirror", "archive", "ignore")


@dataclass(frozen=True)
class StreamSettings:
    """What people choose for a stream they sync."""

    direction: str = "in"
    conflict_policy: str = "ask"
    delete_policy: str = "mirror"
    filters: Filters = ()  # type: ignore[assignment]  # an empty tuple reads as an empty list


def settings_of(content: Content) -> StreamSettings:
    """Return what is set now."""
    installed = content.installed
    policy = installed.conflict_policy if installed.direction == "both" else "ask"
    return StreamSettings(installed.direction, policy, installed.delete_policy, list(content.in_force.filters))


def directions_of(manifest: Manifest, declared: Stream, connection: Connection) -> dict[str, str]:
    """Return direction -> why it cannot be chosen, empty where it can."""
    name, writes = manifest.listing.name, declared.writes
    reason = ""
    if writes is None or not (writes.create or writes.update or writes.batch_update):
        reason = f"Nothing can be written to {declared.label.lower()} of {name} from here."
    elif writes.scope and writes.scope in (connection.settings.get("left_out") or []):
        reason = f"The connection may not write. Connect {name} again and allow {writes.scope}."
    return {"in": "", "both": reason, "out": reason}


def policies_of(manifest: Manifest, declared: Stream) -> dict[str, str]:
    """Return policy for conflicts -> why it cannot be chosen, empty where it can."""
    clock = "" if declared.trusted_clock else f"The clock of {manifest.listing.name} cannot be compared with ours."
    return {"ask": "", "theirs": "", "ours": "", "newest": clock}


def problem_of(content: Content, wanted: StreamSettings) -> MappingError | None:
    """Return why the filters, or the mapping under this direction, cannot be; None when they can."""
    fields = fields_of(content.installed.object_type)
    try:
        compile_filters(wanted.filters, fields)
        compile_mapping(content.rules_in_force, fields, direction=wanted.direction)
    except MappingError as error:
        return error
    return None


def faults_of(
    content: Content, manifest: Manifest, connection: Connection, wanted: StreamSettings
) -> dict[str, str]:  # fmt: skip
    """Return what of this cannot be set: direction, conflict, deletes or filters -> why."""
    declared, found = manifest.stream(content.installed.stream), {}
    ways, policies = directions_of(manifest, declared, connection), policies_of(manifest, declared)
    # A way that is in use stays, also where the permission for it has gone meanwhile: runs say what is missing.
    if wanted.direction not in ways or (ways[wanted.direction] and wanted.direction != content.installed.direction):
        found["direction"] = ways.get(wanted.direction) or "Choose a direction."
    if wanted.conflict_policy not in policies or policies[wanted.conflict_policy]:
        found["conflict"] = policies.get(wanted.conflict_policy) or "Choose one."
    if wanted.delete_policy not in DELETES:
        found["deletes"] = "Choose one."
    problem = problem_of(content, wanted)
    filtered = {item.get("field") for item in wanted.filters}
    for fault in problem.problems if problem else ():
        place = "filters" if fault.field in filtered else "direction"
        found.setdefault(place, f"{fault.message} {fault.fix}")
    return found


def costs_of(
    tenant_id: uuid.UUID,
    installation_id: uuid.UUID,
    contents: Mapping[str, Content],
    wanted: Mapping[str, StreamSettings],
) -> dict[str, Cost | None]:
    """Return the streams that must be read in full again when this is set, with what that cost the last time."""
    changed = [name for name, content in contents.items() if name in wanted and _rereads(content, wanted[name])]
    known = full_passes.costs_of(tenant_id, installation_id, changed) if changed else {}
    return {name: known.get(name) for name in changed}


def _rereads(content: Content, wanted: StreamSettings) -> bool:
    installed = content.installed
    return installed.enabled and (
        wanted.direction != installed.direction or list(wanted.filters) != list(content.in_force.filters)
    )


def save(
    installed: InstallationStream, wanted: StreamSettings, fields: Mapping[str, AccountField], *,
    user_id: uuid.UUID | None,
) -> None:  # fmt: skip
    """Keep what was chosen; another direction or other filters plan a full pass. MappingError says what cannot be."""
    tenant_id, installation_id, stream = installed.tenant_id, installed.installation_id, installed.stream
    installed.delete_policy = wanted.delete_policy
    # One way, there is nothing to decide: the side that the values come from is right.
    one_way = {"in": "theirs", "out": "ours"}
    installed.conflict_policy = one_way.get(wanted.direction, wanted.conflict_policy)
    if wanted.direction != installed.direction:
        installed.direction, installed.full_pass_due, installed.told_from = wanted.direction, True, new_id()
        if flows(wanted.direction, "out"):
            _open_ways(installed, fields, user_id)
    content = mappings.get_content(tenant_id, installation_id, stream)
    problem = problem_of(content, wanted)
    if problem:
        raise problem
    mappings.put_in_force(tenant_id, installation_id, stream, filters=list(wanted.filters), user_id=user_id)


def _open_ways(installed: InstallationStream, fields: Mapping[str, AccountField], user_id: uuid.UUID | None) -> None:
    """Where no field flows out yet, let those flow out that can: a stream is turned round because somebody wants that."""
    content = mappings.get_content(installed.tenant_id, installed.installation_id, installed.stream)
    rules = content.rules_in_force
    if any(flows(rule.direction, "out") for rule in rules):
        return
    targets = fields_of(installed.object_type)
    for number in sorted(range(len(rules)), key=lambda number: len(rules[number].sources)):
        turned = [replace(rule, direction="both") if at == number else rule for at, rule in enumerate(rules)]
        if rules[number].direction == "in" and _works(turned, turned[number], targets, fields, installed.direction):
            rules = turned
    mappings.put_in_force(
        installed.tenant_id, installed.installation_id, installed.stream, rules=rules, user_id=user_id
    )


def _works(
    rules: list[Rule], turned: Rule, targets: list[Any], fields: Mapping[str, AccountField], direction: str
) -> bool:
    try:
        compile_mapping(rules, targets, direction=direction, sources=list(fields.values()))
    except MappingError:
        return False
    return not check_types([turned], targets, fields)
