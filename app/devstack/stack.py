"""PostgreSQL, Valkey and keys for one data directory: what DATABASE_URL and REDIS_URL do not give is started here."""

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from app.crypto import generate_keys
from app.devstack.postgres import Postgres
from app.devstack.process import StackError
from app.devstack.valkey import Valkey

ROLES = ("web", "worker", "dispatcher")


class Stack:
    """The services that the processes of Patchbay need."""

    def __init__(self, data: Path, environ: Mapping[str, str], *, fast: bool = False) -> None:
        self.data = data.resolve()
        self._environ = environ
        # A path of a unix socket may be 107 bytes at most, so it does not lie in the data directory.
        mark = hashlib.sha256(str(self.data).encode()).hexdigest()[:12]
        self.sockets = Path(tempfile.gettempdir()) / f"patchbay-{os.getuid()}-{mark}"
        ours = not environ.get("DATABASE_URL")
        self.postgres = Postgres(self.data / "postgres", self.sockets, fast=fast) if ours else None
        self.valkey = None if environ.get("REDIS_URL") else Valkey(self.data / "valkey", self.sockets)

    @property
    def keys(self) -> Path:
        """The directory of the keys."""
        return self.data / "keys"

    def start(self) -> None:
        """Start what is ours and make the keys."""
        self.data.mkdir(parents=True, exist_ok=True)
        generate_keys(self.keys)
        if self.postgres:
            self.postgres.start()
            self.postgres.ensure_database("patchbay")
        else:
            _check_database(self._environ["DATABASE_URL"])
        if self.valkey:
            self.valkey.start()

    def stop(self) -> None:
        """Stop what is ours, Valkey first; nothing of it is left outside the data directory."""
        for service in (self.valkey, self.postgres):
            if service:
                service.stop()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def environment(self, *, private_key: bool = False) -> dict[str, str]:
        """Return the settings that name the services, for a child. The private key is for workers only."""
        owner = self._environ.get("DATABASE_URL") or (self.postgres.url() if self.postgres else "")
        found = {"PATCHBAY_OWNER_URL": owner, "PATCHBAY_KEYS_DIR": str(self.keys)}
        found["PATCHBAY_SECRET_KEY_FILE"] = str(self.keys / "secret_key")
        found["REDIS_URL"] = self._environ.get("REDIS_URL") or (self.valkey.url() if self.valkey else "")
        for role in ROLES:
            found[f"PATCHBAY_{role.upper()}_URL"] = self._environ.get(f"PATCHBAY_{role.upper()}_URL") or self._role_url(
                role, owner
            )
        if private_key:
            found["PATCHBAY_TOKEN_KEY_FILE"] = str(self.keys / "token.key")
        return found

    def _role_url(self, role: str, owner: str) -> str:
        if self.postgres:
            return self.postgres.url(user=f"patchbay_{role}")
        parts = urlsplit(owner)
        host = parts.netloc.rsplit("@", 1)[-1]
        password = quote(self._password(role), safe="")
        return urlunsplit(parts._replace(netloc=f"patchbay_{role}:{password}@{host}"))

    def _password(self, role: str) -> str:
        file = self.keys / f"{role}.password"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(24))
        return file.read_text()

    def set_passwords(self) -> None:
        """Give the roles of a PostgreSQL that is not ours the passwords kept beside the keys."""
        if self.postgres:
            return
        with psycopg.connect(self._environ["DATABASE_URL"], autocommit=True) as connection:
            for role in ROLES:
                statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
                connection.execute(
                    statement.format(sql.Identifier(f"patchbay_{role}"), sql.Literal(self._password(role)))
                )


def _check_database(url: str) -> None:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            if connection.info.server_version < 150000:
                raise StackError("DATABASE_URL leads to a PostgreSQL older than 15: give a newer one.")
    except psycopg.OperationalError as error:
        raise StackError(f"DATABASE_URL cannot be used: {str(error).splitlines()[0]}") from None
