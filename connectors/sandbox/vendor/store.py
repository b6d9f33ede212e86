"""The records of Sandbox CRM: seeded, deterministic, kept in one SQLite file."""

import json
import random
import sqlite3
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

OBJECTS = ("contacts", "companies", "deals")
_FIRST = ("Ada", "Alan", "Grace", "Linus", "Barbara", "Edsger", "Hedy", "Ken", "Lucía", "Oskar", "Priya", "Zoë")
_LAST = ("Byron", "Hopper", "Okafor", "Nyström", "Ferrer", "Raman", "Whitlock", "Beck", "Tanaka", "Moreau", "Silva")
_CITIES = (("Berlin", "DE"), ("Paris", "FR"), ("London", "GB"), ("Oslo", "NO"), ("Madrid", "ES"), ("Austin", "US"))
_BASE = datetime(2026, 1, 1, tzinfo=UTC)

PROPERTIES: dict[str, list[dict[str, Any]]] = {
    "contacts": [
        {"name": name, "label": label, "type": kind, "custom": custom, "required": False, "choices": choices}
        for name, label, kind, custom, choices in (
            ("email", "E-mail", "email", False, []), ("firstname", "First name", "string", False, []),
            ("lastname", "Last name", "string", False, []), ("phone", "Phone", "phone", False, []),
            ("company", "Company", "string", False, []), ("jobtitle", "Job title", "string", False, []),
            ("city", "City", "string", False, []), ("country", "Country", "string", False, []),
            ("lifecyclestage", "Lifecycle stage", "choice", False,
             [{"value": v, "label": v.capitalize()} for v in ("lead", "customer", "subscriber", "other")]),
            ("notes", "Notes", "text", False, []), ("consent", "Consent", "boolean", False, []),
            ("score", "Score", "number", False, []), ("birthday", "Birthday", "date", False, []),
            ("last_activity", "Last activity", "datetime", False, []),
            ("favourite_colour", "Favourite colour", "choice", True,
             [{"value": v, "label": v.capitalize()} for v in ("red", "green", "blue")]),
            ("contract_value", "Contract value", "string", True, []),
        )
    ],
    "companies": [
        {"name": n, "label": n.capitalize(), "type": "number" if n == "employees" else "string", "custom": False,
         "required": n == "name", "choices": []}
        for n in ("name", "domain", "phone", "city", "country", "employees", "industry")
    ],
    "deals": [
        {"name": n, "label": n.replace("_", " ").capitalize(), "type": "string", "custom": False,
         "required": n == "name", "choices": []}
        for n in ("name", "amount", "currency", "stage", "close_date", "contact_email")
    ],
}  # fmt: skip

TYPES = ("string", "text", "number", "integer", "boolean", "date", "datetime", "choice", "email", "phone")


def stamp(moment: datetime) -> str:
    """Return a time as the API writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _contact(number: int, rng: random.Random) -> dict[str, Any]:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    city, country = rng.choice(_CITIES)
    return {
        "email": f"{first}.{last}.{number}@Example.test".lower().encode("ascii", "ignore").decode(),
        "firstname": first, "lastname": f"{last} {number}", "phone": f"+44 20 7946 {number:04d}",
        "company": f"Company {number % 200}", "jobtitle": rng.choice(("Buyer", "Owner", "Engineer")), "city": city,
        "country": country, "lifecyclestage": rng.choice(("lead", "customer", "subscriber", "other")),
        "notes": f"Met at the fair in {city}.", "consent": rng.random() < 0.6, "score": rng.randint(0, 100),
        "birthday": f"{rng.randint(1950, 2004)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
        "last_activity": stamp(_BASE + timedelta(hours=number)), "favourite_colour": rng.choice(("red", "green", "blue")),
        "contract_value": f"£{rng.randint(1, 90)},{rng.randint(0, 999):03d}.00",
    }  # fmt: skip


def _company(number: int, rng: random.Random) -> dict[str, Any]:
    city, country = rng.choice(_CITIES)
    return {
        "name": f"Company {number}", "domain": f"company{number}.test", "phone": f"+44 161 496 {number:04d}",
        "city": city, "country": country, "employees": rng.randint(1, 5000), "industry": rng.choice(("Timber", "Law", "Food")),
    }  # fmt: skip


def _deal(number: int, rng: random.Random) -> dict[str, Any]:
    return {
        "name": f"Deal {number}", "amount": rng.randint(100, 90_000), "currency": rng.choice(("EUR", "GBP", "USD")),
        "stage": rng.choice(("open", "won", "lost")), "close_date": f"2026-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
        "contact_email": f"person{number}@example.test",
    }  # fmt: skip


class Store:
    """Records, grants and switches; every change is written at once."""

    def __init__(self, file: Path | None, seed: int = 7) -> None:
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(
            str(file) if file else ":memory:", check_same_thread=False, isolation_level=None, timeout=30
        )
        self._lock = threading.RLock()
        self._last = datetime(2026, 1, 1, tzinfo=UTC)
        # Told of every change: object, what happened, the record.
        self.on_change: Callable[[str, str, dict[str, Any]], None] = lambda *_: None
        self._db.executescript(
            "CREATE TABLE IF NOT EXISTS records (object TEXT, id TEXT, data TEXT, created TEXT, updated TEXT, "
            "deleted INTEGER DEFAULT 0, PRIMARY KEY (object, id));"
            "CREATE INDEX IF NOT EXISTS by_update ON records (object, updated, id);"
            "CREATE TABLE IF NOT EXISTS pairs (kind TEXT, key TEXT, value TEXT, PRIMARY KEY (kind, key));"
        )
        # Two processes may open a new file at once: whoever gets the lock seeds it, the other finds it full.
        self._db.execute("BEGIN IMMEDIATE")
        if not self._db.execute("SELECT 1 FROM records LIMIT 1").fetchone():
            self._seed(random.Random(seed))
        self._db.execute("COMMIT")

    def _seed(self, rng: random.Random) -> None:
        makers = {"contacts": (_contact, 1000), "companies": (_company, 200), "deals": (_deal, 300)}
        for kind, (make, count) in makers.items():
            for number in range(count):
                at = stamp(_BASE + timedelta(minutes=number))
                data = make(number, rng)
                if kind == "contacts" and number in (101, 202, 303):
                    # Broken on purpose, so that people see what a failed record looks like.
                    data |= {101: {"email": "not-an-address"}, 202: {"birthday": "31/02/1990"}, 303: {"score": "n/a"}}[
                        number
                    ]
                row = (kind, f"{kind[:-1]}-{number}", json.dumps(data), at, at)
                self._db.execute("INSERT INTO records (object, id, data, created, updated) VALUES (?, ?, ?, ?, ?)", row)

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Run one statement and return its rows."""
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    def page(self, kind: str, *, limit: int, after: tuple[str, str] | None, since: str | None) -> list[dict[str, Any]]:
        """Return records ordered by (updated, id); tombstones only when `since` is given."""
        where, values = ["object = ?"], [kind]
        if since is None:
            where.append("deleted = 0")
        else:
            where.append("updated >= ?")
            values.append(since)
        if after:
            where.append("(updated, id) > (?, ?)")
            values += after
        query = f"SELECT id, data, created, updated, deleted FROM records WHERE {' AND '.join(where)} "
        rows = self.execute(query + "ORDER BY updated, id LIMIT ?", (*values, limit))
        return [_record(row) for row in rows]

    def count(self, kind: str, since: str | None) -> int:
        """Return how many records a list has in all."""
        if since is None:
            return int(self.execute("SELECT count(*) FROM records WHERE object = ? AND deleted = 0", (kind,))[0][0])
        return int(self.execute("SELECT count(*) FROM records WHERE object = ? AND updated >= ?", (kind, since))[0][0])

    def find(self, kind: str, record_id: str) -> dict[str, Any] | None:
        """Return a record, None when it is unknown or deleted."""
        query = "SELECT id, data, created, updated, deleted FROM records WHERE object = ? AND id = ? AND deleted = 0"
        rows = self.execute(query, (kind, record_id))
        return _record(rows[0]) if rows else None

    def search(self, kind: str, text: str) -> list[dict[str, Any]]:
        """Return the first records that hold a text, last changed first."""
        query = (
            "SELECT id, data, created, updated, deleted FROM records WHERE object = ? AND deleted = 0 AND data LIKE ? "
            "ORDER BY updated DESC, id LIMIT 50"
        )
        return [_record(row) for row in self.execute(query, (kind, f"%{text}%"))]

    def _tick(self) -> str:
        # Never the same time twice: it is the record's version.
        with self._lock:
            self._last = max(datetime.now(UTC), self._last + timedelta(milliseconds=1))
            return stamp(self._last)

    def create_once(self, kind: str, key: str, properties: dict[str, Any]) -> dict[str, Any] | None:
        """Create a record, or return the one that this key has made; None when the key was used for other values."""
        with self._lock:
            known = self.get("idempotency", f"{kind}/{key}")
            if known is None:
                made = self.save(kind, None, properties)
                self.put("idempotency", f"{kind}/{key}", {"id": made["id"], "properties": properties})
                return made
            return (self.find(kind, known["id"]) or {}) if known["properties"] == properties else None

    def save(self, kind: str, record_id: str | None, properties: dict[str, Any]) -> dict[str, Any]:
        """Create a record, or change the named properties of one."""
        with self._lock:
            known = self.find(kind, record_id) if record_id else None
            record_id = record_id or f"{kind[:-1]}-{uuid.uuid4().hex[:10]}"
            data = {**(known["properties"] if known else {}), **properties}
            at = self._tick()
            self.execute(
                "INSERT INTO records (object, id, data, created, updated) VALUES (?, ?, ?, ?, ?) ON CONFLICT (object, id) "
                "DO UPDATE SET data = excluded.data, updated = excluded.updated, deleted = 0",
                (kind, record_id, json.dumps(data), at, at),
            )
            found = self.find(kind, record_id)
            assert found is not None
            self.on_change(kind, "updated" if known else "created", found)
            return found

    def delete(self, kind: str, record_id: str) -> bool:
        """Delete a record and leave a tombstone; False when it is not there."""
        if self.find(kind, record_id) is None:
            return False
        at = self._tick()
        self.execute("UPDATE records SET deleted = 1, updated = ? WHERE object = ? AND id = ?", (at, kind, record_id))
        self.on_change(kind, "deleted", {"id": record_id, "deleted": True, "updated_at": at})
        return True

    def properties(self, kind: str) -> list[dict[str, Any]]:
        """Return the fields that records of a kind have: the seeded ones and what has been changed about them."""
        changed = {
            key.split("/", 1)[1]: wanted
            for key, wanted in self.all_of("property").items()
            if key.startswith(f"{kind}/")
        }
        known = {info["name"]: info for info in PROPERTIES[kind]}
        for name, wanted in changed.items():
            blank = {
                "name": name, "label": name.replace("_", " ").capitalize(), "custom": True, "required": False, "choices": [],
            }  # fmt: skip
            known[name] = {**blank, **known.get(name, {}), "type": wanted}
        return [info for info in known.values() if info["type"] is not None]

    def set_property(self, kind: str, name: str, wanted: str | None) -> None:
        """Add a field, give it another type, or take it away (None)."""
        self.put("property", f"{kind}/{name}", wanted)

    def put(self, kind: str, key: str, value: Any) -> None:
        """Keep a small thing: a code, a token, a switch."""
        self.execute("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?)", (kind, key, json.dumps(value)))

    def get(self, kind: str, key: str) -> Any:
        """Return a small thing, None when it is not there."""
        rows = self.execute("SELECT value FROM pairs WHERE kind = ? AND key = ?", (kind, key))
        return json.loads(rows[0][0]) if rows else None

    def all_of(self, kind: str) -> dict[str, Any]:
        """Return all small things of a kind."""
        return {
            key: json.loads(value)
            for key, value in self.execute("SELECT key, value FROM pairs WHERE kind = ?", (kind,))
        }

    def forget(self, kind: str, key: str) -> bool:
        """Forget a small thing; False when it is not there."""
        with self._lock:
            known = self.get(kind, key) is not None
            self.execute("DELETE FROM pairs WHERE kind = ? AND key = ?", (kind, key))
            return known

    def take(self, kind: str, key: str) -> Any:
        """Return a small thing and forget it, in one step."""
        with self._lock:
            found = self.get(kind, key)
            self.execute("DELETE FROM pairs WHERE kind = ? AND key = ?", (kind, key))
            return found


def _record(row: Any) -> dict[str, Any]:
    if row[4]:
        return {"id": row[0], "deleted": True, "updated_at": row[3]}
    return {"id": row[0], "properties": json.loads(row[1]), "created_at": row[2], "updated_at": row[3]}
