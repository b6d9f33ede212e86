"""Which of two versions is the newer one."""

import pytest

from app.sync.versions import is_newer


@pytest.mark.parametrize(
    ("version", "known", "newer"),
    [
        ("2026-11-01T12:30:00Z", "2026-11-01T12:20:00Z", True),
        ("2026-11-01T12:20:00Z", "2026-11-01T12:30:00Z", False),
        ("2026-11-01T12:30:00Z", "2026-11-01T12:30:00Z", False),
        ("2026-11-01T14:30:00+02:00", "2026-11-01T12:30:00Z", False),
        ("2026-11-01T14:31:00+02:00", "2026-11-01T12:30:00Z", True),
        ("10", "9", True),
        ("9", "10", False),
        ('W/"10"', '"9"', True),
        ("b", "a", True),
        ("a", "a", False),
        # Of two kinds nothing says which is newer: another one is taken, the same one is not.
        ("2026-11-01T12:30:00Z", "7", True),
        (None, "7", True),
        ("7", None, True),
    ],
)
def test_which_version_is_newer(version: str | None, known: str | None, newer: bool) -> None:
    assert is_newer(version, known) is newer
