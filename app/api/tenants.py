"""Tenants: the host's customers, by the host's own ids."""

import re
import uuid
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.api import gate
from app.api.operations import Noun, Reply
from app.api.paging import Page, PageQuery, cut, unpack
from app.errors import InvalidError, NotFoundError
from app.ids import new_id
from app.models.accounts import Tenant as TenantRow
from app.services import api_keys, tenants
from app.tenancy import bind_tenant
from app.transaction import transaction

noun = Noun("tenants", "Tenants", "Customers of the host, by the host's own ids. For keys of the host.")


class Tenant(BaseModel):
    """A customer of the host."""

    id: uuid.UUID
    external_id: str
    name: str
    zone: str
    created_at: datetime


class TenantBody(BaseModel):
    """What the host says of a customer."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=120)]
    zone: Annotated[str | None, Field(max_length=64, examples=["Europe/Berlin"])] = None


class Tenants(Page[Tenant]):
    """Customers, in the order of their ids."""


def _shown(row: TenantRow | tenants.Customer) -> Tenant:
    return Tenant(
        id=row.id, external_id=row.external_id or "", name=row.name, zone=row.zone, created_at=row.created_at
    )  # fmt: skip


@noun.get("/tenants", scope="admin", query=PageQuery, answer=Tenants, tenant=False, host_only=True)
def list_tenants(query: PageQuery) -> Tenants:
    """List the tenants

    Also those who have signed up by themselves: their `external_id` is empty.
    """
    place = unpack(query.cursor, uuid.UUID)
    found = tenants.list_customers(gate.caller().secret, after=place[0] if place else None, limit=query.limit + 1)
    rows, onward = cut(found, query.limit, lambda row: (str(row.id),))
    return Tenants(data=[_shown(row) for row in rows], next=onward)


@noun.get("/tenants/<external_id>", scope="admin", answer=Tenant, tenant=False, host_only=True)
def show_tenant(external_id: str) -> Tenant:
    """Show a tenant"""
    tenant_id = api_keys.find_tenant(external_id)
    if tenant_id is None:
        raise NotFoundError("There is no tenant with this id.")
    with bind_tenant(tenant_id), transaction():
        found = tenants.find(tenant_id)
    if found is None:
        raise NotFoundError("There is no tenant with this id.")
    return _shown(found)


@noun.put(
    "/tenants/<external_id>", scope="admin", body=TenantBody, answer=Tenant, tenant=False, host_only=True,
    own_transaction=True, also=(201, 409),
)  # fmt: skip
def put_tenant(external_id: str, body: TenantBody) -> Reply:
    """Make a tenant, or change its name and zone

    Sent again it changes nothing. The id is the one your product has for the customer.
    """
    if not re.fullmatch(f"{gate.PLAIN}{{1,{gate.LONGEST_NAME}}}", external_id):
        raise InvalidError("An id of a tenant is sent in a header: use printable ASCII characters without spaces.")
    tenant_id = api_keys.find_tenant(external_id) or new_id()
    with bind_tenant(tenant_id), transaction():
        made, new = tenants.put(tenant_id, external_id, name=body.name.strip() or external_id, zone=body.zone)
        return Reply(_shown(made), 201 if new else 200)
