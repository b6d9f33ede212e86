"""Removing an installation: what that does, told before; and the records it alone has brought, deleted in batches."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from app.clock import now
from app.db import db
from app.models.installations import Installation
from app.services import tasks
from app.services.runs import get_installation
from connectors.sdk import Manifest

BATCH = 2000
# Beyond it the page says "over" instead of counting.
MOST = 10_000


@dataclass(frozen=True)
class Effect:
    """What removing an installation ends: counts stop beyond MOST. `only_here`: records that nobody else has brought."""

    links: int
    only_here: int
    waiting: int
    conflicts: int
    failed: int
    runs: int
    webhooks: bool


# Records that only it has brought are looked for among its first links: each needs a look at the others' links.
_EFFECT = text("""
    SELECT
        (SELECT count(*) FROM (SELECT FROM links WHERE tenant_id = :tenant AND installation_id = :installation
            AND deleted_at IS NULL LIMIT :most) found),
        (SELECT count(DISTINCT record_id) FROM (
            SELECT l.record_id FROM links l JOIN records r ON r.tenant_id = l.tenant_id AND r.id = l.record_id
            WHERE l.tenant_id = :tenant AND l.installation_id = :installation AND r.deleted_at IS NULL
            AND r.external_id IS NULL AND NOT EXISTS (SELECT FROM links o WHERE o.tenant_id = :tenant
                AND o.record_id = l.record_id AND o.installation_id <> :installation AND o.deleted_at IS NULL)
            LIMIT :most) found),
        (SELECT count(*) FROM (SELECT FROM intents WHERE tenant_id = :tenant AND installation_id = :installation
            AND state IN ('planned', 'sent', 'in_doubt') LIMIT :most) found),
        (SELECT count(*) FROM (SELECT FROM conflicts WHERE tenant_id = :tenant AND installation_id = :installation
            AND state = 'open' LIMIT :most) found),
        (SELECT count(*) FROM (SELECT FROM failed_records WHERE tenant_id = :tenant AND installation_id = :installation
            AND state IN ('waiting', 'parked') LIMIT :most) found),
        (SELECT count(*) FROM runs WHERE tenant_id = :tenant AND installation_id = :installation
            AND state IN ('queued', 'running', 'asking')),
        EXISTS (SELECT FROM endpoints WHERE tenant_id = :tenant AND installation_id = :installation
            AND state <> 'removed' AND subscription IS NOT NULL)
""")
# What the host itself names by an id of its own stays. The ids of the journal are UUIDv7, made where the rows are.
_DELETE = text("""
    WITH place AS MATERIALIZED (
        SELECT id, stream, external_id, record_id FROM links WHERE tenant_id = :tenant AND installation_id = :installation
        AND (stream, external_id) > (:stream, :after) ORDER BY stream, external_id LIMIT :batch
    ), ended AS (
        UPDATE links l SET deleted_at = :at FROM place
        WHERE l.tenant_id = :tenant AND l.id = place.id AND l.deleted_at IS NULL
    ), gone AS (
        UPDATE records r SET deleted_at = :at, updated_at = :at, version = version + 1
        WHERE r.tenant_id = :tenant AND r.id IN (SELECT record_id FROM place) AND r.deleted_at IS NULL
        AND r.external_id IS NULL AND NOT EXISTS (SELECT FROM links o WHERE o.tenant_id = :tenant
            AND o.record_id = r.id AND o.installation_id <> :installation AND o.deleted_at IS NULL)
        RETURNING r.id, r.object_type, r.data
    ), journal AS (
        INSERT INTO changes (tenant_id, id, record_id, installation_id, object_type, operation, before, writer)
        SELECT :tenant, (lpad(to_hex(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
            || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid, id, :installation, object_type, 'deleted',
            data, :writer FROM gone
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM place), stream, external_id
    FROM place ORDER BY stream DESC, external_id DESC LIMIT 1
""")


def effect_of(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Effect:
    """Return what removing an installation would end, in one query."""
    values = {"tenant": tenant_id, "installation": installation_id, "most": MOST + 1}
    return Effect(*db.session.execute(_EFFECT, values).one())


def gives_back(manifest: Manifest, settings: dict[str, Any]) -> bool:
    """Whether the vendor can be told to take the access back."""
    return bool(manifest.auth_for(settings).revoke_url)


def begin(installation: Installation, *, delete: bool, by: str) -> None:
    """Keep what was asked for; with `delete` the first batch of records goes at once, a worker does the rest."""
    asked: dict[str, Any] = {"delete": delete, "by": by, "at": now().isoformat(), "deleted": 0, "done": not delete}
    installation.removal = {**asked, "stream": "", "after": ""}
    if delete and delete_batch(installation.tenant_id, installation.id):
        tasks.add_task(installation.tenant_id, "sync", "delete_brought", str(installation.id), ref=installation.id)


def removed_at(installation: Installation) -> datetime | None:
    """Return when an installation was removed, None while it is there."""
    return datetime.fromisoformat(installation.removal["at"]) if installation.removal else None


def delete_batch(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> bool:
    """End some links of a removed installation and delete the records that nobody else has; return whether there are more."""
    installation = get_installation(tenant_id, installation_id)
    removal = dict(installation.removal or {"done": True})
    if removal["done"]:
        return False
    values = {
        "tenant": tenant_id, "installation": installation_id, "stream": removal["stream"], "after": removal["after"],
        "batch": BATCH, "at": now(), "writer": f"{removal['by']}, who removed it",
    }  # fmt: skip
    row = db.session.execute(_DELETE, values).one_or_none()
    if row is not None:
        removal |= {"deleted": removal["deleted"] + row[0], "stream": row[2], "after": row[3]}
    removal["done"] = row is None or row[1] < BATCH
    installation.removal = removal
    return not removal["done"]
