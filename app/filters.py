"""How values are written on pages: times, numbers, durations, status words."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

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
RUN_STATE: dict[str, tuple[str, str, str]] = {
    "queued": ("Waiting", "clock", "st-paused"),
    "running": ("Running", "refresh", "st-run"),
    "done": ("Done", "circle-check", "st-ok"),
    "failed": ("Failed", "circle-x", "st-bad"),
    "stopped": ("Stopped", "player-pause", "st-paused"),
    "asking": ("Asks you", "alert-triangle", "st-warn"),
}
TRIGGERS = {
    "first": "first run", "schedule": "on schedule", "manual": "started by hand", "resync": "full resync",
    "retry": "retry",
}  # fmt: skip
# What types of fields are called on pages.
TYPES = {
    "long_text": "long text", "email": "e-mail", "url": "web address", "integer": "whole number", "flag": "yes or no",
    "datetime": "date-time", "multi_choice": "several choices", "json": "structure", "unknown": "not known",
}  # fmt: skip
_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")


def ago(moment: datetime | None, at: datetime | None = None) -> str:
    """Return a time as people say it: "18 min ago", "in 11 min"."""
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
    return moment.strftime("%d %b %Y").lstrip("0")


def exact(moment: datetime | None, zone: str | None = None) -> str:
    """Return a time in full, in the viewer's zone."""
    if moment is None:
        return ""
    local = moment.astimezone(ZoneInfo(zone) if zone else UTC)
    return local.strftime("%Y-%m-%d %H:%M:%S %Z")


def number(value: float | None) -> str:
    """Return a number with thousands separators."""
    return "" if value is None else f"{value:,}"


def duration(seconds: float | None) -> str:
    """Return a length of time as a clock shows it: "4:02", "1:02:03"."""
    if seconds is None:
        return ""
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


def markdown(text: str) -> Markup:
    """Return Markdown as HTML; raw HTML in it is escaped, and only web addresses become links."""
    return Markup(_markdown.render(text))  # noqa: S704  # html is off in the renderer


def register(flask_app: Flask) -> None:
    """Add the filters and tables to templates."""
    for function in (ago, exact, number, duration, about, initials, monogram, shown, lcfirst, type_name, markdown):
        flask_app.jinja_env.filters[function.__name__] = function
    flask_app.jinja_env.globals.update(STATUS=STATUS, RUN_STATE=RUN_STATE, TRIGGERS=TRIGGERS)
    flask_app.jinja_env.trim_blocks = flask_app.jinja_env.lstrip_blocks = True
