"""Trying a connector against a live account, reading only: what was asked and answered, and fixtures of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.sdk import jwt, oauth, samples
from connectors.sdk.contract import Account, Connector, Session
from connectors.sdk.errors import ConfigError
from connectors.sdk.expressions import look_up
from connectors.sdk.http import HttpClient
from connectors.sdk.manifest import HostsFrom, Stream
from connectors.sdk.pace import Pace
from connectors.sdk.paging import Checkpoint
from connectors.sdk.reading import Page
from connectors.sdk.recording import Recorder
from connectors.sdk.secret import Secret

# Ways of paging whose next page does not follow from how many items this one has.
_MARKED = ("cursor", "next_url", "link", "header_url")
_HARMLESS = ("GET", "HEAD")


def open_session(
    connector: Connector, settings: Mapping[str, Any], secrets: Mapping[str, str], http: HttpClient
) -> Session:
    """Return a session for settings and secrets given by hand; ConfigError names what is missing."""
    auth = connector.manifest.auth_for(settings)
    credentials = {name: Secret(value) for name, value in secrets.items()}
    session = Session(settings, credentials, http, Pace(connector.manifest.limits))
    if not auth.has_token or "access_token" in credentials:
        return session
    names = {"config": settings, "origin": connector.origin(settings), "kept": settings.get("kept") or {}}
    try:
        if auth.kind == "jwt_bearer" and auth.jwt:
            tokens = jwt.obtain(http, auth, credentials[auth.jwt.key], names=names, at=session.now())
        elif auth.kind == "client_credentials" and auth.client_id and auth.client_secret:
            client = oauth.OAuthClient(str(settings[auth.client_id]), credentials[auth.client_secret])
            tokens = oauth.client_credentials(http, auth, client, names=names, at=session.now())
        else:
            raise ConfigError("Give an access token: --secret access_token=…, or @file.")
    except KeyError as error:
        raise ConfigError(f"{error.args[0]} is missing: give it with --set or --secret.") from None
    return replace(session, credentials={**credentials, "access_token": tokens.access_token})


def missing(connector: Connector, settings: Mapping[str, Any], secrets: Mapping[str, str]) -> list[str]:
    """Return the config fields that are required and were not given."""
    fields = connector.manifest.config_for(connector.manifest.auth_for(settings), "connect")
    return [f.name for f in fields if f.required and f.default is None and f.name not in {*settings, *secrets}]


@dataclass
class Trial:
    """One try of a connector: its check, then pages of its streams."""

    connector: Connector
    session: Session
    pages: int = 1
    only: str | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def account(self) -> Account:
        """Return the account the connection belongs to."""
        return self.connector.check(self.session)

    def streams(self) -> list[Stream]:
        """Return the streams that are tried; ConfigError when one would be read by a call that may change something."""
        chosen = [s for s in self.connector.manifest.streams if self.only in (None, s.name)]
        for stream in chosen:
            if stream.request.method not in (*_HARMLESS, "POST"):
                raise ConfigError(f"{stream.name} is read by {stream.request.method}, which is no reading.")
        return chosen

    def read(self, stream: Stream, since: str | None = None) -> Iterator[Page]:
        """Yield the first pages of a pass; those that only find parents do not count."""
        at, left = Checkpoint.start("full" if since is None else "incremental", since), self.pages
        while left > 0:
            page = self.connector.read(self.session, stream.name, at)
            yield page
            if page.last:
                return
            at, left = page.checkpoint, left - bool(page.records or page.deleted)


def record(trial: Trial, http: Recorder, folder: Path, keep: int, say: Callable[[str], None]) -> None:
    """Write fixtures of the check and of each stream: in full, what changed since, and one record."""
    http.call_it("check")
    say(f"account: {trial.account().name}")
    _write(trial, http, folder, "check", keep, None)
    for stream in trial.streams():
        http.call_it(f"{stream.label}, full pass")
        pages = list(trial.read(stream))
        first = next((r for page in pages for r in page.records), None)
        _write(trial, http, folder, f"{stream.name}-full", keep, stream)
        since = trial.connector.next_since(stream.name, pages[-1].checkpoint)
        if since and not stream.parent:
            http.call_it(f"{stream.label}, what changed")
            list(replace(trial, pages=1).read(stream, since))
            _write(trial, http, folder, f"{stream.name}-changes", keep, stream)
            say(f'{stream.name}: name the start in the test: since = {{"{stream.name}": "{since}"}}')
        if stream.fetch and first and not stream.parent:
            http.call_it(f"{stream.label}, one record")
            trial.connector.fetch(trial.session, stream.name, first.id)
            _write(trial, http, folder, f"{stream.name}-one", keep, stream)


def _write(trial: Trial, http: Recorder, folder: Path, name: str, keep: int, stream: Stream | None) -> None:
    seen: set[str] = set()
    kept = []
    for data in http.kept:
        key = repr(data["request"])
        if key not in seen:
            kept.append(data)
        seen.add(key)
    if stream is not None:
        parent = stream.parent.stream if stream.parent else None
        related = [stream] + ([trial.connector.manifest.stream(parent)] if parent else [])
        for number, data in enumerate(kept):
            for one in related:
                shorten(data, one, keep, last=number == len(kept) - 1 or one is not stream)
    http.kept = kept
    http.write(folder, name)


def shorten(data: dict[str, Any], stream: Stream, keep: int, *, last: bool) -> None:
    """Cut a recorded page to a few records without what tells of people, and let the paging end where we stopped."""
    answer, paging = data["response"], stream.paging
    items = look_up(answer["body"], stream.records)
    if not isinstance(items, list):
        items = [look_up(answer["body"], stream.fetch_record)]
    elif last or paging.kind in _MARKED:
        del items[keep:]
    for item in items:
        _anonymise(stream, look_up(item, stream.item))
    if last and isinstance(answer["body"], dict):
        for path in filter(None, (paging.path if paging.kind in ("cursor", "next_url") else None, paging.more)):
            _set(answer["body"], path, False if path == paging.more else None)
    if last and paging.kind in ("link", "header_url"):
        answer["headers"].pop("link" if paging.kind == "link" else paging.header.lower(), None)


def _anonymise(stream: Stream, item: Any) -> None:
    for info, declared in zip(stream.field_infos(), stream.fields, strict=True):
        if (declared.sensitive or info.type == "phone") and look_up(item, info.name) not in (None, ""):
            _set(item, info.name, samples.value_of(info))


def _set(data: Any, path: str, value: Any) -> None:
    *above, name = path.split(".")
    at = look_up(data, ".".join(above))
    if isinstance(at, dict) and name in at:
        at[name] = value


def recorder(
    connector: Connector, settings: Mapping[str, Any], secrets: Mapping[str, str], base: HttpClient, verified: str
) -> Recorder:
    """Return a client that records like `base` calls; the address of a self-hosted server becomes one of nobody."""
    origin, slug = connector.origin(settings), connector.manifest.slug
    own = isinstance(connector.manifest.hosts, HostsFrom)
    return Recorder(
        base.hosts, allow=base.allow, on_exchange=base.on_exchange, secrets=list(secrets.values()),
        verified=verified or f"live, {datetime.now(UTC):%Y-%m-%d}",
        rename={origin: f"https://{slug}.example.test"} if own else {},
    )  # fmt: skip
