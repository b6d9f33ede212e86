"""Links that are over say why, and offer what helps: a new link or signing in."""

import pytest
from flask import Flask

from tests.factories.people import People


@pytest.mark.parametrize(
    ("path", "status", "title", "ways"),
    [
        ("/reset/no-such-token", 422, "This link no longer works", ['href="/forgot">Send a new link', "/sign-in"]),
        ("/verify/no-such-token", 422, "This link no longer works", ["/sign-in?next=/profile"]),
        ("/invitations/no-such-token", 422, "This invitation no longer works", ['href="/sign-in">Sign in']),
        ("/connect/no-such-token", 404, "This link no longer works", ['href="/sign-in">Sign in']),
    ],
)
def test_a_link_that_is_over_says_what_to_do(
    apps: dict[str, Flask], clean: None, path: str, status: int, title: str, ways: list[str]
) -> None:
    found = apps["web"].test_client().get(path)
    assert found.status_code == status
    assert title in found.text
    assert all(way in found.text for way in ways)
    assert found.text.count("btn-primary") == 1


def test_who_is_signed_in_is_sent_to_the_profile_for_a_new_link(
    apps: dict[str, Flask], clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(apps["web"].config, "WTF_CSRF_ENABLED", False)
    People(apps).sign_up("ada@example.com")
    client = apps["web"].test_client()
    client.post("/sign-in", data={"email": "ada@example.com", "password": "a long password"})
    assert 'href="/profile">Open your profile' in client.get("/verify/no-such-token").text


@pytest.mark.parametrize(
    ("asked", "lands"),
    [("", "/home"), ("/integrations/kinto", "/integrations/kinto"), ("https://elsewhere.example", "/home")],
)
def test_signing_up_leads_home_or_where_it_was_begun(
    apps: dict[str, Flask], clean: None, monkeypatch: pytest.MonkeyPatch, asked: str, lands: str
) -> None:
    monkeypatch.setitem(apps["web"].config, "WTF_CSRF_ENABLED", False)
    sent = {"company": "Aldgate", "name": "Ada", "email": "ada@aldgate-joinery.com", "password": "a long password"}
    found = apps["web"].test_client().post("/sign-up", data=sent | {"next": asked})
    assert (found.status_code, found.location) == (303, lands)
