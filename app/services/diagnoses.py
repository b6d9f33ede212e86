"""Why a record is not in sync: finds what a pasted text names, gathers what is known of it, and has it diagnosed."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from app.db import db
from app.models.intents import Intent
from app.models.records import Change, Link, Record
from app.models.runs import Conflict, FailedRecord
from app.models.tasks import Task
from app.services import intents, lookups, record_places, standings
from app.services.failed_records import IN_DOUBT
from app.services.lookups import Look
from app.services.object_types import key_fields
from app.services.record_places import Found, Place
from app.services.runs import read_key
from app.services.sensitive_fields import HIDDEN, mask_quotes
from app.services.standings import Rules, Scene, Types
from app.sync.diagnosis import diagnose
from app.sync.diagnosis_facts import Clash, Diagnosis, Facts, Failed, Here, LeftOut, Names, Tie, Write
from app.sync.merge import unsent
from app.sync.pasted import Pasted, read_pasted

MOST = 10


@dataclass(frozen=True)
class Case:
    """The diagnosis of one record at one stream, with what pages need around it. `stream` is empty where none is known."""

    scene: Scene
    stream: str
    names: Names
    diagnosis: Diagnosis
    title: str
    external_id: str | None = None
    record: Record | None = None
    look: Look | None = None
    link: Link | None = None
    clash: Conflict | None = None
    write: Intent | None = None

    @property
    def rules(self) -> Rules | None:
        """The mapping in force of the stream."""
        return self.scene.rules.get(self.stream)

    @property
    def waiting(self) -> bool:
        """Whether the other side is being asked."""
        return self.look is not None and self.look.waiting

    @property
    def can_look(self) -> bool:
        """Whether the other side can be asked for this record by a person who wants to know."""
        if self.scene.installation.state != "active" or self.waiting:
            return False
        if not self.stream:
            return self.look is not None
        return self.external_id is not None and self.scene.standing_of(self.stream).can_fetch


@dataclass
class _Known:
    """What was read for all places at once."""

    pasted: Pasted
    host: str
    types: Types
    found: Found
    writes: Mapping[tuple[uuid.UUID, str, uuid.UUID], Intent]
    deletions: Mapping[uuid.UUID, str]
    queued: frozenset[str]
    looks: Sequence[Any]


def find(tenant_id: uuid.UUID, text: str, *, host: str, installation_id: uuid.UUID | None = None) -> list[Case]:
    """Return the diagnoses of what a pasted text names, in one installation or in all, in a fixed number of queries.

    Where nothing here knows it, there is one for each installation: nobody has seen it, or the other side has been asked.
    """
    pasted, types = read_pasted(text), standings.load_types()
    about = () if installation_id else record_places.installations_about(tenant_id, pasted, _own_keys(types))
    return _cases(tenant_id, pasted, types, standings.load(tenant_id, types, installation_id, about=about), host)


def of_record(tenant_id: uuid.UUID, record: Record, types: Types, scenes: Sequence[Scene], *, host: str) -> list[Case]:
    """Return the diagnoses of one of our records: one for each link, and for each stream that it could go to."""
    pasted = Pasted(str(record.id), (), (record.id,), None)
    return _cases(tenant_id, pasted, types, scenes, host)


def _cases(tenant_id: uuid.UUID, pasted: Pasted, types: Types, scenes: Sequence[Scene], host: str) -> list[Case]:
    by_id = {scene.installation.id: scene for scene in scenes}
    streams = [stream for scene in scenes for stream in scene.streams.values()]
    places, found = record_places.find(tenant_id, pasted, streams, _keys(scenes, types))
    # A stream that nobody chose says nothing of a record that is elsewhere.
    chosen = [p for p in places if p.external_id or by_id[p.installation_id].streams[p.stream].enabled] or places
    known = _load(tenant_id, pasted, types, found, chosen[:MOST], host, list(by_id))
    cases = [_case(known, by_id[place.installation_id], place) for place in chosen[:MOST]]
    if cases or not pasted.text:
        return cases
    return [case for scene in scenes[:MOST] for case in _strangers(known, scene)]


def _own_keys(types: Types) -> dict[str, set[str]]:
    return {name: set(key_fields(fields)) for name, fields in types.fields.items()}


def _keys(scenes: Sequence[Scene], types: Types) -> set[str]:
    keys = {name for names in _own_keys(types).values() for name in names}
    for scene in scenes:
        for stream in scene.manifest.streams:
            keys.update(key for key in (stream.match_key, stream.second_key) if key)
    return keys


def _load(
    tenant_id: uuid.UUID, pasted: Pasted, types: Types, found: Found, places: Sequence[Place], host: str,
    installation_ids: Sequence[uuid.UUID],
) -> _Known:  # fmt: skip
    ids = sorted({place.record_id for place in places if place.record_id})
    deletions = (
        select(Change.record_id, Change.writer)
        .where(Change.tenant_id == tenant_id, Change.record_id.in_(ids), Change.operation == "deleted")
        .ext(distinct_on(Change.record_id))
        .order_by(Change.record_id, Change.id.desc())
    )
    external = {place.external_id for place in places if place.external_id} | set(pasted.external_ids)
    reads = [read_key(p.installation_id, p.stream, p.external_id) for p in places if p.external_id]
    queued = select(Task.key).where(
        Task.tenant_id == tenant_id, Task.kind == "read_record", Task.key.in_(reads),
        Task.state.in_(("ready", "leased")),
    )  # fmt: skip
    return _Known(
        pasted, host, types, found,
        intents.newest_of(tenant_id, [(p.installation_id, p.stream, p.record_id) for p in places if p.record_id]),
        {row[0]: row[1] for row in db.session.execute(deletions)},
        frozenset(db.session.scalars(queued)), lookups.find(tenant_id, installation_ids, external),
    )  # fmt: skip


def _case(known: _Known, scene: Scene, place: Place) -> Case:
    types, found = known.types, known.found
    names = scene.names_of(place.stream, types, known.host)
    object_type = scene.streams[place.stream].object_type
    labels, rules = types.labels(object_type), scene.rules.get(place.stream)
    record, link = found.records.get(place.record_id) if place.record_id else None, found.link_of(place)
    failed_in, failed_out = found.failed_of(place, "in"), found.failed_of(place, "out")
    look = None
    if place.external_id:
        look = lookups.look_of(
            known.looks, place.installation_id, place.stream, place.external_id, link=link, rules=rules, labels=labels
        )
    clash, write = found.conflict_of(place), None
    if place.record_id:
        write = known.writes.get((place.installation_id, place.stream, place.record_id))
    differs, kept = _differences(record, link, rules, clash)
    facts = Facts(
        names, scene.standing_of(place.stream), known.pasted.text, known.pasted.by_id, place.external_id,
        tie=_tie(link), here=_here(known, record), failed_in=_failed(failed_in, labels, rules),
        failed_out=_failed(failed_out, labels, rules), clash=_clash(clash, labels, rules),
        write=_write(write), left_out=_left_out(record, rules, labels),
        unsent=_named(differs, record, labels, rules), kept=_named(kept, record, labels, rules),
        live=look.live if look else None, looking=bool(look and look.waiting),
        read_queued=bool(place.external_id)
        and read_key(place.installation_id, place.stream, place.external_id or "") in known.queued,
    )  # fmt: skip
    failed = failed_in or failed_out
    title = types.title_of(object_type, record.data) if record else (failed.title if failed else "")
    return Case(
        scene, place.stream, names, diagnose(facts), title or place.external_id or "", place.external_id, record, look,
        link, clash, write,
    )  # fmt: skip


def _strangers(known: _Known, scene: Scene) -> list[Case]:
    """Return what the other side says of a text that nothing here knows, or one case that says so."""
    chosen = [name for name, stream in scene.streams.items() if stream.enabled]
    looks = []
    for stream in chosen:
        labels = known.types.labels(scene.streams[stream].object_type)
        for external_id in known.pasted.external_ids:
            look = lookups.look_of(
                known.looks, scene.installation.id, stream, external_id, link=None, rules=scene.rules.get(stream),
                labels=labels,
            )  # fmt: skip
            if look:
                looks.append((stream, external_id, look))
    seen = [item for item in looks if item[2].live and item[2].live.found]
    if seen:
        return [_case(known, scene, Place(scene.installation.id, item[0], item[1], None)) for item in seen]
    return [_nobody(known, scene, chosen, [item[2] for item in looks])]


def _nobody(known: _Known, scene: Scene, chosen: Sequence[str], looks: Sequence[Look]) -> Case:
    """Return the one case of a record that no stream of an installation knows."""
    labels = [scene.manifest.stream(name).label for name in chosen] or ["Records"]
    names = Names(scene.installation.name, known.host, " and ".join(labels), "record")
    each = [scene.standing_of(name) for name in chosen]
    standing = replace(
        scene.standing, direction="both", enabled=bool(chosen),
        can_fetch=any(at.can_fetch for at in each), first_pass_done=all(at.first_pass_done for at in each),
    )  # fmt: skip
    # An answer that went wrong says less than one that there is no such record.
    answers = sorted((look for look in looks if look.live), key=lambda look: bool(look.live and look.live.problem))
    waits = next((look for look in looks if look.waiting), None)
    facts = Facts(
        names, standing, known.pasted.text, known.pasted.by_id, live=answers[0].live if answers and not waits else None,
        looking=waits is not None,
    )  # fmt: skip
    look = waits or (answers[0] if answers else None)
    return Case(scene, "", names, diagnose(facts), known.pasted.text, look=look)


def look(tenant_id: uuid.UUID, case: Case, text: str) -> bool:
    """Ask the other side for what a case is about; False when it cannot be asked or too many wait."""
    pasted = read_pasted(text)
    if case.external_id and case.stream:
        places = [(case.stream, case.external_id)]
    else:
        fetched = [n for n, s in case.scene.streams.items() if s.enabled and case.scene.manifest.stream(n).fetch]
        places = [(stream, name) for name in pasted.external_ids[:2] for stream in fetched]
    return lookups.ask(tenant_id, case.scene.installation.id, text, places)


def _tie(link: Link | None) -> Tie | None:
    if link is None:
        return None
    agreed = max(link.updated_at, link.written_at or link.updated_at)
    return Tie(link.external_id, link.created_at, agreed, link.deleted_at, link.mapping_version)


def _here(known: _Known, record: Record | None) -> Here | None:
    if record is None:
        return None
    return Here(record.id, record.updated_at, record.deleted_at, known.deletions.get(record.id, ""))


def _failed(row: FailedRecord | None, labels: Mapping[str, str], rules: Rules | None) -> Failed | None:
    if row is None:
        return None
    hidden = rules is not None and row.field in rules.hidden
    return Failed(
        row.id, row.state, mask_quotes(row.message) if hidden else row.message, row.code == "mapping_failed", row.code == IN_DOUBT, row.field,
        labels.get(row.field or "", row.field or ""), row.tries, row.retry_at, row.last_failed_at,
    )  # fmt: skip


def _clash(row: Conflict | None, labels: Mapping[str, str], rules: Rules | None) -> Clash | None:
    if row is None:
        return None
    values = {
        labels.get(name, name): (
            _shown(row.base, name, rules),
            _shown(row.ours, name, rules),
            _shown(row.theirs, name, rules),
        )
        for name in (row.theirs if row.kind != "match" else {})
    }
    return Clash(row.id, row.kind, row.created_at, len(row.candidates), values)


def _shown(values: Mapping[str, Any], name: str, rules: Rules | None) -> Any:
    value = values.get(name)
    return HIDDEN if rules and name in rules.hidden and value not in (None, "") else value


def _write(row: Intent | None) -> Write | None:
    if row is None:
        return None
    return Write(
        row.state, row.operation, row.error_code or "", row.error_message or "", row.created_at, row.due_at, row.sent_at,
        row.settled_at, row.tries,
    )  # fmt: skip


def _left_out(record: Record | None, rules: Rules | None, labels: Mapping[str, str]) -> LeftOut | None:
    return rules.left_out(record.data, labels) if record and rules and record.deleted_at is None else None


def _differences(
    record: Record | None, link: Link | None, rules: Rules | None, clash: Conflict | None
) -> tuple[list[str], list[str]]:
    """Return the fields that differ from what was agreed: those that flow out, and those that do not."""
    if record is None or link is None or rules is None or record.deleted_at or link.deleted_at:
        return [], []
    waiting = clash.theirs if clash and clash.kind == "fields" else {}
    outgoing = rules.mapping.outgoing_targets
    out = [name for name in unsent(record.data, link.base, outgoing) if name not in waiting]
    base = link.base
    kept = [n for n in rules.mapping.targets if n in base and n not in outgoing and record.data.get(n) != base[n]]
    return out, kept


def _named(
    names: Sequence[str], record: Record | None, labels: Mapping[str, str], rules: Rules | None
) -> dict[str, Any]:
    return {labels.get(name, name): _shown(record.data if record else {}, name, rules) for name in names}
