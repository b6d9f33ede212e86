"""The page of an installation in a real Chromium, against a real Kinto: the chart of its runs and the table beside it."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.sites import Site, site
from tests.browser.test_main_job import check_axe, page

__all__ = ["page", "site"]
pytestmark = pytest.mark.browser

_SHIFTS = """new PerformanceObserver(list => { for (const entry of list.getEntries()) {
  if (!entry.hadRecentInput) { window.shifted = (window.shifted || 0) + entry.value; } } })
  .observe({type: "layout-shift", buffered: true});"""
# The share of the chart's pixels that have the colour of a token.
_SHARE = """name => { const canvas = document.querySelector("#runs-chart canvas"), probe = document.createElement("i");
  probe.style.color = `var(--pb-${name})`; document.body.append(probe);
  const wanted = getComputedStyle(probe).color.match(/\\d+/g).slice(0, 3).map(Number); probe.remove();
  const found = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data; let count = 0;
  for (let at = 0; at < found.length; at += 4) {
    if (found[at + 3] === 255 && wanted.every((value, part) => found[at + part] === value)) { count += 1; } }
  return count / (found.length / 4); }"""


def seed_runs(site: Site, count: int) -> None:
    """Add runs that wrote 10, 20 .. records before the one there is; each third had 5 refused, the fifth failed."""
    site.owner.execute(
        "WITH made AS (INSERT INTO runs (tenant_id, id, installation_id, listing_version_id, trigger, state, started_at, "
        "finished_at, created_at) SELECT tenant_id, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, "
        "installation_id, listing_version_id, 'schedule', CASE WHEN n = 5 THEN 'failed' ELSE 'done' END, now(), "
        "now() + interval '400 ms', now() - (%(count)s - n) * interval '15 min' FROM runs, generate_series(1, %(count)s) n "
        "RETURNING *) INSERT INTO run_streams (tenant_id, id, run_id, stream, position, mode, pass_id, mapping_version, "
        "state, updated, failed) SELECT tenant_id, gen_random_uuid(), id, 'contacts', 0, 'incremental', "
        "gen_random_uuid(), 1, 'done', CASE WHEN state = 'failed' THEN 0 ELSE right(id::text, 3)::int * 10 END, "
        "CASE WHEN right(id::text, 3)::int %% 3 = 0 THEN 5 ELSE 0 END FROM made",
        {"count": count},
    )


def test_the_chart_is_drawn_from_the_table_beside_it(site: Site, page: Page) -> None:
    seed_runs(site, 11)
    site.sign_in(page)
    page.add_init_script(_SHIFTS)
    page.goto(f"{site.url}/installations/{site.installation_id}")
    chart = page.locator("#runs-chart")
    expect(chart.locator("canvas")).to_be_visible()
    expect(chart).to_have_attribute("role", "img")
    assert page.evaluate("window.shifted || 0") < 0.01
    accent, red, amber = (page.evaluate(_SHARE, name) for name in ("accent", "red", "amber"))
    assert accent > red > 0
    assert amber > 0

    page.get_by_text("Show as a table").press("Enter")
    rows = page.locator("#runs-numbers tbody tr")
    expect(rows).to_have_count(12)
    assert rows.nth(1).locator("td").all_inner_texts()[1:] == ["Done", "110", "0", "0.4 s"]
    assert rows.nth(7).locator("td").all_inner_texts()[1:] == ["Failed", "0", "0", "0.4 s"]
    box: Any = chart.bounding_box()
    page.mouse.move(box["x"] + 48 + 8 + (box["width"] - 64) * 1.5 / 12, box["y"] + 80)
    expect(page.locator(".ch-read")).to_contain_text("20 written, 0 refused")
    page.mouse.click(box["x"] + 48 + 8 + (box["width"] - 64) * 1.5 / 12, box["y"] + 80)
    page.wait_for_url(f"{site.url}/runs/00000000-0000-7000-8000-000000000002")


def test_the_chart_takes_the_colours_of_the_theme_and_the_width_of_the_page(site: Site, page: Page) -> None:
    seed_runs(site, 40)
    site.sign_in(page)
    page.goto(f"{site.url}/installations/{site.installation_id}")
    assert page.evaluate(_SHARE, "accent") > 0.05
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(400)
    assert page.evaluate(_SHARE, "accent") > 0.05
    check_axe(page)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.querySelector('#runs-chart canvas').getBoundingClientRect().width") <= 358


def test_without_script_a_picture_and_the_table_are_there(site: Site, page: Page) -> None:
    seed_runs(site, 11)
    site.sign_in(page)
    assert page.context.browser is not None
    plain = page.context.browser.new_context(java_script_enabled=False, storage_state=page.context.storage_state())
    still = plain.new_page()
    still.goto(f"{site.url}/installations/{site.installation_id}")
    expect(still.locator("#runs-chart svg rect.ch-a")).to_have_count(12)
    expect(still.locator("#runs-chart svg rect.ch-b")).to_have_count(3)
    still.get_by_text("Show as a table").click()
    expect(still.locator("#runs-numbers tbody tr")).to_have_count(12)
    plain.close()


def test_settings_export_activity_and_removal(site: Site, page: Page, tmp_path: Path) -> None:
    """What somebody does who changes their mind: settings that give something up, a copy of everything, the end."""
    site.sign_in(page)
    here = f"{site.url}/installations/{site.installation_id}"
    page.goto(f"{here}/settings")
    check_axe(page)
    page.get_by_label("Name of this installation").fill("Contacts of Hull")
    page.locator("#s-contacts input[value=in]").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", name="Nothing is saved yet.")).to_be_visible()
    expect(page.get_by_text("Edits in Fieldstone no longer reach Kinto.")).to_be_visible()
    check_axe(page)
    page.get_by_role("button", name="Save and read again").click()
    expect(page.get_by_text("The settings are saved.")).to_be_visible()
    expect(page.get_by_role("heading", name="Contacts of Hull")).to_be_visible()

    page.get_by_role("link", name="Export everything").click()
    check_axe(page)
    page.get_by_role("button", name="Make an export").click()
    with page.expect_download() as fetched:
        page.get_by_role("link", name="Fetch the file").click(timeout=40_000)
    assert fetched.value.suggested_filename.startswith("contacts-of-hull-")
    fetched.value.save_as(tmp_path / "export.zip")
    with zipfile.ZipFile(tmp_path / "export.zip") as found:
        assert found.testzip() is None
        assert found.read("records/contacts.csv").count(b"\r\n") == 21
    check_axe(page)

    page.get_by_role("link", name="Activity").click()
    expect(page.get_by_text("Fetched an export as CSV")).to_be_visible()
    expect(page.get_by_text("Contacts: both ways → in only")).to_be_visible()
    check_axe(page)

    page.goto(f"{here}/remove")
    expect(page.get_by_label("To delete records, type")).to_be_hidden()
    # Without a mouse: the choice by its arrow key, the name, and Enter.
    page.get_by_label("Keep them all").focus()
    page.keyboard.press("ArrowDown")
    page.get_by_label("To delete records, type").fill("Contacts")
    page.keyboard.press("Enter")
    expect(page.get_by_text("as it is written")).to_be_visible()
    check_axe(page)
    page.get_by_label("To delete records, type").fill("Contacts of Hull")
    page.keyboard.press("Enter")
    expect(page.get_by_text("20 deleted that only it had brought")).to_be_visible()
    check_axe(page)
    for path in ("", "/activity", "/export"):
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(here + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
