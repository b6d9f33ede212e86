"""What a manifest says an integration can do, in the words of the catalog: directions, capabilities, ways to sign in."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from connectors.sdk import Manifest
from connectors.sdk.manifest import Stream
from connectors.sdk.mapping_types import flows

CAPABILITIES = {
    "both_ways": "Sync both ways", "webhooks": "Take changes within moments", "custom_fields": "Sync your own fields",
    "changes_only": "Read only what changed", "deletes": "Notice deletes in each run",
}  # fmt: skip
SIGNS_IN = {
    "oauth2": "sign-in (OAuth)", "client_credentials": "app credentials", "jwt_bearer": "service account",
    "api_key": "API key", "keys": "API keys", "bearer": "access token", "basic": "account and password", "none": "no sign-in",
}  # fmt: skip


@dataclass(frozen=True)
class StreamFacts:
    """One kind of data. `way`: in or both; the rest is what may be done over there, and what is heard of at once."""

    label: str
    object_type: str
    way: str
    creates: bool
    updates: bool
    deletes: bool
    webhook: bool
    tombstones: bool
    changes_only: bool
    match_key: str | None


def stream_facts(manifest: Manifest) -> list[StreamFacts]:
    """Return what each stream of a manifest moves, and how."""
    heard = {rule.stream for rule in manifest.webhooks.rules} if manifest.webhooks else set()
    return [_of_stream(stream, stream.name in heard) for stream in manifest.streams]


def _of_stream(stream: Stream, heard: bool) -> StreamFacts:
    writes = stream.writes
    out = writes is not None and any(flows(rule.direction, "out") for rule in stream.rules())
    may = {name: bool(out and getattr(writes, name)) for name in ("create", "update", "delete")}
    return StreamFacts(
        stream.label, stream.object_type, "both" if any(may.values()) else "in", may["create"], may["update"],
        may["delete"], heard, stream.deleted is not None, stream.incremental is not None, stream.match_key,
    )  # fmt: skip


def signs_in(manifest: Manifest) -> list[str]:
    """Return how one can sign in, in words, the default first."""
    # A key in the place of a user name is a key for whoever enters it.
    kinds = ("api_key" if auth.user_is_key else auth.kind for auth in manifest.auths())
    return list(dict.fromkeys(SIGNS_IN[kind] for kind in kinds))


def capabilities(manifest: Manifest, streams: Iterable[StreamFacts]) -> list[str]:
    """Return which of CAPABILITIES an integration has."""
    found = list(streams)
    has = {
        "both_ways": any(stream.way == "both" for stream in found), "webhooks": manifest.webhooks is not None,
        "custom_fields": any(stream.discovery for stream in manifest.streams),
        "changes_only": all(stream.changes_only for stream in found),
        "deletes": any(stream.tombstones for stream in found),
    }  # fmt: skip
    return [name for name in CAPABILITIES if has[name]]


def columns(manifest: Manifest) -> dict[str, Any]:
    """Return the columns of a listing that are made of its current manifest."""
    streams, told = stream_facts(manifest), manifest.listing
    words = [told.name, manifest.slug, *told.categories, *(f"{s.label} {s.object_type}" for s in streams)]
    return {
        "name": told.name, "summary": told.summary, "categories": list(told.categories), "publisher": told.publisher,
        "stage": told.stage, "words": " ".join([*words, *(use.object for use in told.data)]).lower(),
        "streams": [asdict(stream) for stream in streams], "capabilities": capabilities(manifest, streams),
        "signs_in": signs_in(manifest), "hosts": list(manifest.hosts) if isinstance(manifest.hosts, list) else [],
    }  # fmt: skip
