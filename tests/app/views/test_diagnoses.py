"""The pages of a diagnosis and of a trace: whose records they show, what they ask of whom, and what they never show."""

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import accounts, installations, record_edits, sessions
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.tenants import connect_kinto, make_tenant

Owner = psycopg.Connection[Any]


class Site:
    """A tenant with an active installation of Kinto, whose contacts flow both ways, and a contact that is linked."""

    def __init__(self, apps: dict[str, Flask], owner: Owner, name: str) -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id = make_tenant(apps, name)
        with apps["web"].app_context():
            self.installation_id = connect_kinto(self.tenant_id, "http://127.0.0.1:1", "password")
        owner.execute(
            "UPDATE connections SET state = 'ready', account_id = id::text, account_name = 'A', tested_at = now() "
            "WHERE tenant_id = %s", (self.tenant_id,),
        )  # fmt: skip
        with apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            installations.activate(self.tenant_id, self.installation_id, user_id=uuid.uuid4())
        owner.execute(
            "UPDATE installation_streams SET direction = 'both', last_complete_at = now() WHERE tenant_id = %s",
            (self.tenant_id,),
        )
        self.record_id = self.create(email=f"{name.lower()}@example.test", city="London", birthday="1990-05-17")
        self.link(self.record_id, "contact-1")

    def create(self, **values: Any) -> uuid.UUID:
        """Return a contact of the host that nobody has planned to send."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            made = record_edits.create(self.tenant_id, "contact", values, writer="Host").id
        self.owner.execute("DELETE FROM intents WHERE tenant_id = %s", (self.tenant_id,))
        return made

    def link(self, record_id: uuid.UUID, external_id: str, **base: Any) -> None:
        """Link a contact as it is."""
        self.owner.execute(
            "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
            "mapping_version) SELECT tenant_id, gen_random_uuid(), %s, 'contacts', %s, id, data, '', 1 FROM records "
            "WHERE id = %s", (self.installation_id, external_id, record_id),
        )  # fmt: skip

    def browser(self, role: str = "admin") -> FlaskClient:
        """Return the browser of somebody with this role."""
        app = self.apps["owner"]
        with app.app_context(), bind_tenant(self.tenant_id), transaction():
            user = accounts.make_user(f"{uuid.uuid4().hex}@example.com", role.capitalize(), "a long password")
            accounts.add_member(self.tenant_id, user.id, role)
            cookie = sessions.start_session(user.id, self.tenant_id, app.extensions["settings"], ip="", user_agent="")
        made = self.apps["web"].test_client()
        made.set_cookie("patchbay", cookie)
        return made

    def why(self, text: str, browser: FlaskClient | None = None) -> str:
        """Return the page of a pasted text."""
        address = f"/installations/{self.installation_id}/why"
        answer = (browser or self.browser()).get(address, query_string={"q": text})
        assert answer.status_code == 200
        return answer.get_data(as_text=True)

    def count(self, query: str) -> int:
        """Return the first value of a query."""
        row = self.owner.execute(query).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return int(row[0])


@pytest.fixture
def ours(apps: dict[str, Flask], clean: None, owner: Owner) -> Iterator[Site]:
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    yield Site(apps, owner, "Ours")
    apps["web"].config["WTF_CSRF_ENABLED"] = True


@pytest.fixture
def theirs(ours: Site, apps: dict[str, Flask], owner: Owner) -> Site:
    return Site(apps, owner, "Theirs")


def test_a_linked_record_is_found_and_its_path_drawn(ours: Site) -> None:
    page = ours.why("ours@example.test")
    assert "Both sides agree." in page
    assert page.count('class="jk"') + page.count('class="jk "') >= 9
    assert f"/records/{ours.record_id}" in page
    assert "hx-trigger" not in page.split('id="diagnosis"')[1], "nothing is awaited"


def test_a_cable_is_cut_only_where_something_is_broken(ours: Site) -> None:
    """What waits hangs loose; a refusal and a conflict cut it."""
    place = "SELECT tenant_id, gen_random_uuid(), installation_id, stream, "
    ours.owner.execute(
        f"INSERT INTO intents (tenant_id, id, installation_id, stream, record_id) {place} record_id FROM links"
    )
    assert "cab-bad" not in ours.why("contact-1")
    assert "cab-off" in ours.why("contact-1")
    ours.owner.execute(
        "INSERT INTO failed_records (tenant_id, id, installation_id, stream, external_id, record_id, direction, code, "
        f"message) {place} external_id, record_id, 'out', 'invalid', 'It is refused.' FROM links"
    )
    page = ours.why("contact-1")
    assert page.count("cab-bad") == 4, "cable and cross, in both drawings"
    assert '<text class="bad" x="900.0" y="64" text-anchor="middle">Written</text>' in page


def test_nothing_of_another_tenant_is_found_by_any_of_its_ids(ours: Site, theirs: Site) -> None:
    browser = ours.browser()
    for text in (str(theirs.record_id), "theirs@example.test", f"record:{theirs.record_id}"):
        for address in (f"/installations/{ours.installation_id}/why", "/records/why"):
            page = browser.get(address, query_string={"q": text}).get_data(as_text=True)
            assert "Both sides agree" not in page
            assert "London" not in page
    for address in (f"/records/{theirs.record_id}", f"/records/{theirs.record_id}/fields/city"):
        assert browser.get(address).status_code == 404
    assert browser.get(f"/installations/{theirs.installation_id}/why?q=contact-1").status_code == 404


def test_forms_with_another_tenants_ids_do_nothing(ours: Site, theirs: Site) -> None:
    browser, before = ours.browser(), ours.count("SELECT count(*) FROM tasks")
    why, record = f"/installations/{ours.installation_id}/why", f"/records/{ours.record_id}"
    link = ours.owner.execute("SELECT id FROM links WHERE tenant_id = %s", (theirs.tenant_id,)).fetchone()
    assert link is not None
    for address, form in (
        (f"{why}/send", {"stream": "contacts", "record_id": str(theirs.record_id)}),
        (f"/installations/{theirs.installation_id}/why/send", {"stream": "contacts", "record_id": str(ours.record_id)}),
        (f"/installations/{theirs.installation_id}/why/read", {"stream": "contacts", "external_id": "contact-1"}),
        (f"/installations/{theirs.installation_id}/why/look", {"q": "contact-1"}),
        (f"{why}/read", {"stream": "strange", "external_id": "contact-1"}),
        (f"{record}/look", {"side": str(link[0])}), (f"{record}/read", {"side": str(link[0])}),
        (f"{record}/read", {"side": f"{theirs.installation_id}:contacts"}),
        (f"/records/{theirs.record_id}/delete", {}), (f"/records/{theirs.record_id}/restore", {}),
        (f"/records/{theirs.record_id}/fields/city", {"value": "Oslo"}), (f"{record}/fields/strange", {"value": "Oslo"}),
    ):  # fmt: skip
        assert browser.post(address, data=form).status_code == 404, address
    assert ours.count("SELECT count(*) FROM tasks") == before
    assert ours.count("SELECT count(*) FROM records WHERE deleted_at IS NOT NULL") == 0


def test_what_is_pasted_is_never_html(ours: Site) -> None:
    for text in ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "https://e.test/<b>7</b>"):
        page = ours.why(text)
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "<b>7" not in page


def test_an_id_that_nobody_knows_is_asked_for_once_and_not_without_end(ours: Site) -> None:
    browser = ours.browser()
    page = ours.why("contact-77", browser)
    assert "Kinto is being asked for it." in page
    assert 'hx-trigger="every 1s"' in page
    ours.why("contact-77", browser)
    assert ours.count("SELECT count(*) FROM previews WHERE kind = 'diagnosis'") == 1
    for number in range(10):
        page = ours.why(f"contact-{100 + number}", browser)
    assert ours.count("SELECT count(*) FROM previews WHERE kind = 'diagnosis'") == 5
    assert "Nothing in Fieldstone has “contact-109”" in page
    assert "Ask Kinto" in page
    ours.why("somebody@example.test", browser)
    assert ours.count("SELECT count(*) FROM previews WHERE kind = 'diagnosis'") == 5, "not by an address"


def test_a_member_sees_the_button_of_admins_and_cannot_press_it(ours: Site) -> None:
    ours.owner.execute("UPDATE installations SET state = 'paused'")
    page = ours.why("ours@example.test", ours.browser("member"))
    assert "Resume Kinto</button>" in page
    assert 'title="Only admins may do this. Ask one of them."' in page
    assert f"/installations/{ours.installation_id}/resume" not in page
    assert f"/installations/{ours.installation_id}/resume" in ours.why("ours@example.test")
    trace = ours.browser("member").get(f"/records/{ours.record_id}").get_data(as_text=True)
    assert "/fields/city" not in trace
    assert "Delete it" not in trace


def test_a_sensitive_value_is_on_no_page(ours: Site) -> None:
    ours.owner.execute('UPDATE links SET base = base || \'{"birthday": "1991-01-01"}\'')
    browser = ours.browser()
    for address in (
        f"/records/{ours.record_id}", f"/records/{ours.record_id}/fields/birthday",
        f"/installations/{ours.installation_id}/why?q=contact-1",
    ):  # fmt: skip
        page = browser.get(address).get_data(as_text=True)
        assert "1990-05-17" not in page, address
        assert "1991-01-01" not in page, address
        assert "Birthday" in page


def test_a_value_is_changed_only_over_the_one_that_was_seen(ours: Site) -> None:
    browser, address = ours.browser(), f"/records/{ours.record_id}/fields/city"
    page = browser.get(address).get_data(as_text=True)
    assert "Kinto, contact-1: it is written within seconds." in page
    seen = record_edits.seen_of("London")
    assert f'value="{seen}"' in page
    assert browser.post(address, data={"value": "Oslo", "seen": seen}).status_code == 303
    answer = browser.post(address, data={"value": "Rome", "seen": seen})
    assert answer.status_code == 409
    assert "City has changed since this page was shown" in answer.get_data(as_text=True)
    assert 'value="Rome"' in answer.get_data(as_text=True), "what was typed stays"
    assert ours.count("SELECT count(*) FROM records WHERE data->>'city' = 'Oslo'") == 1
    assert ours.count("SELECT count(*) FROM intents WHERE state = 'planned' AND cause = 'Admin'") == 1
    assert (
        ours.count("SELECT count(*) FROM audit WHERE action = 'record.edited' AND details::text NOT LIKE '%Oslo%'") == 1
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("email", "nobody", "E-mail: the value is not an e-mail address."),
        ("score", "many", "Score: the value is not a number."),
        ("stage", "king", "Not a valid choice"),
    ],
)
def test_a_value_that_does_not_fit_is_said_at_its_field(ours: Site, name: str, value: str, message: str) -> None:
    row = ours.owner.execute("SELECT data->>%s FROM records WHERE id = %s", (name, ours.record_id)).fetchone()
    seen = record_edits.seen_of(row[0] if row else None)
    answer = ours.browser().post(f"/records/{ours.record_id}/fields/{name}", data={"value": value, "seen": seen})
    assert answer.status_code == 422
    assert message in answer.get_data(as_text=True)
    assert 'aria-invalid="true"' in answer.get_data(as_text=True)


def test_a_hidden_value_left_empty_stays_and_is_taken_away_only_by_saying_so(ours: Site) -> None:
    browser, address = ours.browser(), f"/records/{ours.record_id}/fields/birthday"
    seen = record_edits.seen_of("1990-05-17")
    assert browser.post(address, data={"value": "", "seen": seen}).status_code == 303
    assert ours.count("SELECT count(*) FROM records WHERE data->>'birthday' = '1990-05-17'") == 1
    assert browser.post(address, data={"value": "", "seen": seen, "clear": "1"}).status_code == 303
    assert ours.count("SELECT count(*) FROM records WHERE data->>'birthday' IS NULL") == 1


def test_a_delete_and_a_restore_are_passed_on_and_audited(ours: Site) -> None:
    browser, address = ours.browser(), f"/records/{ours.record_id}"
    assert "Kinto, contact-1: it is deleted within seconds." in browser.get(address).get_data(as_text=True)
    assert browser.post(f"{address}/delete").status_code == 303
    assert browser.post(f"{address}/restore").status_code == 303
    assert browser.post(f"{address}/restore").status_code == 409
    ours.owner.execute("UPDATE links SET deleted_at = now()")
    ours.owner.execute("DELETE FROM intents")
    assert browser.post(f"{address}/delete").status_code == 303
    page = browser.get(address).get_data(as_text=True)
    link = ours.owner.execute("SELECT id FROM links").fetchone()
    assert link is not None
    assert f'name="again" value="{link[0]}" checked' in page
    assert browser.post(f"{address}/restore", data={"again": str(link[0])}).status_code == 303
    assert ours.owner.execute("SELECT state, operation FROM intents").fetchall() == [("planned", "create")]
    assert ours.count("SELECT count(*) FROM audit WHERE action IN ('record.deleted', 'record.restored')") == 4


def test_a_record_that_nobody_planned_is_sent_by_the_button(ours: Site) -> None:
    alone = ours.create(email="alone@example.test")
    browser = ours.browser("member")
    assert "Send it now" in ours.why("alone@example.test", browser)
    form = {"stream": "contacts", "record_id": str(alone), "q": "alone@example.test"}
    answer = browser.post(f"/installations/{ours.installation_id}/why/send", data=form)
    assert answer.headers["location"].endswith("/why?q=alone%40example.test")
    assert "It waits to be sent to Kinto." in ours.why("alone@example.test", browser)
    ours.owner.execute("UPDATE installation_streams SET direction = 'in'")
    assert browser.post(f"/installations/{ours.installation_id}/why/send", data=form).status_code == 409
