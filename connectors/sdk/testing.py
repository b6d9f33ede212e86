"""The contract as tests: inherit `ContractSuite`, name the folder, and every promise of a connector is tested.

    class TestContract(ContractSuite):
        slug = "acme"

What a connector has to say beyond its files are class attributes; their comments say when.
"""

import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from connectors.sdk import answers, parts, probes, samples
from connectors.sdk.contract import Connector, External, Session
from connectors.sdk.errors import ConnectorError
from connectors.sdk.fields import TargetField
from connectors.sdk.fixtures import Fixture, FixtureError, Fixtures, Replay, WebhookFixture, label, load_fixtures
from connectors.sdk.manifest import Stream, canonical, digest, load_manifest, manifest_from_json
from connectors.sdk.mapping import compile_mapping
from connectors.sdk.pace import Pace
from connectors.sdk.paging import Checkpoint
from connectors.sdk.probes import WriteCase

__all__ = ["ContractSuite", "WriteCase"]
CONNECTORS = Path(__file__).resolve().parent.parent
_MOST_PAGES = 50


class ContractSuite:
    """What every connector promises. Reads its folder; calls nobody."""

    slug: ClassVar[str]
    folder: ClassVar[Path | None] = None
    # Settings other than the examples of the manifest.
    settings: ClassVar[Mapping[str, Any]] = {}
    # Where the incremental pass of a stream starts, for streams whose fixtures hold one.
    since: ClassVar[Mapping[str, str]] = {}
    # Streams that have no fixtures, and why.
    without_fixtures: ClassVar[Mapping[str, str]] = {}
    # Records that the default mapping refuses on purpose: stream -> their ids.
    refused: ClassVar[Mapping[str, set[str]]] = {}
    # The writes that have fixtures.
    writes: ClassVar[Sequence[WriteCase]] = ()
    # When the fixtures are read: for time windows.
    now: ClassVar[datetime] = samples.AT

    def target_fields(self, object_type: str) -> list[TargetField]:
        """Return the host's fields of an object type; without a host: one for each target, of its source's type."""
        fields: dict[str, TargetField] = {}
        for stream in self.connector.manifest.streams:
            types = {info.name: info.type for info in stream.field_infos()}
            for rule in stream.rules() if stream.object_type == object_type else []:
                kind = types.get(rule.sources[0], "text") if len(rule.sources) == 1 and not rule.transforms else "text"
                fields[rule.target] = TargetField(rule.target, rule.target, kind if kind != "json" else "text")
        return list(fields.values())

    def ask_more(self, connector: Connector, session: Session) -> None:
        """Make the calls that the suite does not know of, for fixtures that nothing else asks for."""

    @property
    def home(self) -> Path:
        """The connector's folder."""
        return self.folder or CONNECTORS / self.slug

    @cached_property
    def connector(self) -> Connector:
        """The connector as its folder declares it."""
        file = self.home / "manifest.yaml"
        hooks = import_module(f"connectors.{self.slug}.hooks") if (self.home / "hooks.py").exists() else None
        return Connector(load_manifest(file.read_bytes(), source=str(file)), hooks)

    @cached_property
    def fixtures(self) -> Fixtures:
        """The fixtures of its folder."""
        return load_fixtures(self.home / "fixtures")

    @cached_property
    def good(self) -> tuple[Fixture, ...]:
        """The fixtures whose answer is no error."""
        return tuple(fixture for fixture in self.fixtures.exchanges if not fixture.is_error)

    def session(self, replay: Replay | None = None) -> tuple[Session, Replay]:
        """Return a session that is answered from the fixtures."""
        settings, secrets = samples.placeholders(self.connector.manifest)
        settings |= dict(self.settings)
        replay = replay or Replay(
            self.connector.hosts(settings), fixtures=self.good, secrets=[secret.reveal() for secret in secrets.values()]
        )
        return Session(
            settings, secrets, replay, Pace(self.connector.manifest.limits, sleep=_skip), lambda: self.now
        ), replay

    def passes(self, stream: str, session: Session, since: str | None = None) -> Iterator[Any]:
        """Yield the pages of one pass over a stream."""
        at = Checkpoint.start("full" if since is None else "incremental", since)
        for _ in range(_MOST_PAGES):
            page = self.connector.read(session, stream, at)
            yield page
            if page.last:
                return
            at = Checkpoint.from_json(page.checkpoint.to_json())
        raise FixtureError(f"{stream}: the fixtures announce more than {_MOST_PAGES} pages.")

    def records(self, stream: str, since: str | None = None) -> list[External]:
        """Return the records of one pass."""
        session, _ = self.session()
        return [record for page in self.passes(stream, session, since) for record in page.records]

    def streams(self) -> list[Stream]:
        """Return the streams that have fixtures."""
        return [stream for stream in self.connector.manifest.streams if stream.name not in self.without_fixtures]

    def test_files_are_there(self) -> None:
        _none(parts.missing_files(self.home))
        assert self.connector.manifest.slug == self.home.name, "the slug is the folder's name"

    def test_manifest_survives_its_canonical_form(self) -> None:
        manifest = self.connector.manifest
        again = manifest_from_json(canonical(manifest))
        assert again == manifest, "the canonical JSON is another manifest"
        assert canonical(again) == canonical(manifest), "the canonical JSON changes when it is written again"
        assert digest(again) == digest(manifest)

    def test_readme_has_its_sections(self) -> None:
        _none(parts.readme_issues(self.home))

    def test_icon_is_small_and_safe(self) -> None:
        _none(parts.icon_issues(self.home))

    def test_fixtures_hold_no_secret(self) -> None:
        _none(parts.secret_issues(self.home))

    def test_fixtures_say_how_they_were_verified(self) -> None:
        found: list[Fixture | WebhookFixture] = [*self.fixtures.exchanges, *self.fixtures.webhooks]
        assert found, "there are no fixtures"
        _none(f"{f.file}: {f.name} does not say how it was verified." for f in found if not f.verified.strip())

    def test_check_names_the_account(self) -> None:
        session, _ = self.session()
        account = self.connector.check(session)
        assert account.id, "the check names no account"
        assert account.name, "the check names no account"

    def test_streams_are_read_in_full(self) -> None:
        for stream in self.streams():
            found = self.records(stream.name)
            assert found, f"{stream.name}: the fixtures hold no record"
            ids = [record.id for record in found]
            twice = sorted({one for one in ids if ids.count(one) > 1})
            assert not twice, f"{stream.name}: {twice[:3]} stand in the pass more than once"
            for path in filter(None, (stream.version, stream.updated)):
                name = "version" if path == stream.version else "updated_at"
                assert any(getattr(r, name) for r in found), f"{stream.name}: no record holds {path}"

    def test_changes_are_read(self) -> None:
        if not self.since:
            raise unittest.SkipTest("no fixtures of an incremental pass: name its start in `since`")
        for name, since in self.since.items():
            session, _ = self.session()
            pages = list(self.passes(name, session, since))
            assert any(page.records or page.deleted for page in pages), f"{name}: nothing has changed since {since}"
            assert self.connector.next_since(name, pages[-1].checkpoint), f"{name}: the pass leaves no cursor"

    def test_default_mapping_takes_every_record(self) -> None:
        for stream in self.streams():
            mapping = compile_mapping(stream.rules(), self.target_fields(stream.object_type))
            found = self.records(stream.name) + (
                self.records(stream.name, self.since[stream.name]) if stream.name in self.since else []
            )
            failed = {r.id: mapped.problems for r in found if (mapped := mapping.apply(r.data)).failed}
            wanted = self.refused.get(stream.name, set())
            assert set(failed) == wanted, f"{stream.name}: {failed} failed, expected were {sorted(wanted)}"
            filled = {name for r in found for name, value in mapping.apply(r.data).values.items() if value is not None}
            key = stream.match_key
            assert key is None or key in filled, f"{stream.name}: no record has a value for the match key {key}"

    def test_declared_fields_are_in_the_records(self) -> None:
        for stream in self.streams():
            keys = {name for record in self.records(stream.name) for name in record.data}
            unknown = sorted({field.name for field in stream.fields if field.name.split(".")[0] not in keys})
            assert len(unknown) < len(stream.fields), f"{stream.name}: no record has any of {unknown}"

    def test_requests_of_writes_are_built(self) -> None:
        writing = [stream for stream in self.connector.manifest.streams if stream.writes]
        if not writing:
            raise unittest.SkipTest("nothing is written")
        for stream in writing:
            session, _ = self.session()
            _none(probes.write_issues(self.connector, session, stream))

    def test_errors_are_understood(self) -> None:
        for fixture in self.fixtures.exchanges:
            if fixture.is_error:
                error = _error_of(lambda f=fixture: answers.raise_for(self.connector.manifest, f.response))  # type: ignore[misc]  # a default
                assert error is not None, f"{label(fixture)}: the error table lets it pass"
                assert fixture.expect in (None, error.code), f"{label(fixture)}: it means {error.code}"

    def test_webhook_is_verified(self) -> None:
        hooks = self.connector.manifest.webhooks
        if hooks is None:
            raise unittest.SkipTest("no webhooks are declared")
        assert self.fixtures.webhooks, "there is no fixture of an event: write one with the key “webhook”"
        for fixture in self.fixtures.webhooks:
            _none(f"{fixture.file}: {issue}" for issue in probes.webhook_issues(hooks, fixture))

    def test_every_fixture_is_asked_for(self) -> None:
        session, replay = self.session()
        connector = self.connector
        connector.check(session)
        for stream in self.streams():
            for start in (None, *([self.since[stream.name]] if stream.name in self.since else [])):
                list(self.passes(stream.name, session, start))
            if stream.discovery and replay.knows(*_asks(stream.discovery.request.method, connector, session, stream)):
                assert connector.discover(session, stream.name), f"{stream.name}: no fields are discovered"
        probes.fetch_all(connector, session, self.good)
        for case in self.writes:
            probes.write(connector, session, case)
        self.ask_more(connector, session)
        left = sorted(label(fixture) for fixture in self.good if label(fixture) not in replay.used)
        assert not left, (
            f"Nothing asks for {left}. Name the start of a pass in `since`, a write in `writes`, or ask in `ask_more`."
        )


def _asks(method: str, connector: Connector, session: Session, stream: Stream) -> tuple[str, str]:
    assert stream.discovery is not None
    return method, probes.path_of(connector, session, stream.discovery.request, stream=stream.name)


def _skip(_seconds: float) -> None:
    return None


def _none(issues: Any) -> None:
    found = list(issues)
    assert not found, "\n".join(found)


def _error_of(call: Callable[[], Any]) -> ConnectorError | None:
    try:
        call()
    except ConnectorError as error:
        return error
    return None
