"""Writing: a request from mapped fields, and what its answer says. The engine decides what is written and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.sdk import answers
from connectors.sdk.errors import ConfigError, ContractError, VendorDataError
from connectors.sdk.expressions import fill, look_up
from connectors.sdk.http import Response
from connectors.sdk.manifest import Batch, Manifest, Request, Stream, Write, Writes
from connectors.sdk.parents import names_of
from connectors.sdk.reading import Call, External, one_record, scope_of


@dataclass(frozen=True)
class Outgoing:
    """One record to write. `fields` are values by the dotted path they have at the other side."""

    fields: Mapping[str, Any]
    id: str | None = None
    version: str | None = None
    reference: str | None = None
    key: str | None = None
    # Where a new record belongs, in streams with parents; left out: to the first of the list.
    parent: str | None = None

    def names(self) -> dict[str, Any]:
        """Return what a request may use."""
        return {
            "fields": nested(self.fields), "id": self.id, "version": self.version, "reference": self.reference,
            "key": self.key,
        }  # fmt: skip


@dataclass(frozen=True)
class Written:
    """What the vendor answered: the record's id and version, and the record where the answer holds it."""

    id: str | None
    version: str | None
    data: dict[str, Any] | None = None


@dataclass(frozen=True)
class Refused:
    """One record of a batch that was not written, and why. `lost`: nobody knows, the answer does not name it."""

    message: str
    lost: bool = False


class Writer:
    """Writes to one stream. All methods raise ConnectorError and its kinds; ChangedError when the version is old."""

    def __init__(
        self, call: Call, manifest: Manifest, stream: Stream, settings: Mapping[str, Any] | None = None
    ) -> None:
        if stream.writes is None:
            raise ConfigError(f"Nothing can be written to {stream.name}.", code="no_writes")
        self._call, self._manifest, self._stream, self._settings = call, manifest, stream, settings or {}
        self.writes: Writes = stream.writes
        self._read_only = {field.name for field in stream.fields if field.read_only}

    def create(self, record: Outgoing) -> Written:
        """Create a record."""
        write = self._declared("create", self.writes.create)
        request, safety = write.request, self.writes.create_safety
        if safety and safety.kind == "idempotency_key":
            if not record.key:
                raise ContractError("A create with an idempotency key was sent without one.")
            request = _with_header(request, str(safety.header), record.key)
        return self._send(write, request, record, *self._with_reference(record))

    def _with_reference(self, record: Outgoing) -> tuple[dict[str, Any], set[str | None]]:
        """Return the fields of a new record with our reference, by which it is found again, and what that adds."""
        safety = self.writes.create_safety
        if safety is None or safety.kind != "lookup" or not safety.field or not record.reference:
            return dict(record.fields), set()
        return {**record.fields, safety.field: record.reference}, {safety.field}

    def update(self, record: Outgoing) -> Written:
        """Set the given fields of a record to these values."""
        write = self._declared("update", self.writes.update)
        guard = self.writes.concurrency
        request = write.request
        if guard.kind == "if_match" and record.version:
            request = _with_header(request, guard.header, str(fill(guard.format, record.names())))
        fields = dict(record.fields)
        if guard.kind == "version_field" and record.version is not None:
            fields[guard.field or ""] = record.version
        allowed = {guard.field} if guard.kind == "version_field" else set()
        return self._send(write, request, record, fields, allowed)

    def delete(self, record: Outgoing) -> None:
        """Delete a record; one that is gone already is deleted."""
        write = self._declared("delete", self.writes.delete)
        request, guard = write.request, self.writes.concurrency
        if guard.kind == "if_match" and record.version:
            request = _with_header(request, guard.header, str(fill(guard.format, record.names())))
        self._call(request, self._names(record), missing=True)

    def _names(self, record: Outgoing) -> dict[str, Any]:
        place = names_of(self._stream, self._settings, record.id, record.parent)
        return {"stream": self._stream.name, **record.names(), **place}

    def find(self, reference: str, parent: str | None = None) -> list[External]:
        """Return the records that hold our reference: what became of a create whose answer was lost."""
        safety = self.writes.create_safety
        if safety is None or safety.request is None:
            raise ConfigError(f"Creates of {self._stream.name} cannot be looked up.", code="no_lookup")
        names = self._names(Outgoing({}, reference=reference, parent=parent))
        items = answers.first(self._call(safety.request, names).json(), safety.records)
        found = [one_record(self._stream, look_up(item, self._stream.item), names) for item in items]
        return [record for record in found if record and self._has(record, reference)]

    def _has(self, record: External, reference: str) -> bool:
        safety = self.writes.create_safety
        # A search may find what only resembles it.
        return not (safety and safety.field) or str(look_up(record.data, str(safety.field))) == reference

    def batch(self, operation: str, records: Sequence[Outgoing]) -> list[Written | Refused]:
        """Create or update several records in one call; an answer for each, in their order."""
        batch = self.writes.batch_create if operation == "create" else self.writes.batch_update
        if batch is None:
            raise ConfigError(f"{self._stream.name} has no batch for {operation}.", code="no_batch")
        for record in records:
            self._check(record.fields, set())
        items = []
        for record in records:
            fields = self._with_reference(record)[0] if operation == "create" else record.fields
            items.append(fill(batch.item, record.names() | {"fields": self._as_sent(fields)}))
        names = {"stream": self._stream.name, "items": items, "key": records[0].key}
        data = self._call(batch.request, names).json()
        return self._sorted(batch, records, data)

    def _sorted(self, batch: Batch, records: Sequence[Outgoing], data: Any) -> list[Written | Refused]:
        results = answers.first(data, batch.results)
        failed = look_up(data, batch.errors) if batch.errors else None
        if batch.match == "index":
            return [self._result(results[n]) if n < len(results) else _lost() for n in range(len(records))]
        by_key = {str(look_up(result, str(batch.match_path))): self._result(result) for result in results}
        refused = {
            key: Refused(str(look_up(error, batch.error_message) or "refused")[:300])
            for error in (failed if isinstance(failed, list) else [])
            for key in _keys(look_up(error, str(batch.error_match)))
        }
        answered: list[Written | Refused] = []
        for record in records:
            key = str(record.id if batch.match == "id" else record.reference)
            answered.append(by_key.get(key) or refused.get(key) or _lost())
        return answered

    def _result(self, item: Any) -> Written | Refused:
        record = one_record(self._stream, item, {})
        return Written(record.id, record.version, record.data) if record else _lost()

    def _declared(self, what: str, write: Write | None) -> Write:
        if write is None:
            raise ConfigError(f"{self._stream.name} has no {what}.", code=f"no_{what}")
        return write

    def _check(self, fields: Mapping[str, Any], allowed: set[str | None]) -> None:
        wrong = sorted(name for name in fields if name in self._read_only and name not in allowed)
        if wrong:
            raise ConfigError(
                f"{', '.join(wrong)} cannot be written at {self._manifest.listing.name}.", code="read_only",
                user_message=f"{', '.join(wrong)} can only be read at {self._manifest.listing.name}.",
                fix="Take the field out of the outgoing mapping.",
            )  # fmt: skip

    def _send(
        self, write: Write, request: Request, record: Outgoing, fields: Mapping[str, Any] | None = None,
        allowed: set[str | None] | None = None,
    ) -> Written:  # fmt: skip
        fields = record.fields if fields is None else fields
        self._check(fields, allowed or set())
        names = self._names(record) | {"fields": self._as_sent(fields)}
        return self._written(write, self._call(request, names), record, scope_of(self._stream, names))

    def _as_sent(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        joint = self.writes.texts
        return nested(fields if joint is None else {path: text_of(value, joint) for path, value in fields.items()})

    def _written(self, write: Write, response: Response, record: Outgoing, scope: str) -> Written:
        version = response.headers.get((write.version_header or "").lower()) if write.version_header else None
        if response.status == 204 or not response.body:
            return Written(record.id, version)
        data = look_up(response.json(), write.record)
        if not isinstance(data, dict):
            raise VendorDataError("The answer to a write holds no record.")
        found = look_up(data, write.id or self._stream.id)
        path = write.version or self._stream.version
        known = look_up(data, path) if path and version is None else version
        return Written(
            f"{scope}{found}" if found is not None else record.id, None if known is None else str(known), data
        )  # fmt: skip


def _keys(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value]) if item is not None]


def _lost() -> Refused:
    return Refused("The other side did not say what became of it.", lost=True)


def _with_header(request: Request, name: str, value: str) -> Request:
    return request.model_copy(update={"headers": {**request.headers, name: value}})


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted path as nested objects; ContractError when a path leads through a value."""
    result: dict[str, Any] = {}
    for path, value in fields.items():
        *above, name = path.split(".")
        at = result
        for part in above:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise ContractError(f"{path} leads through a value.")
        at[name] = value
    return result


def request_body(
    request: Request, names: Mapping[str, Any], position: Mapping[str, Any] | None
) -> tuple[Any, dict[str, str] | None]:
    """Return (JSON body, form) of a request; paging parameters that belong in the body are put at their dotted path."""
    body = fill(request.body, names) if request.body is not None else None
    for path, value in (position or {}).items():
        *above, name = path.split(".")
        at = body = body if isinstance(body, dict) else {}
        for part in above:
            at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
        at[name] = value
    if request.form is None:
        return body, None
    return None, flat(fill(request.form, names))


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Return nested values as form fields, `a[b]` and `a[0]`; nothing is left out but None, which becomes empty."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        found: dict[str, str] = {}
        for key, inner in pairs:
            found |= flat(inner, f"{prefix}[{key}]" if prefix else str(key))
        return found
    return {prefix: text_of(value, ",")}


def text_of(value: Any, joint: str) -> str:
    """Return a value as vendors write it that know only texts; nothing is empty, a list is joined."""
    if isinstance(value, list):
        return joint.join(text_of(item, joint) for item in value)
    return "true" if value is True else "false" if value is False else "" if value is None else str(value)
