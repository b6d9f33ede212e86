"""What must fit together in a manifest beyond the shape of each part: every check has a stable id and a fix.

A check is a generator of issues; `ids()` lists them for the reference page.
"""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from connectors.sdk.addresses import literal
from connectors.sdk.expressions import places
from connectors.sdk.fields import TargetField
from connectors.sdk.loader import Issue
from connectors.sdk.mapping import compile_mapping
from connectors.sdk.mapping_types import MappingError
from connectors.sdk.schema.config import HostsFrom
from connectors.sdk.schema.parts import Request
from connectors.sdk.schema.streams import Incremental, Paging, Stream

if TYPE_CHECKING:
    from connectors.sdk.manifest import Manifest

Found = Iterator[tuple[str, str, str]]
_COMMON = {"config", "origin", "kept", "account"}
# A group that repeats and is itself repeated can take time without end on a hostile value.
_NESTED = re.compile(r"\([^()]*[+*][^()]*\)[+*{]")
_CHECKS: dict[str, Callable[["Manifest"], Found]] = {}


def check(manifest: "Manifest") -> list[Issue]:
    """Return everything that does not fit together; lines are not known here."""
    return [
        Issue(path, 0, message, fix, name)
        for name, generate in _CHECKS.items()
        for path, message, fix in generate(manifest)
    ]


def ids() -> dict[str, str]:
    """Return check id -> what it is about."""
    return {name: (generate.__doc__ or "").strip() for name, generate in _CHECKS.items()}


def _check(name: str) -> Callable[[Callable[["Manifest"], Found]], Callable[["Manifest"], Found]]:
    def keep(generate: Callable[["Manifest"], Found]) -> Callable[["Manifest"], Found]:
        _CHECKS[name] = generate
        return generate

    return keep


def _twice(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}


@_check("names-unique")
def _names(manifest: "Manifest") -> Found:
    """Names of config fields, streams and ways to authorise are each used once."""
    groups = {
        "config": [field.name for field in manifest.config], "streams": [stream.name for stream in manifest.streams],
        "alternatives": [auth.name for auth in manifest.auths()],
    }  # fmt: skip
    for path, names in groups.items():
        for name in sorted(_twice(names)):
            yield path, f"{name} is declared twice.", "Give one of the two another name."


@_check("host-source")
def _hosts(manifest: "Manifest") -> Found:
    """Hosts are names, an origin field, or begin with a setting that has a pattern."""
    fields = {field.name: field for field in manifest.config}
    if isinstance(manifest.hosts, HostsFrom):
        field = fields.get(manifest.hosts.field)
        if field is None or field.kind != "origin":
            yield "hosts.from", f"{manifest.hosts.field} is no config field of kind origin.", "Add one of that name."
        return
    for number, host in enumerate(manifest.hosts):
        for place in places(host):
            root, _, name = place.partition(".")
            if root == "config" and (name not in fields or not fields[name].pattern):
                yield f"hosts.{number}", f"{name} must be a config field with a pattern.", "Add pattern: ^[a-z0-9-]+$"
        if literal(host):
            yield f"hosts.{number}", "An address is no host name.", "Give the vendor's host name."


@_check("host-listed")
def _requests(manifest: "Manifest") -> Found:
    """A request goes to one of the manifest's hosts, and an address of the sign-in too."""
    listed = [] if isinstance(manifest.hosts, HostsFrom) else manifest.hosts
    for path, request, _ in _all_requests(manifest):
        if request.host and request.host not in listed:
            yield f"{path}.host", f"{request.host} is not in hosts.", "Add it to hosts, or take host away."
    for place, auth in enumerate(manifest.auths()):
        base = "auth" if place == 0 else f"alternatives.{place - 1}"
        for name in ("authorize_url", "token_url", "refresh_url", "revoke_url"):
            url = getattr(auth, name)
            if not url or url.startswith("{origin}/"):
                continue
            parts = urlsplit(url)
            if "{" in parts.netloc:
                yield f"{base}.{name}", "has a place in its host.", "Declare the host in hosts and write {origin}/path."
            elif parts.scheme != "https" or literal(parts.netloc) or not parts.netloc:
                yield f"{base}.{name}", "is not an https address of a host name.", "Write https://host/path."
            elif name != "authorize_url" and parts.netloc not in listed:
                yield f"{base}.{name}", f"{parts.netloc} is not in hosts.", "Add it to hosts: the worker calls it."


@_check("auth-fields")
def _auth(manifest: "Manifest") -> Found:
    """What a way to authorise names is a config field of the right kind."""
    kinds = {field.name: field.kind for field in manifest.config}
    names = {auth.name for auth in manifest.auths()}
    for place, auth in enumerate(manifest.auths()):
        base = "auth" if place == 0 else f"alternatives.{place - 1}"
        wanted = {"field": auth.field, "password": auth.password, "client_secret": auth.client_secret}
        wanted |= {f"keys.{number}.field": key.field for number, key in enumerate(auth.keys)}
        wanted |= {"jwt.key": auth.jwt.key} if auth.jwt else {}
        for path, name in wanted.items():
            if name is not None and kinds.get(name) != "secret":
                yield f"{base}.{path}", f"{name} is no config field of kind secret.", "Add one, with kind: secret."
        for path, name in {"username": auth.username, "client_id": auth.client_id}.items():
            if name is not None and name not in kinds:
                yield f"{base}.{path}", f"{name} is no config field.", "Add it to config."
        if manifest.alternatives and not auth.label:
            yield f"{base}.label", "is missing where there is a choice.", "Say what the customer chooses."
    for number, field in enumerate(manifest.config):
        if field.auth and field.auth not in names:
            yield f"config.{number}.auth", f"There is no way to authorise named {field.auth}.", "Correct the name."


@_check("places-known")
def _places(manifest: "Manifest") -> Found:
    """Every `{place}` names something that has a value there, and never a secret."""
    fields = {field.name for field in manifest.config}
    secrets = set(manifest.secret_fields())
    for path, request, known in _all_requests(manifest):
        for place in _places_of(request):
            root, _, rest = place.partition(".")
            name = rest.split(".")[0]
            if root not in _COMMON | known:
                yield path, f"{{{place}}} has no value here.", f"Known are {', '.join(sorted(_COMMON | known))}."
            elif root == "config" and name in secrets:
                yield path, f"{name} is a secret: only auth may use it.", "Declare it under auth."
            elif root == "config" and name not in fields:
                yield path, f"There is no config field {name}.", "Add it, or correct the name."


@_check("parent-known")
def _parents(manifest: "Manifest") -> Found:
    """A parent is another stream or a list field, and parents go round in no circle."""
    parents = {stream.name: stream.parent.stream for stream in manifest.streams if stream.parent}
    lists = {field.name for field in manifest.config if field.kind == "list"}
    names = {stream.name for stream in manifest.streams}
    for number, stream in enumerate(manifest.streams):
        path, parent = f"streams.{number}.parent", stream.parent
        if parent is None:
            continue
        if parent.stream and parent.stream not in names:
            yield path, f"There is no stream {parent.stream}.", "Name one of the manifest's streams."
        if parent.config and parent.config not in lists:
            yield path, f"{parent.config} is no config field of kind list.", "Add one."
        seen, at = set(), stream.name
        while at in parents and parents[at] and at not in seen:
            seen.add(at)
            at = parents[at] or ""
        if at in seen:
            yield path, "The parents go round in a circle.", "Take one of them away."


@_check("cursor-used")
def _cursors(manifest: "Manifest") -> Found:
    """A cursor goes somewhere: a parameter, or `{since}` in the request."""
    for number, stream in enumerate(manifest.streams):
        cursor = stream.incremental
        if cursor is None or cursor.parameter or cursor.order == "newest":
            continue
        if "since" not in _places_of(cursor.request or stream.request):
            yield f"streams.{number}.incremental", "The cursor is sent nowhere.", "Give parameter, or use {since}."


@_check("paging-complete")
def _pagings(manifest: "Manifest") -> Found:
    """A way of paging has what it needs to find the next page."""
    for path, paging in _all_pagings(manifest):
        if paging.kind in ("cursor", "next_url") and not paging.path:
            yield path, f"Paging by {paging.kind} needs path.", "Say where the answer holds it."
        if paging.kind in ("offset", "page") and not (paging.more or paging.size_parameter or paging.size):
            yield path, "It cannot be told which page is the last.", "Give size or more."


@_check("mapping-fits")
def _mappings(manifest: "Manifest") -> Found:
    """The default mapping reads declared fields, writes each target once, and maps the match key."""
    for number, stream in enumerate(manifest.streams):
        base, targets = f"streams.{number}", [rule.target for rule in stream.mapping]
        for name in sorted(_twice(targets)):
            yield f"{base}.mapping", f"{name} is mapped twice.", "Take one of the two away."
        for name, key in (("match_key", stream.match_key), ("second_key", stream.second_key)):
            if key and key not in targets:
                yield f"{base}.{name}", f"{key} is not mapped.", "Map it, or choose another field."
        declared = {field.name for field in stream.fields} | set(stream.add)
        prefix = stream.discovery.prefix if stream.discovery else None
        for place, rule in enumerate(stream.mapping):
            for source in rule.sources:
                known = source in declared or any(source.startswith(f"{name}.") for name in declared)
                if not known and not (prefix and source.startswith(prefix)):
                    yield f"{base}.mapping.{place}", f"{source} is no declared field.", "Add it to fields."


@_check("mapping-compiles")
def _rules(manifest: "Manifest") -> Found:
    """Each rule of the default mapping has transforms that work, and flows out only where it can be written back."""
    for number, stream in enumerate(manifest.streams):
        base = f"streams.{number}.mapping"
        broken = [
            place
            for place, rule in enumerate(stream.mapping)
            for step in rule.transforms
            if not isinstance(step.get("name"), str) or not isinstance(step.get("args") or {}, dict)
        ]
        for place in broken:
            yield (
                f"{base}.{place}",
                "A transform has no name, or args that are no map.",
                "Write {name: trim, args: {}}.",
            )
        if broken:
            continue
        at = {rule.target: place for place, rule in enumerate(stream.mapping)}
        # What the host's fields are is not known here; a target named twice is said by another check.
        targets, rules = [TargetField(name, name, "json") for name in at], stream.rules()
        try:
            compile_mapping([rules[place] for place in at.values()], targets, direction="both")
        except MappingError as error:
            for problem in error.problems:
                yield f"{base}.{at[problem.field]}", problem.message, problem.fix
        for place, rule in enumerate(rules):
            if rule.direction in ("out", "both") and stream.writes is None:
                yield f"{base}.{place}", "Nothing can be written to this stream.", "Choose direction in."
            elif rule.direction in ("out", "both") and (fixed := _fixed(stream, rule.sources)):
                yield f"{base}.{place}", f"{fixed} can only be read.", "Choose direction in."


def _fixed(stream: Stream, sources: tuple[str, ...]) -> str | None:
    return next((field.name for field in stream.fields if field.read_only and field.name in sources), None)


@_check("writes-safe")
def _writes(manifest: "Manifest") -> Found:
    """A write can be repeated: a create is found again, an update is compared before."""
    for number, stream in enumerate(manifest.streams):
        writes, base = stream.writes, f"streams.{number}.writes"
        if writes is None:
            continue
        if writes.update and writes.concurrency.kind == "none" and stream.fetch is None:
            yield f"{base}.update", "The record cannot be read before it is written.", "Declare fetch."
        optional = {scope.name for auth in manifest.auths() for scope in auth.scopes if scope.optional}
        if writes.scope and writes.scope not in optional:
            yield f"{base}.scope", f"{writes.scope} is no optional scope.", "Name a scope that is optional: true."
        safety = writes.create_safety
        if safety and safety.request and "reference" not in _places_of(safety.request):
            yield f"{base}.create_safety.request", "does not search for {reference}.", "Use {reference} in it."
        if writes.update and "id" not in _places_of(writes.update.request):
            yield f"{base}.update.request", "does not name the record.", "Use {id} in it."


@_check("webhooks-fit")
def _webhooks(manifest: "Manifest") -> Found:
    """Events lead to streams that exist and can be read one by one."""
    hooks = manifest.webhooks
    if hooks is None:
        return
    streams = {stream.name: stream for stream in manifest.streams}
    for number, rule in enumerate(hooks.rules):
        stream = streams.get(rule.stream)
        if stream is None:
            yield f"webhooks.rules.{number}.stream", f"There is no stream {rule.stream}.", "Correct the name."
        elif rule.action == "upsert" and rule.id and rule.record is None and stream.fetch is None:
            yield f"webhooks.rules.{number}", f"{rule.stream} cannot be read one by one.", "Declare fetch."
    if hooks.verify.secret_field and hooks.verify.secret_field not in manifest.secret_fields():
        yield "webhooks.verify.secret_field", "is no config field of kind secret.", "Add one."


@_check("pattern-safe")
def _patterns(manifest: "Manifest") -> Found:
    """A pattern is a regular expression that ends on every value."""
    for number, field in enumerate(manifest.config):
        if not field.pattern:
            continue
        try:
            re.compile(field.pattern)
        except (re.error, OverflowError, RecursionError) as error:
            yield f"config.{number}.pattern", f"is no regular expression: {error}.", "Correct it."
        if _NESTED.search(field.pattern):
            yield f"config.{number}.pattern", "repeats what repeats.", "Take one of the repetitions away."


@_check("upgrades-fit")
def _upgrades(manifest: "Manifest") -> Found:
    """An upgrade leads to config fields and streams of this version."""
    fields, streams = {field.name for field in manifest.config}, {stream.name for stream in manifest.streams}
    for number, upgrade in enumerate(manifest.upgrades):
        for name in sorted({*upgrade.rename.values(), *upgrade.set} - fields):
            yield f"upgrades.{number}", f"There is no config field {name}.", "Correct the name."
        for name in sorted(set(upgrade.read_again) - streams):
            yield f"upgrades.{number}", f"There is no stream {name}.", "Correct the name."


def _all_requests(manifest: "Manifest") -> Iterator[tuple[str, Request, set[str]]]:
    yield "check.request", manifest.check.request, set()
    for place, auth in enumerate(manifest.auths()):
        if auth.check:
            yield "auth.check" if place == 0 else f"alternatives.{place - 1}.check", auth.check.request, set()
    for number, stream in enumerate(manifest.streams):
        base = f"streams.{number}"
        reading = {"stream", "since", "until", "wanted"} | ({"parent"} if stream.parent else set())
        one = {"stream", "id", "wanted"} | ({"parent"} if stream.parent else set())
        yield f"{base}.request", stream.request, reading
        if stream.incremental and stream.incremental.request:
            yield f"{base}.incremental.request", stream.incremental.request, reading
        if stream.fetch:
            yield f"{base}.fetch", stream.fetch, one
        if stream.discovery:
            yield f"{base}.discovery.request", stream.discovery.request, {"stream"}
        yield from _write_requests(stream, base, one)
    if manifest.webhooks:
        subscribe = manifest.webhooks.subscribe
        for name in ("create", "check", "renew", "remove"):
            request = getattr(subscribe, name)
            if request:
                yield f"webhooks.subscribe.{name}", request, {"hook", "stream"}
        if subscribe.find:
            yield "webhooks.subscribe.find.request", subscribe.find.request, {"hook", "stream"}


def _write_requests(stream: Stream, base: str, one: set[str]) -> Iterator[tuple[str, Request, set[str]]]:
    if stream.writes is None:
        return
    known = one | {"fields", "version", "reference", "key", "items", "base"}
    for name in ("create", "update", "delete", "batch_create", "batch_update", "create_safety"):
        part = getattr(stream.writes, name)
        if part is not None and part.request is not None:
            yield f"{base}.writes.{name}.request", part.request, known


def _all_pagings(manifest: "Manifest") -> Iterator[tuple[str, Paging]]:
    for number, stream in enumerate(manifest.streams):
        yield f"streams.{number}.paging", stream.paging
        cursor: Incremental | None = stream.incremental
        if cursor and cursor.paging:
            yield f"streams.{number}.incremental.paging", cursor.paging


def _places_of(value: Any) -> list[str]:
    if isinstance(value, Request):
        return _places_of([value.path, value.query, value.headers, value.body, value.form, value.host])
    if isinstance(value, str):
        return places(value)
    if isinstance(value, dict):
        return [place for inner in value.values() for place in _places_of(inner)]
    if isinstance(value, list):
        return [place for inner in value for place in _places_of(inner)]
    return []
