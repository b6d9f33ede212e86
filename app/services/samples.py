"""Records of the account that the mapping editor shows: read by a worker, kept an hour, mapped anew with each edit.

What is kept are the values of fields that the editor offers, without those marked sensitive.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import or_, select

from app.db import db
from app.errors import InvalidError
from app.models.installations import InstallationStream
from app.models.records import Link, Record, RecordKey
from app.services.stream_fields import AccountField
from app.sync.keys import normalise
from app.tenancy import scoped
from connectors.sdk import External
from connectors.sdk.expressions import look_up

MOST, MOST_BYTES = 50, 300_000


def keep(
    records: Iterable[External], fields: Sequence[AccountField], also: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return records as a preview keeps them: values by the path of a field; `also` are paths that rules read."""
    paths = sorted({field.name for field in fields if not field.sensitive} | set(also) - _hidden(fields))
    found: list[dict[str, Any]] = []
    size = 0
    for record in records:
        values = {path: value for path in paths if (value := look_up(record.data, path)) is not None}
        size += len(orjson.dumps(values, default=str))
        if found and (size > MOST_BYTES or len(found) >= MOST):
            break
        found.append({"id": record.id, "values": values})
    return found


def _hidden(fields: Sequence[AccountField]) -> set[str]:
    return {field.name for field in fields if field.sensitive}


def data_of(kept: dict[str, Any]) -> dict[str, Any]:
    """Return a kept record in the form that a mapping reads."""
    data: dict[str, Any] = {}
    # A path above another holds all of it: the longer one says nothing new.
    for path, value in sorted(kept["values"].items()):
        *above, name = path.split(".")
        at: Any = data
        for part in above:
            at = at.setdefault(part, {}) if isinstance(at, dict) else None
        if isinstance(at, dict):
            at.setdefault(name, value)
    return data


def find_external_id(installed: InstallationStream, text: str) -> str:
    """Return the external id that somebody means by an id, an e-mail address or the like.

    It is that of a linked record where the text is one of its keys, else the text itself. InvalidError for a text that
    is a key of a record which this stream has not linked, and for none at all.
    """
    text = text.strip()
    if not text:
        raise InvalidError("Nothing is entered.", {"q": "Enter an id or an e-mail address."})
    by_key = select(RecordKey.record_id).where(
        RecordKey.tenant_id == installed.tenant_id, RecordKey.object_type == installed.object_type,
        RecordKey.value == normalise(text),
    )  # fmt: skip
    record_ids = list(db.session.scalars(by_key.limit(20)))
    mine = (
        Link.tenant_id == installed.tenant_id, Link.installation_id == installed.installation_id,
        Link.stream == installed.stream,
    )  # fmt: skip
    found = db.session.scalar(
        select(Link.external_id).where(*mine, or_(Link.record_id.in_(record_ids), Link.external_id == text)).limit(1)
    )
    if found is None and (record_ids or "@" in text):
        raise InvalidError(
            "Not linked.", {"q": f"No record with “{text}” is linked yet. Enter the id it has in the other product."}
        )
    return found or text


@dataclass(frozen=True)
class Here:
    """The host's record that belongs to a sample. `how`: linked, match, several, or nothing where there is none."""

    how: str
    record: Record | None = None


def find_here(installed: InstallationStream, external_id: str, match_value: Any, match_key: str | None) -> Here:
    """Return the host's record that an external one is linked with, else the one that its match key finds."""
    linked = db.session.scalar(
        scoped(Record, installed.tenant_id)
        .join(Link, (Link.tenant_id == Record.tenant_id) & (Link.record_id == Record.id))
        .where(
            Link.installation_id == installed.installation_id, Link.stream == installed.stream,
            Link.external_id == external_id,
        )
    )  # fmt: skip
    if linked is not None:
        return Here("linked", linked)
    value = normalise(match_value)
    if not match_key or value is None:
        return Here("")
    hits = list(
        db.session.scalars(
            scoped(Record, installed.tenant_id)
            .join(RecordKey, (RecordKey.tenant_id == Record.tenant_id) & (RecordKey.record_id == Record.id))
            .where(
                RecordKey.object_type == installed.object_type, RecordKey.key == match_key, RecordKey.value == value,
                Record.deleted_at.is_(None),
            )
            .limit(2)
        )
    )  # fmt: skip
    return Here("several") if len(hits) > 1 else Here("match", hits[0]) if hits else Here("")
