"""Hints: what deliveries have said about external records, taken in hand by workers and settled with what came of it.

A hint never says what a record is, only where to look. A worker takes the records of one stream together: the task it
holds is the fence, the tasks of the others are put off for a moment and ended with the page that applies them. Whoever
has taken one of them meanwhile, or has been told of it anew, keeps it.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, text, update

from app.arrays import texts, uuids
from app.clock import now
from app.db import db
from app.models.endpoints import Delivery, Hint
from app.services import inbox
from app.services.page_writes import Raw
from app.services.tasks import LeasedTask

TOGETHER = 50


@dataclass(frozen=True)
class Taken:
    """The records of one stream that a worker has in hand: the hints about each, and the tasks beside its own."""

    installation_id: uuid.UUID
    stream: str
    # External id -> (ids of hints, whether one of them was a delete).
    about: Mapping[str, tuple[tuple[uuid.UUID, ...], bool]]
    # External id -> (task id, lease token as it was seen).
    beside: Mapping[str, tuple[uuid.UUID, int]]

    def hint_ids(self, external_ids: Collection[str]) -> list[uuid.UUID]:
        """Return the ids of the hints about these records."""
        return [hint for name in external_ids for hint in self.about.get(name, ((), False))[0]]


_BESIDE = text("""
UPDATE tasks SET due_at = clock_timestamp() + make_interval(secs => :seconds)
WHERE tenant_id = :tenant AND id IN (SELECT id FROM tasks WHERE tenant_id = :tenant AND lane = 'fast' AND kind = :kind
AND ref = :ref AND state = 'ready' AND due_at <= clock_timestamp() AND starts_with(key, :prefix)
ORDER BY due_at, id LIMIT :room FOR UPDATE SKIP LOCKED) RETURNING id, lease_token, key
""")


def take(task: LeasedTask, installation_id: uuid.UUID, stream: str, external_id: str, *, seconds: float) -> Taken:
    """Return the record of a task and others of its stream that wait; those are not due again for `seconds`."""
    prefix = inbox.task_key(installation_id, stream, "")
    values = {
        "seconds": seconds, "tenant": task.tenant_id, "kind": task.kind, "ref": installation_id, "prefix": prefix,
        "room": TOGETHER - 1,
    }  # fmt: skip
    rows = db.session.execute(_BESIDE, values).all() if external_id else []
    beside = {row[2].removeprefix(prefix): (row[0], row[1]) for row in rows if row[2] != prefix}
    return Taken(
        installation_id, stream, _about(task.tenant_id, installation_id, stream, [external_id, *beside]), beside
    )


def _about(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, external_ids: list[str]
) -> dict[str, tuple[tuple[uuid.UUID, ...], bool]]:
    rows = db.session.execute(
        select(Hint.external_id, func.array_agg(Hint.id), func.bool_or(Hint.action == "delete"))
        .where(
            Hint.tenant_id == tenant_id, Hint.installation_id == installation_id, Hint.stream == stream,
            Hint.external_id.in_(external_ids), Hint.state == "waiting",
        )
        .group_by(Hint.external_id)
    )  # fmt: skip
    return {row[0]: (tuple(row[1]), row[2]) for row in rows}


def hold(sql: Raw, task: LeasedTask, taken: Taken) -> tuple[set[str], set[str]]:
    """Lock the tasks beside in the transaction of a page; return (records that are still ours, those told of anew).

    What was told meanwhile is looked for after the lock, so that no telling is lost between the two.
    """
    if not taken.beside:
        return set(), set()
    mine = {task_id: name for name, (task_id, _) in taken.beside.items()}
    ids, tokens = list(mine), dict(taken.beside.values())
    rows = sql.execute(
        "SELECT id, lease_token, state FROM tasks WHERE tenant_id = %b AND id = ANY(%b) ORDER BY id FOR UPDATE",
        (task.tenant_id, uuids(ids)),
        binary=True,
    ).fetchall()
    ours = {mine[task_id] for task_id, token, state in rows if state == "ready" and token == tokens[task_id]}
    known = [hint for hints, _ in taken.about.values() for hint in hints]
    anew = sql.execute(
        "SELECT DISTINCT external_id FROM hints WHERE tenant_id = %b AND installation_id = %b AND stream = %b "
        "AND external_id = ANY(%b) AND state = 'waiting' AND id <> ALL(%b)",
        (task.tenant_id, taken.installation_id, taken.stream, texts(sorted(ours)), uuids(known)),
        binary=True,
    ).fetchall()
    return ours, {row[0] for row in anew}


def end_beside(sql: Raw, task: LeasedTask, taken: Taken, done: Collection[str], again: Collection[str]) -> None:
    """End the tasks beside of records that are done; those told of anew are due now."""
    with sql.pipeline():
        sql.execute(
            "UPDATE tasks SET state = 'done', finished_at = clock_timestamp() WHERE tenant_id = %b AND id = ANY(%b)",
            (task.tenant_id, uuids([taken.beside[name][0] for name in done if name in taken.beside])),
        )
        sql.execute(
            "UPDATE tasks SET due_at = clock_timestamp() WHERE tenant_id = %b AND id = ANY(%b)",
            (task.tenant_id, uuids([taken.beside[name][0] for name in again if name in taken.beside])),
        )


def settle(sql: Raw, tenant_id: uuid.UUID, states: Mapping[str, Sequence[uuid.UUID]]) -> None:
    """Write what came of hints: state -> ids."""
    with sql.pipeline():
        for state, ids in states.items():
            if ids:
                sql.execute(
                    "UPDATE hints SET state = %b, settled_at = clock_timestamp() WHERE tenant_id = %b AND id = ANY(%b) "
                    "AND state = 'waiting'",
                    (state, tenant_id, uuids(ids)),
                )


def put_off(tenant_id: uuid.UUID, taken: Taken, external_ids: Collection[str], seconds: float) -> None:
    """The records beside could not be looked at: again after this long."""
    db.session.execute(
        text(
            "UPDATE tasks SET due_at = clock_timestamp() + make_interval(secs => :seconds) WHERE tenant_id = :tenant "
            "AND id = ANY(:ids) AND state = 'ready'"
        ),
        {
            "seconds": seconds, "tenant": tenant_id,
            "ids": [taken.beside[name][0] for name in external_ids if name in taken.beside],
        },
    )  # fmt: skip


def give_up(tenant_id: uuid.UUID, hint_ids: Sequence[uuid.UUID], state: str, sentence: str) -> None:
    """Settle hints that lead to nothing by themselves; the sentence says what happens instead."""
    db.session.execute(
        update(Hint)
        .where(Hint.tenant_id == tenant_id, Hint.id.in_(hint_ids), Hint.state == "waiting")
        .values(state=state, settled_at=now(), error=sentence[:500])
    )


def bodies(tenant_id: uuid.UUID, hint_ids: Sequence[uuid.UUID]) -> list[tuple[bytes, dict[str, str]]]:
    """Return body and kept headers of the deliveries behind these hints, opened, the newest first."""
    rows = db.session.execute(
        select(Delivery)
        .where(
            Delivery.tenant_id == tenant_id,
            Delivery.id.in_(select(Hint.delivery_id).where(Hint.tenant_id == tenant_id, Hint.id.in_(hint_ids))),
        )
        .order_by(Delivery.id.desc())
    ).scalars()
    return [(inbox.open_body(row), row.headers) for row in rows if row.body is not None]
