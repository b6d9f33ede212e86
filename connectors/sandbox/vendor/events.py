"""Sandbox CRM's webhooks: subscriptions that end after a while unless they are renewed, and events signed as Standard Webhooks says (standardwebhooks.com)."""

import base64
import hashlib
import hmac
import json
import queue
import re
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from flask import Blueprint, Response, current_app, g, jsonify, request

from connectors.sandbox.vendor import api
from connectors.sandbox.vendor.api import error, store
from connectors.sandbox.vendor.store import Store, stamp

blueprint = Blueprint("events", __name__, url_prefix="/api/webhooks")
blueprint.before_request(api.check)
_SECRET = re.compile(r"whsec_(?:[A-Za-z0-9+/]{4}){8,}")
# Seconds before each try; after the last one the event is given up.
PAUSES = (0.0, 1.0, 5.0, 30.0)


class Sender:
    """Sends every change to every subscription, in their order, from a thread of its own."""

    def __init__(self, store: Store, pauses: tuple[float, ...] = PAUSES) -> None:
        self.pauses = pauses
        self._store = store
        self._waiting: queue.Queue[tuple[dict[str, Any], dict[str, Any]]] = queue.Queue()
        self._started = threading.Lock()

    def announce(self, kind: str, action: str, record: dict[str, Any]) -> None:
        """Queue an event for each subscription."""
        event = {
            "id": f"evt_{secrets.token_hex(8)}", "type": action, "object": kind, "record_id": record["id"],
            "occurred_at": record["updated_at"], "record": None if action == "deleted" else record,
        }  # fmt: skip
        for subscription in self._store.all_of("subscription").values():
            self._waiting.put((subscription, {**event, "account": subscription["account"]}))
            if self._started.acquire(blocking=False):
                threading.Thread(target=self._work, daemon=True).start()

    def wait(self) -> None:
        """Wait until everything queued has been sent or given up."""
        self._waiting.join()

    def _work(self) -> None:
        while True:
            subscription, event = self._waiting.get()
            try:
                self._send(subscription, event)
            finally:
                self._waiting.task_done()

    def _send(self, subscription: dict[str, Any], event: dict[str, Any]) -> None:
        body = json.dumps(event).encode()
        for pause in self.pauses:
            time.sleep(pause)
            if not _lasts(self._store.get("subscription", subscription["id"])):
                return
            headers = {"content-type": "application/json", **signed(subscription["secret"], event["id"], body)}
            try:
                answer = requests.post(
                    subscription["url"], data=body, headers=headers, timeout=10, allow_redirects=False
                )
            except requests.RequestException as trouble:
                self._log(event, type(trouble).__name__)
                continue
            self._log(event, str(answer.status_code))
            if answer.status_code == 410:
                self._store.forget("subscription", subscription["id"])
            if answer.status_code < 300 or answer.status_code == 410:
                return

    def _log(self, event: dict[str, Any], outcome: str) -> None:
        self._store.put("attempt", event["id"], [*(self._store.get("attempt", event["id"]) or []), outcome])


def signed(secret: str, event_id: str, body: bytes) -> dict[str, str]:
    """Return the headers that sign a body."""
    stamp = str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{event_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": event_id, "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }  # fmt: skip


@blueprint.get("")
def index() -> Response:
    found = [_shown(s) for s in store().all_of("subscription").values() if s["account"] == g.account and _lasts(s)]
    return jsonify(results=found)


@blueprint.post("")
def create() -> Any:
    sent = request.get_json(silent=True)
    data: dict[str, Any] = sent if isinstance(sent, dict) else {}
    url, secret = str(data.get("url") or ""), str(data.get("secret") or "")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        return error(422, "invalid", "url must be an http or https address.")
    # One may bring a secret of one's own.
    if secret and not _SECRET.fullmatch(secret):
        return error(422, "invalid", "secret must be whsec_ and base64 of 24 bytes or more.")
    secret = secret or "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    made = {
        "id": f"sub_{secrets.token_hex(6)}", "url": url, "account": g.account, "expires_at": _end(), "secret": secret,
    }  # fmt: skip
    store().put("subscription", made["id"], made)
    # The secret is told once.
    return jsonify({**_shown(made), "secret": secret}), 201


@blueprint.get("/<subscription_id>")
def show(subscription_id: str) -> Any:
    known = _find(subscription_id)
    return jsonify(_shown(known)) if known else _unknown()


@blueprint.patch("/<subscription_id>")
def renew(subscription_id: str) -> Any:
    known = _find(subscription_id)
    if known is None:
        return _unknown()
    renewed = {**known, "expires_at": _end()}
    store().put("subscription", subscription_id, renewed)
    return jsonify(_shown(renewed))


@blueprint.delete("/<subscription_id>")
def delete(subscription_id: str) -> Any:
    if _find(subscription_id) is None:
        return _unknown()
    store().forget("subscription", subscription_id)
    return "", 204


def _find(subscription_id: str) -> dict[str, Any] | None:
    known: dict[str, Any] | None = store().get("subscription", subscription_id)
    return known if known is not None and known["account"] == g.account and _lasts(known) else None


def _unknown() -> Any:
    return error(404, "not_found", "There is no such subscription.")


def _end() -> str:
    return stamp(datetime.now(UTC) + timedelta(seconds=current_app.config["SUBSCRIPTION"]))


def _lasts(subscription: dict[str, Any] | None) -> bool:
    """Whether it is there and has not ended; one of an older store has no end."""
    return subscription is not None and subscription.get("expires_at", "9999") > stamp(datetime.now(UTC))


def _shown(subscription: dict[str, Any]) -> dict[str, Any]:
    return {name: subscription.get(name) for name in ("id", "url", "account", "expires_at")}
