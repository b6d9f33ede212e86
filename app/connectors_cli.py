"""`flask connectors`: make a new one, check it, try it against a live account, record fixtures.

Without a database: `flask --app app.connectors_cli connectors ...`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup

from app.config import load_settings
from app.extensions import ROOT, settings
from connectors import registry
from connectors.sdk import (
    Connector,
    ConnectorError,
    Exchange,
    HttpClient,
    Issue,
    ManifestError,
    load_manifest,
    parts,
    scaffold,
    trial,
)
from connectors.sdk import checks as manifest_checks
from connectors.sdk.recording import redact

commands = AppGroup("connectors", help="Connectors: make, check, try and record.")
_SHOWN = 3


def create_app() -> Flask:
    """Return an application with these commands alone: they need no database. `FLASK_APP=app.connectors_cli`."""
    made = Flask("connectors")
    made.extensions["settings"] = load_settings()
    made.cli.add_command(commands)
    return made


@commands.command("new")
@click.argument("slug")
@click.option("--name", required=True, help="What people call the product.")
@click.option("--host", default=None, help="The API's host name, as api.example.com.")
@click.option("--self-hosted", is_flag=True, help="Its address is asked of the customer.")
@click.option("--auth", type=click.Choice(scaffold.AUTHS), default="bearer", show_default=True)
@click.option("--stream", default="contacts", show_default=True, help="The first kind of record.")
@click.option("--root", type=click.Path(path_type=Path), default=ROOT, hidden=True)
def new(slug: str, name: str, host: str | None, self_hosted: bool, auth: str, stream: str, root: Path) -> None:
    """Write the files of a connector SLUG, with tests that pass, and add it to the registry."""
    if bool(host) == self_hosted:
        raise click.UsageError("Give either --host or --self-hosted.")
    made = scaffold.files(scaffold.Plan(slug, name, host, auth, stream))
    home = root / "connectors" / slug
    if home.exists():
        raise click.ClickException(f"connectors/{slug} is there already.")
    try:
        load_manifest(made[f"connectors/{slug}/manifest.yaml"], source="manifest.yaml")
    except ManifestError as error:
        raise click.ClickException("These names do not fit: " + "; ".join(map(str, error.issues))) from None
    for path, content in made.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
        click.echo(f"  {path}")
    file = root / "connectors" / "registry.py"
    file.write_text(scaffold.with_slug(file.read_text(), slug))
    click.echo(
        f"Next: change the manifest, then flask connectors check {slug} and run {slug}. See connectors/README.md."
    )


@commands.command("check")
@click.argument("slug")
@click.option("--ids", is_flag=True, help="List what is checked.")
def check(slug: str, ids: bool) -> None:
    """Say everything that is wrong with a connector, by SLUG or the path of its folder: id, line, path, what, fix."""
    if ids:
        for name, about in {**manifest_checks.ids(), **parts.ids()}.items():
            click.echo(f"{name:<18} {about}")
        return
    home = _home(slug)
    found = _manifest_issues(home) + parts.issues(home)
    for issue in found:
        line = f"{home.name}/manifest.yaml:{issue.line} " if issue.line else ""
        click.echo(
            f"{issue.id:<18} {line}{issue.path or '-'}: {issue.message}"
            + (f"\n    Fix: {issue.fix}" if issue.fix else "")
        )
    if found:
        raise click.exceptions.Exit(1)
    click.echo(f"{home.name}: nothing is wrong.")


def _home(slug: str) -> Path:
    home = Path(slug) if "/" in slug else registry.ROOT / slug
    if not (home / "manifest.yaml").is_file():
        raise click.ClickException(f"{home} holds no manifest.yaml. Make one: flask connectors new {home.name} --help")
    return home


def _manifest_issues(home: Path) -> list[Issue]:
    try:
        load_manifest((home / "manifest.yaml").read_bytes(), source="manifest.yaml")
    except ManifestError as error:
        return error.issues
    return []


def _account(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name a connector, its settings and its secrets."""
    for option in (
        click.option("--stream", default=None, help="Only this one."),
        click.option(
            "--secret", "secrets", multiple=True, help="NAME=VALUE or NAME=@FILE, which keeps it off the screen."
        ),
        click.option("--set", "values", multiple=True, help="NAME=VALUE of a config field."),
        click.argument("slug"),
    ):
        command = option(command)
    return command


@commands.command("run")
@_account
def run(slug: str, values: tuple[str, ...], secrets: tuple[str, ...], stream: str | None) -> None:
    """Check a live account and read one page of each stream; nothing is written there. Secrets are not shown."""
    tried = _trial(slug, values, secrets, stream)
    try:
        account = tried.account()
        click.echo(f"account {account.id}: {account.name}")
        for one in tried.streams():
            for page in tried.read(one):
                click.echo(
                    f"{one.name}: {len(page.records)} records, {len(page.deleted)} deleted, last page: {page.last}"
                )
                for record in page.records[:_SHOWN]:
                    click.echo(f"  {record.id} {redact(record.data, _secrets(secrets).values())}")
                for rejected in page.rejected[:_SHOWN]:
                    click.echo(f"  refused: {rejected.reason}")
    except ConnectorError as error:
        raise _said(error) from None


@commands.command("record")
@_account
@click.option("--pages", default=2, show_default=True, help="Pages of a full pass.")
@click.option("--keep", default=3, show_default=True, help="Records of each page.")
@click.option("--verified", default="", help="How: left out, live and the date.")
@click.option(
    "--into", type=click.Path(path_type=Path), default=None, help="Folder; left out, the connector's fixtures."
)
def record(
    slug: str, values: tuple[str, ...], secrets: tuple[str, ...], stream: str | None, pages: int, keep: int,
    verified: str, into: Path | None,
) -> None:  # fmt: skip
    """Write fixtures from a live account: check, full passes, changes, single records. Look through them before you keep them."""
    tried = _trial(slug, values, secrets, stream, quiet=True)
    tried.pages = pages
    http = trial.recorder(tried.connector, tried.session.settings, _secrets(secrets), tried.session.http, verified)
    tried.session = replace(tried.session, http=http)
    folder = into or _home(slug) / "fixtures"
    try:
        trial.record(tried, http, folder, keep, click.echo)
    except ConnectorError as error:
        raise _said(error) from None
    click.echo(f"Written to {folder}. Names and texts of people are not recognised: look through the files.")


def _trial(
    slug: str, values: tuple[str, ...], secrets: tuple[str, ...], stream: str | None, *, quiet: bool = False
) -> trial.Trial:
    home = _home(slug)
    issues = _manifest_issues(home)
    if issues:
        raise click.ClickException(f"The manifest is wrong; see flask connectors check {slug}: {issues[0]}")
    hooks = registry.get(home.name).hooks if home == registry.ROOT / home.name and home.name in registry.SLUGS else None
    connector = Connector(load_manifest((home / "manifest.yaml").read_bytes()), hooks)
    if stream and stream not in [one.name for one in connector.manifest.streams]:
        raise click.ClickException(f"There is no stream {stream}.")
    chosen: dict[str, Any] = {f.name: f.default for f in connector.manifest.config if f.default is not None}
    chosen |= _pairs(values)
    hidden = _secrets(secrets)
    lacking = trial.missing(connector, chosen, hidden)
    if lacking:
        kinds = {f.name: "--secret" if f.kind == "secret" else "--set" for f in connector.manifest.config}
        raise click.ClickException("Missing: " + ", ".join(f"{kinds[name]} {name}=…" for name in lacking))
    http = HttpClient(
        connector.hosts(chosen), allow=settings().egress_allow, on_exchange=None if quiet else _show
    )  # fmt: skip
    try:
        return trial.Trial(connector, trial.open_session(connector, chosen, hidden, http), only=stream)
    except ConnectorError as error:
        raise _said(error) from None


def _show(exchange: Exchange) -> None:
    click.echo(f"{exchange.method} {exchange.url} -> {exchange.status or exchange.error} in {exchange.ms:.0f} ms")


def _said(error: ConnectorError) -> click.ClickException:
    return click.ClickException(f"{error.message}\n{error.code}: {error.user_message} {error.fix}")


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    wrong = [text for text in texts if "=" not in text]
    if wrong:
        raise click.UsageError("Write NAME=VALUE.")
    return dict(text.split("=", 1) for text in texts)


def _secrets(texts: tuple[str, ...]) -> dict[str, str]:
    return {
        name: Path(value[1:]).read_text().strip() if value.startswith("@") else value
        for name, value in _pairs(texts).items()
    }
