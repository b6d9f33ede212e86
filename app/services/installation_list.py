"""The list of installations: a page at a time, searched and filtered, with how many there are of each status."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, tuple_
from sqlalchemy.orm import aliased

from app.clock import now
from app.db import db
from app.models.connections import Connection
from app.models.fleet import InstallationStatus
from app.models.installations import Installation
from app.models.listings import Listing
from app.services import fleet
from app.services.installations import Overview, overviews_of
from app.sync.status import Status
from app.tenancy import scoped

STATUSES: tuple[str, ...] = get_args(Status)
SIZE = 50


@dataclass(frozen=True)
class Filters:
    """What the list is narrowed to; `text` is looked for in names and accounts. Each empty one does not count."""

    text: str = ""
    status: str = ""
    connector: str = ""

    @classmethod
    def of(cls, sent: Mapping[str, str]) -> "Filters":
        """Return the filters that an address asks for."""
        status = sent.get("status", "")
        text = sent.get("q", "").replace("\0", "")[:100].strip()
        return cls(text, status if status in STATUSES else "", sent.get("connector", "")[:100])


@dataclass(frozen=True)
class Found:
    """One page of the list; `after` is the id it ends with, None on the last one."""

    overviews: list[Overview]
    after: uuid.UUID | None


@dataclass(frozen=True)
class Installed:
    """How many installations of one integration there are, and how they are; `status` is that of the only one."""

    count: int
    healthy: int
    status: str
    last_success_at: datetime | None


def list_page(tenant_id: uuid.UUID, filters: Filters, *, after: uuid.UUID | None = None, limit: int = SIZE) -> Found:
    """Return installations that are not removed by name, in a fixed number of queries.

    `after` is the id the last page ended with: removed meanwhile, it still has its name and place.
    """
    query = _narrowed(select(Installation), tenant_id, filters)
    name = func.lower(Installation.name)
    if after:
        last = aliased(Installation)
        place = select(func.lower(last.name), last.id).where(last.tenant_id == tenant_id, last.id == after)
        query = query.where(tuple_(name, Installation.id) > place.scalar_subquery())
    found = list(db.session.scalars(query.order_by(name, Installation.id).limit(limit + 1)))
    shown = overviews_of(tenant_id, found[:limit])
    return Found(shown, shown[-1].installation.id if len(found) > limit else None)


def _narrowed(query: Select[Any], tenant_id: uuid.UUID, filters: Filters) -> Select[Any]:
    query = query.where(Installation.tenant_id == tenant_id, Installation.state != "removed")
    if filters.connector:
        query = query.where(Installation.connector == filters.connector)
    if filters.text:
        account = select(Connection.id).where(
            Connection.tenant_id == tenant_id, Connection.account_name.icontains(filters.text, autoescape=True)
        )
        named = Installation.name.icontains(filters.text, autoescape=True)
        query = query.where(or_(named, Installation.connection_id.in_(account)))
    if filters.status:
        query = query.join(InstallationStatus, _its_status()).where(fleet.has_word(filters.status))
    return query


def _its_status() -> ColumnElement[bool]:
    return and_(InstallationStatus.tenant_id == Installation.tenant_id, InstallationStatus.id == Installation.id)


def list_connectors(tenant_id: uuid.UUID) -> dict[str, str]:
    """Return slug -> name of the integrations that the tenant has installed, by name."""
    mine = select(Installation.connector).where(Installation.tenant_id == tenant_id, Installation.state != "removed")
    rows = db.session.execute(
        select(Listing.slug, Listing.name).where(Listing.slug.in_(mine)).order_by(func.lower(Listing.name))
    )
    return {row[0]: row[1] for row in rows}


def list_of_connector(tenant_id: uuid.UUID, connector: str, *, limit: int = 20) -> list[Overview]:
    """Return the first installations of one integration by name."""
    return list_page(tenant_id, Filters(connector=connector), limit=limit).overviews


def list_installed(tenant_id: uuid.UUID, connectors: Collection[str]) -> dict[str, Installed]:
    """Return connector -> how its installations are, of those named that are installed."""
    mine = (InstallationStatus.tenant_id == tenant_id, InstallationStatus.connector.in_(connectors))
    late = InstallationStatus.late_at < now()
    word = case(((InstallationStatus.status == "healthy") & late, "late"), else_=InstallationStatus.status)
    rows = db.session.execute(
        select(
            InstallationStatus.connector, func.count(), func.count().filter(fleet.has_word("healthy")), func.min(word),
            func.max(InstallationStatus.last_success_at),
        )
        .where(*mine)
        .group_by(InstallationStatus.connector)
    )  # fmt: skip
    return {row[0]: Installed(*row[1:]) for row in rows}


def count_connectors(tenant_id: uuid.UUID) -> int:
    """Return how many integrations the tenant has installed."""
    query = select(func.count(Installation.connector.distinct()))
    return db.session.scalar(query.where(Installation.tenant_id == tenant_id, Installation.state != "removed")) or 0


def by_id(tenant_id: uuid.UUID, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Installation]:
    """Return installations by their ids, removed ones too."""
    found = db.session.scalars(scoped(Installation, tenant_id).where(Installation.id.in_(ids))) if ids else ()
    return {item.id: item for item in found}
