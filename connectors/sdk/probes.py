"""What the contract tests ask a connector to do: writes with sample values, single records, signed events."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import orjson
import urllib3

from connectors.sdk import samples, webhooks
from connectors.sdk.contract import Connector, Session
from connectors.sdk.errors import ConnectorError
from connectors.sdk.expressions import fill_path, look_up
from connectors.sdk.fixtures import Fixture, Replay, WebhookFixture
from connectors.sdk.http import Response
from connectors.sdk.manifest import Request, Stream, Webhooks, Write
from connectors.sdk.schema.writes import Batch
from connectors.sdk.writing import Outgoing

_PLACE = re.compile(r"\{(?!config\.|kept\.)[a-z_]+(\.[A-Za-z0-9_.]+)?\}")


@dataclass(frozen=True)
class WriteCase:
    """A write that has a fixture: `operation` is create, update, delete, find, batch_create or batch_update."""

    stream: str
    operation: str
    records: Sequence[Outgoing]


class _Catcher(Replay):
    """Answers every call with the same body and keeps what was sent."""

    answer: Any = None
    sent: list[tuple[str, str, dict[str, str], bytes | None]]

    def _send(
        self, pool: urllib3.HTTPConnectionPool, method: str, path: str, body: bytes | None,
        headers: dict[str, str], host: str,
    ) -> Response:  # fmt: skip
        self.sent.append((method, path, headers, body))
        return Response(200, {}, orjson.dumps(self.answer))


def write_issues(connector: Connector, session: Session, stream: Stream) -> Iterator[str]:
    """Say which writes of a stream cannot be built from sample values, or lack what makes them safe."""
    assert stream.writes is not None
    record, writes = samples.outgoing(stream), stream.writes
    read_only = sorted(f.name for f in stream.fields if f.read_only)
    operations: list[tuple[str, Write | Batch | None]] = [
        ("create", writes.create), ("update", writes.update), ("delete", writes.delete),
        ("batch_create", writes.batch_create), ("batch_update", writes.batch_update),
    ]  # fmt: skip
    for operation, declared in operations:
        if declared is None:
            continue
        catcher = _Catcher(session.http.hosts)
        catcher.sent = []
        catcher.answer = _answer(stream, declared)
        try:
            write(connector, replace(session, http=catcher), WriteCase(stream.name, operation, [record]))
        except ConnectorError as error:
            yield f"{stream.name}: {operation} cannot be built: {error.message}"
            continue
        method, path, headers, body = catcher.sent[0]
        if method == "GET":
            yield f"{stream.name}: {operation} is a GET, which changes nothing."
        if "{" in path:
            yield f"{stream.name}: {operation} leaves a place in {path}."
        safety, guard = writes.create_safety, writes.concurrency
        if (
            operation == "create"
            and safety
            and safety.kind == "idempotency_key"
            and "sample-key" not in headers.values()
        ):
            yield f"{stream.name}: create is sent without its idempotency key."
        if operation == "update" and guard.kind == "if_match" and "7" not in headers.get(guard.header, ""):
            yield f"{stream.name}: update is sent without {guard.header}."
        if operation not in ("delete",) and not body:
            yield f"{stream.name}: {operation} sends nothing."
        if any(f'"{name}"'.encode() in (body or b"") for name in read_only if "." not in name):
            yield f"{stream.name}: {operation} sends a field that can only be read."


def _answer(stream: Stream, declared: Write | Batch) -> Any:
    if isinstance(declared, Batch):
        answer: Any = [samples.written(stream, "", stream.id)]
        for part in reversed(declared.results.split(".")) if declared.results else []:
            answer = {part: answer}
        return answer
    return samples.written(stream, declared.record, declared.id or stream.id)


def write(connector: Connector, session: Session, case: WriteCase) -> Any:
    """Make one write."""
    writer = connector.writer(session, case.stream)
    if case.operation.startswith("batch_"):
        return writer.batch(case.operation.removeprefix("batch_"), case.records)
    record: Outgoing = case.records[0]
    if case.operation == "find":
        return writer.find(record.reference or "")
    return {"create": writer.create, "update": writer.update, "delete": writer.delete}[case.operation](record)


def path_of(connector: Connector, session: Session, request: Request, **names: Any) -> str:
    """Return the path of a request as it is sent."""
    kept = session.settings.get("kept") or {}
    known = {"config": session.settings, "kept": kept, "origin": connector.origin(session.settings), **names}
    return fill_path(request.path, known)


def fetch_all(connector: Connector, session: Session, fixtures: Collection[Fixture]) -> None:
    """Read every single record that a fixture holds by its stream's `fetch`."""
    for stream in connector.manifest.streams:
        if stream.fetch is None:
            continue
        pattern = re.compile(_as_pattern(connector, session, stream.fetch))
        for fixture in fixtures:
            found = pattern.fullmatch(fixture.path) if fixture.method == stream.fetch.method else None
            if found and _same_query(stream.fetch, fixture):
                record = connector.fetch(session, stream.name, found["id"])
                assert record is not None, f"{fixture.file}: {stream.name} {found['id']} is not found"
                assert record.id.rpartition("/")[2] == found["id"], f"{fixture.file} holds {record.id}"


def _as_pattern(connector: Connector, session: Session, request: Request) -> str:
    marked = _PLACE.sub(lambda place: "@id@" if place[0] == "{id}" else "@any@", request.path)
    path = path_of(connector, session, request.model_copy(update={"path": marked}))
    return re.escape(path).replace("@id@", "(?P<id>[^/]+)", 1).replace("@any@", "[^/]+").replace(quote("@"), "@")


def _same_query(request: Request, fixture: Fixture) -> bool:
    fixed = {name for name, value in request.query.items() if not (isinstance(value, str) and "{" in value)}
    return fixed <= set(fixture.query)


def webhook_issues(hooks: Webhooks, fixture: WebhookFixture) -> Iterator[str]:
    """Say what is wrong with how an event is verified and read: signed as the vendor does, then changed."""
    secret, other = (
        samples.webhook_secret(hooks.verify),
        samples.webhook_secret(hooks.verify, b"another one, of nobody here"),
    )
    delivery = samples.signed(hooks.verify, fixture.body, secret, headers=fixture.headers)
    verdict = webhooks.verify(hooks.verify, delivery, [secret], samples.AT)
    if verdict != "accepted":
        yield f"a signed event is {verdict}."
    if webhooks.verify(hooks.verify, delivery, [], samples.AT) != "no_secret":
        yield "an event is taken without a secret."
    if webhooks.verify(hooks.verify, delivery, [other], samples.AT) == "accepted":
        yield "an event signed with another secret is taken."
    if hooks.verify.kind in ("hmac", "standard_webhooks"):
        changed = replace(delivery, body=delivery.body[:-1] + bytes([delivery.body[-1] ^ 1]))
        if webhooks.verify(hooks.verify, changed, [secret], samples.AT) == "accepted":
            yield "an event is taken although a byte of it was changed."
    found = [{"stream": e.stream, "action": e.action, "id": e.record_id} for e in webhooks.events(hooks, delivery)]
    if not found:
        yield "no rule is for this event."
    wanted = [{"stream": e.get("stream"), "action": e.get("action"), "id": e.get("id")} for e in fixture.events]
    if wanted and found != wanted:
        yield f"it says {found}, not {wanted}."
    if not webhooks.event_id(hooks, delivery):
        yield "it has no id."
    if hooks.event_id and look_up(orjson.loads(fixture.body), hooks.event_id) is None and not hooks.event_id_header:
        yield f"there is no {hooks.event_id} in it."
