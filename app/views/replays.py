"""What a person chooses to have sent again, and a message as people read it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import orjson

from app.access import Viewer
from app.event_types import TYPES
from app.services.dispatches import Selection


def selection_of(values: Mapping[str, str], who: Viewer) -> tuple[Selection, str]:
    """Return the selection of a form and what is wrong with it; times are in the viewer's zone."""
    moments, wrong = {}, ""
    for name in ("since", "until"):
        text = values.get(name, "").strip()
        try:
            moments[name] = _moment(text, who) if text else None
        except ValueError:
            moments[name], wrong = None, "Give times as date and time, for example 2026-03-01 14:30."
    since, until = moments["since"], moments["until"]
    if since and until and since >= until:
        wrong = "The end must be after the start."
    state, kind = values.get("state", "failed"), values.get("type", "")
    chosen = state if state in ("failed", "delivered", "all") else "failed"
    return Selection(chosen, since, until, kind if kind in TYPES else ""), wrong


def _moment(text: str, who: Viewer) -> datetime:
    zone = who.user.zone or (who.tenant.zone if who.tenant else None) or "UTC"
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def pretty(body: bytes) -> str:
    """Return a message with a line for each key."""
    return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
