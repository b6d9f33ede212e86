"""The application: `create_app()` reads as a list."""

from importlib import import_module

from flask import Flask

import app.models  # noqa: F401  # Mappers must be complete before the first query.
from app import cli, extensions, log
from app.config import Process, Settings, load_settings
from app.crypto import KeyRing
from app.db import db, guard_pool

# Blueprints of the web process, one module a noun; each module has `blueprint`.
VIEWS: tuple[str, ...] = (
    "app.views.auth",
    "app.views.health",
    "app.views.home",
    "app.views.members",
    "app.views.integration_requests",
    "app.views.profile",
    "app.views.tenant_data",
    "app.views.host_tenants",
    "app.views.audit",
    "app.views.catalog",
    "app.views.installations",
    "app.views.activity",
    "app.views.installation_settings",
    "app.views.exports",
    "app.views.removals",
    "app.views.webhooks",
    "app.views.wizard",
    "app.views.dry_runs",
    "app.views.mappings",
    "app.views.mapping_samples",
    "app.views.mapping_versions",
    "app.views.drift",
    "app.views.oauth",
    "app.views.runs",
    "app.views.records",
    "app.views.failed_records",
    "app.views.record_edits",
    "app.views.diagnoses",
    "app.views.problems",
    "app.views.conflicts",
    "app.views.object_types",
    "app.views.oauth_clients",
    "app.views.fleet",
    "app.views.destinations",
    "app.views.subscriptions",
    "app.views.host_subscriptions",
    "app.views.api_keys",
    "app.views.api_docs",
    "app.views.connect",
)
# Nouns of the API; each module has `noun`.
NOUNS: tuple[str, ...] = (
    "app.api.key",
    "app.api.tenants",
    "app.api.object_types",
    "app.api.records",
    "app.api.changes",
    "app.api.catalog",
    "app.api.installations",
    "app.api.mappings",
    "app.api.runs",
    "app.api.conflicts",
    "app.api.problems",
    "app.api.connect_sessions",
    "app.api.endpoints",
    "app.api.subscriptions",
    "app.api.audit",
)
# Shown in the development profile only.
DEVELOPMENT_VIEWS: tuple[str, ...] = ("app.views.mailbox", "app.views.styleguide")


def create_app(process: Process = "web", settings: Settings | None = None) -> Flask:
    """Make the application for one kind of process; SettingsError says what is missing or wrong."""
    settings = settings or load_settings()
    log.configure(settings, process)
    flask_app = Flask("patchbay", root_path=str(extensions.ROOT), template_folder="templates", static_folder=None)
    flask_app.config.update(extensions.flask_config(settings, process))
    flask_app.extensions["settings"] = settings
    flask_app.extensions["keys"] = KeyRing(
        settings.keys_dir, settings.token_key_file if process in ("worker", "owner") else None
    )
    db.init_app(flask_app)
    with flask_app.app_context():
        guard_pool(db.engine)
    extensions.migrate.init_app(flask_app, db, directory=str(extensions.ROOT / "migrations"))
    cli.register(flask_app)
    if process == "web":
        extensions.init_web(flask_app, settings)
        for name in VIEWS + (DEVELOPMENT_VIEWS if settings.development else ()):
            flask_app.register_blueprint(import_module(name).blueprint)
        for name in NOUNS:
            flask_app.register_blueprint(import_module(name).noun.blueprint)
    return flask_app
