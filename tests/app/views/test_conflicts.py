"""The pages of conflicts: the queue, the values side by side, what is refused and why."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import conflicts
from tests.factories.conflicts import BASE, OURS, THEIRS, Desk

Owner = psycopg.Connection[Any]
_HTMX = {"HX-Request": "true"}


@pytest.fixture
def desk(apps: dict[str, Flask], clean: None, owner: Owner) -> Iterator[Desk]:
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    yield Desk(apps, owner)
    apps["web"].config["WTF_CSRF_ENABLED"] = True


def _page(client: FlaskClient, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return " ".join(re.sub(r"<[^>]+>", " ", response.text).split())


def _seen(client: FlaskClient, one: uuid.UUID) -> str:
    found = re.search(r'name="seen" value="(\w+)"', client.get(f"/conflicts/{one}").text)
    assert found is not None
    return found[1]


def test_the_three_values_are_side_by_side_with_who_wrote_them(desk: Desk) -> None:
    one = desk.clash(phone=(BASE, THEIRS, OURS), job_title=("Buyer", "Head", "Director"))
    page = _page(desk.browser(), f"/conflicts/{one}")
    for text in (
        "Priya Raman: two fields changed in both HubSpot and Fieldstone", f"HubSpot {THEIRS}", f"Last agreed {BASE}", f"Fieldstone {OURS}",
        "Maja Lindqvist, just now", "1 of 1",
    ):  # fmt: skip
        assert text in page, text


def test_a_decision_goes_on_to_the_next_and_says_what_was_saved(desk: Desk) -> None:
    first, second = desk.clash("First"), desk.clash("Second")
    client = desk.browser()
    response = client.post(f"/conflicts/{second}", data={"seen": _seen(client, second), "side-phone": "theirs"})
    assert (response.status_code, response.headers["location"]) == (303, f"/conflicts/{first}?after={second}")
    page = _page(client, f"/conflicts/{first}?after={second}")
    assert "Saved." in page
    assert "First: one field changed in both HubSpot and Fieldstone" in page
    response = client.post(
        f"/conflicts/{first}", data={"seen": _seen(client, first), "side-phone": "ours"}, headers=_HTMX
    )
    assert response.headers["HX-Redirect"] == "/conflicts"
    assert "No conflict is open" in _page(client, "/conflicts")


def test_htmx_gets_the_next_one_as_a_fragment_with_its_address(desk: Desk) -> None:
    first, second = desk.clash("First"), desk.clash("Second")
    client = desk.browser()
    response = client.post(
        f"/conflicts/{second}", data={"seen": _seen(client, second), "side-phone": "theirs"}, headers=_HTMX
    )
    assert response.status_code == 200
    assert response.headers["HX-Push-Url"] == f"/conflicts/{first}?after={second}"
    assert "First: one field" in response.text
    assert "autofocus" in response.text  # The heading is read out; a whole page begins at its own start.
    assert "autofocus" not in client.get(f"/conflicts/{first}").text
    assert "<html" not in response.text


def test_a_page_sent_twice_and_one_that_has_moved_on_are_refused_with_the_values_as_they_are(desk: Desk) -> None:
    one = desk.clash()
    client = desk.browser()
    seen = _seen(client, one)
    desk.owner.execute('UPDATE conflicts SET theirs = \'{"phone": "+1 555"}\' WHERE id = %s', (one,))
    moved = client.post(f"/conflicts/{one}", data={"seen": seen, "side-phone": "ours"}, headers=_HTMX)
    assert (moved.status_code, moved.headers["HX-Retarget"]) == (409, "#conflict")
    assert "A value has changed since this page was shown" in moved.text
    assert "+1 555" in moved.text
    assert 'value="ours" checked' in moved.text  # What was chosen stays.
    data = {"seen": _seen(client, one), "side-phone": "ours"}
    assert client.post(f"/conflicts/{one}", data=data).status_code == 303
    twice = client.post(f"/conflicts/{one}", data=data)
    assert twice.status_code == 409
    assert "has settled this conflict already" in twice.text


def test_a_value_that_does_not_fit_is_told_at_its_field_and_stays(desk: Desk) -> None:
    one = desk.clash(score=(1, 2, 3))
    client = desk.browser()
    data = {"seen": _seen(client, one), "side-score": "edited", "value-score": "many"}
    response = client.post(f"/conflicts/{one}", data=data)
    assert response.status_code == 422
    assert "Score: the value is not a number." in response.text
    assert 'value="many"' in response.text
    assert client.post(f"/conflicts/{one}", data={**data, "value-score": "44"}).status_code == 303
    assert desk.row(one, "edited") == ({"score": 44},)


def test_the_preview_says_what_is_written_where_and_offers_the_similar_ones(desk: Desk) -> None:
    one = desk.clash()
    desk.clash("Other", phone=(BASE, "+1", "+2"))
    client = desk.browser()
    text = client.post(f"/conflicts/{one}/preview", data={"side-phone": "ours"}, headers=_HTMX).text
    assert "Written to HubSpot" in text
    assert "Written to Fieldstone" not in text
    assert "Keep Fieldstone’s Phone in" in text
    assert "1 similar conflict<" in text
    text = client.post(f"/conflicts/{one}/preview", data={"side-phone": "theirs"}, headers=_HTMX).text
    assert "Written to Fieldstone" in text
    listed = _page(client, f"/conflicts?like={one}")
    assert "Other" in listed
    assert "Priya" not in listed


def test_similar_ones_follow_and_only_for_admins(desk: Desk) -> None:
    one, other = desk.clash(), desk.clash("Other")
    member, admin = desk.browser("member"), desk.browser("admin")
    data = {"side-phone": "theirs", "similar": "yes"}
    assert member.post(f"/conflicts/{one}", data={**data, "seen": _seen(member, one)}).status_code == 403
    assert desk.row(one, "state") == ("open",)
    response = admin.post(f"/conflicts/{one}", data={**data, "seen": _seen(admin, one)})
    assert response.status_code == 303
    assert desk.row(other, "state", "decided_with") == ("settled", one)
    assert "1 similar one followed." in _page(admin, f"/conflicts/{one}")


def test_a_written_value_goes_to_others_only_when_that_is_confirmed(desk: Desk) -> None:
    one, other = desk.clash(), desk.clash("Other")
    client = desk.browser()
    data = {"side-phone": "edited", "value-phone": "+44 1", "similar": "yes"}
    response = client.post(f"/conflicts/{one}", data={**data, "seen": _seen(client, one)})
    assert response.status_code == 422
    assert "Confirm that" in response.text
    assert desk.row(one, "state") == ("open",)
    response = client.post(f"/conflicts/{one}", data={**data, "seen": _seen(client, one), "confirmed": "yes"})
    assert response.status_code == 303
    assert desk.row(other, "edited") == ({"phone": "+44 1"},)


def test_a_settled_one_shows_what_was_decided_and_takes_the_other_value_instead(desk: Desk) -> None:
    one = desk.clash()
    desk.decide(one, phone="theirs")
    client = desk.browser()
    page = _page(client, f"/conflicts/{one}")
    assert "Maja Lindqvist settled it" in page
    assert f"Fieldstone {OURS} Maja Lindqvist, just now" in page  # Who wrote what gave way, not who decided.
    assert "Take the other value instead" in page
    response = client.post(f"/conflicts/{one}/other", data={"seen": _seen(client, one), "pick": "phone:ours"})
    assert response.status_code == 303
    assert desk.row(one, "choices") == ({"phone": "ours"},)
    desk.owner.execute('UPDATE records SET data = data || \'{"phone": "+9"}\'')
    page = _page(client, f"/conflicts/{one}")
    assert "It has changed since: it is +9 now." in page
    assert "Take the other value instead" not in page


def test_a_policys_decision_says_so(desk: Desk) -> None:
    one = desk.clash(phone=(BASE, THEIRS, THEIRS))
    desk.owner.execute(
        "UPDATE conflicts SET state = 'settled', resolution = 'policy', policy = 'theirs', settled_at = now(), "
        'ours = %s, choices = \'{"phone": "theirs"}\' WHERE id = %s',
        (f'{{"phone": "{OURS}"}}', one),
    )
    client = desk.browser()
    page = _page(client, f"/conflicts/{one}")
    assert "Decided by your settings" in page
    assert "HubSpot’s value holds" in page
    assert OURS in page
    assert "Take the other value instead" in page
    assert "Priya" in _page(client, "/conflicts?show=policy")


def test_a_sensitive_field_is_shown_to_admins_and_decided_by_them(desk: Desk) -> None:
    one = desk.clash(birthday=("1990-05-17", "1990-05-18", "1990-05-19"))
    member, admin = desk.browser("member"), desk.browser("admin")
    for path in (f"/conflicts/{one}", "/conflicts"):
        text = member.get(path).text
        assert "1990" not in text
        assert "shown to admins only" in text
        assert "18 May 1990" in admin.get(path).text
    preview = member.post(f"/conflicts/{one}/preview", data={"side-birthday": "theirs"}, headers=_HTMX)
    assert "1990" not in preview.text
    data = {"seen": _seen(member, one), "side-birthday": "theirs"}
    assert member.post(f"/conflicts/{one}", data=data).status_code == 403
    assert admin.post(f"/conflicts/{one}", data=data).status_code == 303


def test_long_values_fold_and_empty_ones_are_said(desk: Desk) -> None:
    one = desk.clash(notes=(None, "word " * 200, None), consent=(None, True, False))
    desk.owner.execute("UPDATE links SET base = '{}'")
    page = desk.browser().get(f"/conflicts/{one}").text
    assert "Show the whole values" in page
    assert "never agreed on" in page
    assert "empty" in page
    assert ">yes" in page


@pytest.mark.parametrize(("kind", "answer", "text"), [
    ("deleted_there", "keep", "deleted in HubSpot, edited in Fieldstone"), ("deleted_here", "delete", "deleted in Fieldstone, edited in HubSpot"),
])  # fmt: skip
def test_deletes_are_answered_and_answered_anew(desk: Desk, kind: str, answer: str, text: str) -> None:
    one, _ = getattr(desk, kind)()
    client = desk.browser()
    assert text in _page(client, f"/conflicts/{one}")
    response = client.post(f"/conflicts/{one}", data={"seen": _seen(client, one)})
    assert response.status_code == 422
    response = client.post(f"/conflicts/{one}", data={"seen": _seen(client, one), "answer": answer})
    assert response.status_code == 303
    other = "delete" if answer == "keep" else "keep"
    response = client.post(f"/conflicts/{one}/other", data={"seen": _seen(client, one), "answer": other})
    assert response.status_code == 303
    assert desk.row(one, "choices") == ({"record": other},)


def test_a_match_shows_the_records_it_fits(desk: Desk) -> None:
    one, ids = desk.match()
    client = desk.browser()
    page = _page(client, f"/conflicts/{one}")
    for text in ("Priya Raman fits 2 contacts", "City 0", "City 1", "None of them"):
        assert text in page, text
    assert client.post(f"/conflicts/{one}", data={"seen": _seen(client, one)}).status_code == 422
    data = {"seen": _seen(client, one), "record": str(ids[0])}
    assert client.post(f"/conflicts/{one}", data=data).status_code == 303
    assert "said which record it is" in _page(client, f"/conflicts/{one}")


def test_the_queue_is_narrowed_and_paged(desk: Desk) -> None:
    other = desk.install("Stripe")
    desk.clash("Ada", city=("a", "b", "c"))
    desk.clash("Grace", installation=other)
    settled = desk.clash("Edsger")
    desk.decide(settled, phone="ours")
    client = desk.browser()
    for query, names in (
        ("", {"Ada", "Grace"}), ("?field=city", {"Ada"}), (f"?installation={other}", {"Grace"}),
        ("?show=settled", {"Edsger"}), ("?kind=match", set()), ("?stream=companies", set()), ("?show=policy", set()),
        (f"?installation={uuid.uuid4()}", set()), ("?show=nonsense&kind=nonsense&before=x", {"Ada", "Grace"}),
    ):  # fmt: skip
        page = _page(client, f"/conflicts{query}")
        assert {name for name in ("Ada", "Grace", "Edsger") if name in page} == names, query
    for number in range(51):
        desk.clash(f"Person {number:02}")
    page = client.get("/conflicts").text
    older = re.search(r'href="(/conflicts\?[^"]*before=[^"]+)"', page)
    assert older is not None
    assert "Ada" in _page(client, older[1].replace("&amp;", "&"))


def test_a_filter_looks_through_only_so_many_and_goes_on_from_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.clash("Ada", city=("a", "b", "c"))
    for number in range(7):
        desk.clash(f"Person {number}")
    monkeypatch.setattr(conflicts, "COUNT_LIMIT", 5)
    client = desk.browser()
    for base in ("/conflicts", f"/installations/{desk.installation_id}/conflicts"):
        page = client.get(f"{base}?field=city").text
        assert "None of the newest 5 fits" in page
        older = re.search(r'href="([^"]*before=[^"]+)"', page)
        assert older is not None
        page = _page(client, older[1].replace("&amp;", "&"))
        assert "Ada" in page
        assert "Older" not in page


def test_an_installations_tab_counts_and_lists_its_own(desk: Desk) -> None:
    other = desk.install("Stripe")
    desk.clash("Ada")
    desk.clash("Grace", installation=other)
    client = desk.browser()
    page = _page(client, f"/installations/{other}/conflicts")
    assert "Grace" in page
    assert "Ada" not in page
    assert "Conflicts 1" in page


def test_ten_thousand_are_counted_no_further(desk: Desk) -> None:
    one = desk.clash()
    desk.owner.execute(
        "INSERT INTO conflicts (tenant_id, id, installation_id, stream, external_id, kind, record_id, theirs) SELECT "
        "tenant_id, gen_random_uuid(), installation_id, stream, n::text, kind, record_id, theirs FROM conflicts, "
        "generate_series(1, 10001) n WHERE id = %s",
        (one,),
    )
    client = desk.browser()
    page = _page(client, "/conflicts")
    assert "Open over 10,000" in page
    page = _page(client, f"/conflicts/{one}")
    assert "over 10,000 similar conflicts" in page
    assert "The first 1,000 at once" in page


def test_after_many_equal_decisions_the_mapping_is_offered(desk: Desk) -> None:
    for number in range(6):
        desk.decide(desk.clash(f"Person {number}"), phone="theirs")
    page = _page(desk.browser(), f"/conflicts/{desk.clash()}")
    assert "Stop asking for Phone" in page
    assert "6 of the last 6 decisions took HubSpot’s value." in page


def test_a_removed_installation_leaves_nothing_open(desk: Desk) -> None:
    one = desk.clash()
    client = desk.browser()
    assert client.post(f"/installations/{desk.installation_id}/remove").status_code == 303
    assert desk.row(one, "state", "resolution") == ("settled", "gone")
    assert "Ended" in _page(client, f"/conflicts/{one}")
