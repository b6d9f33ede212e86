"""Sandbox CRM in a thread, and a session at it whose token it has given out itself."""

import threading
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from werkzeug.serving import make_server

from connectors import registry
from connectors.sandbox.vendor.app import create_vendor
from connectors.sandbox.vendor.store import Store
from connectors.sdk import Connector, HttpClient, Pace, Secret, Session

REDIRECT = "http://localhost/oauth/callback/sandbox"
ALLOW = (ip_network("127.0.0.0/8"),)
_VERIFIER = "v" * 64


class Running:
    """The vendor, listening."""

    def __init__(self, **options: Any) -> None:
        self.app = create_vendor(redirect_uris=[REDIRECT], **options)
        self.store: Store = self.app.extensions["store"]
        self.events = self.app.extensions["events"]
        self._server = make_server("127.0.0.1", 0, self.app, threaded=True)
        self.origin = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def code(self, scope: str = "crm.read crm.write", account: str = "acme") -> str:
        """Return the code of a consent."""
        sent = {
            "client_id": "patchbay", "redirect_uri": REDIRECT, "scope": scope, "state": "s", "answer": "allow",
            "account": account, "code_challenge": create_s256_code_challenge(_VERIFIER), "code_challenge_method": "S256",
        }  # fmt: skip
        answer = requests.post(f"{self.origin}/oauth/authorize", data=sent, allow_redirects=False, timeout=5)
        return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]

    def token(self, **form: str) -> requests.Response:
        """Ask the token endpoint."""
        client = {"client_id": "patchbay", "client_secret": "sandbox-secret"}
        return requests.post(f"{self.origin}/oauth/token", data={**client, **form}, timeout=5)

    def exchange(self, code: str) -> dict[str, Any]:
        """Return the tokens for a code."""
        answer = self.token(
            grant_type="authorization_code", code=code, redirect_uri=REDIRECT, code_verifier=_VERIFIER
        )  # fmt: skip
        answer.raise_for_status()
        return dict(answer.json())

    def access(self, scope: str = "crm.read crm.write", account: str = "acme") -> str:
        """Return an access token."""
        return str(self.exchange(self.code(scope, account))["access_token"])

    def session(self, http: HttpClient | None = None, **grant: str) -> tuple[Connector, Session]:
        """Return the connector and a session at this vendor."""
        connector, settings = registry.get("sandbox"), {"server": self.origin}
        token = self.access(**grant)
        client = http or HttpClient(connector.hosts(settings), allow=ALLOW)
        return connector, Session(settings, {"access_token": Secret(token)}, client, Pace(connector.manifest.limits))

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def call(vendor: Running, method: str, path: str, token: str, **more: Any) -> requests.Response:
    """Call the API as somebody with this token."""
    headers = {"authorization": f"Bearer {token}", **more.pop("headers", {})}
    return requests.request(method, vendor.origin + path, headers=headers, timeout=5, **more)
