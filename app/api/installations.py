"""Installations over their whole life: install, connect, configure, activate, pause, run, remove."""

import uuid
from datetime import datetime, time
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field

from app.api import gate
from app.api.errors import ApiError
from app.api.operations import Noun
from app.api.paging import Page, PageQuery, pack, unpack
from app.errors import ConflictError, InvalidError
from app.models.connections import Connection as ConnectionRow
from app.models.installations import InstallationStream, Schedule
from app.services import (
    config_values,
    connections,
    dry_runs,
    installation_list,
    installations,
    listings,
    mappings,
    stream_settings,
)
from app.services.installations import Overview
from app.services.mappings import Content
from app.services.stream_settings import StreamSettings
from connectors.sdk import Manifest, MappingError

noun = Noun("installations", "Installations", "Installed integrations, over their whole life.")


class Connection(BaseModel):
    """The external account."""

    state: Literal["new", "testing", "ready", "reconnect", "revoked"]
    account: str | None
    error: str | None
    fix: str | None


class ScheduleBody(BaseModel):
    """How often it runs."""

    model_config = ConfigDict(extra="forbid", title="Schedule")

    kind: Literal["interval", "hourly", "daily", "manual"]
    minutes: Annotated[int, Field(ge=1, le=10080)] = 15
    at: Annotated[str | None, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["06:30"])] = None
    zone: Annotated[str, Field(max_length=64)] = "UTC"


class Filter(BaseModel):
    """Which records are synced."""

    model_config = ConfigDict(extra="forbid")

    field: Annotated[str, Field(max_length=100)]
    op: Annotated[str, Field(max_length=40)]
    values: Annotated[list[Any], Field(max_length=100)] = []
    mode: Literal["include", "exclude"] = "include"


class StreamBody(BaseModel):
    """How a stream is synced."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = True
    direction: Literal["in", "out", "both"] = "in"
    conflicts: Literal["theirs", "ours", "newest", "ask"] = "ask"
    deletes: Literal["mirror", "archive", "ignore"] = "mirror"
    filters: Annotated[list[Filter], Field(max_length=50)] = []


class InstalledStream(BaseModel):
    """A kind of data of an installation."""

    name: str
    object_type: str
    enabled: bool
    direction: Literal["in", "out", "both"]
    conflicts: str
    deletes: str
    mapping_version: int
    last_complete_at: datetime | None


class Installation(BaseModel):
    """An installed integration. `status` is the one word that people see."""

    id: uuid.UUID
    integration: str
    name: str
    state: Literal["setting_up", "active", "paused", "removed"]
    status: str
    step: str
    connection: Connection
    live_run_id: uuid.UUID | None
    last_success_at: datetime | None
    created_at: datetime


class InstallationDetails(Installation):
    """An installation with how it is set."""

    settings: dict[str, Any]
    schedule: ScheduleBody
    next_run_at: datetime | None
    streams: list[InstalledStream]


class Installations(Page[Installation]):
    """The tenant's installations."""


class NewInstallation(BaseModel):
    """What to install."""

    model_config = ConfigDict(extra="forbid")

    integration: Annotated[str, Field(min_length=1, max_length=80, description="The slug of the catalog.")]
    name: Annotated[str | None, Field(min_length=1, max_length=120)] = None


class Credentials(BaseModel):
    """What the way to connect asks for; secrets are sealed at once and never shown."""

    model_config = ConfigDict(extra="forbid")

    auth: Annotated[str | None, Field(max_length=80, description="A way to connect; none: the first.")] = None
    values: Annotated[dict[str, Any], Field(max_length=50)]


class Configuration(BaseModel):
    """What to set; what is left out stays. Streams that are named get exactly what is said of them."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str | None, Field(min_length=1, max_length=120)] = None
    streams: dict[str, StreamBody] | None = None
    schedule: ScheduleBody | None = None
    settings: Annotated[dict[str, Any], Field(max_length=50)] = {}


class RemovalQuery(BaseModel):
    """What becomes of the records."""

    model_config = ConfigDict(extra="forbid")

    delete_records: Annotated[bool, Field(description="Delete the records that only it has brought.")] = False


class InstallationQuery(PageQuery):
    """Which installations."""

    integration: Annotated[str, Field(max_length=80)] = ""


def shown(overview: Overview) -> dict[str, Any]:
    """Return an installation as it is listed."""
    row, account = overview.installation, overview.connection
    return {
        "id": row.id, "integration": row.connector, "name": row.name, "state": row.state,
        "status": str(overview.status), "step": row.step, "live_run_id": overview.live_run.id if overview.live_run else None,
        "last_success_at": row.last_success_at, "created_at": row.created_at,
        "connection": {
            "state": account.state, "account": account.account_name, "error": account.error_message,
            "fix": account.error_fix,
        },
    }  # fmt: skip


def _details(installation_id: uuid.UUID) -> InstallationDetails:
    tenant_id = gate.caller().tenant_id
    overview = installations.get_overview(tenant_id, installation_id)
    streams = installations.list_streams(tenant_id, installation_id)
    return InstallationDetails.model_validate(
        shown(overview)
        | {
            "settings": overview.installation.settings, "schedule": _schedule(overview.schedule),
            "next_run_at": overview.schedule.next_due_at, "streams": [_stream(stream) for stream in streams],
        }
    )  # fmt: skip


def _schedule(row: Schedule) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "minutes": row.minutes,
        "at": row.at.strftime("%H:%M") if row.at else None,
        "zone": row.zone,
    }


def _stream(row: InstallationStream) -> dict[str, Any]:
    return {
        "name": row.stream, "object_type": row.object_type, "enabled": row.enabled, "direction": row.direction,
        "conflicts": row.conflict_policy, "deletes": row.delete_policy, "mapping_version": row.mapping_version,
        "last_complete_at": row.last_complete_at,
    }  # fmt: skip


@noun.get("/installations", scope="list", query=InstallationQuery, answer=Installations)
def list_installations(query: InstallationQuery) -> Installations:
    """List the tenant's installations

    In the order of their names; those that are removed are left out.
    """
    place = unpack(query.cursor, uuid.UUID)
    found = installation_list.list_page(
        gate.caller().tenant_id, installation_list.Filters(connector=query.integration),
        after=place[0] if place else None, limit=query.limit,
    )  # fmt: skip
    return Installations(
        data=[Installation.model_validate(shown(item)) for item in found.overviews],
        next=pack(str(found.after)) if found.after else None,
    )


@noun.post("/installations", scope="admin", body=NewInstallation, answer=InstallationDetails, status=201)
def install(body: NewInstallation) -> InstallationDetails:
    """Install an integration

    It is a draft until it is activated. An untouched draft that this key has made before is given again.
    """
    who = gate.caller()
    made = installations.create_installation(who.tenant_id, body.integration, user_id=who.key_id)
    if body.name:
        installations.rename(who.tenant_id, made.id, body.name)
    return _details(made.id)


@noun.get("/installations/<uuid:installation_id>", scope="read", answer=InstallationDetails)
def show_installation(installation_id: uuid.UUID) -> InstallationDetails:
    """Show an installation with how it is set"""
    return _details(installation_id)


@noun.post(
    "/installations/<uuid:installation_id>/connection", scope="admin", body=Credentials, answer=InstallationDetails,
    status=202,
)  # fmt: skip
def connect(installation_id: uuid.UUID, body: Credentials) -> InstallationDetails:
    """Connect the external account with credentials

    A worker tests them: read the installation until `connection.state` is no longer `testing`. Where somebody has to
    consent at the vendor this answers 409 `person_needed`: make a connect link instead.
    """
    who, (manifest, account) = gate.caller(), _place(installation_id)
    auth = next((a for a in manifest.auths() if body.auth in (None, a.name)), None)
    if auth is None:
        raise InvalidError("There is no such way to connect.", {"/auth": "Take one of `ways_to_connect`."})
    if auth.kind == "oauth2":
        raise ConflictError("Somebody has to consent at the vendor. Make a connect link.", code="person_needed")
    known = account.account_id is not None and auth == manifest.auth_for(account.settings)
    fields = manifest.config_for(auth, "connect")
    values = config_values.checked(fields, body.values, account.settings, keep_secrets=known)
    secret = set(manifest.secret_fields())
    plain = {name: value for name, value in values.items() if name not in secret} | {"auth": auth.name}
    sealed = {name: value for name, value in values.items() if name in secret}
    connections.save_credentials(who.tenant_id, account.id, manifest, plain, sealed, user_id=who.key_id)
    return _details(installation_id)


def _place(installation_id: uuid.UUID) -> tuple[Manifest, ConnectionRow]:
    tenant_id = gate.caller().tenant_id
    row = installations.get_installation(tenant_id, installation_id)
    if row.state == "removed":
        raise ConflictError("This installation has been removed.", code="removed")
    return listings.manifest_of(row.listing_version_id), connections.get_connection(tenant_id, row.connection_id)


@noun.patch(
    "/installations/<uuid:installation_id>", scope="admin", body=Configuration, answer=InstallationDetails, also=(409,)
)
def configure(installation_id: uuid.UUID, body: Configuration) -> InstallationDetails:
    """Configure an installation: name, streams, schedule, settings

    Another direction or other filters of a stream have it read in full again.
    """
    who, (manifest, account) = gate.caller(), _place(installation_id)
    row = installations.get_installation(who.tenant_id, installation_id)
    contents = {c.installed.stream: c for c in mappings.list_contents(who.tenant_id, installation_id)}
    fields = manifest.config_for(manifest.auth_for(account.settings), "configure")
    settings = (
        config_values.checked(fields, body.settings, row.settings, loaded=account.choices) if body.settings else {}
    )
    schedule = body.schedule or ScheduleBody.model_validate(
        _schedule(installations.get_schedule(who.tenant_id, row.id))
    )
    if schedule.kind == "daily" and schedule.at is None:
        raise InvalidError("A daily run needs a time.", {"/schedule/at": "Give a time like 06:30."})
    if schedule.zone not in available_timezones():
        raise InvalidError("There is no such time zone.", {"/schedule/zone": "Give a name like Europe/Berlin."})
    wanted = _wanted(contents, body.streams or {}, manifest, account)
    try:
        installations.configure(
            who.tenant_id, installation_id, name=body.name or row.name, streams=wanted, kind=schedule.kind,
            minutes=schedule.minutes, at=time.fromisoformat(schedule.at) if schedule.at else None, zone=schedule.zone, settings=settings, user_id=who.key_id,
        )  # fmt: skip
    except MappingError as error:
        raise unfit(error) from None
    return _details(installation_id)


def unfit(error: MappingError) -> ApiError:
    """Return what the API says of rules or filters that cannot be."""
    wrong = {item.field: f"{item.message} {item.fix}".strip() for item in error.problems}
    return ApiError(422, "invalid", "The mapping does not fit: " + " ".join(wrong.values()), wrong)


def _wanted(
    contents: dict[str, Content], given: dict[str, StreamBody], manifest: Manifest, account: ConnectionRow
) -> dict[str, StreamSettings]:
    wrong = {f"/streams/{name}": "There is no such stream." for name in given if name not in contents}
    found = {}
    for name, content in contents.items():
        body = given.get(name)
        if body is None and content.installed.enabled:
            found[name] = stream_settings.settings_of(content)
        elif body is not None and body.enabled:
            filters = [item.model_dump(mode="json") for item in body.filters]
            found[name] = StreamSettings(body.direction, body.conflicts, body.deletes, filters)
            faults = stream_settings.faults_of(content, manifest, account, found[name])
            wrong |= {f"/streams/{name}/{place}": why for place, why in faults.items()}
    if wrong:
        raise InvalidError("Some streams cannot be set so: " + " ".join(wrong.values()), wrong)
    return found


@noun.post("/installations/<uuid:installation_id>/activate", scope="admin", answer=InstallationDetails)
def activate(installation_id: uuid.UUID) -> InstallationDetails:
    """Activate an installation: the first run starts"""
    who = gate.caller()
    _place(installation_id)
    if installations.get_installation(who.tenant_id, installation_id).state == "setting_up":
        dry_runs.keep(who.tenant_id, installation_id)
    installations.activate(who.tenant_id, installation_id, user_id=who.key_id)
    return _details(installation_id)


@noun.post("/installations/<uuid:installation_id>/pause", scope="admin", answer=InstallationDetails)
def pause(installation_id: uuid.UUID) -> InstallationDetails:
    """Pause an installation"""
    installations.pause(gate.caller().tenant_id, installation_id)
    return _details(installation_id)


@noun.post("/installations/<uuid:installation_id>/resume", scope="admin", answer=InstallationDetails)
def resume(installation_id: uuid.UUID) -> InstallationDetails:
    """Resume a paused installation, with a run at once"""
    who = gate.caller()
    installations.resume(who.tenant_id, installation_id, user_id=who.key_id)
    return _details(installation_id)


@noun.delete("/installations/<uuid:installation_id>", scope="admin", query=RemovalQuery, answer=None, status=204)
def remove(installation_id: uuid.UUID, query: RemovalQuery) -> None:
    """Remove an installation: the access is given back, records stay unless you say otherwise"""
    installations.remove(gate.caller().tenant_id, installation_id, delete_records=query.delete_records)
