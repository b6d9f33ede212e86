"""How many records change: hours that are over are counted once, the present one is counted when somebody looks."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import delete, func, select, text

from app.clock import now
from app.db import db, write
from app.ids import first_at
from app.models.volumes import Volume
from app.tenancy import scoped

DAYS = 7
LIVE_LIMIT = 5_000
_HOUR = timedelta(hours=1)
# A page transaction that began within the hour may commit after it; none lives longer.
_SETTLES = timedelta(minutes=5)
_KEPT = timedelta(days=35)
_REACHES_BACK = timedelta(days=8)
_FOLD = text("""
    INSERT INTO volumes (tenant_id, hour, created, updated, deleted)
    SELECT :tenant, t.hour, n.created, n.updated, n.deleted
    FROM unnest(CAST(:hours AS timestamptz[]), CAST(:since AS uuid[]), CAST(:until AS uuid[])) AS t(hour, since, until)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE c.operation = 'created') AS created,
            count(*) FILTER (WHERE c.operation IN ('updated', 'linked', 'restored')) AS updated,
            count(*) FILTER (WHERE c.operation = 'deleted') AS deleted
        FROM changes c WHERE c.tenant_id = :tenant AND c.id >= t.since AND c.id < t.until
    ) AS n
    WHERE n.created + n.updated + n.deleted > 0
    ON CONFLICT DO NOTHING
""")
# Ordered, because a plan kept for all values would look through the whole journal.
_LIVE = text("""
    SELECT date_trunc('hour', created_at), count(*) FILTER (WHERE operation = 'created'),
        count(*) FILTER (WHERE operation NOT IN ('created', 'deleted')), count(*) FILTER (WHERE operation = 'deleted')
    FROM (
        SELECT operation, created_at FROM changes WHERE tenant_id = :tenant AND id >= :since ORDER BY id DESC LIMIT :most
    ) AS newest GROUP BY 1
""")


@dataclass(frozen=True)
class Day:
    """What has changed on one day, in the viewer's zone."""

    day: date
    created: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.created + self.updated + self.deleted


@dataclass(frozen=True)
class Volumes:
    """What has changed in the last 24 hours and on the last seven days. `over`: it is more, counting has stopped."""

    last_day: int
    days: tuple[Day, ...]
    over: bool = False

    @property
    def last_week(self) -> int:
        """All of the seven days."""
        return sum(day.total for day in self.days)


def fold(tenant_id: uuid.UUID) -> int:
    """Count the hours of the bound tenant that are over and not counted yet; return how many had changes."""
    write(delete(Volume).where(Volume.tenant_id == tenant_id, Volume.hour < now() - _KEPT))
    until = _hour_of(now() - _SETTLES)
    since = max(_counted_until(tenant_id) or until - _REACHES_BACK, until - _REACHES_BACK)
    hours = [since + _HOUR * number for number in range(int((until - since) / _HOUR))]
    if not hours:
        return 0
    ids = [first_at(hour) for hour in (*hours, until)]
    return write(_FOLD.bindparams(tenant=tenant_id, hours=hours, since=ids[:-1], until=ids[1:]))


def read(tenant_id: uuid.UUID, zone: str | None) -> Volumes:
    """Return what has changed, by days of a time zone, in two statements whatever there is."""
    place, at = ZoneInfo(zone or "UTC"), now()
    today = at.astimezone(place).date()
    first = today - timedelta(days=DAYS - 1)
    begin = datetime.combine(first, time(), place)
    rows = list(db.session.scalars(scoped(Volume, tenant_id).where(Volume.hour >= min(begin, at - timedelta(days=1)))))
    sums = {first + timedelta(days=number): [0, 0, 0] for number in range(DAYS)}
    since = max((row.hour + _HOUR for row in rows), default=begin)
    values = {"tenant": tenant_id, "since": first_at(since), "most": LIVE_LIMIT + 1}
    live = db.session.execute(_LIVE, values).all()
    day_ago, last_day = _hour_of(at - timedelta(days=1)), 0
    for hour, *counted in [*((row.hour, row.created, row.updated, row.deleted) for row in rows), *live]:
        last_day += sum(counted) if hour >= day_ago else 0
        day = hour.astimezone(place).date()
        if day in sums:
            sums[day] = [one + more for one, more in zip(sums[day], counted, strict=True)]
    over = sum(sum(row[1:]) for row in live) > LIVE_LIMIT
    return Volumes(last_day, tuple(Day(day, *counted) for day, counted in sums.items()), over)


def _counted_until(tenant_id: uuid.UUID) -> datetime | None:
    newest = db.session.scalar(select(func.max(Volume.hour)).where(Volume.tenant_id == tenant_id))
    return newest + _HOUR if newest else None


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
