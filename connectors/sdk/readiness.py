"""How ready a connector is, item by item, found in its manifest and files. It says what is there, not how good it is."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from connectors.sdk import parts
from connectors.sdk.fixtures import Fixture, FixtureError, Fixtures, load_fixtures
from connectors.sdk.manifest import Manifest, Request, Stream

State = Literal["done", "partly", "missing", "not_needed"]
_PLACE = re.compile(r"\\\{[^{}]+\\\}")


@dataclass(frozen=True)
class Item:
    """One item of the list."""

    id: str
    title: str
    state: State
    detail: str


@dataclass(frozen=True)
class Subject:
    """What is looked at: the manifest, the connector's folder, and the folder of its tests where there is one."""

    manifest: Manifest
    folder: Path
    tests: Path | None = None

    @cached_property
    def fixtures(self) -> Fixtures:
        """The fixtures, none when they cannot be read."""
        try:
            return load_fixtures(self.folder / "fixtures")
        except FixtureError:
            return Fixtures()

    def answered(self, request: Request) -> list[Fixture]:
        """Return the good fixtures that may answer a request."""
        pattern = re.compile(_PLACE.sub("[^/]+", re.escape(request.path)))
        return [
            f for f in self.fixtures.exchanges
            if not f.is_error and f.method == request.method and pattern.fullmatch(f.path)
        ]  # fmt: skip


_ITEMS: dict[str, tuple[str, Callable[[Subject], tuple[State, str]]]] = {}
_Look = Callable[[Subject], tuple[State, str]]


def readiness(subject: Subject) -> list[Item]:
    """Return every item with its state."""
    return [Item(name, title, *look(subject)) for name, (title, look) in _ITEMS.items()]


def _item(name: str, title: str) -> Callable[[_Look], _Look]:
    def keep(look: _Look) -> _Look:
        _ITEMS[name] = (title, look)
        return look

    return keep


def _share(found: int, wanted: int, what: str) -> tuple[State, str]:
    state: State = "done" if found == wanted else "partly" if found else "missing"
    return state, f"{found} of {wanted} {what}"


@_item("auth", "Sign-in tested")
def _auth(subject: Subject) -> tuple[State, str]:
    kinds = ", ".join(auth.kind for auth in subject.manifest.auths())
    found = subject.answered(subject.manifest.check.request)
    refused = [f for f in subject.fixtures.exchanges if f.is_error and f.response.status in (401, 403)]
    if not found:
        return "missing", f"{kinds}; no fixture of the check"
    return ("done", f"{kinds}; accepted and refused") if refused else ("partly", f"{kinds}; accepted, not refused")


@_item("config", "Settings checked")
def _config(subject: Subject) -> tuple[State, str]:
    fields = [field for field in subject.manifest.config if field.kind != "secret"]
    if not fields:
        return "not_needed", "nothing but credentials is asked for"
    bound = [f for f in fields if f.kind != "text" or f.pattern or f.choices]
    return _share(len(bound), len(fields), "settings are of a checked form")


@_item("incremental", "Only what changed is read")
def _incremental(subject: Subject) -> tuple[State, str]:
    streams = subject.manifest.streams
    return _share(sum(s.incremental is not None for s in streams), len(streams), "streams")


@_item("deletes", "Deletes are noticed")
def _deletes(subject: Subject) -> tuple[State, str]:
    hooks = subject.manifest.webhooks
    told = {rule.stream for rule in hooks.rules if rule.action == "delete"} if hooks else set()
    streams = subject.manifest.streams
    known = [s for s in streams if s.deleted or (s.incremental and s.incremental.deleted) or s.name in told]
    state, detail = _share(len(known), len(streams), "streams")
    return ("partly" if state == "missing" else state), detail + (
        "" if state == "done" else "; the others by a full pass"
    )


@_item("writes", "Writes that can be repeated")
def _writes(subject: Subject) -> tuple[State, str]:
    writing = [s for s in subject.manifest.streams if s.writes]
    if not writing:
        return "not_needed", "nothing is written"
    by_hand = [
        s.name for s in writing if s.writes and s.writes.create_safety and s.writes.create_safety.kind == "review"
    ]
    blind = [s.name for s in writing if s.writes and s.writes.update and s.writes.concurrency.kind == "none"]
    detail = ", ".join(_safety(s) for s in writing)
    return ("partly" if by_hand or blind else "done"), detail


def _safety(stream: Stream) -> str:
    assert stream.writes is not None
    safety, guard = stream.writes.create_safety, stream.writes.concurrency.kind
    kinds: list[str] = [safety.kind] if safety else []
    kinds += [guard] if stream.writes.update else []
    return f"{stream.name}: {', '.join(kinds).replace('_', ' ') or 'deletes'}"


@_item("webhooks", "Webhooks")
def _webhooks(subject: Subject) -> tuple[State, str]:
    hooks = subject.manifest.webhooks
    if hooks is None:
        return "missing", "none: it is asked on a schedule"
    if not subject.fixtures.webhooks:
        return "partly", f"{hooks.verify.kind.replace('_', ' ')}; no fixture of an event"
    return "done", f"{hooks.verify.kind.replace('_', ' ')}; {len(subject.fixtures.webhooks)} events"


@_item("limits", "Rate limits kept")
def _limits(subject: Subject) -> tuple[State, str]:
    limits = subject.manifest.limits
    known = [f"{limits.calls} calls in {limits.seconds:g} s"] if limits.calls else []
    known += [f"header {limits.remaining_header}"] if limits.remaining_header else []
    known += [f"{limits.concurrency} at the same time"] if limits.concurrency else []
    return ("done", ", ".join(known)) if known else ("partly", "429 and Retry-After only")


@_item("errors", "Errors explained")
def _errors(subject: Subject) -> tuple[State, str]:
    rules = subject.manifest.errors
    said = [rule for rule in rules if rule.means == "ignore" or (rule.sentence and rule.fix)]
    if not rules:
        return "missing", "by status only"
    return _share(len(said), len(rules), "rules say what happened and what to do")


@_item("docs", "Guide and icon")
def _docs(subject: Subject) -> tuple[State, str]:
    found = [issue for issue in parts.issues(subject.folder) if issue.id in ("files", "readme", "icon")]
    return ("done", "complete") if not found else ("missing", found[0].message)


@_item("fixtures", "Fixtures")
def _fixtures(subject: Subject) -> tuple[State, str]:
    leaking = list(parts.secret_issues(subject.folder))
    if leaking:
        return "missing", leaking[0]
    streams = subject.manifest.streams
    known = [s for s in streams if subject.answered(s.request)]
    live = sum(f.verified.startswith("live") for f in subject.fixtures.exchanges)
    state, detail = _share(len(known), len(streams), "streams")
    return state, f"{detail}; {live} of {len(subject.fixtures.exchanges)} recorded live"


@_item("contract", "Contract test")
def _contract(subject: Subject) -> tuple[State, str]:
    if subject.tests is None or not subject.tests.exists():
        return "missing", "no tests are here"
    found = [file.name for file in _tests(subject.tests) if _inherits(file)]
    return ("done", ", ".join(found)) if found else ("missing", "no test inherits ContractSuite")


def _tests(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("test_*.py"))


def _inherits(file: Path) -> bool:
    return re.search(r"(?m)^class Test\w*\(\w*Contract\w*\)", file.read_text()) is not None
