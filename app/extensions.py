"""Flask extensions and their settings."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, current_app
from flask_limiter import Limiter
from flask_migrate import Migrate
from flask_wtf import CSRFProtect
from htmx_flask import Htmx

from app import devices
from app.config import Process, Settings
from app.crypto import KeyRing
from app.direct import Direct
from app.queue import Bell

ROOT = Path(__file__).resolve().parent.parent
migrate = Migrate()
csrf = CSRFProtect()
htmx = Htmx()
limiter = Limiter(devices.address, headers_enabled=False)


def settings() -> Settings:
    """Return the settings of the running application."""
    found: Settings = current_app.extensions["settings"]
    return found


def keys() -> KeyRing:
    """Return the keys this process was given."""
    found: KeyRing = current_app.extensions["keys"]
    return found


def direct() -> Direct:
    """Return the connections of the path that takes webhooks in."""
    found: Direct = current_app.extensions["direct"]
    return found


def bell() -> Bell:
    """Return the bell of this process."""
    found: Bell = current_app.extensions["bell"]
    return found


def flask_config(settings: Settings, process: Process) -> dict[str, Any]:
    """Return Flask's own configuration for one kind of process."""
    redis = settings.redis_url.get_secret_value()
    return {
        "SQLALCHEMY_DATABASE_URI": settings.postgres_url(process),
        "SQLALCHEMY_ENGINE_OPTIONS": {
            # A worker lives for seconds and records a lost connection as a failed try; the ping would cost each page.
            "pool_pre_ping": process != "worker",
            # A statement in a log must not show what was in it.
            "hide_parameters": True,
            "pool_recycle": 1800,
            "pool_timeout": 5,
            "pool_size": 8,
            "connect_args": {"application_name": f"patchbay-{process}", "connect_timeout": 5},
        },
        # Any other Host header is refused; the machine's own names are for health checks.
        "TRUSTED_HOSTS": [urlsplit(settings.base_url).hostname, "localhost", "127.0.0.1"],
        "MAX_CONTENT_LENGTH": 1024 * 1024,
        "MAX_FORM_MEMORY_SIZE": 256 * 1024,
        "MAX_FORM_PARTS": 1000,
        # Flask's own cookie carries the CSRF secret and messages for the next page, nothing else.
        "SESSION_COOKIE_NAME": "__Host-patchbay-form" if settings.secure else "patchbay-form",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings.secure,
        # A wizard may stay open for longer than an hour; the token is bound to the cookie above.
        "WTF_CSRF_TIME_LIMIT": None,
        "RATELIMIT_STORAGE_URI": redis.replace("unix://", "redis+unix://", 1),
        "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED": True,
        "RATELIMIT_KEY_PREFIX": "patchbay",
    }


def init_web(flask_app: Flask, settings: Settings) -> None:
    """Add what only the web process has: signing key, CSRF, throttling, sessions, headers, error pages."""
    from app import assets, filters, web
    from app.views import errors, hooks

    flask_app.config["SECRET_KEY"] = settings.secret_key()
    flask_app.extensions["direct"] = Direct(settings.postgres_url("web"))
    flask_app.extensions["bell"] = Bell(settings.redis_url.get_secret_value())
    htmx.init_app(flask_app)
    csrf.init_app(flask_app)
    limiter.init_app(flask_app)
    web.register(flask_app, settings)
    assets.register(flask_app)
    filters.register(flask_app)
    errors.register(flask_app)
    hooks.register(flask_app)
