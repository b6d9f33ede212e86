"""The page of a listing: what staff see of it that customers do not."""

import pytest
from flask import Flask

from app.services import accounts
from app.tenancy import PLATFORM_TENANT
from connectors.registry import SLUGS
from tests.factories.people import People
from tests.factories.tenants import seed_catalog


@pytest.mark.parametrize(("staff", "seen"), [("reviewer", True), ("support", True), (None, False)])
def test_readiness_is_for_staff_only(
    apps: dict[str, Flask], clean: None, monkeypatch: pytest.MonkeyPatch, staff: str | None, seen: bool
) -> None:
    monkeypatch.setitem(apps["web"].config, "WTF_CSRF_ENABLED", False)
    seed_catalog(apps)
    people = People(apps)
    _, user_id = people.sign_up("ada@aldgate-joinery.com")
    if staff:
        people.act(PLATFORM_TENANT, user_id, lambda: accounts.add_staff_role(user_id, staff))
    client = apps["web"].test_client()
    sent = {"email": "ada@aldgate-joinery.com", "password": "a long password"}
    assert client.post("/sign-in", data=sent).status_code == 303
    page = client.get("/integrations/sandbox").text
    assert "Sandbox CRM" in page
    assert ("Readiness" in page) is seen
    assert ("Writes that can be repeated" in page) is seen
    assert "Readiness" not in apps["web"].test_client().get("/integrations/sandbox").text


def test_every_listing_has_its_page(apps: dict[str, Flask], clean: None) -> None:
    seed_catalog(apps)
    client = apps["web"].test_client()
    assert [client.get(f"/integrations/{slug}").status_code for slug in SLUGS] == [200] * len(SLUGS)
