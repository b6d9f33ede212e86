"""The connector: what the platform can ask of an integration. A manifest makes one; hooks add what data cannot say."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from connectors.sdk import answers, cursors, discovery
from connectors.sdk.auth import authorise
from connectors.sdk.errors import ConfigError, VendorDataError
from connectors.sdk.expressions import fill, fill_path, look_up, places
from connectors.sdk.fields import Choice, FieldInfo
from connectors.sdk.http import HttpClient, Response
from connectors.sdk.manifest import HostsFrom, Manifest, Request, digest
from connectors.sdk.pace import Pace
from connectors.sdk.paging import Checkpoint
from connectors.sdk.parents import names_of, read_children
from connectors.sdk.reading import Call, External, Page, Rejected, one_record, read_page
from connectors.sdk.secret import Secret
from connectors.sdk.writing import Writer, request_body

__all__ = ["Account", "Connector", "External", "Page", "Rejected", "Session"]
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Account:
    """The external account behind a connection."""

    id: str
    name: str


@dataclass(frozen=True)
class Session:
    """What a connector is handed for its calls. Used by one thread at a time."""

    settings: Mapping[str, Any]
    credentials: Mapping[str, Secret]
    http: HttpClient
    pace: Pace
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    # Stream -> the paths its mapping reads: `{wanted.names}` is these and the declared fields.
    sources: Mapping[str, Collection[str]] = field(default_factory=dict)


class Connector:
    """An integration, ready to be called. All methods raise ConnectorError and its kinds."""

    def __init__(self, manifest: Manifest, hooks: ModuleType | None = None) -> None:
        self.manifest = manifest
        self.digest = digest(manifest)
        self.hooks = hooks

    def origin(self, settings: Mapping[str, Any], host: str | None = None) -> str:
        """Return scheme, host and port that requests go to; `host` is another of the manifest's than the first."""
        hosts = self.manifest.hosts
        if isinstance(hosts, HostsFrom):
            return str(settings.get(hosts.field) or "").rstrip("/")
        return f"https://{self._host(host or hosts[0], settings)}"

    def hosts(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what HttpClient may call: host names, or the origin with its port."""
        hosts = self.manifest.hosts
        if isinstance(hosts, HostsFrom):
            parts = urlsplit(self.origin(settings))
            port = parts.port or (443 if parts.scheme == "https" else 80)
            name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
            return [f"{parts.scheme}://{name}:{port}"]
        found = []
        for host in hosts:
            try:
                found.append(self._host(host, settings))
            except ConfigError:
                continue  # A host made of a value that is not known yet cannot be called yet.
        return found

    def _host(self, template: str, settings: Mapping[str, Any]) -> str:
        """Fill the host's name from settings; each value is one label and meets the field's pattern."""
        for place in places(template):
            root, _, name = place.partition(".")
            source = settings.get("kept") or {} if root == "kept" else settings
            value = str(source.get(name) or "")
            field = next((f for f in self.manifest.config if f.name == name), None) if root == "config" else None
            if not _LABEL.fullmatch(value) or (field and not re.fullmatch(field.pattern or "", value)):
                raise ConfigError(f"{name} cannot be part of a host name.", fix=f"Correct {name} in the settings.")
            template = template.replace(f"{{{place}}}", value)
        return template

    def check(self, session: Session) -> Account:
        """Prove that the connection works and return its account."""
        check = self.manifest.auth_for(session.settings).check or self.manifest.check
        data = self.call(session, check.request, {}).json()
        if check.account_id_template:
            found: Any = fill(check.account_id_template, self._names(session, {}))
        else:
            found = look_up(data, check.account_id or "id")
        if found in (None, "") or isinstance(found, dict | list):
            raise VendorDataError("The answer does not name the account.")
        name = look_up(data, check.account_name) if check.account_name else None
        return Account(str(found), str(name or found)[:200])

    def discover(self, session: Session, stream_name: str) -> list[FieldInfo]:
        """Return the fields of a stream: the declared ones, then the account's own."""
        stream = self.manifest.stream(stream_name)
        if stream.discovery is None:
            return stream.field_infos()
        data = self.call(session, stream.discovery.request, {"stream": stream_name}).json()
        return discovery.merge(stream, answers.first(data, stream.discovery.records))

    def choices(self, session: Session, field_name: str) -> list[Choice]:
        """Return the choices of a config field, loaded from the account."""
        config = next((f for f in self.manifest.config if f.name == field_name), None)
        if config is None or config.choices_from is None:
            return list(config.choices) if config else []
        source = config.choices_from
        data = self.call(session, Request(path=source.path), {}).json()
        return [
            Choice(str(look_up(item, source.value)), str(look_up(item, source.label)))
            for item in answers.first(data, source.records)
        ]

    def read(self, session: Session, stream_name: str, checkpoint: Checkpoint) -> Page:
        """Read one page of a stream."""
        stream = self.manifest.stream(stream_name)
        names = {"stream": stream_name}
        call = self._caller(session)
        if stream.parent is None:
            return read_page(call, stream, checkpoint, names, session.now())
        return read_children(
            call, lambda parent, at: self.read(session, parent, at), self.manifest, stream, session.settings,
            checkpoint, names, session.now(),
        )  # fmt: skip

    def next_since(self, stream_name: str, checkpoint: Checkpoint) -> str | None:
        """Return where the next incremental pass starts, after the last page of this one."""
        stream = self.manifest.stream(stream_name)
        cursor = stream.incremental
        if stream.parent and (cursor or stream.parent.incremental):
            # Parents are read one after the other: the newest of one says nothing of what the others got meanwhile.
            return (
                cursors.earlier(checkpoint.started, cursor.lookback if cursor else 300) if checkpoint.started else None
            )
        if cursor is None:
            return None
        if cursor.order == "newest":
            # Its times are those of events: nothing in a full pass, or in a quiet feed, says how far it has been read.
            return cursors.earlier(checkpoint.started, cursor.lookback) if checkpoint.started else checkpoint.since
        if checkpoint.high_water is None:
            return checkpoint.since
        if cursor.kind != "field":
            return checkpoint.high_water
        # What changed behind the reader, while it read on to newer changes, is read by the next pass.
        newest = cursors.earliest(checkpoint.high_water, checkpoint.started)
        return cursors.earlier(newest, cursor.lookback)

    def fetch(self, session: Session, stream_name: str, external_id: str) -> External | None:
        """Return one record as it is now, None when it is gone."""
        stream = self.manifest.stream(stream_name)
        if stream.fetch is None:
            raise ConfigError(f"{stream_name} cannot be read one by one.", code="no_fetch")
        names = {"stream": stream_name, **names_of(stream, session.settings, external_id)}
        response = self.call(session, stream.fetch, names, missing=True)
        if response.status in (404, 410):
            return None
        return one_record(stream, look_up(response.json(), stream.fetch_record), names)

    def writer(self, session: Session, stream_name: str) -> Writer:
        """Return what writes to a stream; ConfigError when the manifest declares no writes."""
        return Writer(self._caller(session), self.manifest, self.manifest.stream(stream_name), session.settings)

    def _names(self, session: Session, names: Mapping[str, Any]) -> dict[str, Any]:
        secret = set(self.manifest.secret_fields())
        settings = {name: value for name, value in session.settings.items() if name not in secret}
        return {
            "config": settings,
            "origin": self.origin(session.settings),
            "kept": settings.get("kept") or {},
            "wanted": self._wanted(session, names.get("stream")),
            **names,
        }

    def _wanted(self, session: Session, stream_name: str | None) -> dict[str, Any]:
        """Return the names of the fields a vendor is asked for that sends nothing unasked: declared and mapped ones."""
        if stream_name is None:
            return {}
        stream = self.manifest.stream(stream_name)
        prefix = stream.discovery.prefix if stream.discovery else ""
        paths = dict.fromkeys([field.name for field in stream.fields] + sorted(session.sources.get(stream_name, ())))
        names = [path.removeprefix(prefix) for path in paths if path.startswith(prefix)]
        return {"names": names, "text": ",".join(names)}

    def _caller(self, session: Session) -> Call:
        def call(
            request: Request, names: Mapping[str, Any], position: Mapping[str, Any] | None = None, **more: Any
        ) -> Response:
            return self.call(session, request, names, position, **more)

        return call

    def call(
        self, session: Session, request: Request, names: Mapping[str, Any],
        position: Mapping[str, Any] | None = None, *, place: str = "query", url: str | None = None,
        missing: bool = False,
    ) -> Response:  # fmt: skip
        """Send one request of the manifest; raises what the answer means. `missing` lets 404 and 410 through."""
        filled = self._names(session, names)
        auth = self.manifest.auth_for(session.settings)
        headers, credential, secrets = authorise(auth, session.settings, session.credentials)
        params: dict[str, Any] = {}
        if url is None:
            url = self.origin(session.settings, request.host) + fill_path(request.path, filled)
            params = {key: value for key, value in fill(dict(request.query), filled).items() if value is not None}
            params.update(position or {} if place == "query" else {})
        body, form = request_body(request, filled, position if place == "body" else None)
        with session.pace.turn(request.path):
            response = session.http.request(
                request.method, url, params={**params, **credential},
                headers={**{k: str(v) for k, v in fill(dict(request.headers), filled).items()}, **headers},
                json=body, data=form, secrets=secrets,
            )  # fmt: skip
        session.pace.note(response.headers, response.status)
        if not (missing and response.status in (404, 410)):
            answers.raise_for(self.manifest, response)
        return response
