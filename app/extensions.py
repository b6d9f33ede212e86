"""Flask extensions and their settings."""

from pathlib import Path
from typing import Any

from flask import Flask, current_app
from flask_migrate import Migrate

from app.config import Process, Settings
from app.crypto import KeyRing

ROOT = Path(__file__).resolve().parent.parent
migrate = Migrate()


def settings() -> Settings:
    """Return the settings of the running application."""
    found: Settings = current_app.extensions["settings"]
    return found


def keys() -> KeyRing:
    """Return the keys this process was given."""
    found: KeyRing = current_app.extensions["keys"]
    return found


def flask_config(settings: Settings, process: Process) -> dict[str, Any]:
    """Return Flask's own configuration for one kind of process."""
    return {
        "SQLALCHEMY_DATABASE_URI": settings.postgres_url(process),
        "SQLALCHEMY_ENGINE_OPTIONS": {
            "pool_pre_ping": True,
            "pool_recycle": 1800,
            "pool_timeout": 5,
            "pool_size": 8,
            "connect_args": {"application_name": f"patchbay-{process}", "connect_timeout": 5},
        },
        "MAX_CONTENT_LENGTH": 1024 * 1024,
        "MAX_FORM_MEMORY_SIZE": 256 * 1024,
        "MAX_FORM_PARTS": 1000,
    }


def init_web(flask_app: Flask, settings: Settings) -> None:
    """Add what only the web process has: signing key, proxies, security headers, sessions, error pages."""
    flask_app.config["SECRET_KEY"] = settings.secret_key()
