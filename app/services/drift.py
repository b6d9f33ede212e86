"""Schema drift: fields of the account that are new, gone or of another type become a notice with choices.

What has been found and not decided yet is a mark on the field (services/stream_fields.py); while a stream has one, its
problem is open. Only what matters is marked: new fields, and of the others those that the mapping reads.
"""

import uuid
from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import or_, select

from app.clock import now
from app.db import db
from app.models.installations import Installation, InstallationStream
from app.services import listings, problems, stream_fields, tasks, vendor_hosts
from app.services.mappings import Content, get_content
from app.services.stream_fields import AccountField, found_as
from app.tenancy import scoped
from connectors.sdk import FieldInfo
from connectors.sdk.drift import FieldDrift
from connectors.sdk.drift import drift as find_drift
from connectors.sdk.fitting import TYPE_WORDS

CODE = "schema_drift"
EVERY = timedelta(days=1)


def plan_check(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Have a worker look at the fields of streams that have not been looked at for a day. Called when a run ends."""
    if list_due(tenant_id, installation_id):
        host = vendor_hosts.host_of(tenant_id, installation_id)
        tasks.add_task(
            tenant_id, "fast", "check_fields", str(installation_id), ref=installation_id, host=host, max_attempts=2
        )


def list_due(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> list[str]:
    """Return the streams in use whose fields have not been looked at for a day."""
    query = (
        select(InstallationStream.stream)
        .where(
            InstallationStream.tenant_id == tenant_id, InstallationStream.installation_id == installation_id,
            InstallationStream.enabled,
            or_(InstallationStream.fields_checked_at.is_(None), InstallationStream.fields_checked_at < now() - EVERY),
        )
        .order_by(InstallationStream.stream)
    )  # fmt: skip
    return list(db.session.scalars(query))


def put_off(tenant_id: uuid.UUID, installation_id: uuid.UUID, streams: Collection[str]) -> None:
    """Count streams as looked at whose fields could not be listed: they are asked for again in a day, not at each run."""
    query = scoped(InstallationStream, tenant_id).where(
        InstallationStream.installation_id == installation_id, InstallationStream.stream.in_(streams)
    )
    for installed in db.session.scalars(query):
        installed.fields_checked_at = now()


def note(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, found: Sequence[FieldInfo]) -> dict[str, int]:
    """Keep fields as they have just been found and mark what has changed; return the number of each kind."""
    content = get_content(tenant_id, installation_id, stream, lock=True)
    before = {field.name: field for field in stream_fields.kept(content.installed)}
    present = [field for field in content.installed.fields if field.get("mark") != "removed"]
    change = find_drift(present, found, [*content.rules_in_force, *content.rules])
    gone = {field.name for field in change.removed if field.used}
    fields = [_marked(field, before, change.used) for field in found] if before else [found_as(f) for f in found]
    names = {field.name for field in found}
    fields += [
        found_as(field, mark="removed", was=field.type)
        for name, field in before.items()
        if name not in names and field.mark != "new" and (name in gone or field.mark == "removed")
    ]
    stream_fields.put(content.installed, fields)
    _tell(content, fields)
    return {"count": len(found), "new": len(change.new), "removed": len(change.removed), "retyped": len(change.retyped)}


def _marked(field: FieldInfo, before: dict[str, AccountField], used: Collection[FieldDrift]) -> AccountField:
    old = before.get(field.name)
    if old is None:
        return found_as(field, mark="new")
    sample = old.sample if field.sample is None else field.sample
    was = old.was if old.mark == "retyped" else old.type
    if old.mark == "new" or was == field.type:
        return found_as(field, mark=old.mark if old.mark == "new" else "", sample=sample)
    seen = old.mark == "retyped" or any(change.name == field.name for change in used)
    return found_as(field, mark="retyped" if seen else "", was=was if seen else "", sample=sample)


def open_changes(installed: InstallationStream) -> list[AccountField]:
    """Return the fields about which nobody has decided yet."""
    return [field for field in stream_fields.kept(installed) if field.mark]


def settle(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, names: Collection[str] | None = None) -> None:
    """Take it that somebody has decided about these fields, or about all: their marks go, and with the last the problem."""
    content = get_content(tenant_id, installation_id, stream, lock=True)
    _unmark(content, {field.name for field in open_changes(content.installed)} if names is None else set(names))


def tidy(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, touched: Collection[str] = ()) -> None:
    """Settle what the mapping in force has settled: new fields it reads, lost ones it does not, retyped ones of rules
    that were `touched` (the host's fields) since."""
    content = get_content(tenant_id, installation_id, stream, lock=True)
    rules = content.rules_in_force
    read = {source for rule in rules for source in rule.sources}
    renewed = {source for rule in rules if rule.target in touched for source in rule.sources}
    over = {
        field.name
        for field in open_changes(content.installed)
        if (field.mark == "new" and field.name in read)
        or (field.mark != "new" and field.name not in read)
        or (field.mark == "retyped" and field.name in renewed)
    }
    if over:
        _unmark(content, over)


def _unmark(content: Content, names: Collection[str]) -> None:
    fields = [
        found_as(field) if field.name in names else field
        for field in stream_fields.kept(content.installed)
        if not (field.name in names and field.mark == "removed")
    ]
    checked = content.installed.fields_checked_at
    stream_fields.put(content.installed, fields)
    content.installed.fields_checked_at = checked
    _tell(content, fields)


def _tell(content: Content, fields: Sequence[AccountField]) -> None:
    """Open the stream's problem, bring its words up to date, or close it."""
    installed, marked = content.installed, [field for field in fields if field.mark]
    signature = f"{CODE}:{installed.stream}"
    if not marked:
        problems.close_signature(installed.tenant_id, installed.installation_id, signature)
        return
    vendor, label = _names(installed)
    words = [_words(field) for field in marked[:3]]
    more = f", and {len(marked) - 3} more" if len(marked) > 3 else ""
    problems.open_problem(
        installed.tenant_id, installed.installation_id, CODE,
        f"Fields of {label} have changed at {vendor}: {', '.join(words)}{more}.",
        "Say for each whether the mapping follows. Runs go on with the mapping as it is.",
        signature=signature, count=len(marked),
    )  # fmt: skip


def _names(installed: InstallationStream) -> tuple[str, str]:
    version = db.session.scalar(
        select(Installation.listing_version_id).where(
            Installation.tenant_id == installed.tenant_id, Installation.id == installed.installation_id
        )
    )
    assert version is not None
    manifest = listings.manifest_of(version)
    return manifest.listing.name, manifest.stream(installed.stream).label.lower()


def _words(field: AccountField) -> str:
    if field.mark == "retyped":
        return f"{field.label} is {TYPE_WORDS.get(field.type, field.type)} now"
    return f"{field.label} is {'new' if field.mark == 'new' else 'gone'}"
