"""Searching the catalog: typos, filters with their counts, pages, and what manifests say of themselves."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from flask import Flask
from sqlalchemy import event

from app.db import db
from app.services import catalog, listings
from app.services.catalog import Filters
from app.services.listing_facts import capabilities, stream_facts
from connectors.sdk import load_manifest
from tests.factories.tenants import seed_catalog

Owner = psycopg.Connection


@pytest.fixture
def shelf(apps: dict[str, Flask], clean: None) -> Iterator[Flask]:
    """The catalog with the first-party listings."""
    seed_catalog(apps)
    with apps["web"].app_context():
        yield apps["web"]


def found(**asked: object) -> list[str]:
    return [item.slug for item in catalog.search(Filters(**asked)).listings]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("hubspot", "hubspot"), ("hubsopt", "hubspot"), ("hbspot", "hubspot"), ("strpe", "stripe"), ("stirpe", "stripe"),
        ("githb", "github"), ("kitno", "kinto"), ("GitHub", "github"), ("invoices", "stripe"), ("invocies", "stripe"), ("sandbx crm", "sandbox"),
    ],
)  # fmt: skip
def test_words_are_found_in_spite_of_typos(shelf: Flask, text: str, first: str) -> None:
    assert found(text=text)[:1] == [first]


@pytest.mark.parametrize("text", ["zendesk", "%", "_", "x' OR 1=1", "\\"])
def test_what_is_not_there_is_not_found(shelf: Flask, text: str) -> None:
    assert found(text=text) == []


def test_filters_narrow_and_each_choice_says_what_it_would_show(shelf: Flask) -> None:
    everything = catalog.search(Filters())
    assert everything.facets.category[""] == everything.total == 6
    webhooks = catalog.search(Filters(capabilities=frozenset({"webhooks"})))
    assert webhooks.total == everything.facets.capability["webhooks"]
    both = catalog.search(Filters(capabilities=frozenset({"webhooks", "both_ways"})))
    assert both.total == webhooks.facets.capability["both_ways"] <= webhooks.total
    crm = catalog.search(Filters(category="CRM"))
    assert crm.total == everything.facets.category["CRM"]
    # The other categories count as if none were chosen.
    assert crm.facets.category == everything.facets.category
    oauth = catalog.search(Filters(signs_in=frozenset({"sign-in (OAuth)"})))
    assert oauth.total == everything.facets.signs_in["sign-in (OAuth)"]
    assert all("sign-in (OAuth)" in item.signs_in for item in oauth.listings)


def test_a_thousand_listings_come_a_page_at_a_time_in_three_statements(shelf: Flask, owner: Owner) -> None:
    owner.execute(
        "INSERT INTO listings (id, slug, name, summary, categories, current_version, words) SELECT gen_random_uuid(), "
        "'many-' || n, 'Many ' || n, 'One of many.', '{Testing}', %s, 'many ' || n FROM generate_series(1, 1000) AS n",
        (uuid.uuid4(),),
    )
    statements: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *sent: statements.append(sent[2]))
    first, second = (
        catalog.search(Filters(category="Testing", sort="name"), start=start) for start in (0, catalog.PAGE)
    )
    assert len(statements) <= 6 + 2  # A transaction binds its tenant.
    assert (first.total, len(first.listings)) == (1001, catalog.PAGE)
    assert {item.id for item in first.listings}.isdisjoint(item.id for item in second.listings)
    assert catalog.search(Filters(), start=9999).listings == []


def test_what_came_later_is_new_for_a_month_and_what_is_featured_comes_first(
    shelf: Flask, apps: dict[str, Flask], owner: Owner
) -> None:
    def new() -> set[str]:
        shown = catalog.search(catalog.Filters())
        return {item.slug for item in shown.listings if item.id in shown.new}

    owner.execute("UPDATE listings SET created_at = now() - interval '2 hours' WHERE slug = 'kinto'")
    assert new() == set()
    owner.execute("UPDATE listings SET created_at = now() - interval '90 days' WHERE slug <> 'stripe'")
    assert new() == {"stripe"}
    owner.execute("UPDATE listings SET created_at = now() - interval '31 days' WHERE slug = 'stripe'")
    assert new() == set()

    def feature(*words: str) -> str:
        with apps["owner"].app_context():
            return str(apps["owner"].test_cli_runner().invoke(args=["listings", "feature", *words]).output)

    assert feature("stripe") == "stripe is featured.\n"
    assert found()[0] == "stripe"
    assert feature("stripe", "--off") == "stripe is no longer featured.\n"
    assert found()[0] != "stripe"
    assert "There is no integration" in feature("nothing")


def test_directions_and_abilities_are_those_of_the_manifest(shelf: Flask) -> None:
    stripe = next(item for item in catalog.search(Filters(text="stripe")).listings if item.slug == "stripe")
    ways = {stream["label"]: (stream["way"], stream["updates"], stream["deletes"]) for stream in stripe.streams}
    assert ways["Customers"][:2] == ("both", True)
    assert ways["Invoices"] == ("in", False, False)
    assert "api.stripe.com" in stripe.hosts


def test_what_a_manifest_can_not_do_is_not_claimed() -> None:
    from tests.bench.site import manifest

    one_way = load_manifest(manifest())
    facts = stream_facts(one_way)
    assert (facts[0].way, facts[0].webhook, capabilities(one_way, facts)) == ("in", False, [])
    two_way = load_manifest(manifest(both=True))
    facts = stream_facts(two_way)
    assert (facts[0].way, facts[0].creates, facts[0].updates) == ("both", False, True)
    assert capabilities(two_way, facts) == ["both_ways", "changes_only"]


def test_a_vendor_that_does_not_answer_is_named(shelf: Flask, owner: Owner) -> None:
    owner.execute(
        "INSERT INTO breakers (id, kind, key, state) VALUES (gen_random_uuid(), 'host', 'api.stripe.com:443', 'open')"
    )
    assert catalog.hosts_down() == {"api.stripe.com"}
    client = shelf.test_client()
    assert "Vendor outage" in client.get("/?q=stripe").text
    assert "does not answer at the moment" in client.get("/integrations/stripe").text
    assert "answers normally" in client.get("/integrations/github").text


def test_a_customer_reads_what_a_customer_does() -> None:
    for slug in ("hubspot", "kinto", "stripe", "github", "sandbox", "datasette"):
        part, whole = listings.guide_of(slug, whole=False), listings.guide_of(slug)
        assert part
        assert part in whole.replace("For the customer:\n\n", "")
        assert not any(word in part for word in ("operator", "Verified", "PATCHBAY_", "make run"))
    assert listings.guide_of("nothing", whole=False) == ""
