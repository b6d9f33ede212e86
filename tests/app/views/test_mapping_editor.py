"""The mapping editor over HTTP, without JavaScript and with htmx."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import drift, mappings, previews, problems
from connectors.sdk import FieldInfo
from tests.app.services.test_stream_settings import full_pass
from tests.factories.mappings import STREAM, Workspace

Owner = psycopg.Connection[Any]
OWN = FieldInfo("properties.contract_value", "Contract value", "text", custom=True)
HTMX = {"HX-Request": "true"}
RECORDS = [
    {"id": "contact-1", "values": {"properties.email": "ada@example.test", "properties.city": "Oslo", "properties.contract_value": "£12,400.00"}},
    {"id": "contact-2", "values": {"properties.email": "bob@example.test", "properties.contract_value": "n/a"}},
    {"id": "contact-3", "values": {"properties.email": "eve@example.test"}},
]  # fmt: skip


@pytest.fixture
def work(apps: dict[str, Flask], clean: None) -> Iterator[Workspace]:
    """An active installation whose account has a field of its own, and three sampled records."""
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    found = Workspace(apps)
    found.keep_fields(OWN)
    sample(found)
    yield found
    apps["web"].config["WTF_CSRF_ENABLED"] = True


def sample(work: Workspace) -> None:
    def ready() -> None:
        made = previews.ask(work.tenant_id, work.installation_id, "sample", stream=STREAM)
        made.state, made.result = "ready", {"records": RECORDS}

    work.act(ready)


@pytest.fixture
def person(work: Workspace) -> FlaskClient:
    return work.browser()


def text(page: Any) -> str:
    return re.sub(r"\s+", " ", page.get_data(as_text=True))


def row(page: str, target: str) -> str:
    found = re.search(rf'<div class="map-r[^"]*" id="map-{target}">.*?(?=<div class="map-r|<div class="card-f|$)', page)
    assert found, target
    return found[0]


def test_a_member_reads_and_an_admin_edits(work: Workspace) -> None:
    page = text(work.browser("member").get(work.base))
    assert "types do not fit" not in page
    assert "part=direction" not in page
    assert "Contract value" not in row(page, "score")
    assert "part=direction" in text(work.browser("admin").get(work.base))


def test_the_first_look_asks_for_samples_and_says_so(work: Workspace, owner: Owner, person: FlaskClient) -> None:
    owner.execute("DELETE FROM previews")
    assert 'hx-trigger="every 1s"' in text(person.get(work.base))
    assert owner.execute("SELECT kind, state FROM previews").fetchall() == [("sample", "waiting")]
    person.get(work.base)
    assert owner.execute("SELECT count(*) FROM previews").fetchone() == (1,)


def test_an_edit_waits_and_the_bar_says_what_it_costs(work: Workspace, owner: Owner, person: FlaskClient) -> None:
    full_pass(work, owner, read=12_400, pages=124, seconds=120)
    owner.execute("UPDATE installation_streams SET full_pass_due = false")
    answer = person.post(f"{work.base}/rules/city", data={"part": "add", "add": "trim"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{work.base}#map-city")
    page = text(person.get(work.base))
    assert "1 change, not yet in force." in page
    assert "The next run reads 12,400 contacts again: about 124 calls, 2 min. Nothing is deleted by it." in page
    assert "added “trim”" in page
    assert owner.execute("SELECT bool_or(full_pass_due) FROM installation_streams").fetchone() == (False,)
    person.post(f"{work.base}/draft", data={"do": "apply"})
    page = text(person.get(work.base))
    assert "Version 2 is in force." in page
    assert "not yet in force" not in page
    assert owner.execute("SELECT stream FROM installation_streams WHERE full_pass_due").fetchall() == [(STREAM,)]


def test_discarded_changes_are_gone(work: Workspace, person: FlaskClient) -> None:
    person.post(f"{work.base}/rules/city", data={"do": "remove"})
    assert "is no longer mapped" in text(person.get(work.base))
    person.post(f"{work.base}/draft", data={"do": "discard"})
    assert "not yet in force" not in text(person.get(work.base))
    assert work.rule("city") is not None


def test_htmx_gets_the_row_and_all_that_depends_on_it(work: Workspace, person: FlaskClient) -> None:
    answer = person.post(f"{work.base}/rules/city", data={"part": "add", "add": "case"}, headers=HTMX)
    page = text(answer)
    assert answer.status_code == 200
    assert page.count('class="map-r') == 1
    # A transform with settings opens them at once.
    assert 'name="arg-to"' in page
    for part in ("mapping-state", "mapping-foot", "mapping-bar", "mapping-preview"):
        assert re.search(rf'id="{part}"[^>]*hx-swap-oob="true"', page), part
    assert "<html" not in page


def test_types_that_do_not_fit_are_refused_with_the_transform_that_helps(work: Workspace, person: FlaskClient) -> None:
    sent = {"part": "row", "settings": "1", "source": OWN.name}
    answer = person.post(f"{work.base}/rules/score", data=sent)
    assert answer.status_code == 422
    shown = row(text(answer), "score")
    assert "Contract value is a text, but Score is a number." in shown
    assert (
        "Of 3 sampled records, 2 have a value such as “£12,400.00” and 1 is empty; “read number, 1,234.5” works for 1 of them."
        in shown
    )
    assert "£12,400.00" in shown
    assert '<span class="mono b">12400</span>' in shown
    assert f'value="{OWN.name}" selected' in shown
    rule = work.rule("score")
    assert rule is not None
    assert rule.sources == ("properties.score",)
    assert person.post(f"{work.base}/rules/score", data=sent | {"do": "propose"}).status_code == 303
    rule = work.rule("score")
    assert rule is not None
    assert (rule.sources, [step.name for step in rule.transforms]) == ((OWN.name,), ["number"])


def test_a_wrong_setting_is_told_at_its_place_and_what_was_typed_stays(work: Workspace, person: FlaskClient) -> None:
    person.post(f"{work.base}/rules/city", data={"part": "add", "add": "split"})
    answer = person.post(
        f"{work.base}/rules/city", data={"part": "step-0", "arg-separator": ",", "arg-index": "last one"}
    )
    assert answer.status_code == 422
    shown = row(text(answer), "city")
    assert "Give a whole number." in shown
    assert re.search(r'value="last one"[^>]*aria-invalid="true"', shown)


def test_directions_that_cannot_be_say_why(work: Workspace, person: FlaskClient, owner: Owner) -> None:
    page = text(person.get(f"{work.base}/rules/city?part=direction"))
    assert "The settings of this stream let nothing flow into Sandbox CRM." in page
    owner.execute("UPDATE installation_streams SET direction = 'both'")
    page = text(person.get(f"{work.base}/rules/full_name?part=direction"))
    assert "First name and Full name both flow out to First name." in page
    assert person.post(f"{work.base}/rules/email", data={"do": "direction-in"}).status_code == 303
    rule = work.rule("email")
    assert rule is not None
    assert rule.direction == "in"


def test_a_direction_that_the_transforms_forbid_is_refused(work: Workspace, person: FlaskClient, owner: Owner) -> None:
    owner.execute("UPDATE installation_streams SET direction = 'both'")
    answer = person.post(f"{work.base}/rules/city", data={"part": "add", "add": "split"})
    assert answer.status_code == 422
    page = row(text(answer), "city")
    assert "cannot be turned round: City can only flow in." in page
    assert 'name="add" value="split"' in page
    sent = {"part": "add", "add": "split", "do": "inward"}
    assert person.post(f"{work.base}/rules/city", data=sent).status_code == 303
    rule = work.rule("city")
    assert rule is not None
    assert (rule.direction, rule.transforms[-1].name) == ("in", "split")


def test_in_a_stream_that_only_flows_in_nobody_has_to_think_of_the_way_out(
    work: Workspace, person: FlaskClient
) -> None:
    assert person.post(f"{work.base}/rules/city", data={"part": "add", "add": "split"}).status_code == 303
    rule = work.rule("city")
    assert rule is not None
    assert rule.direction == "in"


def test_what_is_suggested_is_connected_at_once(work: Workspace, person: FlaskClient) -> None:
    for target in ("city", "phone"):
        person.post(f"{work.base}/rules/{target}", data={"do": "remove"})
    assert "Connect all suggested (2)" in text(person.get(work.base))
    person.post(f"{work.base}/rules/phone", data={"suggested": "1"})
    rule = work.rule("phone")
    assert rule is not None
    assert rule.sources == ("properties.phone",)
    person.post(f"{work.base}/suggested")
    assert work.rule("city") is not None
    person.post(f"{work.base}/reset")
    # Everything is as the manifest has it: nothing is left to apply.
    assert work.content().draft is None


def test_a_field_that_is_not_mapped_is_found_and_connected(work: Workspace, person: FlaskClient) -> None:
    person.post(f"{work.base}/rules/score", data={"do": "remove"})
    page = text(person.get(f"{work.base}/unmapped?q=contract"))
    assert "Contract value" in page
    assert "£12,400.00" in page
    assert ">Score</th>" not in page
    answer = person.post(f"{work.base}/unmapped", data={"source": OWN.name, "target": "score"})
    assert answer.status_code == 422
    assert "Contract value is a text, but Score is a number." in text(answer)
    answer = person.post(f"{work.base}/unmapped", data={"source": "properties.score", "target": "score"})
    assert answer.headers["location"].endswith("#map-score")
    assert work.rule("score") is not None


def test_rows_are_searched(work: Workspace, person: FlaskClient) -> None:
    page = text(person.get(f"{work.base}?q=lifecycle", headers=HTMX))
    assert re.findall(r'id="map-(\w+)"', page) == ["stage"]
    person.post(f"{work.base}/rules/notes", data={"do": "remove"})
    assert re.findall(r'id="map-(\w+)"', text(person.get(f"{work.base}?show=open", headers=HTMX))) == ["notes"]
    assert "No field fits." in text(person.get(f"{work.base}?q=nonsense", headers=HTMX))


@pytest.fixture
def many_fields(owner: Owner) -> Iterator[None]:
    """The host's contacts have 80 fields more."""
    owner.execute(
        "INSERT INTO object_fields (id, object_type, name, label, type) SELECT gen_random_uuid(), 'contact', 'own_' || n, "
        "'Own ' || n, 'text' FROM generate_series(1, 80) n"
    )
    yield
    owner.execute("DELETE FROM object_fields WHERE name LIKE 'own_%'")


def test_of_many_rows_the_first_are_shown_and_the_rest_when_asked_for(
    work: Workspace, person: FlaskClient, many_fields: None
) -> None:
    page = text(person.get(work.base))
    assert page.count('class="map-r') == 60
    assert "Show 35 more" in page
    # What is mapped comes first, and a row that is open is shown wherever it stands.
    assert 'id="map-notes"' in page
    assert 'id="map-own_80"' in text(person.get(f"{work.base}/rules/own_80?part=row"))
    assert text(person.get(f"{work.base}?all=1", headers=HTMX)).count('class="map-r') == 95


def test_the_preview_shows_both_ways(work: Workspace, person: FlaskClient, owner: Owner) -> None:
    page = text(person.get(f"{work.base}/preview?record=0", headers=HTMX))
    assert "Not in Fieldstone yet" in page
    assert "<ins>ada@example.test</ins>" in page
    page = text(person.get(f"{work.base}/preview?record=0&way=out", headers=HTMX))
    assert "Nothing would be sent: there is no record of it in Fieldstone." in page
    owner.execute(
        "WITH made AS (INSERT INTO records (tenant_id, id, object_type, data, hash) VALUES (%(t)s, gen_random_uuid(), "
        '\'contact\', \'{"email": "ada@example.test", "city": "Bergen"}\', \'\') RETURNING id) '
        "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
        "mapping_version) SELECT %(t)s, gen_random_uuid(), %(i)s, 'contacts', 'contact-1', id, '{}', '', 1 FROM made",
        {"t": work.tenant_id, "i": work.installation_id},
    )
    page = text(person.get(f"{work.base}/preview?record=0", headers=HTMX))
    assert "Linked with a record in Fieldstone" in page
    assert re.search(r"<del>Bergen</del>.*<ins>Oslo</ins>", page)
    page = text(person.get(f"{work.base}/preview?record=0&way=out", headers=HTMX))
    assert re.search(r"<del>Oslo</del>.*<ins>Bergen</ins>", page)


def test_a_record_is_looked_up(work: Workspace, person: FlaskClient, owner: Owner) -> None:
    answer = person.post(f"{work.base}/preview", data={"q": "nobody@example.test"}, headers=HTMX)
    assert answer.status_code == 422
    assert re.search(r'value="nobody@example.test"[^>]*aria-invalid="true"', text(answer))
    page = text(person.post(f"{work.base}/preview", data={"q": "contact-9"}, headers=HTMX))
    assert "Reading from Sandbox CRM." in page
    found = owner.execute("SELECT id, request FROM previews WHERE kind = 'lookup'").fetchone()
    assert found is not None
    assert found[1] == {"external_id": "contact-9"}
    owner.execute(
        "UPDATE previews SET state = 'ready', result = %s WHERE id = %s",
        ('{"records": [{"id": "contact-9", "values": {"properties.email": "nine@example.test"}}]}', found[0]),
    )
    answer = person.get(f"{work.base}/preview?look={found[0]}", headers=HTMX)
    assert answer.status_code == 286
    assert "nine@example.test" in text(answer)
    # The rows show its values too.
    assert re.search(r'id="v-email-1" hx-swap-oob="true">nine@example.test', text(answer))


def test_a_filter_says_which_record_it_leaves_out(work: Workspace, person: FlaskClient) -> None:
    filters = [{"field": "city", "op": "is", "values": ["Oslo"], "mode": "include"}]
    work.act(lambda: mappings.put_in_force(work.tenant_id, work.installation_id, STREAM, filters=filters, user_id=None))
    assert "<ins>Oslo</ins>" in text(person.get(f"{work.base}/preview?record=0", headers=HTMX))
    assert "A filter leaves it out: City is not Oslo" in text(person.get(f"{work.base}/preview?record=1", headers=HTMX))
    assert "only where City is Oslo" in text(person.get(work.base))


def test_versions_say_who_what_and_come_back(work: Workspace, person: FlaskClient) -> None:
    person.post(f"{work.base}/rules/city", data={"do": "remove"})
    person.post(f"{work.base}/draft", data={"do": "apply"})
    page = text(person.get(f"{work.base}/versions"))
    assert re.search(r"Version 2 .*in force.*Ada, .*City</span> is no longer mapped: from City", page)
    answer = person.post(f"{work.base}/versions/1")
    assert answer.headers["location"] == work.base
    page = text(person.get(work.base))
    assert "1 change, not yet in force." in page
    assert "City</span> is new: from City" in page
    assert person.post(f"{work.base}/versions/nine").status_code == 404
    assert person.post(f"{work.base}/versions/9").status_code == 404


def agreed(page: str) -> list[tuple[str, str]]:
    """Return what the form sends when somebody agrees to what it names."""
    return [("agreed", key) for key in re.findall(r'name="agreed" value="([^"]+)"', page)]


def configure(work: Workspace, person: FlaskClient, *pairs: tuple[str, str]) -> Any:
    sent = [
        ("name", "CRM"), ("kind", "manual"), ("minutes", "15"), ("zone", "UTC"), ("streams", "contacts"),
        *[(f"{part}-{s}", v) for s in ("contacts",) for part, v in (("conflict", "ask"), ("deletes", "mirror"))], *pairs,
    ]  # fmt: skip
    data: dict[str, list[str]] = {}
    for name, value in sent:
        data.setdefault(name, []).append(value)
    return person.post(f"/installations/{work.installation_id}/settings", data=data)


def test_settings_that_read_all_again_are_confirmed_first(work: Workspace, person: FlaskClient, owner: Owner) -> None:
    full_pass(work, owner, read=12_400, pages=124, seconds=120)
    answer = configure(work, person, ("direction-contacts", "both"))
    assert answer.status_code == 200
    page = text(answer)
    assert "The next run reads 12,400 contacts again: about 124 calls, 2 min. Nothing is deleted by it." in page
    assert "Save and read again" in page
    assert re.search(r'value="both" checked', page)
    assert work.content().installed.direction == "in"
    answer = configure(work, person, ("direction-contacts", "both"), *agreed(page))
    assert answer.status_code == 303
    assert (work.content().installed.direction, work.content().installed.conflict_policy) == ("both", "ask")


def test_what_costs_nothing_is_saved_at_once(work: Workspace, person: FlaskClient, owner: Owner) -> None:
    owner.execute("UPDATE installation_streams SET enabled = false WHERE stream <> 'contacts'")
    assert configure(work, person, ("direction-contacts", "in"), ("deletes-contacts", "ignore")).status_code == 303


def test_filters_are_kept_as_typed_and_errors_stand_beside(work: Workspace, person: FlaskClient) -> None:
    rows = [("filter-contacts-mode", "include"), ("filter-contacts-field", "score"), ("filter-contacts-op", "greater")]
    answer = configure(work, person, ("direction-contacts", "in"), *rows, ("filter-contacts-value", "a lot"))
    assert answer.status_code == 422
    page = text(answer)
    assert "Score: “a lot” is not a number. Correct the value." in page
    assert 'value="a lot"' in page
    sent = [("direction-contacts", "in"), *rows, ("filter-contacts-value", "50")]
    page = text(configure(work, person, *sent))
    assert "Records that no longer fit the filters stay as they are and are no longer synced." in page
    assert configure(work, person, *sent, *agreed(page)).status_code == 303
    assert work.content().in_force.filters == [{"field": "score", "op": "greater", "values": ["50"], "mode": "include"}]


def test_a_direction_without_permission_is_refused_whatever_is_sent(
    work: Workspace, person: FlaskClient, owner: Owner
) -> None:
    owner.execute("""UPDATE connections SET settings = settings || '{"left_out": ["crm.write"]}'""")
    answer = configure(work, person, ("direction-contacts", "out"))
    assert answer.status_code == 422
    assert "The connection may not write." in text(answer)


def test_changed_fields_are_decided_one_by_one(work: Workspace, person: FlaskClient) -> None:
    size = FieldInfo("properties.shoe_size", "Shoe size", "number", custom=True)
    person.post(f"{work.base}/rules/score", data={"part": "row", "settings": "1", "source": OWN.name, "do": "propose"})
    person.post(f"{work.base}/rules/notes", data={"do": "remove"})
    person.post(f"{work.base}/draft", data={"do": "apply"})

    def look() -> None:
        content = mappings.get_content(work.tenant_id, work.installation_id, STREAM)
        declared = [field for field in work.fields(content) if not field.custom]
        drift.note(work.tenant_id, work.installation_id, STREAM, [*declared, size])

    work.act(look)
    found = work.act(lambda: problems.list_open(work.tenant_id, work.installation_id))[0]
    page = text(person.get(f"/problems/{found.id}"))
    assert f'href="{work.base}/drift">Decide about the fields' in page
    page = text(person.get(f"{work.base}/drift"))
    assert re.search(r"Contract value is gone.*Score is made of it", page)
    assert "Shoe size is new" in page
    person.post(f"{work.base}/drift", data={"do": "take_out", "field": OWN.name})
    person.post(f"{work.base}/drift", data={"do": "map", "field": size.name, "target": "notes"})
    page = text(person.get(f"{work.base}/drift"))
    assert page.count("Decided. It counts once the mapping is applied.") == 2
    assert work.act(lambda: problems.count_open(work.tenant_id)) == 1
    person.post(f"{work.base}/draft", data={"do": "apply"})
    assert work.act(lambda: problems.count_open(work.tenant_id)) == 0
    assert work.rule("score") is None
    assert "Nothing is open" in text(person.get(f"{work.base}/drift"))


def test_a_notice_is_dismissed(work: Workspace, person: FlaskClient) -> None:
    def look() -> None:
        content = mappings.get_content(work.tenant_id, work.installation_id, STREAM)
        drift.note(work.tenant_id, work.installation_id, STREAM, [*work.fields(content), FieldInfo("x", "X", "text")])

    work.act(look)
    assert work.act(lambda: problems.count_open(work.tenant_id)) == 1
    person.post(f"{work.base}/drift", data={"do": "leave_all"})
    assert work.act(lambda: problems.count_open(work.tenant_id)) == 0
