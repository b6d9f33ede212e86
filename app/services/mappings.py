"""Mappings: versions of the rules of a stream; saving makes a new version and plans a full pass."""

import uuid
from typing import Any

from sqlalchemy import func, select

from app.db import db
from app.errors import NotFoundError
from app.models.installations import InstallationStream, Mapping
from app.services.object_types import fields_of
from app.tenancy import scoped
from connectors.sdk import Rule, compile_mapping, rules_from_json, rules_to_json


def get_stream(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str) -> InstallationStream:
    """Return the installation's row of a stream or raise NotFoundError."""
    found = db.session.scalar(
        scoped(InstallationStream, tenant_id).where(
            InstallationStream.installation_id == installation_id, InstallationStream.stream == stream
        )
    )
    if found is None:
        raise NotFoundError("There is no such stream.")
    return found


def current_rules(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str) -> list[Rule]:
    """Return the rules in force."""
    installed = get_stream(tenant_id, installation_id, stream)
    mapping = db.session.scalars(
        scoped(Mapping, tenant_id).where(
            Mapping.installation_id == installation_id,
            Mapping.stream == stream,
            Mapping.version == installed.mapping_version,
        )
    ).one()
    return rules_from_json(mapping.rules)


def save_rules(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, rules: list[Rule], *, user_id: uuid.UUID | None
) -> int:
    """Store rules as a new version and return it; the same rules again make none. MappingError names what is wrong."""
    installed = get_stream(tenant_id, installation_id, stream)
    compile_mapping(rules, fields_of(installed.object_type))
    data = rules_to_json(rules)
    if data == rules_to_json(current_rules(tenant_id, installation_id, stream)):
        return installed.mapping_version
    newest = db.session.scalar(
        select(func.max(Mapping.version)).where(
            Mapping.tenant_id == tenant_id, Mapping.installation_id == installation_id, Mapping.stream == stream
        )
    )
    installed.mapping_version = (newest or 0) + 1
    installed.full_pass_due = True
    db.session.add(
        Mapping(
            tenant_id=tenant_id, installation_id=installation_id, stream=stream, version=installed.mapping_version,
            rules=data, created_by=user_id,
        )
    )  # fmt: skip
    return installed.mapping_version


def list_versions(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str) -> list[Mapping]:
    """Return all versions, newest first."""
    query = scoped(Mapping, tenant_id).where(Mapping.installation_id == installation_id, Mapping.stream == stream)
    return list(db.session.scalars(query.order_by(Mapping.version.desc())))


def source_fields(installed: InstallationStream, declared: list[Any]) -> list[dict[str, Any]]:
    """Return what the account's records offer: discovered fields, the declared ones before the first test."""
    if installed.fields:
        return installed.fields
    return [
        {"name": f.name, "label": f.label, "type": f.type, "required": f.required, "custom": False, "sample": None}
        for f in declared
    ]


def sources_of(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> dict[str, list[str]]:
    """Return stream -> the external fields its present mapping reads: some vendors send only what is asked for."""
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
