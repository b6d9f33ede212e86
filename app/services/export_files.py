"""The files of an export of an installation: which there are, what stands in a row of each, and how it is read in batches by keyset."""

import csv
import io
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import TextClause, text

from app.db import db
from app.models.exports import Export
from app.services import export_settings, standings
from app.services.sensitive_fields import mask

BATCH = 2000
Row = dict[str, Any]
_FIRST = str(uuid.UUID(int=0))
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_RECORDS = text("""
    SELECT l.external_id AS cursor, l.external_id, l.record_id, r.external_id AS host_id, l.created_at AS linked_at,
        l.updated_at AS synced_at, l.deleted_at AS link_ended_at, r.deleted_at AS record_deleted_at, r.data
    FROM links l LEFT JOIN records r ON r.tenant_id = l.tenant_id AND r.id = l.record_id
    WHERE l.tenant_id = :tenant AND l.installation_id = :installation AND l.stream = :stream AND l.external_id > :after
    ORDER BY l.external_id LIMIT :batch
""")
_RUNS = text("""
    SELECT r.id::text AS cursor, r.id AS run_id, r.created_at, r.started_at, r.finished_at, r.trigger, r.mode, r.state,
        s.read, s.created, s.updated, s.linked, s.unchanged, s.deleted, s.failed, s.conflicts, r.error_message
    FROM runs r LEFT JOIN LATERAL (
        SELECT sum(read) AS read, sum(created) AS created, sum(updated) AS updated, sum(linked) AS linked,
            sum(unchanged) AS unchanged, sum(deleted) AS deleted, sum(failed) AS failed, sum(conflicts) AS conflicts
        FROM run_streams WHERE tenant_id = r.tenant_id AND run_id = r.id
    ) s ON true
    WHERE r.tenant_id = :tenant AND r.installation_id = :installation AND r.id > CAST(:after AS uuid)
    ORDER BY r.id LIMIT :batch
""")
_PROBLEMS = text("""
    SELECT id::text AS cursor, id AS problem_id, created_at AS opened_at, closed_at, state, message, fix, count,
        closed_by AS proof FROM problems
    WHERE tenant_id = :tenant AND installation_id = :installation AND id > CAST(:after AS uuid) ORDER BY id LIMIT :batch
""")
_FAILED = text("""
    SELECT id::text AS cursor, id AS failed_record_id, created_at AS failed_at, resolved_at, stream, external_id, record_id,
        direction, state, field, message FROM failed_records
    WHERE tenant_id = :tenant AND installation_id = :installation AND id > CAST(:after AS uuid) ORDER BY id LIMIT :batch
""")
_CONFLICTS = text("""
    SELECT id::text AS cursor, id AS conflict_id, created_at AS opened_at, settled_at, stream, external_id, record_id, kind,
        state, resolution, base AS last_agreed, ours, theirs FROM conflicts
    WHERE tenant_id = :tenant AND installation_id = :installation AND id > CAST(:after AS uuid) ORDER BY id LIMIT :batch
""")
_COUNT = text("""
    SELECT (SELECT count(*) FROM links WHERE tenant_id = :tenant AND installation_id = :installation)
        + (SELECT count(*) FROM runs WHERE tenant_id = :tenant AND installation_id = :installation)
        + (SELECT count(*) FROM problems WHERE tenant_id = :tenant AND installation_id = :installation)
        + (SELECT count(*) FROM failed_records WHERE tenant_id = :tenant AND installation_id = :installation)
        + (SELECT count(*) FROM conflicts WHERE tenant_id = :tenant AND installation_id = :installation)
""")
_TABLES: tuple[tuple[str, TextClause], ...] = (
    ("runs", _RUNS), ("problems", _PROBLEMS), ("failed_records", _FAILED), ("conflicts", _CONFLICTS),
)  # fmt: skip


def count(tenant_id: uuid.UUID, export: Export) -> int:
    """Return how many rows an export will have, for its progress."""
    values = {"tenant": tenant_id, "installation": export.installation_id}
    return int(db.session.execute(_COUNT, values).scalar_one())


@dataclass(frozen=True)
class Table:
    """A file with many rows. `shape` makes a row of the file from one of the query, and `columns` names its columns."""

    name: str
    form: str
    query: TextClause
    values: dict[str, Any]
    columns: Sequence[str] = ()
    shape: Callable[[Row], Row] = field(default=lambda row: row)
    first: str = _FIRST

    def read(self, after: str | None) -> tuple[list[Row], str | None]:
        """Return the rows behind `after` and where to go on, None at the end."""
        start = self.first if after is None else after
        found = db.session.execute(self.query, {**self.values, "after": start, "batch": BATCH}).mappings().all()
        rows = [self.shape({name: value for name, value in row.items() if name != "cursor"}) for row in found]
        return rows, found[-1]["cursor"] if len(found) == BATCH else None

    def head(self) -> bytes:
        """Return what stands before the rows."""
        return b"[" if self.form == "json" else csv_of(self.columns, [])

    def body(self, rows: list[Row], *, first: bool) -> bytes:
        """Return rows as they stand in the file."""
        if self.form == "csv":
            return _csv(_cells(self.columns, rows))
        lines = [orjson.dumps(row, default=str) for row in rows]
        return (b"" if first or not lines else b",") + b"\n" * bool(lines) + b",\n".join(lines)

    def foot(self) -> bytes:
        """Return what stands behind the rows."""
        return b"\n]\n" if self.form == "json" else b""


@dataclass(frozen=True)
class Text:
    """A small file that is made in one piece, when it is its turn."""

    name: str
    content: Callable[[], bytes]

    def read(self, _after: str | None) -> tuple[list[Row], str | None]:
        """Return no rows, and that there are no more."""
        return [], None

    def head(self) -> bytes:
        """Return the file."""
        return self.content()

    def body(self, _rows: list[Row], *, first: bool) -> bytes:
        """Return nothing more."""
        return b""

    def foot(self) -> bytes:
        """Return nothing more."""
        return b""


def csv_of(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    """Return a CSV file; spreadsheets know by the mark at its beginning that it is UTF-8."""
    return b"\xef\xbb\xbf" + _csv([columns, *_cells(columns, rows)])


def _cells(columns: Sequence[str], rows: Iterable[Row]) -> list[list[Any]]:
    return [[_cell(row.get(name)) for name in columns] for row in rows]


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    """Return a value as a cell: lists and objects as JSON, and no text that a spreadsheet would calculate."""
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def files_of(tenant_id: uuid.UUID, export: Export) -> list[Table | Text]:
    """Return the files of an export in their order; the same for each of its parts, as long as it is made."""
    assert export.installation_id is not None
    installation_id = export.installation_id
    types = standings.load_types()
    scene = standings.load(tenant_id, types, installation_id)[0]
    base = {"tenant": tenant_id, "installation": installation_id}
    hidden = {name: types.hidden(s.object_type) | set(scene.rules[name].hidden) for name, s in scene.streams.items()}
    found: list[Table | Text] = [
        Text("README.txt", lambda: export_settings.readme(scene, export).encode()),
        Text("settings.json", lambda: as_json(export_settings.settings_of(tenant_id, scene))),
        Text("mapping.json", lambda: as_json(export_settings.mappings_of(tenant_id, installation_id))),
    ]
    for name, stream in scene.streams.items():
        fields = [item.name for item in types.fields.get(stream.object_type, [])]
        found.append(_records(name, fields, hidden[name], export.format, base))
    for name, query in _TABLES:
        shape = (lambda row: _masked(row, hidden)) if name == "conflicts" else (lambda row: row)
        found.append(Table(f"{name}.{export.format}", export.format, query, base, _COLUMNS[name], shape))
    return found


def as_json(value: Any) -> bytes:
    """Return a value as a file of JSON that people can read."""
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


_LINK = ("external_id", "record_id", "host_id", "linked_at", "synced_at", "link_ended_at", "record_deleted_at")
_COLUMNS: dict[str, tuple[str, ...]] = {
    "runs": (
        "run_id", "created_at", "started_at", "finished_at", "trigger", "mode", "state", "read", "created", "updated",
        "linked", "unchanged", "deleted", "failed", "conflicts", "error_message",
    ),
    "problems": ("problem_id", "opened_at", "closed_at", "state", "message", "fix", "count", "proof"),
    "failed_records": (
        "failed_record_id", "failed_at", "resolved_at", "stream", "external_id", "record_id", "direction", "state", "field",
        "message",
    ),
    "conflicts": (
        "conflict_id", "opened_at", "settled_at", "stream", "external_id", "record_id", "kind", "state", "resolution",
        "last_agreed", "ours", "theirs",
    ),
}  # fmt: skip


def _records(stream: str, fields: list[str], hidden: set[str], form: str, base: dict[str, Any]) -> Table:
    def shape(row: Row) -> Row:
        data = mask(row.pop("data") or {}, hidden)
        return (
            {**row, "fields": data}
            if form == "json"
            else {**{f"field {name}": data.get(name) for name in fields}, **row}
        )

    columns = (*_LINK, *(f"field {name}" for name in fields))
    return Table(f"records/{stream}.{form}", form, _RECORDS, {**base, "stream": stream}, columns, shape, first="")


def _masked(row: Row, hidden: dict[str, set[str]]) -> Row:
    names = hidden.get(row["stream"], set())
    return {**row, **{side: mask(row[side] or {}, names) for side in ("last_agreed", "ours", "theirs")}}
