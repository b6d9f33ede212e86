"""How values are written on pages: times, numbers, durations, status words."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from flask import Flask
from markdown_it import MarkdownIt
from markupsafe import Markup

from app.clock import now

# word, icon, css class
STATUS: dict[str, tuple[str, str, str]] = {
    "healthy": ("Healthy", "circle-check", "st-healthy"),
    "late": ("Late", "clock", "st-late"),
    "incomplete": ("Incomplete", "circle-dashed", "st-incomplete"),
    "failing": ("Failing", "circle-x", "st-failing"),
    "action_needed": ("Action needed", "alert-triangle", "st-action"),
    "paused": ("Paused", "player-pause", "st-paused"),
    "setting_up": ("Setting up", "settings", "st-setup"),
}
# What each word means and what to do then, for whoever reads it for the first time.
STATUS_HELP: dict[str, str] = {
    "healthy": "It runs on schedule, and every record is in sync.",
    "late": "Its data is older than its schedule promises. The next run catches up; “Run now” starts one.",
    "incomplete": "It runs, but some records are not in sync. Correct those that were refused, and decide the conflicts.",
    "failing": "The last run ended with an error. It is tried again by itself, with growing pauses.",
    "action_needed": "It has stopped until somebody acts. Its page names the cause, with the button that helps.",
    "paused": "Somebody paused it, or it paused itself after ten failed runs. Nothing is forgotten: “Resume” goes on.",
    "setting_up": "Its setup is not finished. Open it to go on where it was left.",
}
RUN_STATE: dict[str, tuple[str, str, str]] = {
    "queued": ("Waiting", "clock", "st-paused"),
    "running": ("Running", "refresh", "st-run"),
    "done": ("Done", "circle-check", "st-ok"),
    "failed": ("Failed", "circle-x", "st-bad"),
    "stopped": ("Stopped", "player-pause", "st-paused"),
    "asking": ("Asks you", "alert-triangle", "st-warn"),
}
# What became of a record, by the outcome of its diagnosis.
RECORD_STATE: dict[str, tuple[str, str, str]] = {
    **dict.fromkeys(("in_sync",), ("In sync", "circle-check", "st-ok")),
    **dict.fromkeys(("mapping_failed", "refused_there"), ("Refused", "circle-x", "st-bad")),
    **dict.fromkeys(("parked",), ("Parked", "player-pause", "st-bad")),
    **dict.fromkeys(("conflict", "match_many"), ("Conflict", "git-merge", "st-warn")),
    **dict.fromkeys(("waiting", "not_read", "to_send", "in_doubt", "first_pass"), ("Waits", "clock", "st-warn")),
    **dict.fromkeys(("looking", "not_looked", "not_asked"), ("Not known yet", "clock", "st-paused")),
    **dict.fromkeys(("not_sent", "cannot_create", "direction"), ("Not sent", "circle-dashed", "st-paused")),
    **dict.fromkeys(("filtered", "ignored", "stream_off"), ("Left out", "circle-dashed", "st-paused")),
    **dict.fromkeys(("deleted_there",), ("Deleted", "trash", "st-paused")),
    **dict.fromkeys(("deleted_here",), ("Deleted", "trash", "st-paused")),
    **dict.fromkeys(("never_seen", "not_there"), ("Never seen", "eye", "st-paused")),
    **dict.fromkeys(("paused", "removed"), ("Paused", "player-pause", "st-paused")),
    **dict.fromkeys(("blocked", "forbidden", "asking", "setting_up"), ("Action needed", "alert-triangle", "st-bad")),
}
TRIGGERS = {
    "first": "first run", "schedule": "on schedule", "manual": "started by hand", "resync": "full resync",
    "retry": "retry", "webhook": "asked for by a webhook", "silence": "after a silence",
}  # fmt: skip
# A verdict of a delivery: words and look.
VERDICT = {
    "accepted": ("Accepted", "circle-check", "st-ok"), "duplicate": ("Duplicate", "circle-dashed", "st-paused"),
    "bad_signature": ("Bad signature", "circle-x", "st-bad"), "stale": ("Too old", "clock", "st-warn"),
    "unknown_account": ("Unknown account", "alert-triangle", "st-warn"),
}  # fmt: skip
# What became of what a delivery said, and what else there is to say of it.
HINT_STATE = {
    "waiting": "being looked at", "applied": "applied", "nothing": "nothing new", "later": "left to the next full pass",
    "failed": "failed",
}  # fmt: skip
DELIVERY_NOTE = {
    "no_secret": "There was no secret to verify it with.", "no_signature": "It had no signature.",
    "unreadable": "Its body could not be read.", "nothing_for_us": "It says nothing about the data that is synced.",
}  # fmt: skip
# What types of fields are called on pages.
TYPES = {
    "long_text": "long text", "email": "e-mail", "url": "web address", "integer": "whole number", "flag": "yes or no",
    "datetime": "date-time", "multi_choice": "several choices", "json": "structure", "unknown": "not known",
}  # fmt: skip
_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")


def ago(moment: datetime | None, at: datetime | None = None, zone: str | None = None) -> str:
    """Return a time as people say it: "18 min ago", "in 11 min"; what is long ago as its day in the viewer's zone."""
    if moment is None:
        return "never"
    seconds = ((at or now()) - moment).total_seconds()
    ahead, size = seconds < 0, abs(seconds)
    if size < 45:
        return "in a moment" if ahead else "just now"
    for limit, unit, step in ((3600, "min", 60), (86_400, "h", 3600), (86_400 * 45, "days", 86_400)):
        if size < limit:
            number = max(1, round(size / step))
            word = "day" if unit == "days" and number == 1 else unit
            return f"in {number} {word}" if ahead else f"{number} {word} ago"
    return moment.astimezone(ZoneInfo(zone) if zone else UTC).strftime("%d %b %Y").lstrip("0")


def exact(moment: datetime | None, zone: str | None = None) -> str:
    """Return a time in full, in the viewer's zone."""
    if moment is None:
        return ""
    local = moment.astimezone(ZoneInfo(zone) if zone else UTC)
    return local.strftime("%Y-%m-%d %H:%M:%S %Z")


def clock(moment: datetime | None, zone: str | None = None, at: datetime | None = None) -> str:
    """Return the time of day in the viewer's zone, with the day where it is not today: "14:02", "12 Nov, 14:02"."""
    if moment is None:
        return ""
    place = ZoneInfo(zone) if zone else UTC
    local, today = moment.astimezone(place), (at or now()).astimezone(place).date()
    return local.strftime("%H:%M") if local.date() == today else local.strftime("%d %b, %H:%M").lstrip("0")


def apart(one: datetime, other: datetime) -> str:
    """Return how far two moments are from each other: "14 min", "2 days"."""
    seconds = abs((one - other).total_seconds())
    if seconds < 1:
        return "less than a second"
    for limit, unit, step in ((90, "s", 1), (5400, "min", 60), (86_400 * 2, "h", 3600)):
        if seconds < limit:
            return f"{round(seconds / step)} {unit}"
    return f"{round(seconds / 86_400)} days"


def number(value: float | None) -> str:
    """Return a number with thousands separators."""
    return "" if value is None else f"{value:,}"


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)  # fmt: skip


def device(user_agent: str) -> str:
    """Return what a browser calls itself in words people know: "Firefox on Windows"."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    return f"{browser} on {system}" if browser and system else browser or system or user_agent[:60] or "Unknown device"


def brief(value: int) -> str:
    """Return a number as short as it can be told where room is small: "8,412", "41 k", "1.2 M"."""
    if value < 10_000:
        return f"{value:,}"
    return f"{value / 1000:.0f} k" if value < 999_500 else f"{value / 1_000_000:.1f} M"


def duration(seconds: float | None) -> str:
    """Return a length of time as a clock shows it: "4:02", "1:02:03"; what is over within a second as "0.4 s"."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{max(seconds, 0.1):.1f} s"
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def about(seconds: float | None) -> str:
    """Return a remaining time roughly: "about 50 s", "about 4 min"."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"about {max(5, round(seconds / 5) * 5)} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    return f"about {timedelta(seconds=seconds) / timedelta(hours=1):.0f} h"


def span(seconds: float) -> str:
    """Return a length of time in words: "15 minutes", "1 hour", "7 days"."""
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}{'' if seconds == size else 's'}"
    return f"{seconds:.0f} seconds"


def initials(name: str) -> str:
    """Return one or two letters that stand for a name."""
    words = name.split()
    return (words[0][:1] + (words[-1][:1] if len(words) > 1 else words[0][1:2])).upper() if words else "?"


def monogram(slug: str) -> int:
    """Return which of the seven colour pairs a connector has."""
    return sum(slug.encode()) % 7 + 1


def shown(value: Any) -> str:
    """Return a field's value as text."""
    if value is None or value == "":
        return "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(shown(item) for item in value)
    return str(value)


def lcfirst(text: str) -> str:
    """Return a sentence as it goes on after a colon."""
    return text[:1].lower() + text[1:]


def type_name(kind: str) -> str:
    """Return what a type of field is called."""
    return TYPES.get(kind, kind.replace("_", " "))


def typed(value: Any, field: Any, zone: str | None = None) -> str:
    """Return the value of one of the host's fields as its type is written: labels of choices, dates, thousands."""
    if value is None or value == "" or value == []:
        return "empty"
    if field.type in ("choice", "multi_choice"):
        labels = {choice["value"]: choice["label"] for choice in field.choices}
        return ", ".join(labels.get(item, str(item)) for item in (value if isinstance(value, list) else [value]))
    if field.type in ("number", "integer") and isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    if field.type == "date":
        return _day(str(value))
    if field.type == "datetime":
        return _moment(str(value), zone)
    if isinstance(value, dict | list):
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return shown(value)


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).strftime("%d %b %Y").lstrip("0")
    except ValueError:
        return text


def _moment(text: str, zone: str | None) -> str:
    try:
        return exact(datetime.fromisoformat(text), zone)
    except ValueError:
        return text


def over(value: int, limit: int) -> str:
    """Return a count that was stopped beyond a limit: "312", "over 10,000"."""
    return number(value) if value <= limit else f"over {number(limit)}"


def markdown(text: str) -> Markup:
    """Return Markdown as HTML; raw HTML in it is escaped, and only web addresses become links."""
    return Markup(_markdown.render(text))  # noqa: S704  # html is off in the renderer


def register(flask_app: Flask) -> None:
    """Add the filters and tables to templates."""
    for function in (
        ago, exact, clock, apart, number, brief, device, duration, about, span, initials, monogram, shown, typed, over, lcfirst,
        type_name,
        markdown,
    ):  # fmt: skip
        flask_app.jinja_env.filters[function.__name__] = function
    flask_app.jinja_env.globals.update(
        STATUS=STATUS, STATUS_HELP=STATUS_HELP, RUN_STATE=RUN_STATE, RECORD_STATE=RECORD_STATE, TRIGGERS=TRIGGERS
    )
    flask_app.jinja_env.globals.update(VERDICT=VERDICT, HINT_STATE=HINT_STATE, DELIVERY_NOTE=DELIVERY_NOTE)
    flask_app.jinja_env.trim_blocks = flask_app.jinja_env.lstrip_blocks = True
