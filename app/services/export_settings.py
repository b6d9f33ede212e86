"""What an export says in words and in JSON: what is in it, the settings of the installation, its mappings."""

import uuid
from typing import Any

from app.clock import now
from app.db import db
from app.models.exports import Export
from app.models.installations import Mapping
from app.services import connections, installations
from app.services.standings import Scene
from app.tenancy import scoped

_README = """\
{name}: everything that Patchbay keeps of this installation of {vendor}.
Made on {at:%Y-%m-%d %H:%M} UTC for {who}.

records/      one file for each kind of data: the records as they are, with their ids here and at {vendor},
              since when they are linked, and when a link ended. A record that two kinds of data share is in both.
runs          each sync with its counts.
problems      what somebody had to act on, and what solved it.
failed_records  records that could not be written, with the reason.
conflicts     records that both sides had changed, with the values of both, and how that was decided.
mapping.json  every version of the mapping of each kind of data.
settings.json name, schedule and settings. No key, password or token is in this file or in any other.

Values of fields that are marked as sensitive stand as "hidden".
Records are read one after the other: what changed while this was made may be there as it was before or after.
{form}"""
_CSV = """
CSV files are UTF-8 with commas. A text that a spreadsheet would take for a formula has a ' before it.
"""
_JSON = """
JSON files hold a list with one object a line.
"""


def readme(scene: Scene, export: Export) -> str:
    """Return the words that come with an export."""
    return _README.format(
        name=scene.installation.name, vendor=scene.manifest.listing.name, at=export.created_at,
        who=export.requested_name, form=_CSV if export.format == "csv" else _JSON,
    )  # fmt: skip


def settings_of(tenant_id: uuid.UUID, scene: Scene) -> dict[str, Any]:
    """Return the settings of an installation; secrets are not among them, they are kept sealed in a place of their own."""
    installation, schedule = scene.installation, installations.get_schedule(tenant_id, scene.installation.id)
    connection = connections.get_connection(tenant_id, installation.connection_id)
    secret = set(scene.manifest.secret_fields())
    public = {field.name for field in scene.manifest.config} - secret
    return {
        "name": installation.name, "connector": installation.connector, "version": scene.manifest.version,
        "state": installation.state, "created_at": installation.created_at, "activated_at": installation.activated_at,
        "exported_at": now(),
        "account": {"id": connection.account_id, "name": connection.account_name, "state": connection.state},
        "settings": {
            name: value for name, value in {**connection.settings, **installation.settings}.items() if name in public
        },
        "schedule": {"kind": schedule.kind, "minutes": schedule.minutes, "at": schedule.at, "zone": schedule.zone},
        "streams": [
            {
                "stream": name, "object_type": s.object_type, "enabled": s.enabled, "direction": s.direction,
                "conflict_policy": s.conflict_policy, "delete_policy": s.delete_policy,
                "mapping_version": s.mapping_version,
            }
            for name, s in scene.streams.items()
        ],
    }  # fmt: skip


def mappings_of(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> list[dict[str, Any]]:
    """Return every version of the mapping of each stream."""
    query = scoped(Mapping, tenant_id).where(Mapping.installation_id == installation_id)
    return [
        {
            "stream": row.stream, "version": row.version, "saved_at": row.created_at, "rules": row.rules,
            "filters": row.filters,
        }
        for row in db.session.scalars(query.order_by(Mapping.stream, Mapping.version))
    ]  # fmt: skip
