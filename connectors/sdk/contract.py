"""The connector: what the platform can ask of an integration. A manifest makes one; hooks add what data cannot say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

from connectors.sdk import answers, paging
from connectors.sdk.auth import authorise
from connectors.sdk.errors import ConfigError, VendorDataError
from connectors.sdk.expressions import compile_path, fill, fill_path, look_up
from connectors.sdk.fields import Choice, FieldInfo
from connectors.sdk.http import HttpClient, Response
from connectors.sdk.manifest import HostsFrom, Manifest, Request, Stream, digest
from connectors.sdk.paging import Checkpoint
from connectors.sdk.secret import Secret


@dataclass(frozen=True)
class Account:
    """The external account behind a connection."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class External:
    """One external record as the vendor sent it."""

    id: str
    data: dict[str, Any]
    version: str | None = None
    updated_at: str | None = None


@dataclass(frozen=True)
class Rejected:
    """Something in a page that is no record: why, and what was there."""

    id: str | None
    data: Any
    reason: str


@dataclass(frozen=True)
class Page:
    """One page: records, tombstones, and where the pass stands after it."""

    records: tuple[External, ...]
    deleted: tuple[str, ...]
    checkpoint: Checkpoint
    last: bool
    total: int | None = None
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True)
class Session:
    """What a connector is handed for its calls. Used by one thread at a time."""

    settings: Mapping[str, Any]
    credentials: Mapping[str, Secret]
    http: HttpClient
    pace: answers.Pace
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


class Connector:
    """An integration, ready to be called. All methods raise ConnectorError and its kinds."""

    def __init__(self, manifest: Manifest, hooks: ModuleType | None = None) -> None:
        self.manifest = manifest
        self.digest = digest(manifest)
        self.hooks = hooks

    def origin(self, settings: Mapping[str, Any]) -> str:
        """Return scheme, host and port that requests go to."""
        hosts = self.manifest.hosts
        if isinstance(hosts, HostsFrom):
            return str(settings.get(hosts.field) or "").rstrip("/")
        return f"https://{hosts[0]}"

    def hosts(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what HttpClient may call: host names, or the origin with its port."""
        hosts = self.manifest.hosts
        if isinstance(hosts, HostsFrom):
            origin = self.origin(settings)
            return [origin if origin.count(":") > 1 else origin + (":443" if origin.startswith("https") else ":80")]
        return list(hosts)

    def check(self, session: Session) -> Account:
        """Prove that the connection works and return its account."""
        check = self.manifest.check
        data = self._call(session, check.request, {}).json()
        if check.account_id_template:
            found: Any = fill(check.account_id_template, self._names(session, {}))
        else:
            found = look_up(data, check.account_id or "id")
        if found in (None, ""):
            raise VendorDataError("The answer does not name the account.")
        name = look_up(data, check.account_name) if check.account_name else None
        return Account(str(found), str(name or found))

    def discover(self, session: Session, stream_name: str) -> list[FieldInfo]:
        """Return the fields of a stream: the declared ones, then the account's own."""
        stream = self.manifest.stream(stream_name)
        fields = {info.name: info for info in stream.field_infos()}
        if stream.discovery:
            found = stream.discovery
            data = self._call(session, found.request, {"stream": stream_name}).json()
            for item in answers.first(data, found.records):
                name = f"{found.prefix}{look_up(item, found.name)}"
                if name in fields:
                    continue
                options = look_up(item, found.choices) if found.choices else None
                fields[name] = FieldInfo(
                    name, str(look_up(item, found.label) or name),
                    found.types.get(str(look_up(item, found.type)), "text"),
                    custom=bool(look_up(item, found.custom)) if found.custom else True,
                    choices=tuple(Choice(str(o["value"]), str(o.get("label") or o["value"])) for o in options or []),
                )  # fmt: skip
        return list(fields.values())

    def choices(self, session: Session, field_name: str) -> list[Choice]:
        """Return the choices of a config field, loaded from the account."""
        config = next((f for f in self.manifest.config if f.name == field_name), None)
        if config is None or config.choices_from is None:
            return list(config.choices) if config else []
        source = config.choices_from
        data = self._call(session, Request(path=source.path), {}).json()
        return [
            Choice(str(look_up(item, source.value)), str(look_up(item, source.label)))
            for item in answers.first(data, source.records)
        ]

    def read(self, session: Session, stream_name: str, checkpoint: Checkpoint) -> Page:
        """Read one page of a stream."""
        stream = self.manifest.stream(stream_name)
        names = {"stream": stream_name, "since": checkpoint.since}
        query = paging.page_query(stream.paging, checkpoint.token)
        if stream.incremental and checkpoint.since is not None:
            query[stream.incremental.parameter] = checkpoint.since
        url = checkpoint.token if stream.paging.kind in ("next_url", "link", "header_url") else None
        response = self._call(session, stream.request, names, query, url=url)
        data = response.json()
        items = answers.first(data, stream.records)
        page = _read_items(stream, items)
        token = paging.next_token(stream.paging, checkpoint.token, response, data, len(items))
        high_water = _high_water(stream, checkpoint, response, data, page.records)
        ids = [record.id for record in page.records] + list(page.deleted)
        return Page(
            page.records, page.deleted, paging.advance(stream.paging, checkpoint, token, ids, high_water),
            token is None, _total(stream, response, data), page.rejected,
        )  # fmt: skip

    def next_since(self, stream_name: str, checkpoint: Checkpoint) -> str | None:
        """Return where the next incremental pass starts, after the last page of this one."""
        incremental = self.manifest.stream(stream_name).incremental
        if incremental is None:
            return None
        if checkpoint.high_water is None:
            return checkpoint.since
        if incremental.kind != "field" or not incremental.lookback_seconds:
            return checkpoint.high_water
        return _earlier(checkpoint.high_water, incremental.format, incremental.lookback_seconds)

    def fetch(self, session: Session, stream_name: str, external_id: str) -> External | None:
        """Return one record as it is now, None when it is gone."""
        stream = self.manifest.stream(stream_name)
        if stream.fetch is None:
            raise ConfigError(f"{stream_name} cannot be read one by one.", code="no_fetch")
        response = self._call(session, stream.fetch, {"id": external_id, "stream": stream_name}, missing=True)
        if response.status in (404, 410):
            return None
        item = look_up(response.json(), stream.fetch_record)
        page = _read_items(stream, [item])
        if page.rejected:
            raise VendorDataError(f"The answer for {external_id} is no record: {page.rejected[0].reason}")
        return page.records[0] if page.records else None

    def _names(self, session: Session, names: Mapping[str, Any]) -> dict[str, Any]:
        secret = set(self.manifest.secret_fields())
        settings = {name: value for name, value in session.settings.items() if name not in secret}
        return {"config": settings, "origin": self.origin(session.settings), **names}

    def _call(
        self, session: Session, request: Request, names: Mapping[str, Any],
        query: Mapping[str, Any] | None = None, *, url: str | None = None, missing: bool = False,
    ) -> Response:  # fmt: skip
        filled = self._names(session, names)
        headers, credential, secrets = authorise(self.manifest.auth, session.settings, session.credentials)
        if url is None:
            url = self.origin(session.settings) + fill_path(request.path, filled)
            params = {key: value for key, value in fill(request.query, filled).items() if value is not None}
            params.update(query or {})
        else:
            params = {}
        session.pace.wait()
        response = session.http.request(
            request.method, url, params={**params, **credential},
            headers={**{k: str(v) for k, v in fill(dict(request.headers), filled).items()}, **headers},
            json=fill(request.body, filled) if request.body is not None else None, secrets=secrets,
        )  # fmt: skip
        session.pace.note(response.headers)
        if not (missing and response.status in (404, 410)):
            answers.raise_for(self.manifest, response)
        return response


def _read_items(stream: Stream, items: list[Any]) -> Page:
    records, deleted, rejected = [], [], []
    tombstone = stream.deleted
    read_id, read_version, read_updated = (
        compile_path(path) if path else None for path in (stream.id, stream.version, stream.updated)
    )
    assert read_id
    for item in items:
        found = read_id(item)
        if found in (None, "") or isinstance(found, dict | list):
            rejected.append(Rejected(None, item, "The record has no id."))
        elif tombstone and look_up(item, tombstone.path) == tombstone.equals:
            deleted.append(str(found))
        else:
            version = read_version(item) if read_version else None
            updated = read_updated(item) if read_updated else None
            records.append(
                External(
                    str(found),
                    item,
                    None if version is None else str(version),
                    None if updated is None else str(updated),
                )
            )
    return Page(tuple(records), tuple(deleted), Checkpoint("full"), False, None, tuple(rejected))


def _total(stream: Stream, response: Response, data: Any) -> int | None:
    found = look_up(data, stream.total) if stream.total else None
    if stream.total_header:
        found = response.headers.get(stream.total_header.lower())
    return int(str(found)) if str(found).isdigit() else None


def _high_water(
    stream: Stream, checkpoint: Checkpoint, response: Response, data: Any, records: tuple[External, ...]
) -> str | None:
    incremental = stream.incremental
    if incremental is None:
        return None
    if incremental.kind == "etag":
        # The tag of the first page: what changes while paging is then read again by the next pass.
        return checkpoint.high_water or response.headers.get("etag", "").strip(incremental.strip or '"') or None
    if incremental.kind == "token":
        found = look_up(data, incremental.path or "")
        return str(found) if found else checkpoint.high_water
    values = [str(value) for r in records if (value := look_up(r.data, incremental.field or "")) is not None]
    if checkpoint.high_water is not None:
        values.append(checkpoint.high_water)
    return max(values, key=lambda text: _moment(text, incremental.format)) if values else None


def _moment(text: str, form: str) -> Any:
    if form in ("epoch_s", "epoch_ms"):
        return float(text)
    if form == "iso":
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return text


def _earlier(text: str, form: str, seconds: int) -> str:
    if form == "iso":
        moment = _moment(text, form) - timedelta(seconds=seconds)
        return str(moment.astimezone(UTC).isoformat().replace("+00:00", "Z"))
    if form in ("epoch_s", "epoch_ms"):
        return str(int(float(text) - seconds * (1000 if form == "epoch_ms" else 1)))
    return text
