"""Sandbox CRM as a WSGI application of its own."""

from collections.abc import Collection
from pathlib import Path

from flask import Flask

from connectors.sandbox.vendor import api, events, oauth, pages, writes
from connectors.sandbox.vendor.store import Store


def create_vendor(
    file: Path | None = None, *, seed: int = 7, redirect_uris: Collection[str] = (), lifetime: int = 3600,
    client: tuple[str, str] = ("patchbay", "sandbox-secret"), largest_page: int = 100, subscription: int = 30 * 86_400,
) -> Flask:  # fmt: skip
    """Return the vendor; without a file its records live as long as it does."""
    vendor = Flask("sandbox", root_path=str(Path(__file__).parent), static_folder="static")
    vendor.config.update(
        REDIRECT_URIS=frozenset(redirect_uris),
        LIFETIME=lifetime,
        CLIENT=client,
        LARGEST_PAGE=largest_page,
        SUBSCRIPTION=subscription,
    )
    vendor.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    store = vendor.extensions["store"] = Store(file, seed)
    vendor.extensions["events"] = sender = events.Sender(store)
    store.on_change = sender.announce
    for module in (oauth, api, events, writes, pages):
        vendor.register_blueprint(module.blueprint)
    return vendor
