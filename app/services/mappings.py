"""Mappings: versions of a stream's rules and filters. A version in force is never changed; edits wait in a draft."""

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.clock import now
from app.db import db
from app.errors import NotFoundError
from app.ids import new_id
from app.models.accounts import User
from app.models.installations import Installation, InstallationStream, Mapping
from app.services import audit, failed_records
from app.services.object_types import fields_of
from app.tenancy import scoped
from connectors.sdk import (
    FieldInfo,
    FieldProblem,
    MappingError,
    Rule,
    TargetField,
    check_types,
    compile_filters,
    compile_mapping,
    rules_from_json,
    rules_to_json,
)
from connectors.sdk.mapping_types import flows

Filters = list[dict[str, Any]]
VERSIONS = 50


@dataclass(frozen=True)
class Content:
    """What a stream's mapping says: the version in force, and the draft that has not been applied."""

    installed: InstallationStream
    in_force: Mapping
    draft: Mapping | None

    @property
    def edited(self) -> Mapping:
        """What people see and change: the draft where there is one."""
        return self.draft or self.in_force

    @property
    def rules(self) -> list[Rule]:
        """The rules as edited."""
        return rules_from_json(self.edited.rules)

    @property
    def rules_in_force(self) -> list[Rule]:
        """The rules that runs use."""
        return rules_from_json(self.in_force.rules)


@dataclass(frozen=True)
class Version:
    """A version as the list of versions shows it."""

    number: int
    rules: list[Rule]
    filters: Filters
    at: datetime
    by: str | None


def get_stream(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, *, lock: bool = False
) -> InstallationStream:
    """Return the installation's row of a stream or raise NotFoundError; `lock` keeps others from changing it."""
    query = scoped(InstallationStream, tenant_id).where(
        InstallationStream.installation_id == installation_id, InstallationStream.stream == stream
    )
    # What this session has read before the lock may have been changed meanwhile.
    found = db.session.scalar(query.with_for_update().execution_options(populate_existing=True) if lock else query)
    if found is None:
        raise NotFoundError("There is no such stream.")
    return found


def get_content(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, *, lock: bool = False) -> Content:
    """Return the mapping in force and its draft; NotFoundError when there is no such stream."""
    return _content(get_stream(tenant_id, installation_id, stream, lock=lock), fresh=lock)


def list_contents(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> list[Content]:
    """Return the mappings of all streams of an installation, in the order of the manifest."""
    rows = db.session.execute(
        select(InstallationStream, Mapping)
        .join(
            Mapping,
            (Mapping.tenant_id == InstallationStream.tenant_id)
            & (Mapping.installation_id == InstallationStream.installation_id)
            & (Mapping.stream == InstallationStream.stream)
            & (Mapping.version >= InstallationStream.mapping_version),
        )
        .where(InstallationStream.tenant_id == tenant_id, InstallationStream.installation_id == installation_id)
        .order_by(InstallationStream.created_at, InstallationStream.id, Mapping.version)
    ).all()
    found: dict[str, Content] = {}
    for installed, mapping in rows:
        known = found.get(installed.stream)
        found[installed.stream] = Content(installed, known.in_force if known else mapping, mapping if known else None)
    return list(found.values())


def _content(installed: InstallationStream, *, fresh: bool = False) -> Content:
    query = _versions(installed).where(Mapping.version >= installed.mapping_version).order_by(Mapping.version)
    in_force, *later = db.session.scalars(query.execution_options(populate_existing=fresh))
    return Content(installed, in_force, later[-1] if later else None)


def _versions(installed: InstallationStream) -> Any:
    return scoped(Mapping, installed.tenant_id).where(
        Mapping.installation_id == installed.installation_id, Mapping.stream == installed.stream
    )


def current_rules(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str) -> list[Rule]:
    """Return the rules in force."""
    return get_content(tenant_id, installation_id, stream).rules_in_force


def change_rules(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, change: Callable[[list[Rule]], list[Rule]],
    *, fields: Sequence[FieldInfo], user_id: uuid.UUID | None, typed: Collection[str] = (),
) -> None:  # fmt: skip
    """Change the rules as edited: at once while the installation is set up, later in the draft.

    `fields` are the account's. The types of the rules of `typed` must fit. MappingError names what is wrong; then
    nothing is kept.
    """
    content = get_content(tenant_id, installation_id, stream, lock=True)
    rules = change(content.rules)
    _check(content.installed, rules, content.edited.filters)
    chosen = [rule for rule in rules if rule.target in typed]
    problems = type_problems(content.installed, chosen, fields_of(content.installed.object_type), fields)
    if problems:
        raise MappingError(problems)
    _keep(content, rules_to_json(rules), content.edited.filters, user_id)


def put_in_force(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, *, rules: list[Rule] | None = None,
    filters: Filters | None = None, user_id: uuid.UUID | None,
) -> bool:  # fmt: skip
    """Put other rules or filters in force at once, in a new version; return whether they differ. MappingError says why not.

    A draft goes on: it keeps its rules and takes over the filters.
    """
    content = get_content(tenant_id, installation_id, stream, lock=True)
    in_force, draft = content.in_force, content.draft
    new_rules = in_force.rules if rules is None else rules_to_json(rules)
    new_filters = in_force.filters if filters is None else filters
    if (
        rules_to_json(rules_from_json(new_rules)) == rules_to_json(content.rules_in_force)
        and new_filters == in_force.filters
    ):
        return False
    _check(content.installed, rules_from_json(new_rules), new_filters)
    if draft is not None:
        # Its number is taken by the version that comes into force before it.
        draft.version += 1
        draft.filters = new_filters
        db.session.flush()
    _put_in_force(content.installed, new_rules, new_filters, user_id)
    return True


def _check(installed: InstallationStream, rules: list[Rule], filters: Filters) -> None:
    fields = fields_of(installed.object_type)
    compile_mapping(rules, fields, direction=installed.direction)
    compile_filters(filters, fields)
    labels, mapped = {field.name: field.label for field in fields}, {rule.target for rule in rules}
    blind = [
        FieldProblem(name, "", f"A filter of this stream looks at {labels[name]}.", "Take the filter away first.")
        for name in dict.fromkeys(item["field"] for item in filters)
        if name not in mapped
    ]
    if blind:
        raise MappingError(blind)


def _keep(content: Content, rules: list[dict[str, Any]], filters: Filters, user_id: uuid.UUID | None) -> None:
    installed = content.installed
    same = rules == rules_to_json(content.rules_in_force) and filters == content.in_force.filters
    if same:
        if content.draft is not None:
            db.session.delete(content.draft)
    elif _is_set_up(installed):
        _put_in_force(installed, rules, filters, user_id)
    elif content.draft is not None:
        draft = content.draft
        draft.rules, draft.filters, draft.created_by, draft.created_at = rules, filters, user_id, now()
    else:
        _add_version(installed, installed.mapping_version + 1, rules, filters, user_id)


def _is_set_up(installed: InstallationStream) -> bool:
    query = db.select(Installation.state).where(
        Installation.tenant_id == installed.tenant_id, Installation.id == installed.installation_id
    )
    return db.session.scalar(query) == "setting_up"


def _put_in_force(
    installed: InstallationStream, rules: list[dict[str, Any]], filters: Filters, user_id: uuid.UUID | None
) -> None:
    installed.mapping_version += 1
    installed.full_pass_due = True
    _add_version(installed, installed.mapping_version, rules, filters, user_id)
    failed_records.retry_stream(installed.tenant_id, installed.installation_id, installed.stream)


def _add_version(
    installed: InstallationStream, number: int, rules: list[dict[str, Any]], filters: Filters, user_id: uuid.UUID | None
) -> None:
    db.session.add(
        Mapping(
            tenant_id=installed.tenant_id, id=new_id(), installation_id=installed.installation_id,
            stream=installed.stream, version=number, rules=rules, filters=filters, created_by=user_id,
        )
    )  # fmt: skip


def apply_draft(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, *, user_id: uuid.UUID | None
) -> int | None:
    """Put the draft in force and plan a full pass; return the version, None when there is no draft any more.

    MappingError when it no longer fits the host's fields.
    """
    content = get_content(tenant_id, installation_id, stream, lock=True)
    draft, installed = content.draft, content.installed
    if draft is None:
        return None
    _check(installed, content.rules, draft.filters)
    draft.created_by, draft.created_at = user_id, now()
    installed.mapping_version, installed.full_pass_due = draft.version, True
    failed_records.retry_stream(tenant_id, installation_id, stream)
    audit.write(
        tenant_id, "mapping.changed", "installation", str(installation_id), stream, version=draft.version
    )  # fmt: skip
    return draft.version


def discard_draft(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str) -> None:
    """Forget what has been edited and not applied."""
    content = get_content(tenant_id, installation_id, stream, lock=True)
    if content.draft is not None:
        db.session.delete(content.draft)


def bring_back(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, version: int, *, user_id: uuid.UUID | None
) -> None:
    """Take over the content of an older version, as an edit; NotFoundError when there is none of that number.

    MappingError when it does not fit the host's fields any more.
    """
    content = get_content(tenant_id, installation_id, stream, lock=True)
    old = db.session.scalar(
        _versions(content.installed).where(
            Mapping.version == version, Mapping.version <= content.installed.mapping_version
        )
    )
    if old is None:
        raise NotFoundError("There is no such version.")
    rules = rules_from_json(old.rules)
    _check(content.installed, rules, old.filters)
    _keep(content, rules_to_json(rules), old.filters, user_id)


def list_versions(installed: InstallationStream) -> list[Version]:
    """Return the versions that are or were in force, newest first; the last few dozen of them."""
    rows = db.session.execute(
        _versions(installed)
        .add_columns(User.name)
        .outerjoin(User, User.id == Mapping.created_by)
        .where(Mapping.version <= installed.mapping_version)
        .order_by(Mapping.version.desc())
        .limit(VERSIONS)
    )
    return [Version(m.version, rules_from_json(m.rules), m.filters, m.created_at, name) for m, name in rows]


def effective(rule: Rule, direction: str) -> str:
    """Return the way a field flows where its rule and its stream both allow it: in, out, both or off."""
    into, out = (flows(rule.direction, way) and flows(direction, way) for way in ("in", "out"))
    return "both" if into and out else "in" if into else "out" if out else "off"


def type_problems(
    installed: InstallationStream, rules: Sequence[Rule], targets: Sequence[TargetField], fields: Sequence[FieldInfo]
) -> list[FieldProblem]:
    """Return which types do not fit, each with the transform that would make them, the ways that are open regarded."""
    met = [replace(rule, direction=effective(rule, installed.direction)) for rule in rules]
    return check_types(met, targets, {field.name: field for field in fields})


def sources_of(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> dict[str, list[str]]:
    """Return stream -> the external fields that its mapping reads: some vendors send only what is asked for.

    A draft's are not among them: what runs ask for, and so what counts as changed, must not follow an edit.
    """
    rows = db.session.execute(
        select(Mapping.stream, Mapping.rules)
        .join(
            InstallationStream,
            (InstallationStream.tenant_id == Mapping.tenant_id)
            & (InstallationStream.installation_id == Mapping.installation_id)
            & (InstallationStream.stream == Mapping.stream)
            & (InstallationStream.mapping_version == Mapping.version),
        )
        .where(Mapping.tenant_id == tenant_id, Mapping.installation_id == installation_id)
    )
    return {stream: sorted({source for rule in rules for source in rule["sources"]}) for stream, rules in rows}
