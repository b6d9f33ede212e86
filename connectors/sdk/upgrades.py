"""From one version of a connector to the next: config fields that moved, streams that are read again."""

from collections.abc import Mapping
from typing import Any

from connectors.sdk.manifest import Manifest


def upgrade(old: Manifest, new: Manifest, settings: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return (settings, streams that start with a full pass which deletes nothing) for an installation of `old`.

    A stream is read again when an upgrade says so, or when its cursors of the old version do not fit (cursor_version).
    """
    moved, again = dict(settings), set()
    for step in sorted(new.upgrades, key=lambda step: _number(step.below)):
        if _number(old.version) >= _number(step.below):
            continue
        for before, after in step.rename.items():
            if before in moved:
                moved[after] = moved.pop(before)
        for name, value in step.set.items():
            moved.setdefault(name, value)
        for name in step.drop:
            moved.pop(name, None)
        again |= set(step.read_again)
    before_cursors = {stream.name: stream.cursor_version for stream in old.streams}
    again |= {s.name for s in new.streams if before_cursors.get(s.name, s.cursor_version) != s.cursor_version}
    return moved, again


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
