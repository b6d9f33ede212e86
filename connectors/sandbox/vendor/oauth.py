"""Sandbox CRM's authorisation server: PKCE, rotating refresh tokens, and a grant that dies when an old one is used."""

import base64
import hashlib
import secrets
import time
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, jsonify, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from connectors.sandbox.vendor.store import Store

blueprint = Blueprint("oauth", __name__, url_prefix="/oauth")
ACCOUNTS = {"acme": "Acme Tools Ltd", "globex": "Globex GmbH"}
SCOPES = {"crm.read": "Read contacts, companies and deals", "crm.write": "Change contacts, companies and deals"}


def _store() -> Store:
    found: Store = current_app.extensions["store"]
    return found


def _refuse(error: str, status: int = 400) -> tuple[Response, int]:
    return jsonify(error=error), status


@blueprint.route("/authorize", methods=["GET", "POST"])
def authorize() -> Any:
    sent = request.values
    client = current_app.config["CLIENT"]
    redirect_uri = sent.get("redirect_uri", "")
    if sent.get("client_id") != client[0] or redirect_uri not in current_app.config["REDIRECT_URIS"]:
        return render_template("sandbox/message.html", text="This application or its return address is not known."), 400
    if sent.get("code_challenge_method") != "S256" or not sent.get("code_challenge"):
        return _back(redirect_uri, error="invalid_request", state=sent.get("state", ""))
    scopes = [name for name in sent.get("scope", "").split() if name in SCOPES]
    if request.method == "GET":
        return render_template("sandbox/consent.html", scopes=scopes, SCOPES=SCOPES, accounts=ACCOUNTS, sent=sent)
    if sent.get("answer") != "allow" or sent.get("account") not in ACCOUNTS:
        return _back(redirect_uri, error="access_denied", state=sent.get("state", ""))
    code = secrets.token_urlsafe(24)
    _store().put(
        "code", code,
        {"challenge": sent["code_challenge"], "redirect_uri": redirect_uri, "scope": " ".join(scopes),
         "account": sent["account"], "ends": time.time() + 60},
    )  # fmt: skip
    return _back(redirect_uri, code=code, state=sent.get("state", ""))


def _back(redirect_uri: str, **params: str) -> BaseResponse:
    return redirect(f"{redirect_uri}?{urlencode({**params, 'iss': request.host_url.rstrip('/')})}", 303)


def _client_fits() -> bool:
    sent = request.authorization
    pair = (
        (sent.username, sent.password) if sent else (request.form.get("client_id"), request.form.get("client_secret"))
    )
    return bool(pair == current_app.config["CLIENT"])


@blueprint.post("/token")
def token() -> Any:
    store, form = _store(), request.form
    store.put("count", "token_calls", (store.get("count", "token_calls") or 0) + 1)
    if not _client_fits():
        return _refuse("invalid_client", 401)
    if form.get("grant_type") == "authorization_code":
        code = store.take("code", form.get("code", ""))
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            not code
            or code["ends"] < time.time()
            or code["redirect_uri"] != form.get("redirect_uri")
            or code["challenge"] != base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()
        ):
            return _refuse("invalid_grant")
        return _issue(store, secrets.token_hex(8), code["account"], code["scope"])
    if form.get("grant_type") == "refresh_token":
        return _refresh(store, form.get("refresh_token", ""))
    return _refuse("unsupported_grant_type")


def _refresh(store: Store, value: str) -> Any:
    found = store.get("refresh", value)
    if not found or store.get("revoked", found["grant"]):
        return _refuse("invalid_grant")
    if found["used"]:
        # Somebody has an old token: whoever it is, the whole grant ends (RFC 9700, section 4.14).
        store.put("revoked", found["grant"], True)
        return _refuse("invalid_grant")
    store.put("refresh", value, {**found, "used": True})
    return _issue(store, found["grant"], found["account"], found["scope"])


def _issue(store: Store, grant: str, account: str, scope: str) -> Response:
    lifetime = current_app.config["LIFETIME"]
    access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    about = {"grant": grant, "account": account, "scope": scope}
    store.put("access", access, {**about, "ends": time.time() + lifetime, "epoch": store.get("fault", "epoch") or 0})
    store.put("refresh", refresh, {**about, "used": False})
    return jsonify(
        access_token=access, refresh_token=refresh, expires_in=lifetime, scope=scope, token_type="Bearer",
        account_id=account,
    )  # fmt: skip


@blueprint.post("/revoke")
def revoke() -> Any:
    if not _client_fits():
        return _refuse("invalid_client", 401)
    value = request.form.get("token", "")
    found = _store().get("refresh", value) or _store().get("access", value)
    if found:
        _store().put("revoked", found["grant"], True)
    return "", 200
