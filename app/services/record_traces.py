"""The trace of a record: its fields with who wrote them last, how each stands with each other side, and its story."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on

from app.db import db
from app.models.object_types import ObjectField, ObjectType
from app.models.records import Change, Record
from app.services import diagnoses, record_places, standings
from app.services.diagnoses import Case
from app.services.intents import LIVE_STATES
from app.services.records import get_record
from app.services.sensitive_fields import HIDDEN
from app.services.standings import Types
from app.sync.agreement import FieldState, Flow, state_of
from app.sync.pasted import Pasted
from app.tenancy import scoped


@dataclass(frozen=True)
class FieldSide:
    """One field at one other side: what was last agreed, what it holds there now if somebody looked, how it stands."""

    state: FieldState
    agreed: Any
    now: Any = None
    moved: bool = False


@dataclass(frozen=True)
class TracedField:
    """One field of the record with the change that wrote it last; its value is hidden where the field is sensitive."""

    field: ObjectField
    value: Any
    change: Change | None
    hidden: bool


@dataclass(frozen=True)
class Trace:
    """A record as its page shows it. `cases` are its other sides, those that are not in sync first."""

    record: Record
    kind: ObjectType
    types: Types
    title: str
    fields: list[TracedField]
    cases: list[Case]
    newest: Change | None

    @property
    def labels(self) -> dict[str, str]:
        """Field -> label."""
        return self.types.labels(self.record.object_type)

    @property
    def hidden(self) -> set[str]:
        """Fields whose values are not shown: those of this type, and those that one of its mappings may not show."""
        mapped = {name for case in self.cases if case.rules for name in case.rules.hidden}
        return mapped | self.types.hidden(self.record.object_type)

    def case_of(self, side: str) -> Case | None:
        """Return the side that is named by the id of its link or by its installation and stream; the first without."""
        return next((case for case in self.cases if side_name(case) == side), self.cases[0] if self.cases else None)


def side_name(case: Case) -> str:
    """Return how an address names one side of a record."""
    return str(case.link.id) if case.link else f"{case.scene.installation.id}:{case.stream}"


def get_trace(tenant_id: uuid.UUID, record_id: uuid.UUID, *, host: str) -> Trace:
    """Return the trace of a record in a fixed number of queries; NotFoundError when it is not there."""
    record, types = get_record(tenant_id, record_id), standings.load_types()
    about = record_places.installations_about(tenant_id, Pasted("", (), (record_id,), None), {})
    scenes = standings.load(tenant_id, types, about=about)
    cases = diagnoses.of_record(tenant_id, record, types, scenes, host=host)
    # What no installation's stream is for says nothing; what is linked, or could be, does.
    cases = [case for case in cases if case.stream and (case.link or case.diagnosis.outcome != "stream_off")]
    cases.sort(key=lambda case: (case.link is None, case.diagnosis.in_sync))
    last, newest = _last_changes(tenant_id, record_id), _newest(tenant_id, record_id)
    trace = Trace(
        record,
        types.types[record.object_type],
        types,
        types.title_of(record.object_type, record.data),
        [],
        cases,
        newest,
    )
    trace.fields.extend(_fields(trace, last))
    return trace


def _fields(trace: Trace, last: dict[str, Change]) -> list[TracedField]:
    hidden, data = trace.hidden, trace.record.data
    return [
        TracedField(
            field, shown(data.get(field.name), field.name in hidden), last.get(field.name), field.name in hidden
        )
        for field in trace.types.fields[trace.record.object_type]
    ]


def shown(value: Any, hidden: bool) -> Any:
    """Return a value, or that it is hidden; nothing stays nothing."""
    return HIDDEN if hidden and value not in (None, "") else value


def sides_of(trace: Trace, case: Case) -> dict[str, FieldSide]:
    """Return field -> how it stands with one other side."""
    base = dict(case.link.base) if case.link else {}
    rules, look, hidden = case.rules, case.look, trace.hidden
    flow = Flow(rules.mapping.targets, rules.mapping.outgoing_targets) if rules else Flow((), ())
    disputed = case.clash.theirs if case.clash and case.clash.kind == "fields" else {}
    values = look.values if look and look.values is not None else None
    differs = look.live.differs if look and look.live else {}
    return {
        item.field.name: FieldSide(
            state_of(
                item.field.name, trace.record.data.get(item.field.name), base, flow, disputed=disputed,
                outcome=case.diagnosis.outcome,
            ),
            shown(base.get(item.field.name), item.field.name in hidden),
            values.get(item.field.name) if values is not None else None,
            item.field.label in differs,
        )
        for item in trace.fields
    }  # fmt: skip


def _last_changes(tenant_id: uuid.UUID, record_id: uuid.UUID) -> dict[str, Change]:
    """Return field -> the change that wrote it last, however long ago that was."""
    names = func.jsonb_object_keys(Change.after).table_valued("name").lateral()
    wrote = (
        select(names.c.name, Change.id)
        .select_from(Change)
        .join(names, db.true())
        .where(Change.tenant_id == tenant_id, Change.record_id == record_id)
        .ext(distinct_on(names.c.name))
        .order_by(names.c.name, Change.id.desc())
    )
    found = {row[0]: row[1] for row in db.session.execute(wrote)}
    rows = {row.id: row for row in db.session.scalars(scoped(Change, tenant_id).where(Change.id.in_(found.values())))}
    return {name: rows[change_id] for name, change_id in found.items()}


def _newest(tenant_id: uuid.UUID, record_id: uuid.UUID) -> Change | None:
    query = scoped(Change, tenant_id).where(Change.record_id == record_id, Change.operation != "linked")
    return db.session.scalar(query.order_by(Change.id.desc()).limit(1))


@dataclass(frozen=True)
class Target:
    """Where the last change went: the side, and its write since then, if there is one."""

    case: Case
    went: bool


def targets_of(trace: Trace) -> Sequence[Target]:
    """Return the sides that the last change of the record went to or waits for; not the one that it came from."""
    newest = trace.newest
    if newest is None:
        return ()
    came = (newest.installation_id, newest.stream)
    found = []
    for case in trace.cases:
        if (case.scene.installation.id, case.stream) == came or case.rules is None:
            continue
        # A write is planned after its change, in one transaction; one that waits carries over what comes meanwhile.
        write = case.write
        went = write is not None and (write.id > newest.id or write.state in LIVE_STATES)
        if went or case.rules.mapping.outgoing_targets:
            found.append(Target(case, went))
    return found[:4]
