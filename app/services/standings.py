"""How installations and their streams stand, as a diagnosis needs to know it: read for all of them at once."""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import tuple_

from app.db import db
from app.models.installations import Installation, InstallationStream, Schedule
from app.models.installations import Mapping as StoredMapping
from app.models.object_types import ObjectField, ObjectType
from app.models.runs import Problem, Run
from app.services import listings, problems, runs, stream_fields
from app.services.object_types import target_of
from app.services.sensitive_fields import hidden_names, hidden_targets
from app.sync.diagnosis_facts import LeftOut, Names, Standing
from app.tenancy import scoped
from connectors.sdk import CompiledMapping, Manifest, TargetField, compile_filters, compile_mapping, rules_from_json
from connectors.sdk.manifest import Stream

# So many installations are looked at for one question; a tenant may have a thousand.
MOST = 30
_WAITS = {"rate_limited": "{} asks us to slow down.", "vendor_down": "{} cannot be reached at the moment."}


@dataclass(frozen=True)
class Types:
    """The host's object types and their fields by name."""

    types: Mapping[str, ObjectType]
    fields: Mapping[str, list[ObjectField]]

    def label(self, object_type: str) -> str:
        """What one record of a type is called within a sentence."""
        return self.types[object_type].label.lower()

    def labels(self, object_type: str) -> dict[str, str]:
        """Return field -> label."""
        return {item.name: item.label for item in self.fields.get(object_type, [])}

    def hidden(self, object_type: str) -> set[str]:
        """Return the fields of a type whose values are not shown."""
        return hidden_names(self.fields.get(object_type, []))

    def targets(self, object_type: str) -> list[TargetField]:
        """Return the fields of a type as a mapping takes them."""
        return [target_of(item) for item in self.fields.get(object_type, [])]

    def title_of(self, object_type: str, data: Mapping[str, Any]) -> str:
        """Return what a record is called."""
        title = data.get(self.types[object_type].title_field) or data.get("email") or data.get("name")
        return str(title or "without a name")


@dataclass(frozen=True)
class Rules:
    """The mapping of a stream that is in force, compiled, with its filters one by one and what it may not show."""

    version: int
    mapping: CompiledMapping
    filters: tuple[tuple[str, Any], ...]
    hidden: frozenset[str]

    def left_out(self, values: Mapping[str, Any], labels: Mapping[str, str]) -> LeftOut | None:
        """Return the first filter that leaves a record out, None when none does."""
        for name, test in self.filters:
            sentence = test(values)
            if sentence:
                value = None if name in self.hidden else values.get(name)
                return LeftOut(sentence, labels.get(name, name) if name not in self.hidden else "", value)
        return None


@dataclass(frozen=True)
class Scene:
    """One installation with everything that decides how its records stand."""

    installation: Installation
    manifest: Manifest
    streams: Mapping[str, InstallationStream]
    standing: Standing
    rules: Mapping[str, Rules] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def standing_of(self, stream: str) -> Standing:
        """Return how a stream stands."""
        installed, declared = self.streams[stream], self.manifest.stream(stream)
        signature = problems.stream_signature(stream)
        forbidden = next((problem for problem in self.problems if problem.signature == signature), None)
        deletes = next((p for p in self.problems if p.signature == f"deletes_out:{stream}"), None)
        writes = declared.writes
        operations = {name for name in ("create", "update", "delete") if writes and getattr(writes, name)}
        return replace(
            self.standing, enabled=installed.enabled, direction=installed.direction,
            operations=frozenset(operations) if installed.direction != "in" else frozenset(),
            delete_policy=installed.delete_policy, can_fetch=declared.fetch is not None,
            first_pass_done=installed.last_complete_at is not None,
            forbidden=forbidden.message if forbidden else "", fix=forbidden.fix if forbidden else self.standing.fix,
            problem_id=deletes.id if deletes else self.standing.problem_id,
        )  # fmt: skip

    def names_of(self, stream: str, types: Types, host: str) -> Names:
        """Return what things are called for a stream."""
        declared = self.manifest.stream(stream)
        return Names(self.installation.name, host, declared.label, types.label(declared.object_type))


def load_types() -> Types:
    """Return the host's object types."""
    fields: dict[str, list[ObjectField]] = {}
    for item in db.session.scalars(db.select(ObjectField).order_by(ObjectField.position, ObjectField.name)):
        fields.setdefault(item.object_type, []).append(item)
    return Types({item.name: item for item in db.session.scalars(db.select(ObjectType))}, fields)


def load(
    tenant_id: uuid.UUID, types: Types, installation_id: uuid.UUID | None = None, *, about: Collection[uuid.UUID] = ()
) -> list[Scene]:
    """Return an installation, or MOST of those that are active or paused, in a fixed number of queries.

    Those of `about` come first, whatever their names are: they know of what is asked.
    """
    query = scoped(Installation, tenant_id)
    mine = Installation.id == installation_id if installation_id else Installation.state.in_(("active", "paused"))
    first = Installation.id.in_(about).desc()
    found = list(db.session.scalars(query.where(mine).order_by(first, Installation.name, Installation.id).limit(MOST)))
    found.sort(key=lambda installation: (installation.name, installation.id))
    ids = [installation.id for installation in found]
    streams: dict[uuid.UUID, dict[str, InstallationStream]] = {}
    rows = scoped(InstallationStream, tenant_id).where(InstallationStream.installation_id.in_(ids))
    for stream in db.session.scalars(rows.order_by(InstallationStream.created_at, InstallationStream.id)):
        streams.setdefault(stream.installation_id, {})[stream.stream] = stream
    due = {
        schedule.installation_id: schedule.next_due_at
        for schedule in db.session.scalars(scoped(Schedule, tenant_id).where(Schedule.installation_id.in_(ids)))
    }
    unfinished = runs.unfinished_runs(tenant_id, ids)
    open_ones = problems.list_open(tenant_id, installation_id)
    versions = listings.manifests_of(installation.listing_version_id for installation in found)
    manifests = {installation.id: versions[installation.listing_version_id] for installation in found}
    rules = _rules(tenant_id, types, streams, manifests)
    return [
        Scene(
            installation, manifests[installation.id], streams.get(installation.id, {}),
            _standing(installation, unfinished.get(installation.id), _of(open_ones, installation.id), due.get(installation.id)),
            rules.get(installation.id, {}), _of(open_ones, installation.id),
        )
        for installation in found
    ]  # fmt: skip


def _of(found: list[Problem], installation_id: uuid.UUID) -> tuple[Problem, ...]:
    return tuple(problem for problem in found if problem.installation_id == installation_id)


def _standing(installation: Installation, run: Run | None, found: tuple[Problem, ...], next_run: Any) -> Standing:
    code = installation.blocked_code or ""
    why = next((p for p in found if p.code == code), next((p for p in found if p.stops_sync), None)) if code else None
    asking = run is not None and run.state == "asking"
    waits = _WAITS.get(run.waiting_code or "", "") if run else ""
    return Standing(
        state=installation.state, paused_reason=installation.paused_reason or "", blocked=code,
        problem=why.message if why else "", fix=why.fix if why else "", problem_id=why.id if why else None,
        asking=run.id if run and asking else None, running=run.id if run and not asking else None,
        waits=waits.format(installation.name), waits_until=run.waiting_until if run and waits else None,
        next_run=next_run,
    )  # fmt: skip


class _Compiled(Mapping[str, Rules]):
    """The mappings of an installation by stream, each compiled when it is asked for: most of them never are."""

    def __init__(self, made: Mapping[str, Callable[[], Rules]]) -> None:
        self._made, self._kept = made, dict[str, Rules]()

    def __getitem__(self, stream: str) -> Rules:
        if stream not in self._kept:
            self._kept[stream] = self._made[stream]()
        return self._kept[stream]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


def _rules(
    tenant_id: uuid.UUID, types: Types, streams: Mapping[uuid.UUID, Mapping[str, InstallationStream]],
    manifests: Mapping[uuid.UUID, Manifest],
) -> dict[uuid.UUID, Mapping[str, Rules]]:  # fmt: skip
    every = [stream for named in streams.values() for stream in named.values()]
    place = tuple_(StoredMapping.installation_id, StoredMapping.stream, StoredMapping.version)
    wanted = [(stream.installation_id, stream.stream, stream.mapping_version) for stream in every]
    found: dict[uuid.UUID, dict[str, Callable[[], Rules]]] = {}
    for row in db.session.scalars(scoped(StoredMapping, tenant_id).where(place.in_(wanted))):
        stream, declared = streams[row.installation_id][row.stream], manifests[row.installation_id].stream(row.stream)
        found.setdefault(row.installation_id, {})[row.stream] = partial(_compiled, row, types, stream, declared)
    return {installation_id: _Compiled(made) for installation_id, made in found.items()}


def _compiled(stored: StoredMapping, types: Types, installed: InstallationStream, declared: Stream) -> Rules:
    """Return a stored mapping compiled as passes.open_context does it, with its filters one by one."""
    targets, rules = types.targets(installed.object_type), rules_from_json(stored.rules)
    sources = stream_fields.of_stream(installed, declared)
    return Rules(
        stored.version, compile_mapping(rules, targets, direction=installed.direction, sources=sources),
        tuple((str(item.get("field", "")), compile_filters([item], targets)) for item in stored.filters),
        frozenset(hidden_targets(rules, declared) | types.hidden(installed.object_type)),
    )  # fmt: skip
