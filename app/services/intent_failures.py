"""Writes that the other side refuses or that cannot be made: kept among the failed records, retried alone."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.arrays import texts, uuids
from app.ids import raw_ids
from app.services import fleet
from app.services.handled_changes import HANDLED, NOTHING, Carried, packed
from app.services.page_context import PageContext
from app.services.page_writes import Raw
from app.sync.retry import RECORD_DELAYS

SENTENCES = {
    "ping_pong": "Each time this record is written, something changes it back. It has been written as often as is allowed "
    "in an hour and rests now.",
    "in_doubt": "No answer came when this record was sent to be created. It may have been created, or not.",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A write that was not made, and why in words for the customer. `parks`: a person must look before it is tried."""

    intent_id: uuid.UUID
    record_id: uuid.UUID
    external_id: str | None
    code: str
    message: str = ""
    field: str | None = None
    parks: bool = False

    @property
    def place(self) -> str:
        """The external id it is listed by; a record that is not there yet is listed by our own id."""
        return self.external_id or f"record:{self.record_id}"

    @property
    def sentence(self) -> str:
        """What the customer reads."""
        return (self.message or SENTENCES.get(self.code, "It was refused, and no reason was given."))[:500]


def refuse(
    sql: Raw, context: PageContext, refusals: Sequence[Refusal], carried: Mapping[uuid.UUID, Carried] = NOTHING
) -> None:
    """Settle writes as rejected or parked, and list their records among the failed ones with growing pauses.

    A record that has changed while it was refused may be good by now: intent_outcomes.again_after has it written again.
    `carried`: what those that were not sent would have carried.
    """
    if not refusals:
        return
    states = texts(["parked" if item.parks else "rejected" for item in refusals])
    sql.execute(
        "UPDATE intents n SET state = t.s, error_code = t.c, error_message = t.m, mapping_version = %b::int, "  # noqa: S608  # constants only
        f"settled_at = clock_timestamp(), again = n.again AND t.s = 'rejected', {HANDLED} "
        "FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[]) "
        "AS t(i, s, c, m, handled, repeated) WHERE n.tenant_id = %b AND n.id = t.i",
        (
            context.mapping_version, uuids([item.intent_id for item in refusals]), states,
            texts([item.code for item in refusals]), texts([item.sentence for item in refusals]),
            *packed([item.intent_id for item in refusals], carried), context.tenant_id,
        ),
    )  # fmt: skip
    _list_failed(sql, context, list({item.place: item for item in refusals}.values()))
    fleet.touch(context.tenant_id, context.installation_id)


def _list_failed(sql: Raw, context: PageContext, refusals: Sequence[Refusal]) -> None:
    tries = "CASE WHEN f.state = 'resolved' THEN 1 ELSE f.tries + 1 END"
    sql.execute(
        "INSERT INTO failed_records AS f (tenant_id, id, installation_id, stream, external_id, direction, record_id, "  # noqa: S608  # constants only
        "state, code, field, message, title, retry_at) "
        "SELECT %b, i, %b, %b, e, 'out', t.r, s, c, nullif(d, ''), m, coalesce(left(coalesce(x.data->>'full_name', "
        "x.data->>'name', x.data->>'email'), 120), ''), CASE WHEN s = 'waiting' THEN now() + make_interval(secs => %b) END "
        "FROM unnest(%b::uuid[], %b::text[], %b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[]) "
        "AS t(i, e, r, s, c, d, m) LEFT JOIN records x ON x.tenant_id = %b AND x.id = t.r "
        "ON CONFLICT (tenant_id, installation_id, stream, external_id, direction) DO UPDATE SET code = excluded.code, "
        "field = excluded.field, message = excluded.message, title = excluded.title, record_id = excluded.record_id, "
        f"last_failed_at = now(), resolved_at = NULL, tries = {tries}, state = CASE WHEN f.state = 'ignored' "
        f"THEN 'ignored' WHEN excluded.state = 'parked' OR {tries} > %b::int THEN 'parked' ELSE 'waiting' END, "
        f"retry_at = CASE WHEN excluded.state = 'parked' OR f.state = 'ignored' OR {tries} > %b::int THEN NULL "
        f"ELSE now() + make_interval(secs => (%b::float[])[{tries}]) END",
        (
            context.tenant_id, context.installation_id, context.stream, RECORD_DELAYS[0], uuids(raw_ids(len(refusals))),
            texts([item.place for item in refusals]), uuids([item.record_id for item in refusals]),
            texts(["parked" if item.parks else "waiting" for item in refusals]),
            texts([item.code for item in refusals]), texts([item.field or "" for item in refusals]),
            texts([item.sentence for item in refusals]), context.tenant_id, len(RECORD_DELAYS), len(RECORD_DELAYS),
            list(RECORD_DELAYS),
        ),
    )  # fmt: skip


def resolve(sql: Raw, context: PageContext, record_ids: Sequence[uuid.UUID]) -> None:
    """The records have been written: what was listed as failed on their way out is resolved."""
    sql.execute(
        "UPDATE failed_records SET state = 'resolved', resolved_at = now(), retry_at = NULL WHERE tenant_id = %b "
        "AND installation_id = %b AND stream = %b AND direction = 'out' AND record_id = ANY(%b) "
        "AND state <> 'resolved'",
        (context.tenant_id, context.installation_id, context.stream, uuids(record_ids)),
    )
