"""Two sides on a real Kinto, and somebody who asks why a record is not in sync."""

import uuid
from typing import Any

import requests

from app.db import db
from app.models.installations import Mapping
from app.services import diagnoses, mappings
from app.services.diagnoses import Case
from app.sync.diagnosis_facts import Step
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.counterparts.kinto import PASSWORD, USER, Kinto
from tests.counterparts.test_two_way_on_kinto import Sides


class Asked(Sides):
    """Two sides, and somebody who asks."""

    def ask(self, text: str) -> list[Case]:
        """Return what is found of a pasted text."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id):
            return diagnoses.find(self.tenant_id, text, host="Fieldstone", installation_id=self.installation_id)

    def stop(self, text: str) -> Step:
        """Return the step that decides about the only case."""
        (case,) = self.ask(text)
        return case.diagnosis.decisive

    def outcome(self, text: str) -> tuple[str, str | None]:
        """Return outcome and kind of act of the only case."""
        stop = self.stop(text)
        return stop.outcome, stop.act.kind if stop.act else None

    def look(self, text: str) -> tuple[str, str | None]:
        """Have the other side asked, and return the outcome then."""
        (case,) = self.ask(text)
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            assert diagnoses.look(self.tenant_id, case, text)
        assert self.outcome(text)[0] in ("looking", case.diagnosis.outcome)
        self.drain("fast")
        return self.outcome(text)

    def act(self, what: Any, *values: Any, **more: Any) -> Any:
        """Call a service in a transaction of the web process."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            return what(self.tenant_id, *values, **more)

    def set_stream(self, **values: Any) -> None:
        """Change how contacts flow, without telling anybody."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            stream = mappings.get_stream(self.tenant_id, self.installation_id, "contacts")
            for name, value in values.items():
                setattr(stream, name, value)

    def filter(self, *filters: dict[str, Any]) -> None:
        """Put filters in force."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            for stored in db.session.scalars(db.select(Mapping).where(Mapping.stream == "contacts")):
                stored.filters = list(filters)

    def failed(self) -> uuid.UUID:
        """Return the id of the only failed record."""
        rows = self.owner.execute("SELECT id FROM failed_records WHERE state <> 'resolved'").fetchall()
        assert len(rows) == 1
        return uuid.UUID(str(rows[0][0]))


def limit_phone(kinto: Kinto) -> None:
    """Let Kinto refuse contacts whose phone is longer than 20 characters."""
    schema = {"type": "object", "properties": {"phone": {"type": ["string", "null"], "maxLength": 20}}}
    answer = requests.patch(
        f"{kinto.origin}/v1/buckets/crm/collections/contacts", json={"data": {"schema": schema}}, auth=(USER, PASSWORD),
        timeout=5,
    )  # fmt: skip
    answer.raise_for_status()
