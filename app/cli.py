"""The command line: keys, accounts, listings and demo data."""

import secrets
import uuid
from pathlib import Path

import click
from flask import Flask
from flask.cli import AppGroup

from app import connectors_cli, tenants_cli
from app.crypto import generate_keys
from app.db import db
from app.errors import NotFoundError
from app.extensions import settings
from app.models.accounts import Tenant
from app.services import accounts, audit, listings, oauth_clients
from app.services.catalog import feature
from app.services.object_types import seed_object_types
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction

keys = AppGroup("keys", help="Keys that seal credentials and sign tokens.")
people = AppGroup("accounts", help="People and tenants.")
catalog = AppGroup("listings", help="The catalog.")
demo = AppGroup("demo", help="Demo data, in the development profile.")
DEMO_PASSWORD = "patchbay-demo"  # noqa: S105  # printed at start, development only
_NAMESPACE = uuid.UUID("5d3f6f5e-2f2c-4d0b-9f0e-6f6a3c1f7a10")


@keys.command("new")
@click.argument("directory", type=click.Path(path_type=Path))
def keys_new(directory: Path) -> None:
    """Write secret_key, token.* and hook.* into DIRECTORY; files that exist are kept."""
    generate_keys(directory)
    click.echo(f"Keys are in {directory}. Give token.key to workers only.")


@people.command("create-operator")
@click.argument("email")
@click.option("--name", default="Operator")
def create_operator(email: str, name: str) -> None:
    """Make an operator, or give the role to an account that exists; prints the password of a new one."""
    password = secrets.token_urlsafe(12)
    with bind_tenant(PLATFORM_TENANT), transaction():
        known = accounts.find_user(email)
        user = known or accounts.make_user(email, name, password, verified=True)
        accounts.add_staff_role(user.id, "operator")
    click.echo(f"{email} is an operator." + ("" if known else f" Password: {password}"))


@people.command("create-tenant")
@click.argument("name")
@click.option("--external-id", default=None, help="The host's own id of this customer.")
@click.option("--owner", "email", required=True, help="E-mail address of the owner.")
def create_tenant(name: str, external_id: str | None, email: str) -> None:
    """Make a tenant with its owner; prints the password of a new owner."""
    tenant_id, password = uuid.uuid4(), secrets.token_urlsafe(12)
    with bind_tenant(tenant_id), transaction():
        known = accounts.find_user(email)
        user = known or accounts.make_user(email, email.split("@")[0], password)
        accounts.make_tenant(tenant_id, name, external_id=external_id)
        accounts.add_member(tenant_id, user.id, "owner")
        audit.write(tenant_id, "tenant.created", "tenant", str(tenant_id), name)
    click.echo(f"{name} is there, owned by {email}." + ("" if known else f" Password: {password}"))


@catalog.command("import")
def listings_import() -> None:
    """Store the first-party connectors and the standard object types; a changed manifest becomes a new version."""
    with transaction():
        seed_object_types()
        added = listings.import_first_party()
    click.echo(f"{added} new versions.")


@catalog.command("feature")
@click.argument("slug")
@click.option("--off", is_flag=True, help="Put it back in its place.")
def listings_feature(slug: str, off: bool) -> None:
    """Show an integration first in the catalog."""
    try:
        with transaction():
            feature(slug, not off)
    except NotFoundError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"{slug} is {'no longer ' if off else ''}featured.")


@demo.command("seed")
def demo_seed() -> None:
    """Make the demo tenants and accounts; what is there stays."""
    if not settings().development:
        raise click.ClickException("Demo data is for the development profile: set PATCHBAY_PROFILE=development.")
    with transaction():
        seed_object_types()
        listings.import_first_party()
        oauth_clients.save_client("sandbox", "patchbay", "sandbox-secret")
    _demo_tenant(
        "Aldgate Joinery",
        [("maja@aldgate.example", "Maja Lindqvist", "owner"), ("ravi@aldgate.example", "Ravi Menon", "admin"),
         ("tom@aldgate.example", "Tom Okafor", "member")],
    )  # fmt: skip
    _demo_tenant("Brightwater", [("lea@brightwater.example", "Lea Brandt", "owner")])
    with bind_tenant(PLATFORM_TENANT), transaction():
        for role in ("operator", "support", "reviewer"):
            email = f"{role}@patchbay.example"
            user = accounts.find_user(email) or accounts.make_user(
                email, {"operator": "Olga Operator", "support": "Sam Support", "reviewer": "Rita Reviewer"}[role],
                DEMO_PASSWORD, verified=True,
            )  # fmt: skip
            accounts.add_staff_role(user.id, role)


def _demo_tenant(name: str, people: list[tuple[str, str, str]]) -> None:
    tenant_id = uuid.uuid5(_NAMESPACE, name)
    with bind_tenant(tenant_id), transaction():
        if db.session.get(Tenant, tenant_id) is None:
            accounts.make_tenant(tenant_id, name, external_id=name.lower().replace(" ", "-"))
        for email, person, role in people:
            user = accounts.find_user(email) or accounts.make_user(email, person, DEMO_PASSWORD, verified=True)
            accounts.add_member(tenant_id, user.id, role)


def register(flask_app: Flask) -> None:
    """Add the commands to the application."""
    for group in (keys, people, catalog, demo, connectors_cli.commands, tenants_cli.commands):
        flask_app.cli.add_command(group)
