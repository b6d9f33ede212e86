"""A tenant whose contacts flow both ways, and conflicts about them, made without a vendor."""

import json
import uuid
from typing import Any

import psycopg
from flask import Flask
from flask.testing import FlaskClient

from app.ids import new_id
from app.services import accounts, conflict_decisions, conflicts, installations, record_edits, sessions
from app.services.conflict_decisions import By, Choice
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.tenants import connect_kinto, make_tenant

Owner = psycopg.Connection[Any]
BASE, THEIRS, OURS = "+44 20 7946 0102", "+44 7700 900412", "+44 20 7946 0188"


class Desk:
    """One tenant with one installation; records, links and conflicts as the engine would have left them."""

    def __init__(self, apps: dict[str, Flask], owner: Owner, name: str = "Aldgate Joinery") -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id = make_tenant(apps, name)
        self.by = By(self._user("Maja Lindqvist", "owner"), "Maja Lindqvist")
        self.installation_id = self.install()

    def _user(self, name: str, role: str) -> uuid.UUID:
        with self.apps["owner"].app_context(), bind_tenant(self.tenant_id), transaction():
            user = accounts.make_user(f"{uuid.uuid4().hex[:8]}@example.com", name, "a long password")
            accounts.add_member(self.tenant_id, user.id, role)
            return user.id

    def install(self, name: str = "HubSpot") -> uuid.UUID:
        """Return one more active installation whose contacts flow both ways."""
        with self.apps["web"].app_context():
            made = connect_kinto(self.tenant_id, "http://127.0.0.1:1", "password")
            self.owner.execute(
                "UPDATE connections SET state = 'ready', account_id = id::text, account_name = 'A', tested_at = now()"
            )
            with bind_tenant(self.tenant_id), transaction():
                installations.activate(self.tenant_id, made, user_id=uuid.uuid4())
        self.owner.execute(
            "UPDATE installation_streams SET direction = 'both', conflict_policy = 'ask', last_complete_at = now() "
            "WHERE installation_id = %s",
            (made,),
        )
        self.owner.execute("UPDATE installations SET name = %s WHERE id = %s", (name, made))
        self.owner.execute("UPDATE tasks SET state = 'done' WHERE tenant_id = %s", (self.tenant_id,))
        return made

    def clash(
        self, title: str = "Priya Raman", *, installation: uuid.UUID | None = None, run: uuid.UUID | None = None,
        **fields: tuple[Any, Any, Any],
    ) -> uuid.UUID:  # fmt: skip
        """Return an open conflict of one more record; fields are (last agreed, theirs, ours), phone without any."""
        fields = fields or {"phone": (BASE, THEIRS, OURS)}
        base, theirs, ours = ({name: value[side] for name, value in fields.items()} for side in range(3))
        record_id = self.record(**{"full_name": title, "email": f"{uuid.uuid4().hex[:8]}@example.test", **ours})
        place, external_id = installation or self.installation_id, f"contact-{uuid.uuid4().hex[:8]}"
        self.link(record_id, external_id, base, installation=place)
        return self._insert(
            "fields", place, external_id, record_id=record_id, base=base, ours=ours, theirs=theirs, run=run
        )

    def record(self, **values: Any) -> uuid.UUID:
        """Return one more contact."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            made = record_edits.create(self.tenant_id, "contact", values, writer="Maja Lindqvist").id
        self.owner.execute("DELETE FROM intents WHERE record_id = %s", (made,))
        return made

    def link(
        self, record_id: uuid.UUID, external_id: str, base: dict[str, Any], *, installation: uuid.UUID | None = None,
        deleted: bool = False,
    ) -> None:  # fmt: skip
        """Join a record with an external one."""
        self.owner.execute(
            "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
            "mapping_version, deleted_at) VALUES (%s, %s, %s, 'contacts', %s, %s, %s, 'x', 1, "
            "CASE WHEN %s THEN now() END)",
            (
                self.tenant_id, uuid.uuid4(), installation or self.installation_id, external_id, record_id,
                json.dumps(base), deleted,
            ),
        )  # fmt: skip

    def deleted_there(self) -> tuple[uuid.UUID, uuid.UUID]:
        """Return (conflict, record) of a contact that was edited here and then deleted there."""
        record_id = self.record(full_name="Priya Raman", email="priya@example.test", city="Oslo")
        self.link(record_id, "contact-gone", {"city": "London"}, deleted=True)
        return self._insert(
            "deleted_there", self.installation_id, "contact-gone", record_id=record_id, base={"city": "London"},
            ours={"city": "Oslo"},
        ), record_id  # fmt: skip

    def deleted_here(self) -> tuple[uuid.UUID, uuid.UUID]:
        """Return (conflict, record) of a contact that was deleted here and came back with an edit from there."""
        record_id = self.record(full_name="Priya Raman", email="priya@example.test", city="Bonn")
        self.link(record_id, "contact-back", {"city": "Bonn"})
        return self._insert(
            "deleted_here", self.installation_id, "contact-back", record_id=record_id, ours={"city": "London"},
            theirs={"city": "Bonn"},
        ), record_id  # fmt: skip

    def match(self, count: int = 2) -> tuple[uuid.UUID, list[uuid.UUID]]:
        """Return (conflict, records) of an external contact that fits several of the host's."""
        ids = [self.record(full_name=f"Priya {n}", email="priya@example.test", city=f"City {n}") for n in range(count)]
        theirs = {"email": "priya@example.test", "full_name": "Priya Raman", "city": "Bonn"}
        made = self._insert("match", self.installation_id, "contact-new", theirs=theirs, candidates=map(str, ids))
        return made, ids

    def _insert(
        self, kind: str, installation: uuid.UUID, external_id: str, *, record_id: uuid.UUID | None = None,
        base: Any = None, ours: Any = None, theirs: Any = None, candidates: Any = (), run: uuid.UUID | None = None,
    ) -> uuid.UUID:  # fmt: skip
        row = self.owner.execute(
            "INSERT INTO conflicts (tenant_id, id, installation_id, stream, external_id, kind, key, record_id, base, "
            "ours, theirs, candidates, run_id, created_at) VALUES (%s, %s, %s, 'contacts', %s, %s, 'email', %s, "
            "%s, %s, %s, %s, %s, now() - interval '14 minutes') RETURNING id",
            (
                self.tenant_id, new_id(), installation, external_id, kind, record_id, json.dumps(base or {}),
                json.dumps(ours or {}), json.dumps(theirs or {}), json.dumps(list(candidates)), run,
            ),
        ).fetchone()  # fmt: skip
        assert row is not None
        found: uuid.UUID = row[0]
        return found

    def seen(self, conflict_id: uuid.UUID) -> str:
        """Return the mark that the page of a conflict carries now."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            conflict, record = conflict_decisions.hold(self.tenant_id, conflict_id)
            return conflicts.digest_of(conflict, record)

    def decide(self, conflict_id: uuid.UUID, *, seen: str | None = None, **sides: Any) -> None:
        """Settle a conflict of values; a side that is none is the value to write."""
        mark = seen or self.seen(conflict_id)
        named = ("theirs", "ours", "base")
        choices = {name: Choice(side) if side in named else Choice("edited", side) for name, side in sides.items()}
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            conflict_decisions.decide_fields(self.tenant_id, conflict_id, choices, seen=mark, by=self.by)

    def row(self, conflict_id: uuid.UUID, *columns: str) -> tuple[Any, ...]:
        """Return columns of a conflict."""
        row = self.owner.execute(
            f"SELECT {', '.join(columns)} FROM conflicts WHERE id = %s",  # type: ignore[arg-type]  # columns named by tests
            (conflict_id,),
        ).fetchone()
        assert row is not None
        return tuple(row)

    def all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return [tuple(row) for row in self.owner.execute(query, values).fetchall()]  # type: ignore[arg-type]  # as above

    def browser(self, role: str = "owner") -> FlaskClient:
        """Return a browser in which somebody of this role is signed in."""
        user_id = self._user(role.capitalize(), role)
        app = self.apps["owner"]
        with app.app_context(), bind_tenant(self.tenant_id), transaction():
            cookie = sessions.start_session(
                user_id, self.tenant_id, app.extensions["settings"], ip="127.0.0.1", user_agent="test"
            )
        client = self.apps["web"].test_client()
        client.set_cookie("patchbay", cookie)
        return client
