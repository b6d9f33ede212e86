"""Settings of an installation over HTTP: what is given up is named first, and the audit log says what was changed."""

import re
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from app.ids import new_id
from tests.app.views.test_mapping_editor import agreed, configure, person, text, work
from tests.factories.mappings import Workspace

__all__ = ["person", "work"]
Owner = psycopg.Connection[Any]


@pytest.fixture
def settled(work: Workspace, owner: Owner) -> Workspace:
    """Contacts alone are synced both ways, 3 of them are linked, and 2 changes wait to be written."""
    owner.execute(
        "UPDATE installation_streams SET enabled = stream = 'contacts', direction = 'both', conflict_policy = 'ask'"
    )
    owner.execute("UPDATE installations SET name = 'CRM'")
    owner.execute("UPDATE schedules SET kind = 'manual', zone = 'UTC', at = NULL")
    for number in range(3):
        owner.execute(
            "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
            "mapping_version) VALUES (%s, %s, %s, 'contacts', %s, %s, '{}', '', 1)",
            (work.tenant_id, new_id(), work.installation_id, str(number), new_id()),
        )
        if number:
            owner.execute(
                "INSERT INTO intents (tenant_id, id, installation_id, stream, record_id) VALUES (%s, %s, %s, 'contacts', %s)",
                (work.tenant_id, new_id(), work.installation_id, new_id()),
            )
    return work


def entries(owner: Owner) -> list[Any]:
    return [row[0] for row in owner.execute(
        "SELECT details -> 'changes' FROM audit WHERE action = 'installation.configured' ORDER BY id").fetchall()]  # fmt: skip


def test_what_a_narrower_direction_gives_up_is_named_with_its_numbers(
    settled: Workspace, person: FlaskClient, owner: Owner
) -> None:
    answer = configure(settled, person, ("direction-contacts", "in"))
    page = text(answer)
    assert answer.status_code == 200
    assert "Nothing is saved yet." in page
    assert "Contacts: both ways becomes in only" in page
    assert (
        "Edits in Fieldstone no longer reach Sandbox CRM. 2 changes that wait to be written to Sandbox CRM are given up."
        in page
    )
    assert settled.content().installed.direction == "both"
    assert entries(owner) == []
    answer = configure(settled, person, ("direction-contacts", "in"), *agreed(page))
    assert answer.status_code == 303
    assert answer.headers["location"].endswith("/settings")
    assert settled.content().installed.direction == "in"
    assert entries(owner) == [["Contacts: both ways → in only"]]


def test_who_agreed_to_one_thing_has_not_agreed_to_another(settled: Workspace, person: FlaskClient) -> None:
    page = text(configure(settled, person, ("direction-contacts", "in")))
    answer = configure(settled, person, ("direction-contacts", "out"), *agreed(page))
    assert answer.status_code == 200
    assert "Changes in Sandbox CRM no longer come into Fieldstone." in text(answer)
    assert settled.content().installed.direction == "both"


def test_a_stream_that_is_turned_off_says_what_becomes_of_its_records(
    settled: Workspace, person: FlaskClient, owner: Owner
) -> None:
    owner.execute("UPDATE installation_streams SET enabled = true WHERE stream = 'companies'")
    base = [("direction-contacts", "both"), ("direction-companies", "both"), ("conflict-companies", "ask")]
    page = text(configure(settled, person, *base))
    assert "Companies are no longer synced. 0 linked records stay as they are on both sides" in page.replace(
        "</span>", ""
    )
    assert configure(settled, person, *base, *agreed(page)).status_code == 303
    assert not settled.content("companies").installed.enabled
    assert entries(owner) == [["Companies: off"]]


def test_deletes_that_reach_the_other_side_are_named(settled: Workspace, person: FlaskClient, owner: Owner) -> None:
    owner.execute("UPDATE installation_streams SET delete_policy = 'ignore'")
    page = text(configure(settled, person, ("direction-contacts", "both")))
    assert "A record that is deleted on one side is deleted on the other from now on." in page


def test_what_gives_nothing_up_is_saved_at_once_and_told_to_the_audit_log(
    settled: Workspace, person: FlaskClient, owner: Owner
) -> None:
    answer = configure(settled, person, ("direction-contacts", "both"))
    assert answer.status_code == 303
    assert entries(owner) == []
    owner.execute("UPDATE installations SET name = 'Old name'")
    owner.execute("UPDATE schedules SET kind = 'interval', minutes = 15")
    configure(settled, person, ("direction-contacts", "both"))
    assert entries(owner) == [["name: Old name → CRM", "schedule: every 15 minutes → by hand"]]


def test_the_old_address_leads_to_the_tab(settled: Workspace, person: FlaskClient) -> None:
    old = person.get(f"/installations/{settled.installation_id}/setup/configure")
    assert old.status_code == 303
    page = text(person.get(old.headers["location"]))
    assert re.search(r'<a href="[^"]+/settings" aria-current="page">Settings</a>', page)


def test_two_installations_of_one_connector_have_names_of_their_own(settled: Workspace, person: FlaskClient) -> None:
    person.post("/integrations/sandbox/install")
    page = text(person.get("/?q=sandbox"))
    assert "2 installed" in page
    listing = text(person.get("/integrations/sandbox"))
    assert ">CRM</a>" in listing
    assert ">Sandbox CRM</a>" in listing
