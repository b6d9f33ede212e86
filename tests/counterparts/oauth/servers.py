"""Two OAuth servers by others: npm oidc-provider and PyPI django-oauth-toolkit, each behind a door of its own."""

import fcntl
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

from app.devstack.process import spawn, stop
from tests.counterparts.oauth.front import Front
from tests.processes import ROOT, free_port, wait_for

HERE = Path(__file__).parent
REDIRECT = "http://localhost/oauth/callback"


def npm_folder() -> Path:
    """Return the folder with oidc-provider, installed on first use exactly as the lock file names it; skip without."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("node and npm are missing: install Node.js 20 or newer to test against oidc-provider")
    base = ROOT / ".data" / "test-npm"
    base.mkdir(parents=True, exist_ok=True)
    lock = (HERE / "package-lock.json").read_bytes()
    folder = base / f"oauth-{hashlib.sha256(lock).hexdigest()[:12]}"
    with (base / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not folder.exists():
            _install(base, folder)
    return folder


def _install(base: Path, folder: Path) -> None:
    fresh = Path(tempfile.mkdtemp(dir=base))
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, fresh)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(fresh)
        reason = next((line for line in done.stderr.splitlines() if "error" in line), "npm failed")
        pytest.skip(f"oidc-provider could not be installed with npm: {reason[:200]}")
    fresh.rename(folder)


class Provider:
    """An OAuth server with one client, and a person who answers its forms."""

    name: str
    auth: dict[str, Any]
    introspect_path: str
    strict = True
    needs: tuple[str, ...] = ()

    def __init__(self, directory: Path) -> None:
        self.front, self.port = Front(), free_port()
        self.origin = self.front.origin
        self.front.put_before(self.port)
        self.front.owner_of = self.owner_of
        # Characters that a Basic header must not carry as they are (RFC 6749, section 2.3.1).
        self.client_id, self.secret = f"patchbay-{self.name}", "s3cret: 100% + more/and&more="
        self.slug = f"counterpart-{self.name}"
        self.redirect = f"{REDIRECT}/{self.slug}"
        self._directory = directory
        self._log_file = directory / f"{self.name}.log"
        self._log = self._log_file.open("ab")
        self._child: subprocess.Popen[bytes] | None = None

    def _command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> "Provider":
        """Start and wait until it answers."""
        before = self._log_file.stat().st_size
        self._child = spawn(self._command(), output=self._log, cwd=ROOT, env=dict(os.environ))
        wait_for(lambda: b"ready" in self._log_file.read_bytes()[before:] or self._child.poll(), about=self.name)  # type: ignore[union-attr]
        assert self._child.poll() is None, self._log_file.read_text()
        return self

    def kill(self) -> None:
        """Take it away without warning."""
        assert self._child
        self._child.kill()
        self._child.wait()

    def stop(self) -> None:
        """Stop it and its door."""
        if self._child:
            stop(self._child, seconds=2)
        self.front.stop()
        self._log.close()

    def answer(self, address: str, account: str, *, allow: bool = True) -> dict[str, str]:
        """Do what a person does from the address we send them to until the callback; return what it is called with."""
        person = requests.Session()
        person.headers["user-agent"] = "Mozilla/5.0"
        page = person.get(address, allow_redirects=False, timeout=20)
        for _ in range(12):
            while "location" in page.headers:
                to = urljoin(page.url, page.headers["location"])
                if to.startswith(REDIRECT):
                    return {name: values[0] for name, values in parse_qs(urlsplit(to).query).items()}
                page = person.get(to, allow_redirects=False, timeout=20)
            assert page.status_code == 200, f"{page.status_code} {page.url}: {_plain(page.text)}"
            page = self._fill(person, page, account, allow=allow)
        raise AssertionError("no end of forms")

    def _fill(self, person: requests.Session, page: requests.Response, account: str, *, allow: bool) -> Any:
        raise NotImplementedError

    def _post(self, path: str, data: dict[str, str]) -> requests.Response:
        # Straight to the provider, past the door and its counts.
        return requests.post(
            f"http://127.0.0.1:{self.port}{path}", data=data, timeout=20, headers={"host": urlsplit(self.origin).netloc},
            auth=(requests.utils.quote(self.client_id, ""), requests.utils.quote(self.secret, "")),
        )  # fmt: skip

    def owner_of(self, token: str) -> str | None:
        """Ask the provider who a token belongs to, None when it no longer honours it (RFC 7662)."""
        answer = self._post(self.introspect_path, {"token": token})
        assert answer.ok, answer.text
        found = answer.json()
        return str(found.get("sub") or found.get("username")) if found["active"] else None

    def is_active(self, token: str) -> bool:
        """Ask the provider whether it still honours a token."""
        return self.owner_of(token) is not None

    def refreshes(self, token: str) -> int:
        """Return the status that a refresh with this token is answered with."""
        path = urlsplit(self.auth["token_url"].format(origin=self.origin)).path
        return self._post(path, {"grant_type": "refresh_token", "refresh_token": token}).status_code

    def end(self, access_token: str) -> None:
        """End an access token early; the grant lives on."""
        requests.get(f"http://127.0.0.1:{self.port}/end", {"token": access_token}, timeout=20).raise_for_status()

    def revoke(self, token: str) -> None:
        """Take a token back, as its owner does in the provider's own settings."""
        path = urlsplit(self.auth["revoke_url"].format(origin=self.origin)).path
        assert self._post(path, {"token": token}).ok


def _plain(page: str) -> str:
    return " ".join(re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split())[:500]


def _inputs(page: str) -> dict[str, str]:
    found = {}
    for tag in re.findall(r"<input[^>]*>", page):
        values = dict(re.findall(r'(name|value)="([^"]*)"', tag))
        if "name" in values:
            found[values["name"]] = html.unescape(values.get("value", ""))
    return found


class Oidc(Provider):
    """oidc-provider: a reused refresh token ends the whole grant; `iss` in every callback."""

    name = "oidc"
    introspect_path = "/token/introspection"
    auth = {
        "kind": "oauth2", "authorize_url": "{origin}/auth", "token_url": "{origin}/token",
        "revoke_url": "{origin}/token/revocation", "client_auth": "basic", "authorize_params": {"prompt": "consent"},
        "scopes": [
            {"name": "openid", "reason": "To know which account it is."},
            {"name": "offline_access", "reason": "To work while nobody is looking."},
        ],
    }  # fmt: skip

    def _command(self) -> list[str]:
        client = {
            "client_id": self.client_id, "client_secret": self.secret, "redirect_uris": [self.redirect],
            "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "client_secret_basic",
        }  # fmt: skip
        arguments = [str(npm_folder()), str(self.port), self.origin, json.dumps(client)]
        return ["node", str(HERE / "provider.mjs"), *arguments]

    def _fill(self, person: requests.Session, page: requests.Response, account: str, *, allow: bool) -> Any:
        if not allow:
            cancel = re.search(r'href="([^"]+/abort)"', page.text)
            assert cancel
            return person.get(urljoin(page.url, html.unescape(cancel[1])), allow_redirects=False, timeout=20)
        to = re.search(r'action="([^"]+)"', page.text)
        assert to
        data = {**_inputs(page.text), "login": account, "password": "any"}
        return person.post(urljoin(page.url, html.unescape(to[1])), data=data, allow_redirects=False, timeout=20)


class Toolkit(Provider):
    """django-oauth-toolkit: the old access token ends at a refresh; a reused refresh token ends its family."""

    name = "toolkit"
    introspect_path = "/o/introspect/"
    leeway = 0
    issuer = ""
    auth = {
        "kind": "oauth2", "authorize_url": "{origin}/o/authorize/", "token_url": "{origin}/o/token/",
        "revoke_url": "{origin}/o/revoke_token/",
        "scopes": [{"name": "people.read", "reason": "To know which account it is."}],
    }  # fmt: skip

    def _command(self) -> list[str]:
        if not find_spec("oauth2_provider"):
            pytest.skip("django-oauth-toolkit is not installed: make its line of the dev group stand in the lock file")
        settings = {
            "port": self.port, "origin": self.origin, "leeway": self.leeway, "issuer": self.issuer and self.origin + self.issuer,
            "database": str(self._directory / f"{self.name}.sqlite"),
            "client": {"id": self.client_id, "secret": self.secret, "redirect": self.redirect},
        }  # fmt: skip
        return [sys.executable, "-m", "tests.counterparts.oauth.toolkit_server", json.dumps(settings)]

    def _fill(self, person: requests.Session, page: requests.Response, account: str, *, allow: bool) -> Any:
        data = _inputs(page.text)
        if "password" in data:
            data |= {"username": account, "password": "password"}
        elif not allow:
            data.pop("allow", None)
        return person.post(page.url, data=data, allow_redirects=False, timeout=20, headers={"referer": page.url})


class Lenient(Toolkit):
    """The same with a leeway: a rotated refresh token is answered with its successor for a minute; `iss` with a path."""

    name = "lenient"
    leeway, strict = 60, False
    issuer = "/o"
    auth = {**Toolkit.auth, "issuer": "{origin}/o"}
