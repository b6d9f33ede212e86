"""What triggers write is what the registry says; everything that changes a row is told, whatever statement does it."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.event_types import CHOICES, RECORD_TYPES, TEST, TYPES, wants
from tests.jobs.conftest import site  # noqa: F401  # a fixture
from tests.jobs.sites import Site, status

Owner = psycopg.Connection[Any]
JSON = {"string": str, "object": dict, "array": list, "boolean": bool}


def fits(kind: str, data: dict[str, Any]) -> None:
    """Fail unless `data` is what the registry says of the type."""
    fields = TYPES[kind].data
    assert data.keys() == fields.keys(), kind
    for name, field in fields.items():
        if data[name] is None:
            assert field.type.endswith("?"), f"{kind}.{name}"
        else:
            assert isinstance(data[name], JSON[field.type.removesuffix("?")]), f"{kind}.{name}"


@pytest.mark.parametrize("name", TYPES)
def test_each_example_is_what_its_type_says(name: str) -> None:
    fits(name, TYPES[name].example)
    assert name.split(".")[1].endswith(("ed",)), "a noun and what has happened to it"


def test_every_operation_of_the_journal_has_a_type() -> None:
    assert set(RECORD_TYPES.values()) <= set(TYPES)
    assert TEST not in CHOICES
    assert not wants([], [], [], TEST, {})


def said(owner: Owner) -> list[str]:
    for kind, data in owner.execute("SELECT type, data FROM events").fetchall():
        fits(kind, data)
    return [row[0] for row in owner.execute("SELECT type FROM events ORDER BY id").fetchall()]


def test_the_life_of_an_installation(site: Site, owner: Owner) -> None:  # noqa: F811
    from app.services import installations

    site.turn()
    assert said(owner) == ["installation.created", "installation.activated", "run.started", "run.finished"]
    site.act(lambda tenant, installation: installations.pause(tenant, installation))
    site.act(lambda tenant, installation: installations.resume(tenant, installation, user_id=uuid.uuid4()))
    site.vendor.answer = status(401)
    site.turn()
    said_now = said(owner)[4:]
    assert said_now[:3] == ["installation.paused", "installation.resumed", "run.started"]
    assert set(said_now[3:]) == {"run.failed", "installation.blocked", "problem.opened"}
    site.act(lambda tenant, installation: installations.remove(tenant, installation, delete_records=False))
    assert set(said(owner)[len(said_now) + 4 :]) == {"installation.removed", "problem.closed"}


def changed(owner: Owner) -> list[list[str]]:
    rows = owner.execute(
        "SELECT data -> 'changed' FROM events WHERE type = 'installation.changed' ORDER BY id"
    ).fetchall()
    said(owner)
    return [row[0] for row in rows]


def test_changed_settings_are_told_by_name(site: Site, owner: Owner) -> None:  # noqa: F811
    from app.services import installations

    site.turn()
    assert changed(owner) == [], "setting up is no change"
    site.act(lambda tenant, installation: installations.rename(tenant, installation, "CRM of the north"))
    owner.execute("UPDATE schedules SET minutes = 60")
    owner.execute(
        "UPDATE installation_streams SET direction = 'both', conflict_policy = 'ask' WHERE stream = 'contacts'"
    )
    owner.execute("UPDATE installation_streams SET mapping_version = mapping_version + 1 WHERE stream = 'contacts'")
    # Within a millisecond the ids of events have no order.
    assert sorted(changed(owner)) == [
        ["contacts.direction", "contacts.conflict_policy"], ["contacts.mapping"], ["name"], ["schedule"],
    ]  # fmt: skip
    # What is written anew as it was, and what a run keeps in the same rows, is none.
    owner.execute("UPDATE installation_streams SET direction = direction, since = 'x', full_pass_due = false")
    owner.execute("UPDATE schedules SET minutes = minutes, next_due_at = now()")
    owner.execute("UPDATE installations SET name = name, last_success_at = now()")
    assert len(changed(owner)) == 4


def test_what_a_policy_has_decided_is_told_where_somebody_listens(site: Site, owner: Owner) -> None:  # noqa: F811
    tenant_id, installation_id = site.tenants[0]

    def decide() -> None:
        owner.execute(
            "INSERT INTO conflicts (tenant_id, id, installation_id, stream, external_id, kind, theirs, state, resolution) "
            "VALUES (%s, %s, %s, 's', 'a', 'fields', '{\"city\": 1}', 'settled', 'policy')",
            (tenant_id, uuid.uuid4(), installation_id),
        )

    owner.execute("DELETE FROM events")
    decide()
    assert said(owner) == []
    owner.execute(
        "INSERT INTO subscriptions (tenant_id, id, name, url) VALUES (%s, gen_random_uuid(), 'n', 'https://x.test')",
        (tenant_id,),
    )
    decide()
    assert said(owner) == ["conflict.settled"]
    assert owner.execute("SELECT data ->> 'resolution' FROM events").fetchone() == ("policy",)


def test_conflicts(site: Site, owner: Owner) -> None:  # noqa: F811
    tenant_id, installation_id = site.tenants[0]
    place = (tenant_id, uuid.uuid4(), installation_id)
    columns = "tenant_id, id, installation_id, stream, external_id, kind, theirs"
    owner.execute("DELETE FROM events")
    owner.execute(
        f"INSERT INTO conflicts ({columns}) VALUES (%s, %s, %s, 's', 'a', 'fields', '{{\"city\": 1}}')", place
    )
    owner.execute(
        f"INSERT INTO conflicts ({columns}, state, resolution) VALUES (%s, %s, %s, 's', 'b', 'fields', '{{}}', "
        "'settled', 'policy')",
        (tenant_id, uuid.uuid4(), installation_id),
    )
    owner.execute("UPDATE conflicts SET read_at = now()")
    assert said(owner) == ["conflict.opened"]
    owner.execute("UPDATE conflicts SET state = 'settled', resolution = 'theirs' WHERE state = 'open'")
    assert said(owner) == ["conflict.opened", "conflict.settled"]


def test_what_is_rolled_back_was_never_told(site: Site, owner: Owner, apps: dict[str, Flask]) -> None:  # noqa: F811
    from app.services import installations

    owner.execute("DELETE FROM events")

    def fail(tenant: uuid.UUID, installation: uuid.UUID) -> None:
        installations.pause(tenant, installation)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        site.act(fail)
    assert said(owner) == []
