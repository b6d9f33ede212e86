"""Installations: make a draft, configure, activate, pause, resume, remove."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from app.clock import now
from app.db import db
from app.errors import ConflictError, InvalidError
from app.ids import new_id
from app.models.accounts import Tenant
from app.models.connections import Connection
from app.models.installations import Installation, InstallationStream, Mapping, Schedule
from app.models.runs import Conflict, FailedRecord, Problem, Run
from app.services import (
    audit,
    conflict_ends,
    connections,
    endpoints,
    fleet,
    listings,
    mappings,
    problems,
    removals,
    runs,
    setting_changes,
    stream_fields,
    stream_settings,
    vendor_hosts,
)
from app.services.audit import current_actor
from app.services.runs import get_installation
from app.services.setting_changes import Rhythm
from app.services.stream_settings import StreamSettings
from app.sync.schedule import next_due, promise_of
from app.sync.status import Facts, Status, status_of
from app.tenancy import scoped
from connectors.sdk import rules_to_json
from connectors.sdk.manifest import Stream

__all__ = ["get_installation"]


@dataclass(frozen=True)
class Overview:
    """An installation as lists and its own page show it."""

    installation: Installation
    connection: Connection
    schedule: Schedule
    status: Status
    live_run: Run | None
    facts: Facts


def create_installation(tenant_id: uuid.UUID, slug: str, *, user_id: uuid.UUID) -> Installation:
    """Return a draft of the listing's current version; an untouched draft of the same person is used again."""
    listing = listings.get_listing(slug)
    assert listing.current_version is not None
    draft = db.session.scalar(
        scoped(Installation, tenant_id).where(
            Installation.connector == slug, Installation.state == "setting_up", Installation.created_by == user_id,
            Installation.listing_version_id == listing.current_version,
        )
    )  # fmt: skip
    if draft is not None:
        return draft
    manifest = listings.manifest_of(listing.current_version)
    connection = Connection(tenant_id=tenant_id, id=new_id(), connector=slug, settings={})
    db.session.add(connection)
    db.session.flush()  # The installation refers to it.
    made = Installation(
        tenant_id=tenant_id, id=new_id(), connector=slug, listing_version_id=listing.current_version,
        connection_id=connection.id, name=_free_name(tenant_id, manifest.listing.name), created_by=user_id, settings={},
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()  # Streams, mappings and schedule refer to it.
    for stream in manifest.streams:
        add_stream(made, stream)
    zone = db.session.scalar(select(Tenant.zone).where(Tenant.id == tenant_id)) or "UTC"
    db.session.add(Schedule(tenant_id=tenant_id, installation_id=made.id, zone=zone))
    fleet.touch(tenant_id, made.id)
    audit.write(tenant_id, "installation.created", "installation", str(made.id), made.name)
    return made


def add_stream(installation: Installation, stream: Stream, *, enabled: bool = True) -> None:
    """Add a stream of the manifest to an installation, with its default mapping."""
    place = {"tenant_id": installation.tenant_id, "installation_id": installation.id, "stream": stream.name}
    db.session.add(
        InstallationStream(
            **place, object_type=stream.object_type, connector=installation.connector, enabled=enabled
        )
    )  # fmt: skip
    rules = rules_to_json(stream.rules())
    db.session.add(Mapping(**place, version=1, rules=rules, created_by=installation.created_by))


def _free_name(tenant_id: uuid.UUID, name: str) -> str:
    used = set(db.session.scalars(select(Installation.name).where(Installation.tenant_id == tenant_id)))
    number, free = 2, name
    while free in used:
        free, number = f"{name} {number}", number + 1
    return free


def list_streams(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> list[InstallationStream]:
    """Return the streams of an installation in the order of the manifest."""
    query = scoped(InstallationStream, tenant_id).where(InstallationStream.installation_id == installation_id)
    return list(db.session.scalars(query.order_by(InstallationStream.created_at, InstallationStream.id)))


def get_schedule(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Schedule:
    """Return the schedule of an installation."""
    return db.session.scalars(scoped(Schedule, tenant_id).where(Schedule.installation_id == installation_id)).one()


def configure(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, *, name: str, streams: dict[str, StreamSettings], kind: str,
    minutes: int, at: time | None, zone: str, settings: dict[str, Any], user_id: uuid.UUID | None,
) -> None:  # fmt: skip
    """Keep what the second step asks: `streams` are the chosen ones with their settings. MappingError: what cannot be."""
    installation = get_installation(tenant_id, installation_id)
    if not streams:
        raise InvalidError("Nothing is chosen.", {"streams": "Choose at least one kind of data."})
    changes = [f"name: {installation.name} → {name}"] if installation.name != name else []
    changes += [f"setting: {key}" for key, value in settings.items() if installation.settings.get(key) != value]
    installation.name, installation.updated_at = name, now()
    installation.settings = {**installation.settings, **settings}
    before = _stream_settings(tenant_id, installation_id)
    account = connections.get_connection(tenant_id, installation.connection_id).account_id
    manifest = listings.manifest_of(installation.listing_version_id)
    for stream in list_streams(tenant_id, installation_id):
        stream.enabled = stream.stream in streams
        if stream.enabled:
            fields = {f.name: f for f in stream_fields.of_stream(stream, manifest.stream(stream.stream))}
            stream_settings.save(stream, streams[stream.stream], fields, user_id=user_id)
        if installation.state != "setting_up":
            stream.claimed_account = account if stream.enabled else None
    schedule = get_schedule(tenant_id, installation_id)
    rhythm = Rhythm(schedule.kind, schedule.minutes, schedule.at, schedule.zone)
    schedule.kind, schedule.minutes, schedule.at, schedule.zone = kind, minutes, at, zone
    if installation.state == "active" and rhythm != Rhythm(kind, minutes, at, zone):
        _set_active(tenant_id, installation_id, active=True)
    if installation.state == "setting_up":
        return
    after, labels = _stream_settings(tenant_id, installation_id), {s.name: s.label for s in manifest.streams}
    changes += setting_changes.told(before, after, labels)
    if str(rhythm) != str(Rhythm(kind, minutes, at, zone)):
        changes.append(f"schedule: {rhythm} → {Rhythm(kind, minutes, at, zone)}")
    if changes:
        audit.write(tenant_id, "installation.configured", "installation", str(installation.id), name, changes=changes)


def _stream_settings(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> dict[str, StreamSettings | None]:
    return {
        content.installed.stream: stream_settings.settings_of(content) if content.installed.enabled else None
        for content in mappings.list_contents(tenant_id, installation_id)
    }


def _next(schedule: Schedule) -> Any:
    seed = str(schedule.installation_id)
    return next_due(schedule.kind, now(), minutes=schedule.minutes, at=schedule.at, zone=schedule.zone, seed=seed)


def set_step(tenant_id: uuid.UUID, installation_id: uuid.UUID, step: str) -> None:
    """Remember how far the wizard has come."""
    installation = get_installation(tenant_id, installation_id)
    if installation.state == "setting_up":
        installation.step, installation.updated_at = step, now()


def activate(tenant_id: uuid.UUID, installation_id: uuid.UUID, *, user_id: uuid.UUID) -> Run:
    """Start syncing: claim the account's streams, start the schedule and the first run. Sent twice, it starts once."""
    installation = get_installation(tenant_id, installation_id)
    connection = connections.get_connection(tenant_id, installation.connection_id)
    if connection.state != "ready":
        raise ConflictError("The connection is not ready. Go back to the first step and connect the account.")
    enabled = [stream for stream in list_streams(tenant_id, installation_id) if stream.enabled]
    if not enabled:
        raise InvalidError("Nothing is chosen.", {"streams": "Choose at least one kind of data."})
    for stream in enabled:
        stream.claimed_account = connection.account_id
    try:
        db.session.flush()  # The unique index says whether another installation has claimed a stream.
    except IntegrityError:
        raise ConflictError(
            f"Another installation already syncs this data of {connection.account_name}.",
            code="stream_claimed", fix="Leave out the data it syncs, or remove the other installation.",
        ) from None  # fmt: skip
    if installation.state == "setting_up":
        audit.write(tenant_id, "installation.activated", "installation", str(installation.id), installation.name)
    installation.state, installation.step = "active", "activate"
    installation.activated_at = installation.activated_at or now()
    endpoints.open_for(tenant_id, installation, connection)
    _set_active(tenant_id, installation_id, active=True)
    return runs.start_run(tenant_id, installation_id, trigger="first", mode="full", user_id=user_id)


def _set_active(tenant_id: uuid.UUID, installation_id: uuid.UUID, *, active: bool) -> None:
    schedule = get_schedule(tenant_id, installation_id)
    schedule.active = active and schedule.kind != "manual"
    schedule.next_due_at = _next(schedule) if schedule.active else None
    schedule.promised_at = now() if schedule.active else None
    vendor_hosts.keep_on_schedule(tenant_id, installation_id)
    fleet.touch(tenant_id, installation_id)


def pause(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Stop the schedule and the live run; nothing is forgotten."""
    installation = get_installation(tenant_id, installation_id)
    if installation.state != "active":
        return
    installation.state, installation.paused_reason = "paused", None
    _set_active(tenant_id, installation_id, active=False)
    live = runs.live_run(tenant_id, installation_id)
    if live:
        runs.request_stop(tenant_id, live.id)
    audit.write(tenant_id, "installation.paused", "installation", str(installation.id), installation.name)


def decline_run(tenant_id: uuid.UUID, run_id: uuid.UUID) -> bool:
    """Answer what a run asks with no; return whether that pauses the sync, as its next run would ask the same.

    A run that leaves what the dry run predicted would stop at the same place again: it waits for a person.
    """
    run = runs.get_run(tenant_id, run_id)
    pauses = (run.question or {}).get("kind") == "promise"
    runs.decline(tenant_id, run_id)
    if pauses:
        pause(tenant_id, run.installation_id)
    return pauses


def resume(tenant_id: uuid.UUID, installation_id: uuid.UUID, *, user_id: uuid.UUID) -> None:
    """Go on where it was left, with a run at once."""
    installation = get_installation(tenant_id, installation_id)
    if installation.state != "paused":
        return
    installation.state, installation.paused_reason, installation.failures_in_row = "active", None, 0
    problems.close(tenant_id, installation_id, "paused_by_itself", by="resumed")
    _set_active(tenant_id, installation_id, active=True)
    runs.start_run(tenant_id, installation_id, trigger="manual", user_id=user_id)
    audit.write(tenant_id, "installation.resumed", "installation", str(installation.id), installation.name)


def rename(tenant_id: uuid.UUID, installation_id: uuid.UUID, name: str) -> None:
    """Give the installation another name."""
    installation = get_installation(tenant_id, installation_id)
    if not name.strip():
        raise InvalidError("A name is missing.", {"name": "Give it a name."})
    installation.name = name.strip()[:120]


def remove(tenant_id: uuid.UUID, installation_id: uuid.UUID, *, delete_records: bool) -> None:
    """End an installation: give the access back, and keep or delete the records only it has brought."""
    installation = get_installation(tenant_id, installation_id)
    if installation.state == "removed":
        return
    live = runs.live_run(tenant_id, installation_id)
    if live:
        runs.request_stop(tenant_id, live.id)
    _set_active(tenant_id, installation_id, active=False)
    for stream in list_streams(tenant_id, installation_id):
        stream.enabled, stream.claimed_account = False, None
    installation.state = "removed"
    removals.begin(installation, delete=delete_records, by=current_actor.get().name)
    endpoints.close(tenant_id, installation_id)
    conflict_ends.close_all(tenant_id, installation_id)
    problems.close_all(tenant_id, installation_id)
    connections.disconnect(tenant_id, installation.connection_id)
    audit.write(
        tenant_id, "installation.removed", "installation", str(installation.id), installation.name,
        records="deleted" if delete_records else "kept",
    )  # fmt: skip


def get_overview(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Overview:
    """Return one installation with its status or raise NotFoundError."""
    return overviews_of(tenant_id, [get_installation(tenant_id, installation_id)])[0]


def overviews_of(tenant_id: uuid.UUID, found: Sequence[Installation]) -> list[Overview]:
    """Return installations with their status, in a fixed number of queries."""
    ids = [installation.id for installation in found]
    accounts = {c.id: c for c in db.session.scalars(
        scoped(Connection, tenant_id).where(Connection.id.in_([i.connection_id for i in found]))
    )}  # fmt: skip
    schedules = {
        s.installation_id: s
        for s in db.session.scalars(scoped(Schedule, tenant_id).where(Schedule.installation_id.in_(ids)))
    }
    live = runs.unfinished_runs(tenant_id, ids)
    failed = _counts(tenant_id, FailedRecord, ids, FailedRecord.state.in_(("waiting", "parked")))
    conflicts = _counts(tenant_id, Conflict, ids, Conflict.state == "open")
    forbidden = _counts(tenant_id, Problem, ids, fleet.ABOUT_STREAMS)
    result = []
    for item in found:
        run, schedule = live.get(item.id), schedules[item.id]
        facts = Facts(
            item.state, item.blocked_code is not None, item.failures_in_row, failed.get(item.id, 0),
            conflicts.get(item.id, 0), item.id in forbidden, run is not None, bool(run and run.state == "asking"),
            promise_of(schedule.kind, schedule.minutes), schedule.promised_at, item.last_success_at,
        )  # fmt: skip
        active = run if run and run.state != "asking" else None
        result.append(Overview(item, accounts[item.connection_id], schedule, status_of(facts, now()), active, facts))
    return result


def _counts(tenant_id: uuid.UUID, model: Any, ids: list[uuid.UUID], condition: Any) -> dict[uuid.UUID, int]:
    rows = db.session.execute(
        select(model.installation_id, func.count())
        .where(model.tenant_id == tenant_id, model.installation_id.in_(ids), condition)
        .group_by(model.installation_id)
    )
    return {row[0]: row[1] for row in rows}
