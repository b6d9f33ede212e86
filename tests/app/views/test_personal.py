"""What somebody has set for themselves holds on every page: their theme, and their time zone."""

import re
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.filters import ago, device
from tests.app.views.test_query_counts import Site, pages

Owner = psycopg.Connection[Any]
_TIME = re.compile(r'<time[^>]* title="([^"]*)"')


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: Owner) -> Site:
    made = Site(apps, owner)
    made.grow(1)
    return made


def test_every_page_has_the_viewers_theme_and_zone(site: Site, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    owner.execute("UPDATE users SET theme = 'dark', zone = 'Asia/Tokyo' WHERE id = %s", (site.user_id,))
    browser, times = site.browser(), 0

    def look(_site: Site, path: str) -> int:
        text = browser.get(path).text
        if "<html" in text:
            assert 'data-theme="dark" data-bs-theme="dark"' in text, path
        found = _TIME.findall(text)
        assert [title for title in found if not title.endswith(" JST")] == [], path
        nonlocal times
        times += len(found)
        return 0

    monkeypatch.setattr("tests.app.views.test_query_counts.counted", look)
    pages(site)
    assert times > 50


def test_a_day_long_ago_is_that_of_the_zone() -> None:
    moment = datetime(2025, 3, 4, 23, 30, tzinfo=UTC)
    assert (ago(moment), ago(moment, zone="Asia/Tokyo")) == ("4 Mar 2025", "5 Mar 2025")


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126 Safari/537.36 Edg/126", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("curl/8.0", "curl/8.0"),
        ("", "Unknown device"),
    ],
)
def test_a_device_is_called_as_people_call_it(agent: str, name: str) -> None:
    assert device(agent) == name
