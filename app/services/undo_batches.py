"""The work of an undo: a batch of a run's journal looked at, and taken back where a person has said so."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from app.arrays import uuids
from app.clock import now
from app.db import db
from app.models.object_types import ObjectField
from app.models.records import Change, Record
from app.models.runs import Run
from app.services import object_types, record_edits
from app.services.page_writes import connection
from app.services.record_edits import Edit
from app.services.undos import lock_run, writer_of
from app.sync.plan import Held
from app.sync.undo import Done, Later, Left, Step, Story, take_back
from app.tenancy import scoped

BATCH = 200
# A record that has changed more often than this since is taken for edited.
_LATER = 20
_SAMPLES, _LEFT, _FIELDS = 5, 100, 4
_Types = dict[str, tuple[str, list[ObjectField]]]


def work(tenant_id: uuid.UUID, run_id: uuid.UUID) -> bool:
    """Go through one batch of the journal of a run; return whether there is more."""
    run = lock_run(tenant_id, run_id)
    if run.undo is None or run.undo["step"] not in ("look", "undo"):
        return False
    state = {**run.undo, "counts": dict(run.undo["counts"]), "sends": dict(run.undo["sends"])}
    if state["position"] is None:
        state["operations"] = _operations(tenant_id, run_id)
        state["total"] = sum(state["operations"].values())
    position = uuid.UUID(state["position"]) if state["position"] else None
    rows = _batch(tenant_id, run_id, position)
    undoing = state["step"] == "undo"
    if rows:
        records, stories = _stories(tenant_id, run_id, [row[1] for row in rows], position, lock=undoing)
        outcomes = [take_back(story) for story in stories]
        _count(state, outcomes, records)
        if undoing:
            _write(tenant_id, run, [outcome for outcome in outcomes if isinstance(outcome, Step)])
        state["position"], state["seen"] = str(rows[-1][0]), state["seen"] + len(rows)
    if len(rows) < BATCH:
        state["step"] = "done" if undoing else "ready"
    state["at"] = now().isoformat()
    run.undo = state
    return len(rows) == BATCH


def _of_run(tenant_id: uuid.UUID, run_id: uuid.UUID) -> tuple[Any, ...]:
    # The undo's own rows have the run, but no installation.
    return Change.tenant_id == tenant_id, Change.run_id == run_id, Change.installation_id.is_not(None)


def _operations(tenant_id: uuid.UUID, run_id: uuid.UUID) -> dict[str, int]:
    query = select(Change.operation, func.count()).where(*_of_run(tenant_id, run_id)).group_by(Change.operation)
    return {row[0]: row[1] for row in db.session.execute(query)}


def _batch(
    tenant_id: uuid.UUID, run_id: uuid.UUID, position: uuid.UUID | None
) -> Sequence[tuple[uuid.UUID, uuid.UUID]]:
    query = select(Change.id, Change.record_id).where(*_of_run(tenant_id, run_id))
    if position:
        query = query.where(Change.id > position)
    return [(row[0], row[1]) for row in db.session.execute(query.order_by(Change.id).limit(BATCH))]


def _stories(
    tenant_id: uuid.UUID, run_id: uuid.UUID, record_ids: Sequence[uuid.UUID], position: uuid.UUID | None, *, lock: bool
) -> tuple[dict[uuid.UUID, Record], list[Story]]:
    """Return the records of a batch and their stories, without those whose first change an earlier batch has had."""
    ids = list(set(record_ids))
    present = scoped(Record, tenant_id).where(Record.id.in_(ids)).execution_options(populate_existing=True)
    held = record_edits.hold(tenant_id, ids) if lock else {r.id: r for r in db.session.scalars(present)}
    fresh = {
        name: found for name, found in _done(tenant_id, run_id, ids).items()
        if name in held and (not position or found[0][0] > position)
    }  # fmt: skip
    later = _later(tenant_id, {name: found[-1][0] for name, found in fresh.items()})
    restored = {name: found[0][0] for name, found in fresh.items() if found[0][1].operation == "restored"}
    deleted = _deleted_before(tenant_id, restored)
    stories = [
        Story(
            name, [done for _, done in found], Held(held[name].data, held[name].deleted_at is not None),
            later.get(name, ()), name in deleted,
        )
        for name, found in sorted(fresh.items())
    ]  # fmt: skip
    return held, stories


def _done(
    tenant_id: uuid.UUID, run_id: uuid.UUID, record_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[tuple[uuid.UUID, Done]]]:
    """Return record -> what the run did to it, oldest first."""
    # By record, whatever the planner believes: by run it would read the whole journal of the run for each batch.
    rows = connection().execute(
        "SELECT t.r, c.id, c.operation, c.before, c.after FROM unnest(%b::uuid[]) AS t(r), LATERAL (SELECT id, run_id, "
        "installation_id, operation, before, after FROM changes WHERE tenant_id = %b AND record_id = t.r OFFSET 0) AS c "
        "WHERE c.run_id = %b AND c.installation_id IS NOT NULL ORDER BY c.id",
        (uuids(record_ids), tenant_id, run_id),
    )
    found: dict[uuid.UUID, list[tuple[uuid.UUID, Done]]] = {}
    for record_id, change_id, *change in rows:
        found.setdefault(record_id, []).append((change_id, Done(*change)))
    return found


def _later(tenant_id: uuid.UUID, last: Mapping[uuid.UUID, uuid.UUID]) -> dict[uuid.UUID, list[Later]]:
    rows = connection().execute(
        "SELECT t.r, c.run_id, c.run_id IS NOT NULL AND c.installation_id IS NULL "
        "FROM unnest(%b::uuid[], %b::uuid[]) AS t(r, l), LATERAL (SELECT run_id, installation_id FROM changes "
        "WHERE tenant_id = %b AND record_id = t.r AND id > t.l ORDER BY id LIMIT %b) AS c",
        (uuids(list(last)), uuids(list(last.values())), tenant_id, _LATER + 1),
    )
    found: dict[uuid.UUID, list[Later]] = {}
    for record_id, run_id, undo in rows:
        found.setdefault(record_id, []).append(Later(run_id, undo))
    return found


def _deleted_before(tenant_id: uuid.UUID, first: Mapping[uuid.UUID, uuid.UUID]) -> set[uuid.UUID]:
    if not first:
        return set()
    rows = connection().execute(
        "SELECT t.r FROM unnest(%b::uuid[], %b::uuid[]) AS t(r, f), LATERAL (SELECT operation FROM changes "
        "WHERE tenant_id = %b AND record_id = t.r AND id < t.f AND operation IN ('created', 'deleted', 'restored') "
        "ORDER BY id DESC LIMIT 1) AS c WHERE c.operation = 'deleted'",
        (uuids(list(first)), uuids(list(first.values())), tenant_id),
    )
    return {row[0] for row in rows}


def _write(tenant_id: uuid.UUID, run: Run, steps: Sequence[Step]) -> None:
    writer = writer_of(run)
    edits = [Edit(s.record_id, s.values, restore=s.kind == "bring_back") for s in steps if s.kind != "delete"]
    record_edits.apply(tenant_id, edits, writer=writer, undoes=run.id)
    gone = [step.record_id for step in steps if step.kind == "delete"]
    record_edits.remove(tenant_id, gone, writer=writer, undoes=run.id)


def _count(state: dict[str, Any], outcomes: Sequence[Step | Left], records: Mapping[uuid.UUID, Record]) -> None:
    shown: dict[str, int] = {}
    for sample in state["samples"]:
        shown[sample["kind"]] = shown.get(sample["kind"], 0) + 1
    types: _Types = {}
    samples, left = list(state["samples"]), list(state["left"])
    for outcome in outcomes:
        record = records[outcome.record_id]
        kind = outcome.kind if isinstance(outcome, Step) else outcome.reason
        state["counts"][kind] += 1
        if isinstance(outcome, Step) and outcome.kind != "delete":
            state["sends"][record.object_type] = state["sends"].get(record.object_type, 0) + 1
        wanted = kind == "edited" and len(left) < _LEFT
        if isinstance(outcome, Step) and shown.get(kind, 0) < _SAMPLES:
            shown[kind] = shown.get(kind, 0) + 1
            samples.append({"kind": kind, **_name(record, types), "fields": _fields(record, outcome, types)})
        elif wanted:
            left.append(_name(record, types))
    state["samples"], state["left"] = samples, left


def _type(name: str, types: _Types) -> tuple[str, list[ObjectField]]:
    if name not in types:
        types[name] = object_types.get_object_type(name).title_field, object_types.list_fields(name)
    return types[name]


def _name(record: Record, types: _Types) -> dict[str, str]:
    title_field, _ = _type(record.object_type, types)
    title = record.data.get(title_field) or record.data.get("email") or record.data.get("name") or "without a name"
    return {"id": str(record.id), "title": str(title)[:120]}


def _fields(
    record: Record, step: Step, types: _Types
) -> list[dict[str, Any]]:  # fmt: skip
    _, fields = _type(record.object_type, types)
    return [
        {
            "label": f.label, "hidden": f.sensitive, "now": None if f.sensitive else record.data.get(f.name),
            "then": None if f.sensitive else step.values[f.name],
        }
        for f in fields if f.name in step.values
    ][:_FIELDS]  # fmt: skip
