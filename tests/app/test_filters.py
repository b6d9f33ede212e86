"""How values are written on pages."""

from datetime import UTC, datetime, timedelta

import pytest

from app.filters import (
    RUN_STATE,
    STATUS,
    about,
    ago,
    duration,
    exact,
    initials,
    markdown,
    monogram,
    number,
    shown,
    span,
)

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"), (44, "just now"), (46, "1 min ago"), (18 * 60, "18 min ago"), (3 * 3600, "3 h ago"),
        (86_400, "1 day ago"), (5 * 86_400, "5 days ago"), (60 * 86_400, "25 Sep 2026"),
        (-10, "in a moment"), (-11 * 60, "in 11 min"), (-2 * 86_400, "in 2 days"),
    ],
)  # fmt: skip
def test_a_time_is_said_as_people_say_it(seconds: int, text: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_a_time_that_never_was_is_never() -> None:
    assert ago(None) == "never"
    assert exact(None) == ""


def test_the_exact_time_is_in_the_zone_of_the_viewer() -> None:
    assert exact(NOW, "Europe/Stockholm") == "2026-11-24 11:00:00 CET"
    assert exact(NOW) == "2026-11-24 10:00:00 UTC"


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (0, "0"), (999, "999"), (61_250, "61,250"), (1_000_000, "1,000,000")]
)
def test_counts_have_thousands_separators(value: int | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.38, "0.4 s"), (0.0, "0.1 s"), (1, "0:01"), (3, "0:03"), (242, "4:02"), (3723, "1:02:03")],
)
def test_a_duration_reads_as_a_clock(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "unknown"), (1, "about 5 s"), (49.37, "about 50 s"), (240, "about 4 min"), (7300, "about 2 h")],
)
def test_a_remaining_time_is_rough(seconds: float | None, text: str) -> None:
    assert about(seconds) == text


def test_initials_come_from_first_and_last_word() -> None:
    assert [initials(name) for name in ("Aldgate Joinery", "Maja", "Ana Maria Silva", "")] == ["AJ", "MA", "AS", "?"]


def test_a_connector_keeps_one_of_seven_colour_pairs() -> None:
    assert {monogram(slug) for slug in ("kinto", "sandbox", "hubspot", "stripe", "x" * 90)} <= set(range(1, 8))
    assert monogram("kinto") == monogram("kinto")


def test_values_of_every_type_become_text() -> None:
    assert [shown(value) for value in (None, "", True, False, ["a", 2], 0)] == [
        "empty",
        "empty",
        "yes",
        "no",
        "a, 2",
        "0",
    ]


def test_markdown_never_passes_html_or_script_addresses() -> None:
    html = str(markdown("**b** <script>x</script> [go](javascript:alert(1)) [ok](https://a.example)"))
    assert "<strong>b</strong>" in html
    assert "<script" not in html
    assert 'href="javascript' not in html
    assert 'href="https://a.example"' in html


def test_each_status_word_has_an_icon_and_a_colour() -> None:
    assert [look[0] for look in STATUS.values()] == [
        "Healthy", "Late", "Incomplete", "Failing", "Action needed", "Paused", "Setting up"
    ]  # fmt: skip
    for word, icon, colour in [*STATUS.values(), *RUN_STATE.values()]:
        assert word
        assert icon
        assert colour.startswith("st-")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (900, "15 minutes"),
        (60, "1 minute"),
        (3600, "1 hour"),
        (5400, "90 minutes"),
        (86_400, "1 day"),
        (45, "45 seconds"),
    ],
)
def test_a_span_reads_as_words(seconds: float, text: str) -> None:
    assert span(seconds) == text
