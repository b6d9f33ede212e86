"""Members: a tenant always has an owner, and only owners make or unmake one."""

from typing import Any

import psycopg
import pytest
from flask import Flask

from app.errors import ConflictError, InvalidError, NotFoundError
from app.services import accounts
from tests.factories.people import People
from tests.factories.tasks import together

Owner = psycopg.Connection[Any]


@pytest.fixture
def people(apps: dict[str, Flask], clean: None) -> People:
    return People(apps)


def test_the_last_owner_can_neither_leave_nor_step_down(people: People, owner: Owner) -> None:
    tenant_id, _ = people.sign_up("ada@example.com")
    row = owner.execute("SELECT id FROM memberships").fetchone()
    assert row is not None
    people.join(tenant_id, "bob@example.com", "admin")
    for act in (
        lambda: accounts.remove_member(tenant_id, row[0], by="owner"),
        lambda: accounts.change_role(tenant_id, row[0], "admin", by="owner"),
    ):
        with pytest.raises(ConflictError) as refused:
            people.act(tenant_id, None, act)
        assert refused.value.code == "last_owner"
    other, _ = people.join(tenant_id, "eve@example.com", "owner")
    people.act(tenant_id, None, lambda: accounts.remove_member(tenant_id, row[0], by="owner"))
    roles = owner.execute("SELECT id, role FROM memberships WHERE role = 'owner'").fetchall()
    assert roles == [(other, "owner")]


def test_owners_who_step_down_at_the_same_moment_leave_one(people: People, owner: Owner) -> None:
    tenant_id, _ = people.sign_up("ada@example.com")
    for number in range(3):
        people.join(tenant_id, f"{number}@example.com", "owner")
    members = [row[0] for row in owner.execute("SELECT id FROM memberships").fetchall()]

    def step_down(number: int) -> str:
        try:
            if number % 2:
                people.act(tenant_id, None, lambda: accounts.remove_member(tenant_id, members[number], by="owner"))
            else:
                people.act(
                    tenant_id, None, lambda: accounts.change_role(tenant_id, members[number], "member", by="owner")
                )
        except ConflictError as error:
            return error.code
        return "left"

    assert sorted(together(4, step_down)) == ["last_owner", "left", "left", "left"]
    assert owner.execute("SELECT count(*) FROM memberships WHERE role = 'owner'").fetchone() == (1,)


def test_admins_neither_make_nor_unmake_owners_and_see_only_their_tenant(people: People, owner: Owner) -> None:
    tenant_id, _ = people.sign_up("ada@example.com")
    foreign, _ = people.sign_up("zoe@example.com")
    first, _ = people.join(tenant_id, "eve@example.com", "owner")
    second, _ = people.join(tenant_id, "bob@example.com", "member")
    refused = [
        (InvalidError, tenant_id, lambda: accounts.change_role(tenant_id, first, "member", by="admin")),
        (InvalidError, tenant_id, lambda: accounts.change_role(tenant_id, second, "owner", by="admin")),
        (InvalidError, tenant_id, lambda: accounts.remove_member(tenant_id, first, by="admin")),
        (NotFoundError, foreign, lambda: accounts.remove_member(foreign, second, by="owner")),
        (NotFoundError, foreign, lambda: accounts.remove_member(tenant_id, second, by="owner")),
    ]
    for error, bound, act in refused:
        with pytest.raises(error):
            people.act(bound, None, act)
    people.act(tenant_id, None, lambda: accounts.change_role(tenant_id, second, "admin", by="admin"))
    people.act(tenant_id, None, lambda: accounts.remove_member(tenant_id, second, by="admin"))
    row = owner.execute(
        "SELECT count(*) FROM audit WHERE action IN ('member.role_changed', 'member.removed')"
    ).fetchone()
    assert row == (2,)
