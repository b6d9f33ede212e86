"""Settings from the environment, checked once at start; every wrong value is named with the way to right it."""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator

Process = Literal["web", "worker", "dispatcher", "owner"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(Exception):
    """One or more settings are missing or wrong; the message has a line for each."""


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())


class Settings(BaseModel):
    """All settings. A field `base_url` is read from PATCHBAY_BASE_URL; two have customary names of their own."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    profile: Literal["production", "development", "test"] = Field(
        "production", description="`development` shows demo accounts and the mailbox; never use it on a public address."
    )
    base_url: str = Field(
        "http://localhost:8000", description="The address people use, without a path; links are made from it."
    )
    host_name: str = Field("Fieldstone", description="The name of the host's product, as customers know it.")
    database_url: SecretStr = Field(SecretStr(""), description="PostgreSQL of the owner role; the fallback for all.")
    owner_url: SecretStr = Field(SecretStr(""), description="PostgreSQL as patchbay_owner, for migrations only.")
    web_url: SecretStr = Field(SecretStr(""), description="PostgreSQL as patchbay_web.")
    worker_url: SecretStr = Field(SecretStr(""), description="PostgreSQL as patchbay_worker.")
    dispatcher_url: SecretStr = Field(SecretStr(""), description="PostgreSQL as patchbay_dispatcher.")
    redis_url: SecretStr = Field(SecretStr("redis://localhost:6379/0"), description="Redis or Valkey.")
    secret_key_file: Path | None = Field(None, description="File with the key that signs CSRF tokens.")
    keys_dir: Path | None = Field(None, description="Directory with token.pub, hook.pub and hook.key.")
    token_key_file: Path | None = Field(
        None, description="File with the private key that opens credentials; workers only."
    )
    egress_allow: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = Field(
        (), description="Private networks that connectors may reach, as CIDR separated by commas; none by default."
    )
    signup: Literal["open", "invitation", "host"] = Field(
        "open", description="Who may sign up: anyone, only invited people, or nobody (the host makes the tenants)."
    )
    smtp_url: SecretStr = Field(
        SecretStr(""), description="smtp://user:password@host:587 or smtps://; empty: mail is not sent."
    )
    mail_from: str = Field("Patchbay <patchbay@localhost>", description="Sender of e-mail.")
    mailbox_dir: Path | None = Field(None, description="Development: e-mail is written here and shown at /mailbox.")
    proxy_hops: int = Field(0, ge=0, le=5, description="How many trusted proxies stand in front of the web process.")
    metrics_token: SecretStr = Field(SecretStr(""), description="Bearer token for /metrics; empty: this machine only.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged.")
    log_format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text for people.")
    session_idle_minutes: int = Field(720, ge=5, description="A session ends after this long without a request.")
    session_days: int = Field(14, ge=1, le=90, description="A session ends after this many days in any case.")
    lease_seconds: float = Field(30, gt=0, description="How long a worker may be silent before its task is taken over.")
    tick_seconds: float = Field(1, gt=0, description="How often the dispatcher looks for due work.")
    slice_seconds: float = Field(20, gt=0, description="How long a worker stays with one task before others may go.")
    tenant_cap: int = Field(2, ge=1, description="Tasks of one tenant that may run at once in a lane.")
    send_threads: int = Field(8, ge=1, le=32, description="Tasks that one worker of the lane send works on at once.")
    host_cap: int = Field(4, ge=1, description="Tasks that may call one vendor host at once.")
    dry_run_records: int = Field(
        10_000, ge=100, le=100_000, description="Records of each stream that a dry run reads at most."
    )
    dry_run_seconds: float = Field(
        60, gt=0, le=3600, description="How long a dry run calls the vendor at most, over all streams."
    )
    api_per_minute: int = Field(1200, ge=10, description="Requests to the API that one key may make in a minute.")
    sandbox_url: str = Field("", description="Where the Sandbox CRM runs; empty: it is not offered as a default.")
    erase_grace_days: int = Field(
        7, ge=0, le=90, description="How long the erasure of a customer can be taken back before it begins."
    )
    keep_runs_days: int = Field(90, ge=1, description="Runs are kept this long.")
    keep_changes_days: int = Field(90, ge=1, description="The journal of changes is kept this long.")
    keep_events_days: int = Field(30, ge=1, description="Events, dispatches and their attempts are kept this long.")
    keep_exchanges_days: int = Field(14, ge=1, description="Redacted HTTP exchanges are kept this long.")
    keep_payloads_days: int = Field(14, ge=1, description="Sealed payloads of failed records are kept this long.")
    keep_deliveries_days: int = Field(
        30, ge=30, description="Webhooks that came in are known this long; a vendor may repeat one for days."
    )
    keep_bodies_days: int = Field(14, ge=1, description="The bodies of webhooks are kept this long.")
    keep_tasks_days: int = Field(3, ge=1, description="Finished tasks are kept this long.")
    keep_mail_days: int = Field(14, ge=1, description="Sent e-mail is kept this long.")
    keep_invitations_days: int = Field(30, ge=1, description="Invitations are kept this long after use or expiry.")
    keep_problems_days: int = Field(90, ge=1, description="Closed problems are kept this long.")
    keep_conflicts_days: int = Field(90, ge=1, description="Settled conflicts are kept this long.")
    keep_failed_records_days: int = Field(30, ge=1, description="Resolved failed records are kept this long.")
    keep_exports_hours: int = Field(
        24, ge=1, le=720, description="An export of an installation or of a tenant can be fetched this long."
    )
    keep_sessions_days: int = Field(7, ge=1, description="Ended sessions and one-time links are kept this long.")

    @field_validator("base_url")
    @classmethod
    def _origin_only(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/"):
            raise ValueError("give scheme and host only, as in https://integrations.example.com")
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def secure(self) -> bool:
        """Whether people reach us by https."""
        return self.base_url.startswith("https:")

    @property
    def development(self) -> bool:
        """Whether demo accounts, the mailbox and the style guide may be shown."""
        return self.profile == "development"

    def postgres_url(self, process: Process) -> str:
        """Return the URL that `process` connects with; SettingsError names the setting when there is none."""
        own: SecretStr = getattr(self, f"{process}_url")
        url = own.get_secret_value() or self.database_url.get_secret_value()
        if not url:
            raise SettingsError(f"Set PATCHBAY_{process.upper()}_URL (or DATABASE_URL) to a PostgreSQL URL.")
        return "postgresql+psycopg://" + url.split("://", 1)[1]

    def secret_key(self) -> bytes:
        """Return the key that signs CSRF tokens, from its file."""
        if self.secret_key_file is None:
            raise SettingsError("Set PATCHBAY_SECRET_KEY_FILE to a file with at least 32 random characters.")
        key = self.secret_key_file.read_bytes().strip()
        if len(key) < 32:
            raise SettingsError(
                f"{self.secret_key_file} holds fewer than 32 characters; make it with `flask keys new`."
            )
        return key


_CUSTOMARY = {"database_url": "DATABASE_URL", "redis_url": "REDIS_URL"}


def variable(field: str) -> str:
    """Return the environment variable of a setting."""
    return _CUSTOMARY.get(field, f"PATCHBAY_{field.upper()}")


def load_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read the settings; `overrides` win over the environment. SettingsError has one line for each wrong value."""
    source = os.environ if environ is None else environ
    values: dict[str, object] = {}
    for field in Settings.model_fields:
        if source.get(variable(field)):
            values[field] = source[variable(field)]
    try:
        return Settings.model_validate(values | overrides)
    except ValidationError as error:
        lines = []
        for issue in error.errors(include_url=False, include_input=False):
            name = str(issue["loc"][0])
            about = Settings.model_fields[name].description if name in Settings.model_fields else "unknown setting"
            lines.append(f"{variable(name)}: {issue['msg']}. {about}")
        raise SettingsError("\n".join(lines)) from None


PROCESSES: tuple[str, ...] = get_args(Process)
