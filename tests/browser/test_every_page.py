"""Every page of every role in a real Chromium: axe clean in both themes, no console error, fits a phone; pictures on demand."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Error, Page

from tests.browser.test_main_job import page
from tests.tour.addresses import list_addresses
from tests.tour.company import PEOPLE, STAFF, Company

__all__ = ["page"]
pytestmark = pytest.mark.browser
_SHOTS = os.environ.get("PATCHBAY_SHOTS")
# A part of the addresses, to look at some pages again.
_ONLY = os.environ.get("PATCHBAY_PAGES", "")
# Only colours differ in the dark.
_RULES = {"light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], "dark": ["color-contrast"]}
# Who looks -> the pages that only they, or they among others, may open. Pages of members are walked as owner.
_WALKS = {
    "nobody": (None, {"public"}),
    "owner": (PEOPLE["owner"], {"signed_in", "member", "admin", "owner"}),
    "member": (PEOPLE["member"], {"member"}),
    "operator": (STAFF["operator"], {"staff:operator"}),
    "support": (STAFF["support"], {"staff:support"}),
}
# How much what is there already has moved since the page was opened (Cumulative Layout Shift; 0.1 is "good").
_SHIFT = """() => new Promise(done => {
  let sum = 0;
  new PerformanceObserver(list => list.getEntries().forEach(it => { sum += it.hadRecentInput ? 0 : it.value }))
    .observe({type: 'layout-shift', buffered: true});
  setTimeout(() => done(sum), 50);
})"""
# What reaches beyond a phone's right edge, and nothing around it cuts it off.
_WIDEST = """() => [...document.querySelectorAll('body *')].filter(el => el.getBoundingClientRect().right > 391
  && ![...document.querySelectorAll('.pb-scroll')].some(it => it.contains(el))).map(el => el.outerHTML.slice(0, 160)).slice(0, 6)"""
# What only a sideways push shows on a phone: tables are cards there (static/css/patchbay.css, cards-m).
_ASIDE = """() => [...document.querySelectorAll('.pb-scroll')].filter(el => el.scrollWidth > el.clientWidth + 1)
  .map(el => el.getAttribute('aria-label'))"""

# What a template or script shows of itself by mistake.
_INSIDES = re.compile(r"\{\{|\{%|\[object |\bundefined\b|<[\w.]+ object at")


@pytest.fixture
def company(
    environment: dict[str, str], clean: None, apps: dict[str, Flask], owner: psycopg.Connection[Any], tmp_path: Path
) -> Iterator[Company]:
    made = Company(apps, owner, environment, tmp_path)
    yield made
    made.stop()


def _rest(page: Page) -> None:
    """Wait for colours that still change."""
    for _ in range(40):
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        if page.evaluate("document.getAnimations().every(it => it.effect.getTiming().iterations === Infinity)"):
            return
        page.wait_for_timeout(50)


def _look(page: Page, who: str, path: str) -> list[str]:
    """Return what is wrong with the page that is open."""
    wrong: list[str] = []
    shift = page.evaluate(_SHIFT)
    if shift > 0.05:
        wrong.append(f"what is there moves: {shift:.3f}")
    if inside := _INSIDES.search(page.inner_text("body")):
        wrong.append(f"shows its insides: {inside.group()}")
    for scheme, rules in _RULES.items():
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        _rest(page)
        found = Axe().run(page, options={"runOnly": rules})
        if found.violations_count:
            wrong.append(f"{scheme}: {found.generate_report()}")
        _shoot(page, who, path, scheme)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 844})
    _rest(page)
    if page.evaluate("document.documentElement.scrollWidth") > 390:
        wrong.append(f"too wide for a phone: {page.evaluate(_WIDEST)}")
    if aside := page.evaluate(_ASIDE):
        wrong.append(f"has to be pushed aside on a phone: {aside}")
    _shoot(page, who, path, "narrow")
    page.set_viewport_size({"width": 1440, "height": 900})
    return wrong


def _visit(page: Page, who: str, path: str, url: str) -> list[str]:
    """Open a page and return what is wrong with it; one that loads itself anew meanwhile, as a run has ended, again."""
    for attempt in range(3):
        try:
            page.goto(url + path)
            return _look(page, who, path)
        except Error:
            if attempt == 2:
                raise
            page.wait_for_timeout(1000)
    return []


def _shoot(page: Page, who: str, path: str, form: str) -> None:
    if _SHOTS:
        name = (
            re.sub(r"[^a-z0-9]+", "-", re.sub(r"[0-9a-f]{8}-[0-9a-f-]{22}(..)(..)", r"\2", path)).strip("-")
            or "catalog"
        )
        page.screenshot(path=f"{_SHOTS}/{who}-{name}-{form}.png", full_page=True, caret="initial")


def test_every_page_of_each_role(company: Company, page: Page) -> None:
    company.make_everything(page)
    wrong: dict[str, list[str]] = {}
    refused: list[str] = []
    page.on(
        "response",
        lambda it: refused.append(f"{it.status} {it.url}") if it.status >= 400 and "no-such" not in it.url else None,
    )
    opened = 0
    # A member sees the owner's pages with less on them: one of each kind is enough.
    seen: set[str] = set()
    for who, (email, access) in _WALKS.items():
        page.context.clear_cookies()
        if email:
            company.sign_in(page, email)
        for endpoint, path in list_addresses(company.apps["web"], company.owner, company.tenant_id, access):
            if (who == "member" and endpoint in seen) or not re.search(_ONLY, path):
                continue
            seen.add(endpoint) if who == "member" else None
            found = _visit(page, who, path, company.url)
            found += refused
            refused.clear()
            if found:
                wrong[f"{who} {endpoint} {path}"] = found
            opened += 1
    print(f"\nPAGES {opened} WRONG {len(wrong)}")
    assert not wrong, "\n".join(f"{name}\n  " + "\n  ".join(what) for name, what in wrong.items())
    assert opened > 60 or _ONLY
