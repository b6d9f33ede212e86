"""The story of a record: every kind of event, newest first, page by page without losing or doubling one."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.services import record_events
from app.services.record_events import KINDS, Event, position_of
from app.tenancy import bind_tenant
from app.views.stories import Teller, Told
from tests.factories.tenants import connect_kinto, make_tenant

Owner = psycopg.Connection[Any]
_AT = "now() - make_interval(mins => n)"
# Each of these is put into the story once for each n.
_ROWS = (
    "INSERT INTO changes (tenant_id, id, record_id, installation_id, stream, external_id, object_type, operation, "
    "before, after, writer, mapping_version, created_at) SELECT {t}, gen_random_uuid(), {r}, {i}, 'contacts', 'c', "
    "'contact', 'updated', '{{\"city\": \"Bonn\"}}', '{{\"city\": \"Oslo\"}}', 'Kinto', 1, {at} FROM generate_series(1, {n}) n",
    "INSERT INTO intents (tenant_id, id, installation_id, stream, record_id, operation, state, fields, settled_at) SELECT "
    "{t}, gen_random_uuid(), {i}, 'contacts', {r}, 'update', 'confirmed', '[\"city\"]', {at} FROM generate_series(1, {n}) n",
    "INSERT INTO conflicts (tenant_id, id, installation_id, stream, external_id, record_id, kind, state, base, ours, "
    "theirs, resolution, settled_at, created_at) SELECT {t}, gen_random_uuid(), {i}, 'contacts', 'c' || n, {r}, 'fields', "
    '\'settled\', \'{{"city": "Bonn"}}\', \'{{"city": "Oslo"}}\', \'{{"city": "Rome"}}\', \'theirs\', {at}, {at} '
    "- interval '1 second' FROM generate_series(1, {n}) n",
    "INSERT INTO failed_records (tenant_id, id, installation_id, stream, external_id, direction, record_id, state, code, "
    "message, last_failed_at) SELECT {t}, gen_random_uuid(), {i}, 'contacts', 'c' || n, 'out', {r}, 'parked', 'invalid', "
    "'It is refused.', {at} FROM generate_series(1, {n}) n",
    "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
    "mapping_version, created_at, deleted_at) SELECT {t}, gen_random_uuid(), {i}, 'contacts', 'l' || n, {r}, '{{}}', '', 1, "
    "{at}, {at} + interval '1 second' FROM generate_series(1, {n}) n",
)


class Book:
    """A tenant with one record whose story is told."""

    def __init__(self, apps: dict[str, Flask], owner: Owner) -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id, self.record_id = make_tenant(apps), uuid.uuid4()
        with apps["web"].app_context():
            self.installation_id = connect_kinto(self.tenant_id, "http://127.0.0.1:1", "password")
        self.run(
            "INSERT INTO records (tenant_id, id, object_type, data, hash) VALUES ({t}, {r}, 'contact', "
            "'{{\"city\": \"Oslo\"}}', '')"
        )

    def run(self, statement: str, count: int = 1, at: str = _AT) -> None:
        """Run a statement about the record."""
        names = {"t": self.tenant_id, "r": self.record_id, "i": self.installation_id}
        made = {key: f"'{value}'::uuid" for key, value in names.items()}
        self.owner.execute(statement.format(**made, n=count, at=at))  # type: ignore[arg-type]

    def fill(self, count: int, at: str = _AT) -> None:
        """Add `count` of each kind of event."""
        for statement in _ROWS:
            self.run(statement, count, at)

    def read(self, *, kind: str = "", limit: int = 40) -> list[Event]:
        """Return the whole story, read page by page."""
        found: list[Event] = []
        before = None
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id):
            while True:
                page = record_events.list_events(self.tenant_id, self.record_id, kind=kind, before=before, limit=limit)
                found += page.events
                assert len(found) < 200, "it begins anew"
                if page.older is None:
                    return found
                before = position_of(str(page.older))
                assert before == page.older

    def tell(self, *, hidden: set[str] = frozenset()) -> list[Told]:  # type: ignore[assignment]
        """Return the story in words."""
        teller = Teller("Fieldstone", {"city": "City"}, hidden)
        return [teller.tell(event) for event in self.read()]


@pytest.fixture
def book(apps: dict[str, Flask], clean: None, owner: Owner) -> Book:
    return Book(apps, owner)


@pytest.mark.parametrize("at", [_AT, "timestamptz '2026-11-24 09:00:00+00'"])
def test_page_by_page_nothing_is_lost_or_doubled_even_of_one_moment(book: Book, at: str) -> None:
    book.fill(9, at)
    whole = book.read(limit=1000)
    assert len(whole) == 9 * 7, "a conflict is opened and settled, a link begins and ends"
    marks = [(event.at.moment, event.at.id, event.at.kind) for event in whole]
    assert marks == sorted(marks, reverse=True)
    for limit in (1, 4, 10):
        assert [event.at for event in book.read(limit=limit)] == [event.at for event in whole]


def test_a_kind_is_read_alone(book: Book) -> None:
    book.fill(3)
    kinds = {kind: {event.at.kind for event in book.read(kind=kind)} for kind in KINDS}
    assert kinds == {
        "changes": {"change"}, "writes": {"write"}, "conflicts": {"conflict", "decision"}, "failures": {"failure"},
        "links": {"link", "end"},
    }  # fmt: skip
    assert {event.at.kind for event in book.read(kind="strange")} == set().union(*kinds.values())


def test_a_link_that_a_change_tells_of_is_told_once(book: Book) -> None:
    place = "'contacts', 'c'"
    book.run(
        "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
        f"mapping_version) VALUES ({{t}}, gen_random_uuid(), {{i}}, {place}, {{r}}, '{{{{}}}}', '', 1)"
    )
    assert [event.at.kind for event in book.read()] == ["link"]
    book.run(
        "INSERT INTO changes (tenant_id, id, record_id, installation_id, stream, external_id, object_type, operation, "
        f"writer) VALUES ({{t}}, gen_random_uuid(), {{r}}, {{i}}, {place}, 'contact', 'created', 'Kinto')"
    )
    assert [event.at.kind for event in book.read()] == ["change"]
    assert [event.at.kind for event in book.read(kind="links")] == ["link"]


def test_what_failed_on_its_way_in_belongs_to_the_record_it_is_linked_with(book: Book) -> None:
    for name, external_id in (("failed_records", "c"), ("failed_records", "other")):
        book.run(
            f"INSERT INTO {name} (tenant_id, id, installation_id, stream, external_id, code, message) VALUES ({{t}}, "
            f"gen_random_uuid(), {{i}}, 'contacts', '{external_id}', 'mapping_failed', 'City: “x” is bad.')"
        )
    assert book.read() == []
    book.run(
        "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
        "mapping_version) VALUES ({t}, gen_random_uuid(), {i}, 'contacts', 'c', {r}, '{{}}', '', 1)"
    )
    assert [event.row.external_id for event in book.read(kind="failures")] == ["c"]  # type: ignore[union-attr]


def test_the_story_is_told_in_words_without_hidden_values(book: Book) -> None:
    book.fill(1)
    told = book.tell()
    titles = {item.title for item in told}
    assert titles == {
        "City changed in Kinto", "City written to Kinto", "City changed in Kinto and in Fieldstone", "Refused by Kinto, 1 try",
        "Conflict about City with Kinto settled: the value of Kinto was taken", "Linked with Kinto, l1", "Gone in Kinto, l1",
    }  # fmt: skip
    assert ("City", "Bonn", "Oslo") in [line for item in told for line in item.lines]
    lines = [line for item in book.tell(hidden={"city"}) for line in item.lines]
    assert lines
    assert all(value in (None, "hidden") or "hidden" in value for line in lines for value in line[1:])
    assert not any("Oslo" in (value or "") for line in lines for value in line)


@pytest.mark.parametrize(
    "text",
    ["", "x", "2026-11-24~x~change", "2026-11-24T09:00:00~" + "0197f1d2-0000-7000-8000-000000000001" + "~change"],
)
def test_a_strange_position_is_none(text: str) -> None:
    assert position_of(text) is None
