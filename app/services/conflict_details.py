"""One conflict with all that a person needs to decide it: values, who wrote them and when, and what would be written."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.db import db
from app.models.accounts import User
from app.models.installations import Installation
from app.models.object_types import ObjectField, ObjectType
from app.models.records import Change, Link, Record
from app.models.runs import Conflict, Run
from app.services import conflicts, listings, object_types, passes
from app.services.page_context import PageContext
from app.tenancy import scoped
from connectors.sdk import Manifest

_JOURNAL = 200
_CANDIDATES = 20
_LAST = 10


@dataclass(frozen=True)
class FieldSides:
    """A field of a conflict: its three values, and who has written ours and when.

    `agreed`: it has a value both sides once agreed on, since `agreed_at` where the journal still knows. `chosen` is the
    side that was taken, `written` the value that was. `flows_out`: what is decided reaches the other side.
    """

    field: ObjectField
    base: Any
    ours: Any
    theirs: Any
    agreed: bool
    agreed_at: datetime | None = None
    ours_by: Change | None = None
    chosen: str | None = None
    written: Any = None
    flows_out: bool = False

    @property
    def name(self) -> str:
        """The name of the field."""
        return self.field.name


@dataclass(frozen=True)
class Candidate:
    """A record that an external record may be."""

    record: Record
    title: str


@dataclass(frozen=True)
class Details:
    """A conflict as its page shows it. `mark` says what the person has seen (conflicts.digest_of)."""

    conflict: Conflict
    installation: Installation
    manifest: Manifest
    kind: ObjectType
    record: Record | None
    link: Link | None
    title: str
    fields: list[FieldSides]
    mark: str
    run: Run | None = None
    settled_by: str | None = None
    candidates: list[Candidate] = field(default_factory=list)
    merged: list[tuple[ObjectField, Any, Any]] = field(default_factory=list)
    # Whether records of this stream are created, and deletes carried out, over there.
    creates_there: bool = False
    deletes_there: bool = False

    @property
    def stream_label(self) -> str:
        """What the vendor calls these records."""
        return self.manifest.stream(self.conflict.stream).label

    @property
    def hides(self) -> bool:
        """Whether it is about a field that not everybody may see."""
        return any(item.field.sensitive for item in self.fields)


def get_details(tenant_id: uuid.UUID, conflict_id: uuid.UUID) -> Details:
    """Return a conflict with all its page shows, or raise NotFoundError."""
    conflict = conflicts.get_conflict(tenant_id, conflict_id)
    installation = db.session.scalars(
        scoped(Installation, tenant_id).where(Installation.id == conflict.installation_id)
    ).one()
    manifest = listings.manifest_of(installation.listing_version_id)
    context = passes.open_context(tenant_id, installation, conflict.stream, manifest)
    kind, known = _type_and_fields(context.object_type)
    record = _record(tenant_id, conflict.record_id)
    link = db.session.scalar(
        scoped(Link, tenant_id).where(
            Link.installation_id == installation.id, Link.stream == conflict.stream,
            Link.external_id == conflict.external_id,
        )
    )  # fmt: skip
    journal = _journal(tenant_id, record.id) if record else []
    writes = manifest.stream(conflict.stream).writes
    flows = context.out is not None and writes is not None
    return Details(
        conflict, installation, manifest, kind, record, link, _title(conflict, record, kind),
        _fields(conflict, record, link, known, journal, context), conflicts.digest_of(conflict, record),
        run=db.session.scalar(scoped(Run, tenant_id).where(Run.id == conflict.run_id)) if conflict.run_id else None,
        settled_by=_name(conflict.settled_by), candidates=_candidates(tenant_id, conflict, kind),
        merged=_merged(conflict, journal, known),
        creates_there=bool(flows and writes and writes.create),
        deletes_there=bool(flows and writes and writes.delete and context.delete_policy == "mirror"),
    )  # fmt: skip


def _type_and_fields(name: str) -> tuple[ObjectType, dict[str, ObjectField]]:
    return object_types.get_object_type(name), {item.name: item for item in object_types.list_fields(name)}


def _record(tenant_id: uuid.UUID, record_id: uuid.UUID | None) -> Record | None:
    query = scoped(Record, tenant_id).where(Record.id == record_id)
    return db.session.scalar(query.execution_options(populate_existing=True)) if record_id else None


def title_of(data: Mapping[str, Any], title_field: str) -> str:
    """Return what people call a record with these values."""
    return str(data.get(title_field) or data.get("email") or data.get("name") or "without a name")


def _title(conflict: Conflict, record: Record | None, kind: ObjectType) -> str:
    return title_of(record.data if record else {**conflict.theirs, **conflict.ours}, kind.title_field)


def _journal(tenant_id: uuid.UUID, record_id: uuid.UUID) -> list[Change]:
    query = scoped(Change, tenant_id).where(Change.record_id == record_id).order_by(Change.id.desc())
    return list(db.session.scalars(query.limit(_JOURNAL)))


def _name(user_id: uuid.UUID | None) -> str | None:
    return db.session.scalar(select(User.name).where(User.id == user_id)) if user_id else None


def _fields(
    conflict: Conflict, record: Record | None, link: Link | None, known: Mapping[str, ObjectField],
    journal: Sequence[Change], context: PageContext,
) -> list[FieldSides]:  # fmt: skip
    ours = conflicts.ours_now(conflict, record.data if record else None)
    base = {**(link.base if link and conflict.state == "open" else {}), **conflict.base}
    names = [name for name in known if name in conflict.theirs or name in conflict.ours]
    found = []
    for name in names:
        last, here = base.get(name), ours.get(name)
        writer = next((change for change in journal if change.after.get(name, ...) == here), None)
        # Null stands for "never agreed on" too; the link knows while it still has the old base.
        agreed = last is not None or bool(link and conflict.state == "open" and name in link.base)
        since = next((change for change in journal if agreed and change.after.get(name, ...) == last), None)
        found.append(
            FieldSides(
                known[name], last, here, conflict.theirs.get(name), agreed,
                since.created_at if since else None, writer, conflict.choices.get(name), written(conflict, name),
                context.out is not None and name in context.directions.outgoing,
            )
        )  # fmt: skip
    return found


def written(conflict: Conflict, name: str) -> Any:
    """Return the value that a settled conflict has given a field."""
    sides = {"theirs": conflict.theirs, "ours": conflict.ours, "base": conflict.base, "edited": conflict.edited}
    return sides.get(conflict.choices.get(name, ""), {}).get(name)


def _candidates(tenant_id: uuid.UUID, conflict: Conflict, kind: ObjectType) -> list[Candidate]:
    if conflict.kind != "match":
        return []
    ids = [uuid.UUID(text) for text in conflict.candidates[:_CANDIDATES]]
    rows = db.session.scalars(
        scoped(Record, tenant_id).where(Record.id.in_(ids), Record.deleted_at.is_(None)).order_by(Record.id)
    )
    return [Candidate(record, title_of(record.data, kind.title_field)) for record in rows]


def _merged(
    conflict: Conflict, journal: Sequence[Change], known: Mapping[str, ObjectField]
) -> list[tuple[ObjectField, Any, Any]]:
    """Return (field, before, after) of what the same run has taken over from there without asking."""
    if conflict.run_id is None or conflict.kind != "fields":
        return []
    found: dict[str, tuple[ObjectField, Any, Any]] = {}
    for change in journal:
        if change.run_id == conflict.run_id and change.operation in ("updated", "linked"):
            for name in change.after:
                if name in known and name not in conflict.theirs:
                    found.setdefault(name, (known[name], change.before.get(name), change.after[name]))
    return list(found.values())


def last_choices(tenant_id: uuid.UUID, conflict: Conflict) -> dict[str, tuple[str, int, int]]:
    """Return field -> (side nearly always taken, how often, of how many) in the last decisions of people about it."""
    if conflict.kind != "fields":
        return {}
    rows = db.session.scalars(
        select(Conflict.choices)
        .where(
            Conflict.tenant_id == tenant_id, Conflict.installation_id == conflict.installation_id,
            Conflict.stream == conflict.stream, conflicts.SHOWN["settled"], Conflict.settled_by.is_not(None),
            Conflict.decided_with.is_(None), Conflict.kind == "fields",
        )
        .order_by(Conflict.id.desc()).limit(_LAST * _LAST)
    ).all()  # fmt: skip
    found = {}
    for name in conflict.theirs:
        taken = [choices[name] for choices in rows if name in choices][:_LAST]
        for side in ("theirs", "ours"):
            if len(taken) >= _LAST / 2 and taken.count(side) >= 0.8 * len(taken):
                found[name] = (side, taken.count(side), len(taken))
    return found
