"""What somebody means who pastes a text."""

import uuid

import pytest

from app.sync.pasted import LONGEST, read_pasted

ID = uuid.UUID("0197f1d2-0000-7000-8000-000000000001")


@pytest.mark.parametrize(
    ("text", "first", "by_id"),
    [
        ("88213054771", "88213054771", True),
        ("  contact-7 ", "contact-7", True),
        ("priya@calder.example", "priya@calder.example", False),
        ("Priya Raman", "Priya Raman", False),
        ("calder.example", "calder.example", True),
        ("https://app.hubspot.com/contacts/123/contact/88213054771", "88213054771", True),
        ("https://x.lightning.force.com/lightning/r/Contact/003Ab00000AbcdEQAZ/view", "003Ab00000AbcdEQAZ", True),
        ("https://crm.example.com/records/a%2Fb1?tab=2#x", "a/b1", True),
    ],
)
def test_a_text_is_read_as_an_id_where_it_can_be_one(text: str, first: str, by_id: bool) -> None:
    found = read_pasted(text)
    assert (found.external_ids[0], found.by_id) == (first, by_id)
    assert found.value == text.strip().casefold()


@pytest.mark.parametrize(
    "text", [str(ID), f"record:{ID}", f"http://localhost/records/{ID}", f"https://p.test/records/{ID}/"]
)
def test_our_own_ids_are_known(text: str) -> None:
    assert read_pasted(text).record_ids == (ID,)


@pytest.mark.parametrize("text", ["", "   ", "\x00\n"])
def test_nothing_is_nothing(text: str) -> None:
    assert read_pasted(text).text == ""
    assert read_pasted(text).external_ids == ()


def test_anything_can_be_pasted() -> None:
    assert len(read_pasted("x" * 10_000).text) == LONGEST
    assert read_pasted("https://[broken").by_id is False
    assert len(read_pasted("https://e.test/" + "/".join("ab1" for _ in range(50))).external_ids) == 8
