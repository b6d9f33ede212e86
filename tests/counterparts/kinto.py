"""A real Kinto, started for a test."""

import configparser
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests

from app.devstack.process import spawn, stop

USER, PASSWORD = "patchbay", "kinto-password"
_BIN = Path(sys.executable).parent


class Kinto:
    """A Kinto server in memory with one account, a bucket and the two collections."""

    def __init__(self, directory: Path, *, page: int = 100, settings: dict[str, str] | None = None) -> None:
        self._page, self._settings = page, settings or {}
        self._ini, self._log = directory / "kinto.ini", (directory / "kinto.log").open("wb")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> "Kinto":
        """Start, wait until it answers, make account, bucket and collections."""
        subprocess.run(
            [_BIN / "kinto", "init", "--ini", self._ini, "--backend", "memory", "--cache-backend", "memory", "--host", "127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        ini = configparser.ConfigParser(interpolation=None)
        ini.read(self._ini)
        ini["server:main"]["port"] = str(self.port)
        if "sockets" in ini["server:main"]:
            ini["server:main"].pop("sockets")
        ini["app:main"]["kinto.paginate_by"] = str(self._page)
        ini["app:main"]["kinto.bucket_create_principals"] = "system.Authenticated"
        ini["app:main"].update(self._settings)
        with self._ini.open("w") as file:
            ini.write(file)
        self._child = spawn([str(_BIN / "pserve"), str(self._ini)], output=self._log, env=dict(os.environ))
        for _ in range(300):
            try:
                requests.get(f"{self.origin}/v1/", timeout=2)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        requests.put(
            f"{self.origin}/v1/accounts/{USER}", json={"data": {"password": PASSWORD}}, timeout=5
        ).raise_for_status()
        self._make()
        return self

    def _make(self) -> None:
        self._send("PUT", "/v1/buckets/crm")
        for name in ("contacts", "companies"):
            self._send("PUT", f"/v1/buckets/crm/collections/{name}")

    def clear(self) -> None:
        """Begin anew with empty collections."""
        self._send("DELETE", "/v1/buckets/crm")
        self._make()

    def _send(self, method: str, path: str, **more: Any) -> Any:
        answer = requests.request(method, self.origin + path, auth=(USER, PASSWORD), timeout=30, **more)
        answer.raise_for_status()
        return answer.json()

    def allow_reading(self, principal: str) -> None:
        """Let somebody else read the bucket."""
        self._send("PATCH", "/v1/buckets/crm", json={"permissions": {"read": [principal]}})

    def put_all(self, collection: str, records: Iterable[dict[str, Any]]) -> None:
        """Create or replace records, 25 a call."""
        batch = [
            {"method": "PUT", "path": f"/buckets/crm/collections/{collection}/records/{r['id']}", "body": {"data": r}}
            for r in records
        ]
        for start in range(0, len(batch), 25):
            self._send("POST", "/v1/batch", json={"requests": batch[start : start + 25]})

    def get(self, collection: str, record_id: str) -> dict[str, Any]:
        """Return a record."""
        found: dict[str, Any] = self._send("GET", f"/v1/buckets/crm/collections/{collection}/records/{record_id}")
        return found["data"]  # type: ignore[no-any-return]

    def all(self, collection: str) -> list[dict[str, Any]]:
        """Return all records of a collection."""
        found, url = [], f"{self.origin}/v1/buckets/crm/collections/{collection}/records?_limit=10000"
        while url:
            answer = requests.get(url, auth=(USER, PASSWORD), timeout=30)
            answer.raise_for_status()
            found += answer.json()["data"]
            url = answer.headers.get("Next-Page", "")
        return found

    def delete(self, collection: str, record_id: str) -> None:
        """Delete a record; a tombstone stays."""
        self._send("DELETE", f"/v1/buckets/crm/collections/{collection}/records/{record_id}")

    def set_password(self, password: str, *, now: str = PASSWORD) -> None:
        """Change the account's password, so that the stored one is refused; `now` is the one it has."""
        answer = requests.patch(
            f"{self.origin}/v1/accounts/{USER}", json={"data": {"password": password}}, auth=(USER, now), timeout=5
        )
        answer.raise_for_status()

    def reset_password(self, present: str, password: str) -> None:
        """Change the account's password back from `present`."""
        requests.patch(
            f"{self.origin}/v1/accounts/{USER}", json={"data": {"password": password}}, auth=(USER, present), timeout=5
        ).raise_for_status()

    def pause(self) -> None:
        """Take the server away; `start` again makes an empty one."""
        self.stop()

    def stop(self) -> None:
        """Stop the server."""
        if self._child:
            stop(self._child)
            self._child = None


def contact(number: int, **values: Any) -> dict[str, Any]:
    """Return a contact as Kinto holds it."""
    return {
        "id": f"contact-{number}", "email": f" Person{number}@Example.test ", "first_name": "Ada", "last_name": f"Byron {number}",
        "phone": f"+44 20 7946 {number:04d}", "company": f"Company {number % 50}", "city": "London", "country": "GB",
        "stage": "customer", "notes": "Met at the fair.", "marketing_consent": number % 2 == 0, "score": number, "birthday": "1990-05-17",
        **values,
    }  # fmt: skip


def company(number: int) -> dict[str, Any]:
    """Return a company as Kinto holds it."""
    return {
        "id": f"company-{number}",
        "name": f"Company {number}",
        "domain": f"company{number}.test",
        "employees": number,
    }
