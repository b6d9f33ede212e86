"""An export of an installation: made part by part by workers, fetched whole, without secrets, gone after its time."""

import csv
import io
import json
import uuid
import zipfile
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.db import db
from app.errors import NotFoundError
from app.models.exports import Export, ExportPart
from app.services import export_files, exports, retention, tenant_tables
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.factories.tenants import connect_kinto, make_tenant
from tests.house.test_privileges import client_of, sign_in

Owner = psycopg.Connection[Any]
SECRET = "a-very-secret-password"  # looked for in what is exported


class Site:
    """An installation with 25 contacts, a company, a run, a problem, a conflict and a record that failed."""

    def __init__(self, apps: dict[str, Flask], owner: Owner) -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id = make_tenant(apps)
        with apps["web"].app_context():
            self.mine = connect_kinto(self.tenant_id, "http://127.0.0.1:1", SECRET)
            self.other = connect_kinto(self.tenant_id, "http://127.0.0.1:2", SECRET)
        owner.execute("DELETE FROM tasks")
        owner.execute("UPDATE installations SET state = 'active'")
        for number in range(25):
            self.record("contacts", "contact", f"c{number:02}", {"email": f"p{number}@example.test", "city": "=1+1"})
        self.record("contacts", "contact", "foreign", {"email": "not-mine@example.test"}, of=self.other)
        self.record("companies", "company", "k1", {"name": "Zoë & Söhne, “Ltd”"})
        values = {"t": self.tenant_id, "i": self.mine, "r": uuid.uuid4()}
        for statement in (
            "INSERT INTO runs (tenant_id, id, installation_id, listing_version_id, trigger, state, error_message) SELECT "
            "tenant_id, %(r)s, id, listing_version_id, 'manual', 'failed', 'It is down.' FROM installations WHERE id = %(i)s",
            "INSERT INTO run_streams (tenant_id, id, run_id, stream, position, mode, pass_id, mapping_version, read, created) "
            "VALUES (%(t)s, gen_random_uuid(), %(r)s, 'contacts', 0, 'full', gen_random_uuid(), 1, 30, 25)",
            "INSERT INTO problems (tenant_id, id, installation_id, signature, code, message, fix) VALUES (%(t)s, "
            "gen_random_uuid(), %(i)s, 's', 'c', 'The key is refused.', 'Enter it again.')",
            "INSERT INTO conflicts (tenant_id, id, installation_id, stream, external_id, kind, record_id, base, ours, theirs) "
            "VALUES (%(t)s, gen_random_uuid(), %(i)s, 'contacts', 'c00', 'fields', gen_random_uuid(), '{\"city\": \"A\"}', "
            '\'{"city": "B"}\', \'{"city": "C"}\')',
            "INSERT INTO failed_records (tenant_id, id, installation_id, stream, external_id, code, field, message) VALUES "
            "(%(t)s, gen_random_uuid(), %(i)s, 'contacts', 'bad', 'invalid', 'email', 'It is no address.')",
        ):
            owner.execute(statement, values)  # type: ignore[arg-type]

    def record(self, stream: str, kind: str, external_id: str, data: dict[str, Any], *, of: Any = None) -> None:
        made = uuid.uuid4()
        self.owner.execute(
            "INSERT INTO records (tenant_id, id, object_type, data, hash) VALUES (%s, %s, %s, %s, '')",
            (self.tenant_id, made, kind, json.dumps(data)),
        )
        self.owner.execute(
            "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
            "mapping_version) VALUES (%s, gen_random_uuid(), %s, %s, %s, %s, '{}', '', 1)",
            (self.tenant_id, of or self.mine, stream, external_id, made),
        )

    def act(self, what: Any, *values: Any, process: str = "web", **more: Any) -> Any:
        with self.apps[process].app_context(), bind_tenant(self.tenant_id), transaction():
            return what(self.tenant_id, *values, **more)

    def request(self, form: str = "csv") -> uuid.UUID:
        found: uuid.UUID = self.act(exports.request, self.mine, form, user_id=None).id
        return found

    def content(self, export_id: uuid.UUID) -> bytes:
        found = self.act(exports.open_ready, self.mine, export_id)
        parts = [self.act(exports.read_part, export_id, number) for number in range(found.parts)]
        assert sum(map(len, parts)) == found.size
        return b"".join(parts)

    def files(self, form: str) -> dict[str, str]:
        export_id = self.request(form)
        assert drain_module.drain("sync") == 1
        with zipfile.ZipFile(io.BytesIO(self.content(export_id))) as found:
            assert found.testzip() is None
            return {name: found.read(name).decode("utf-8-sig") for name in found.namelist()}


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(export_files, "BATCH", 10)
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    return Site(apps, owner)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_everything_of_one_installation_and_nothing_of_another(site: Site) -> None:
    files = site.files("csv")
    assert set(files) == {
        "README.txt", "settings.json", "mapping.json", "records/contacts.csv", "records/companies.csv", "runs.csv",
        "problems.csv", "failed_records.csv", "conflicts.csv",
    }  # fmt: skip
    contacts = rows(files["records/contacts.csv"])
    assert [row["external_id"] for row in contacts] == [f"c{n:02}" for n in range(25)]
    assert contacts[3]["field email"] == "p3@example.test"
    # A spreadsheet must not calculate what somebody has written into a CRM.
    assert contacts[3]["field city"] == "'=1+1"
    assert rows(files["records/companies.csv"])[0]["field name"] == "Zoë & Söhne, “Ltd”"
    assert [(row["read"], row["created"], row["error_message"]) for row in rows(files["runs.csv"])] == [
        ("30", "25", "It is down.")
    ]
    assert rows(files["problems.csv"])[0]["fix"] == "Enter it again."
    assert json.loads(rows(files["conflicts.csv"])[0]["theirs"]) == {"city": "C"}
    assert rows(files["failed_records.csv"])[0]["message"] == "It is no address."
    settings = json.loads(files["settings.json"])
    assert (settings["name"], settings["settings"]["bucket"]) == ("Kinto", "crm")
    assert [row["version"] for row in json.loads(files["mapping.json"]) if row["stream"] == "contacts"] == [1]
    whole = "".join(files.values())
    assert "not-mine" not in whole
    assert SECRET not in whole


def test_json_is_json_whatever_the_number_of_rows(site: Site) -> None:
    site.owner.execute("DELETE FROM problems")
    files = {name: json.loads(text) for name, text in site.files("json").items() if name.endswith(".json")}
    assert len(files["records/contacts.json"]) == 25
    assert files["records/contacts.json"][24]["fields"] == {"email": "p24@example.test", "city": "=1+1"}
    assert files["problems.json"] == []
    assert files["conflicts.json"][0]["last_agreed"] == {"city": "A"}


def test_sensitive_values_stay_hidden(site: Site) -> None:
    site.owner.execute("UPDATE object_fields SET sensitive = true WHERE object_type = 'contact' AND name = 'city'")
    try:
        files = site.files("csv")
    finally:
        site.owner.execute("UPDATE object_fields SET sensitive = false WHERE object_type = 'contact' AND name = 'city'")
    assert {row["field city"] for row in rows(files["records/contacts.csv"])} == {"hidden"}
    assert json.loads(rows(files["conflicts.csv"])[0]["ours"]) == {"city": "hidden"}


def make_with_broken_parts(site: Site, export_id: uuid.UUID) -> int:
    """Make an export, each part of which another worker has begun and not ended; return how many parts it took."""
    more, steps = True, 0

    def break_off(tenant_id: uuid.UUID) -> None:
        exports.work(tenant_id, export_id)
        raise RuntimeError("killed")

    while more:
        with pytest.raises(RuntimeError):
            site.act(break_off, process="worker")
        more, steps = site.act(exports.work, export_id, process="worker"), steps + 1
    return steps


def test_a_worker_that_ends_anywhere_loses_nothing(site: Site) -> None:
    """Each part is a transaction of its own; between any two another worker may go on, and a part that failed is not there."""
    export_id = site.request()
    assert make_with_broken_parts(site, export_id) > 10
    with zipfile.ZipFile(io.BytesIO(site.content(export_id))) as found:
        assert found.testzip() is None
        assert len(rows(found.read("records/contacts.csv").decode("utf-8-sig"))) == 25
    made = site.act(lambda tenant_id: db.session.get(Export, (tenant_id, export_id)))
    assert (made.done, made.total) == (30, 30)


def test_an_export_of_all_of_a_tenant_goes_on_as_well_and_is_beside_those_of_installations(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_tables, "BATCH", 10)
    export_id, other = site.act(exports.request).id, site.request()
    assert site.act(exports.request).id == export_id, "one at a time"
    assert other != export_id
    make_with_broken_parts(site, export_id)
    made = site.act(exports.open_ready, None, export_id)
    assert made.done == made.total
    parts = [site.act(exports.read_part, export_id, number) for number in range(made.parts)]
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as found:
        assert found.testzip() is None
        assert len(found.read("tables/links.jsonl").splitlines()) == 27
    with pytest.raises(NotFoundError):
        site.act(exports.open_ready, site.mine, export_id)
    assert [row.id for row in site.act(exports.list_exports, site.mine)] == [other]


def test_one_is_made_at_a_time_and_what_was_deleted_is_not_made(site: Site) -> None:
    export_id = site.request()
    assert site.request("json") == export_id
    site.act(exports.remove, site.mine, export_id)
    assert drain_module.drain("sync") == 1
    assert site.owner.execute("SELECT count(*) FROM export_parts").fetchone() == (0,)


def test_an_export_ends_with_its_time(site: Site) -> None:
    export_id = site.request()
    drain_module.drain("sync")
    site.owner.execute("UPDATE exports SET expires_at = now() - interval '1 s'")
    with pytest.raises(NotFoundError, match="Make a new one"):
        site.act(exports.open_ready, site.mine, export_id)
    site.act(retention.prune_tenant, process="worker")
    assert site.owner.execute("SELECT count(*) FROM export_parts").fetchone() == (0,)


def test_one_that_cannot_be_made_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    export_id = site.request()
    site.owner.execute("UPDATE tasks SET max_attempts = 1")
    monkeypatch.setattr(export_files, "count", lambda *_: 1 / 0)
    drain_module.drain("sync")
    made = site.act(lambda tenant_id: db.session.get(Export, (tenant_id, export_id)))
    assert made.state == "failed"
    assert "Make a new one" in made.error
    assert site.request() != export_id


def test_it_is_fetched_by_admins_of_the_tenant_alone_and_that_is_written_down(site: Site) -> None:
    export_id = site.request()
    drain_module.drain("sync")
    path = f"/installations/{site.mine}/export/{export_id}/file"
    admin = client_of(site.apps, sign_in(site.apps, "admin", site.tenant_id))
    answer = admin.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith('attachment; filename="kinto-')
    assert int(answer.headers["content-length"]) == len(answer.data)
    assert zipfile.ZipFile(io.BytesIO(answer.data)).testzip() is None
    # Another installation of the same tenant has not made it.
    assert admin.get(path.replace(str(site.mine), str(site.other))).status_code == 404
    member = client_of(site.apps, sign_in(site.apps, "member", site.tenant_id))
    assert member.get(path).status_code == 403
    stranger = client_of(site.apps, sign_in(site.apps, "owner", make_tenant(site.apps, "Other")))
    assert stranger.get(path).status_code == 404
    acts = site.owner.execute(
        "SELECT action, installation_id FROM audit WHERE action LIKE 'export.%' ORDER BY id"
    ).fetchall()
    assert acts == [("export.requested", site.mine), ("export.fetched", site.mine)]


def test_another_tenant_sees_neither_export_nor_part(site: Site) -> None:
    export_id = site.request()
    drain_module.drain("sync")
    other = make_tenant(site.apps, "Other")
    for process in ("web", "worker"):
        with site.apps[process].app_context(), bind_tenant(other), transaction():
            assert db.session.query(Export).count() == 0
            assert db.session.query(ExportPart).count() == 0
            with pytest.raises(NotFoundError):
                exports.read_part(site.tenant_id, export_id, 0)
