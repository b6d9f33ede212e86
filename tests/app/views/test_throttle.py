"""U11: guessing is slowed down for whoever guesses, and nobody can lock another person out."""

from collections.abc import Callable

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient

from app.services import passwords
from tests.factories.people import People

EMAIL, PASSWORD = "ada@example.com", "a long password"
Try = Callable[..., int]


@pytest.fixture
def people(apps: dict[str, Flask], clean: None, monkeypatch: pytest.MonkeyPatch) -> People:
    monkeypatch.setitem(apps["web"].config, "WTF_CSRF_ENABLED", False)
    # Real hashes, made quickly: there are hundreds of tries here.
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", quick)
    monkeypatch.setattr(passwords, "_NOBODY", quick.hash("nobody"))
    made = People(apps)
    made.sign_up(EMAIL, password=PASSWORD)
    made.sign_up("bob@example.com", password=PASSWORD)
    return made


def attempt(
    browser: FlaskClient, address: str, email: str = EMAIL, password: str = "wrong", path: str = "/sign-in"
) -> int:
    form = {"email": email, "password": password}
    return browser.post(path, data=form, environ_base={"REMOTE_ADDR": address}).status_code


def test_a_stranger_is_stopped_and_the_person_gets_in(people: People, client: FlaskClient) -> None:
    """Red with a count per account alone: ten wrong tries of anybody would keep its owner out."""
    stranger = people.web.test_client()
    codes = [attempt(stranger, "10.0.0.1", (EMAIL, f" {EMAIL.upper()}")[n % 2]) for n in range(12)]
    assert codes == [422] * 10 + [429] * 2
    assert attempt(stranger, "10.0.0.1", password=PASSWORD) == 429
    assert attempt(client, "10.0.0.2", password=PASSWORD) == 303


def test_one_address_that_tries_many_accounts_is_stopped(people: People, client: FlaskClient) -> None:
    codes = [attempt(client, "10.9.9.9", f"{n}@example.com") for n in range(31)]
    assert codes == [422] * 30 + [429]
    assert attempt(client, "10.9.9.8", "1@example.com") == 422


def test_a_known_browser_is_counted_apart_from_its_address(people: People) -> None:
    """The person sits behind the same address as the stranger."""
    known, stranger = people.web.test_client(), people.web.test_client()
    assert attempt(known, "10.0.0.1", password=PASSWORD) == 303
    for n in range(31):
        attempt(stranger, "10.0.0.1", EMAIL if n < 11 else f"{n}@example.com")
    assert attempt(stranger, "10.0.0.1", "bob@example.com", PASSWORD) == 429
    assert attempt(known, "10.0.0.1", password=PASSWORD) == 303


def test_a_known_browser_has_its_own_limit(people: People) -> None:
    known = people.web.test_client()
    assert attempt(known, "10.0.0.1", password=PASSWORD) == 303
    codes = [attempt(known, f"10.0.1.{n}") for n in range(11)]
    assert codes == [422] * 10 + [429]


def test_a_browser_is_known_only_for_accounts_it_was_signed_in_to(people: People) -> None:
    """Else one account of one's own would be a way around the count of the address."""
    browser = people.web.test_client()
    assert attempt(browser, "10.0.0.1", "bob@example.com", PASSWORD) == 303
    codes = [attempt(browser, "10.0.0.1") for _ in range(11)]
    assert codes == [422] * 10 + [429]
    assert attempt(people.web.test_client(), "10.0.0.1") == 429


def test_a_cookie_made_by_hand_makes_no_known_browser(people: People) -> None:
    codes = []
    for n in range(11):
        browser = people.web.test_client()
        browser.set_cookie("patchbay-device", f'{{"id": "{n}", "accounts": []}}.x')
        codes.append(attempt(browser, "10.0.0.1"))
    assert codes == [422] * 10 + [429]


def test_the_addresses_of_one_subscriber_count_together(people: People, client: FlaskClient) -> None:
    codes = [attempt(client, f"2001:db8:1:2::{n:x}") for n in range(11)]
    assert codes == [422] * 10 + [429]
    assert attempt(client, "2001:db8:1:3::1") == 422


def test_a_stranger_cannot_keep_a_person_from_asking_for_a_new_password(people: People, client: FlaskClient) -> None:
    stranger = people.web.test_client()
    codes = [attempt(stranger, "10.0.0.1", path="/forgot") for _ in range(6)]
    assert codes == [200] * 5 + [429]
    assert attempt(client, "10.0.0.2", path="/forgot") == 200
