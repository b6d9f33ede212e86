"""The second step of the wizard, which is also the settings of an installation: what is synced, which way, how often."""

from collections.abc import Sequence
from datetime import time
from typing import Any

from flask import request
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response

from app.access import viewer
from app.errors import AppError
from app.forms.connector_config import config_form
from app.forms.installations import FILTER_OPS, ConfigureForm, StreamForm, read_streams, shown_filters
from app.htmx import render
from app.services import installations, mappings, object_types, setting_changes, stream_settings
from app.services.mappings import Content
from app.services.setting_changes import Effect
from app.services.stream_settings import StreamSettings
from app.transaction import transaction
from connectors.sdk.manifest import ConfigField

Context = dict[str, Any]
# Proposed to who chooses once a day.
_NIGHT = time(3, 0)


def show(context: Context) -> Response:
    """Return the step as it is set."""
    return _page(context)


def _config(context: Context) -> tuple[list[ConfigField], FlaskForm]:
    """Return the config fields of the step and their form, with the choices that the account offers."""
    manifest, connection = context["manifest"], context["connection"]
    fields = manifest.config_for(manifest.auth_for(connection.settings), "configure")
    return fields, config_form(fields, context["installation"].settings, keep_secrets=True, loaded=connection.choices)


def _contents(context: Context) -> dict[str, Content]:
    tenant_id, installation_id = viewer().tenant_id, context["installation"].id
    return {content.installed.stream: content for content in mappings.list_contents(tenant_id, installation_id)}


def _present(content: Content) -> StreamForm:
    now = stream_settings.settings_of(content)
    return StreamForm(
        content.installed.enabled, now.direction, now.conflict_policy, now.delete_policy, shown_filters(now.filters)
    )


def _page(
    context: Context, form: ConfigureForm | None = None, *, status: int = 200, message: str = "",
    config: FlaskForm | None = None, streams: dict[str, StreamForm] | None = None, costs: Any = None,
    effects: Sequence[Effect] = (),
) -> Response:  # fmt: skip
    tenant_id, installation, manifest = viewer().tenant_id, context["installation"], context["manifest"]
    schedule = installations.get_schedule(tenant_id, installation.id)
    form = form or ConfigureForm(
        formdata=None,
        data={"name": installation.name, "kind": schedule.kind, "minutes": schedule.minutes, "at": schedule.at or _NIGHT, "zone": schedule.zone},
    )  # fmt: skip
    fields, fresh = _config(context)
    contents = _contents(context)
    rows = []
    for name, content in contents.items():
        declared = manifest.stream(name)
        mapped = {rule.target for rule in content.rules_in_force}
        rows.append(
            {
                "declared": declared, "installed": content.installed,
                "form": streams[name] if streams else _present(content),
                "ways": stream_settings.directions_of(manifest, declared, context["connection"]),
                "policies": stream_settings.policies_of(manifest, declared),
                "targets": [t for t in object_types.fields_of(content.installed.object_type) if t.name in mapped],
            }
        )  # fmt: skip
    return render(
        "wizard/configure.html" if installation.state == "setting_up" else "installations/settings.html",
        status=status, step="configure", form=form, message=message, fields=fields, config=config or fresh, rows=rows,
        ops=FILTER_OPS, costs=costs or {}, effects=effects, **context,
    )  # fmt: skip


def save(context: Context) -> Response | None:
    """Keep what was sent and return None, or return the step with what is wrong or what it would cost."""
    form, who, installation = ConfigureForm(), viewer(), context["installation"]
    fields, config = _config(context)
    contents = _contents(context)
    streams = read_streams(request.form, contents)
    # All are asked, so that everything that is wrong is shown at once.
    if not all([form.validate_on_submit(), config.validate_on_submit(), _fit(context, contents, streams)]):
        return _page(context, form, status=422, config=config, streams=streams)
    chosen = {name: _settings(row) for name, row in streams.items() if row.enabled}
    if installation.state != "setting_up":
        costs = stream_settings.costs_of(who.tenant_id, installation.id, contents, chosen)
        effects = setting_changes.effects_of(
            who.tenant_id, installation.id, contents, chosen, context["manifest"], host=context["host_name"]
        )
        if {*costs, *(effect.key for effect in effects)} - set(request.form.getlist("agreed")):
            return _page(context, form, config=config, streams=streams, costs=costs, effects=effects)
    try:
        with transaction():
            installations.configure(
                who.tenant_id, installation.id, name=form.name.data or "", streams=chosen, kind=form.kind.data,
                minutes=form.minutes.data or 15, at=form.at.data if form.kind.data == "daily" else None, zone=form.zone.data,
                settings={field.name: config[field.name].data for field in fields}, user_id=who.user.id,
            )  # fmt: skip
            installations.set_step(who.tenant_id, installation.id, "map")
    except AppError as error:
        return _page(context, form, status=error.status, message=error.message, config=config, streams=streams)
    return None


def _settings(row: StreamForm) -> StreamSettings:
    return StreamSettings(row.direction, row.conflict_policy, row.delete_policy, row.stored)


def _fit(context: Context, contents: dict[str, Content], streams: dict[str, StreamForm]) -> bool:
    """Whether what was chosen for each stream can be; what cannot is said at its place."""
    manifest, connection = context["manifest"], context["connection"]
    for name, row in streams.items():
        if row.enabled:
            row.errors.update(stream_settings.faults_of(contents[name], manifest, connection, _settings(row)))
    return not any(row.errors for row in streams.values())
