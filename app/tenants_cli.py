"""The command line for one tenant: take all of its data along, have it erased, check its writes and the report that is left."""

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import orjson
from flask.cli import AppGroup

from app.errors import AppError
from app.services import api_keys, erasures, exports, installation_list, missed_writes, tenants
from app.services.audit import Actor, current_actor
from app.services.page_context import Out
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction

commands = AppGroup("tenants", help="All data of one tenant. SLUG is the host's own id of it, or its id here.")
_ACTOR = Actor(None, "Command line")


@contextmanager
def _bound(slug: str) -> Iterator[tuple[uuid.UUID, str]]:
    """Yield (id, name) of the tenant with it bound; ClickException when there is none, or of what it may not do."""
    known = api_keys.find_tenant(slug)
    if known is None:
        try:
            known = uuid.UUID(slug)
        except ValueError:
            raise click.ClickException(
                f"There is no tenant {slug!r}: give the host's own id of it, or its id."
            ) from None
    mark = current_actor.set(_ACTOR)
    try:
        with bind_tenant(known):
            with transaction():
                found = tenants.find(known)
            if found is None or known == PLATFORM_TENANT:
                raise click.ClickException(f"There is no tenant {slug!r}.")
            yield known, found.name
    except AppError as error:
        raise click.ClickException(error.message) from error
    finally:
        current_actor.reset(mark)


@commands.command("export")
@click.argument("slug")
@click.option("--to", "file", type=click.Path(path_type=Path, dir_okay=False), help="Where to write; SLUG.zip without.")
def export(slug: str, file: Path | None) -> None:
    """Write everything of a tenant into a ZIP file, without any secret."""
    with _bound(slug) as (tenant_id, name):
        target = file or Path(f"{slug}.zip")
        with transaction():
            made = exports.request(tenant_id, queue=False)
        export_id, more = made.id, True
        while more:
            with transaction():
                more = exports.work(tenant_id, export_id)
        with transaction():
            ready = exports.open_ready(tenant_id, None, export_id)
        with target.open("wb") as out:
            for number in range(ready.parts):
                with transaction():
                    content = exports.read_part(tenant_id, export_id, number)
                out.write(content)
        target.chmod(0o600)
        with transaction():
            exports.remove(tenant_id, None, export_id)
        click.echo(f"{ready.done:,} rows of {name} are in {target}.")


@commands.command("erase")
@click.argument("slug")
@click.option("--name", help="The tenant's name, typed; asked for without.")
@click.option("--at-once", is_flag=True, help="Without the days in which it can be taken back.")
def erase(slug: str, name: str | None, at_once: bool) -> None:
    """Have a worker give back the tenant's access at vendors and delete everything of it."""
    with _bound(slug) as (tenant_id, known):
        typed = name if name is not None else click.prompt(f"Type {known} to have everything of it erased")
        with transaction():
            made = erasures.request(tenant_id, typed=typed, email=None, at_once=at_once)
        when = "now" if at_once else f"at {made.erase_at:%Y-%m-%d %H:%M} UTC; `flask tenants keep {slug}` takes it back"
        click.echo(f"A worker erases {known} {when}. The report is {made.id}.")


@commands.command("keep")
@click.argument("slug")
def keep(slug: str) -> None:
    """Take the erasure of a tenant back, as long as it has not begun."""
    with _bound(slug) as (tenant_id, name):
        with transaction():
            erasures.undo(tenant_id)
        click.echo(f"{name} is kept.")


@commands.command("check-writes")
@click.argument("slug")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 3650), help="How far back.")
def check_writes(slug: str, days: int) -> None:
    """Look whether each installation has handled each change, and have what was missed written."""
    with _bound(slug) as (tenant_id, name):
        after: uuid.UUID | None = missed_writes.begin(days)
        looked, missed = 0, Counter[Out]()
        while after is not None and missed.total() < missed_writes.MOST:
            with transaction():
                found = missed_writes.look(tenant_id, after)
            after, looked = found.after, looked + found.looked
            missed.update(found.missed)
        with transaction():
            names = installation_list.by_id(tenant_id, {out.installation_id for out in missed})
        for out, count in missed.items():
            click.echo(f"{names[out.installation_id].name}, {out.stream}: {count:,} missed, planned now.")
        click.echo(f"{looked:,} changes of {name} looked at, {missed.total():,} missed.")
        if after is not None:
            click.echo("More were missed than one check plans. Find out why, then check again.")


@commands.command("report")
@click.argument("erasure", type=click.UUID)
def report(erasure: uuid.UUID) -> None:
    """Print the signed report of an erasure that is done."""
    with bind_tenant(PLATFORM_TENANT), transaction():
        try:
            found = erasures.get_report(erasure)
        except AppError as error:
            raise click.ClickException(error.message) from error
    click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))


@commands.command("verify")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def verify(file: Path) -> None:
    """Say whether this deployment has signed the report in FILE and nobody has changed it since."""
    if not erasures.is_genuine(orjson.loads(file.read_bytes())):
        raise click.ClickException("This deployment has not signed this report, or it was changed.")
    click.echo("Genuine: signed by this deployment, and unchanged.")
