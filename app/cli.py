"""The command line: `flask keys new`, `flask accounts ..`, `flask demo seed` and others."""

from pathlib import Path

import click
from flask import Flask
from flask.cli import AppGroup

from app.crypto import generate_keys

keys = AppGroup("keys", help="Keys that seal credentials and sign tokens.")


@keys.command("new")
@click.argument("directory", type=click.Path(path_type=Path))
def keys_new(directory: Path) -> None:
    """Write secret_key, token.* and hook.* into DIRECTORY; files that exist are kept."""
    generate_keys(directory)
    click.echo(f"Keys are in {directory}. Give token.key to workers only.")


def register(flask_app: Flask) -> None:
    """Add the commands to the application."""
    flask_app.cli.add_command(keys)
