"""Asking the other side for single records, for people who look: a preview that a worker answers, and its answer.

What is kept of a record are the host's values that its mapping makes, for an hour, without those that are not shown.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from app.clock import now
from app.db import db
from app.models.installations import Preview
from app.models.records import Link, RecordKey
from app.services import previews
from app.services.sensitive_fields import mask, mask_quotes
from app.services.standings import Rules, Types
from app.sync.diagnosis_facts import LeftOut, Live
from app.sync.keys import normalise
from app.tenancy import scoped
from connectors.sdk import External

KIND = "diagnosis"
# A vendor is asked for so many records in one look, and an installation has so many looks that wait.
MOST_PLACES, MOST_WAITING = 6, 5


@dataclass(frozen=True)
class Look:
    """The newest answer about one record: waiting, failed (`live` says why), or what the vendor has."""

    preview_id: uuid.UUID
    waiting: bool
    live: Live | None = None
    values: Mapping[str, Any] | None = None


def ask(tenant_id: uuid.UUID, installation_id: uuid.UUID, text: str, places: Sequence[tuple[str, str]]) -> bool:
    """Ask for records by (stream, external id) on behalf of a pasted text; False when too many looks wait already."""
    waiting = select(func.count()).where(
        Preview.tenant_id == tenant_id, Preview.installation_id == installation_id, Preview.kind == KIND,
        Preview.state == "waiting", Preview.expires_at > now(),
    )  # fmt: skip
    if not places or (db.session.scalar(waiting) or 0) >= MOST_WAITING:
        return False
    asked = [{"stream": stream, "external_id": external_id} for stream, external_id in places[:MOST_PLACES]]
    previews.ask(tenant_id, installation_id, KIND, request={"q": text, "places": asked})
    return True


def find(tenant_id: uuid.UUID, installation_ids: Iterable[uuid.UUID], external_ids: Iterable[str]) -> list[Preview]:
    """Return the looks of the last hour, newest first, that asked for one of these external ids."""
    wanted = sorted(set(external_ids))
    rows = db.session.scalars(
        scoped(Preview, tenant_id)
        .where(
            Preview.installation_id.in_(sorted(set(installation_ids))), Preview.kind == KIND, Preview.expires_at > now()
        )
        .order_by(Preview.id.desc())
        .limit(100)
    )  # fmt: skip
    return [row for row in rows if any(place["external_id"] in wanted for place in row.request["places"])]


def look_of(
    found: Sequence[Preview], installation_id: uuid.UUID, stream: str, external_id: str, *, link: Link | None,
    rules: Rules | None, labels: Mapping[str, str],
) -> Look | None:  # fmt: skip
    """Return the newest look at a record; one from before it was last read, or under another mapping, is no longer true."""
    place = {"stream": stream, "external_id": external_id}
    for row in found:
        if row.installation_id != installation_id or place not in row.request["places"]:
            continue
        if row.state == "waiting":
            return Look(row.id, True)
        if row.state == "failed":
            return Look(row.id, False, Live(row.created_at, problem=row.error or "", fix=row.error_fix or ""))
        answer = next((item for item in row.result["answers"] if item.items() >= place.items()), None)
        if answer is None or (link and link.updated_at > datetime.fromisoformat(row.result["at"])):
            return None
        if rules and answer.get("found") and answer["mapping_version"] != rules.version:
            return None
        return Look(row.id, False, _live(answer, row, labels), answer.get("values"))
    return None


def _live(answer: Mapping[str, Any], row: Preview, labels: Mapping[str, str]) -> Live:
    at = datetime.fromisoformat(row.result["at"])
    if answer.get("problem"):
        return Live(at, problem=answer["problem"], fix=answer.get("fix", ""))
    if not answer["found"]:
        return Live(at)
    left_out, target = answer["left_out"], answer["target"]
    return Live(
        at, found=True, target=target, label=labels.get(target or "", target or ""), message=answer["message"],
        left_out=LeftOut(left_out["sentence"], left_out["label"], left_out["value"]) if left_out else None,
        hits=answer["hits"], differs={labels.get(n, n): answer["values"].get(n) for n in answer["differs"]},
    )  # fmt: skip


def describe(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, record: External, rules: Rules, types: Types,
    object_type: str, match_keys: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """Return as JSON what would become of a record the other side has sent: its values, what refuses it, whom it fits."""
    mapped = rules.mapping.apply(record.data)
    problem = mapped.problems[0] if mapped.failed else None
    labels = types.labels(object_type)
    left_out = rules.left_out(mapped.values, labels) if not mapped.failed else None
    base = db.session.scalar(
        select(Link.base).where(
            Link.tenant_id == tenant_id, Link.installation_id == installation_id, Link.stream == stream,
            Link.external_id == record.id, Link.deleted_at.is_(None),
        )
    )  # fmt: skip
    message = problem.message if problem else ""
    return {
        "found": True, "mapping_version": rules.version, "values": mask(mapped.values, rules.hidden),
        "target": problem.field if problem else None,
        "message": mask_quotes(message) if problem and problem.field in rules.hidden else message,
        "left_out": {"sentence": left_out.sentence, "label": left_out.label, "value": left_out.value}
        if left_out else None,
        "hits": _hits(tenant_id, object_type, match_keys, mapped.values),
        "differs": sorted(n for n, v in mapped.values.items() if n in base and base[n] != v) if base else [],
    }  # fmt: skip


def _hits(tenant_id: uuid.UUID, object_type: str, match_keys: Sequence[str], values: Mapping[str, Any]) -> int:
    """Return how many of our records have its match key, by the first of the keys that finds any."""
    for key in match_keys:
        value = normalise(values.get(key))
        mine = (
            RecordKey.tenant_id == tenant_id, RecordKey.object_type == object_type, RecordKey.key == key,
            RecordKey.value == value,
        )  # fmt: skip
        found = db.session.scalar(select(func.count()).where(*mine)) if value else 0
        if found:
            return int(found)
    return 0
