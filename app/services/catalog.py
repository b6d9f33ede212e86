"""Searching the catalog: words in spite of typos, filters with their counts, a page at a time."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, text, update

from app.clock import now
from app.db import db, write
from app.errors import NotFoundError
from app.models.breakers import BreakerRow
from app.models.installations import InstallationStream
from app.models.listings import Listing
from app.services.listing_facts import CAPABILITIES

PAGE = 60
SORTS = {"": "Recommended first", "name": "By name", "new": "Newest first"}
_WORDS = 6
_NEW, _STOCKED = timedelta(days=30), timedelta(days=1)
# A third of the three-letter groups of a word: what is left of a short one with two letters changed over.
_ALIKE = 0.33


@dataclass(frozen=True)
class Filters:
    """What the address asks for. Of `capabilities` an integration has all, of the others one."""

    text: str = ""
    category: str = ""
    capabilities: frozenset[str] = frozenset()
    signs_in: frozenset[str] = frozenset()
    publishers: frozenset[str] = frozenset()
    sort: str = ""

    @property
    def is_set(self) -> bool:
        """Whether anything is asked for."""
        return replace(self, sort="") != Filters()


@dataclass
class Facets:
    """How many integrations each choice would show, with everything else as it is asked for."""

    category: Counter[str] = field(default_factory=Counter)
    capability: Counter[str] = field(default_factory=Counter)
    signs_in: Counter[str] = field(default_factory=Counter)
    publisher: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Found:
    """One page of listings, how many there are in all, the facets, and the ids of those that are new."""

    listings: list[Listing]
    total: int
    facets: Facets
    new: set[uuid.UUID]


def search(filters: Filters, *, start: int = 0, limit: int = PAGE) -> Found:
    """Return the live listings that fit, from one on: three statements, whatever there is."""
    words = filters.text.lower().split()[:_WORDS]
    db.session.execute(select(func.set_config("pg_trgm.word_similarity_threshold", str(_ALIKE), True)))
    query = select(
        Listing.id, Listing.categories, Listing.capabilities, Listing.signs_in, Listing.publisher, Listing.created_at,
        select(func.min(Listing.created_at)).scalar_subquery().label("first_at"),
    ).where(Listing.status == "live", Listing.current_version.is_not(None), *map(_has, words))  # fmt: skip
    rows = list(db.session.execute(query.order_by(*_order(filters.sort, words))))
    facets, fitting = _sort_out(rows, filters)
    shown = fitting[start : start + limit]
    by_id = (
        {item.id: item for item in db.session.scalars(select(Listing).where(Listing.id.in_(shown)))} if shown else {}
    )
    # What came with the first ones is not new, however young the catalog is.
    new = {row.id for row in rows if row.created_at > max(now() - _NEW, row.first_at + _STOCKED)}
    return Found([by_id[listing_id] for listing_id in shown], len(fitting), facets, new.intersection(shown))


def feature(slug: str, featured: bool) -> None:
    """Put an integration first in the catalog, or back in its place; NotFoundError for one that is not there."""
    if write(update(Listing).where(Listing.slug == slug).values(featured=featured)) != 1:
        raise NotFoundError(f"There is no integration “{slug}”.")


def _has(word: str) -> ColumnElement[bool]:
    return or_(Listing.words.bool_op("%>")(word), Listing.words.contains(word, autoescape=True),
               func.lower(Listing.summary).contains(word, autoescape=True))  # fmt: skip


def _order(sort: str, words: Sequence[str]) -> list[ColumnElement[Any]]:
    name = func.lower(Listing.name)
    if sort == "new":
        return [Listing.created_at.desc(), name]
    if sort == "name":
        return [name.asc()]
    if words:
        said = " ".join(words)
        close = func.greatest(func.word_similarity(said, name) * 2, func.word_similarity(said, Listing.words))
        return [close.desc(), name]
    return [Listing.featured.desc(), name]


def _sort_out(rows: Sequence[Any], filters: Filters) -> tuple[Facets, list[uuid.UUID]]:
    facets, fitting = Facets(), list[uuid.UUID]()
    for row in rows:
        misses = _misses(row, filters)
        if not misses:
            fitting.append(row.id)
        # A facet counts with everything asked for but its own choice; of capabilities each narrows further.
        if misses <= {"category"}:
            facets.category.update(row.categories)
            facets.category[""] += 1
        if misses <= {"signs_in"}:
            facets.signs_in.update(row.signs_in)
        if misses <= {"publisher"}:
            facets.publisher[row.publisher] += 1
        if not misses:
            facets.capability.update(row.capabilities)
    return facets, fitting


def _misses(row: Any, filters: Filters) -> set[str]:
    fits = {
        "category": not filters.category or filters.category in row.categories,
        "capability": filters.capabilities <= set(row.capabilities),
        "signs_in": not filters.signs_in or not filters.signs_in.isdisjoint(row.signs_in),
        "publisher": not filters.publishers or row.publisher in filters.publishers,
    }
    return {name for name, good in fits.items() if not good}


def filters_of(sent: Mapping[str, Any], lists: Mapping[str, Sequence[str]]) -> Filters:
    """Return the filters of an address: `sent` its single values, `lists` those that may come several times."""
    sort = sent.get("sort", "")
    return Filters(
        sent.get("q", "").replace("\0", "")[:100].strip(), sent.get("category", "")[:80],
        frozenset(lists["can"]) & CAPABILITIES.keys(), frozenset(lists["signs_in"][:10]),
        frozenset(lists["publisher"][:20]), sort if sort in SORTS else "",
    )  # fmt: skip


def synced_types(tenant_id: uuid.UUID) -> set[str]:
    """Return the object types that a tenant's integrations sync already."""
    query = select(InstallationStream.object_type).where(
        InstallationStream.tenant_id == tenant_id, InstallationStream.enabled
    )
    return set(db.session.scalars(query.distinct()))


def hosts_down() -> set[str]:
    """Return the vendors' hosts that do not answer at the moment, without their ports."""
    query = select(BreakerRow.key).where(
        BreakerRow.kind == "host",
        BreakerRow.state != "closed",
        BreakerRow.updated_at > text("now() - interval '1 hour'"),
    )
    return {key.rsplit(":", 1)[0] for key in db.session.scalars(query)}
