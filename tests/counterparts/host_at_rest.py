"""Both sides brought to rest after anything may have happened, and what must hold then."""

import json
import uuid
from collections import Counter
from typing import Any

from app.services import missed_writes
from tests.counterparts.faulty_kinto import POISON
from tests.counterparts.host_sides import HostSides

BAD_EMAIL = "nobody"
ROUNDS = 14
_LIVE = "('planned', 'sent', 'in_doubt')"

Flow = tuple[str, str]


def come_to_rest(sides: HostSides) -> None:
    """Faults end, people say yes; runs until three in a row do nothing."""
    sides.vendor.calm()
    quiet = 0
    for number in range(ROUNDS):
        before = mark(sides)
        sync(sides, mode="full" if number % 2 else "incremental", retry=number < 2)
        quiet = quiet + 1 if mark(sides) == before else 0
        # Two full passes prove a record gone.
        if quiet == 3:
            return
    last = sides.rows(
        "SELECT operation, state, error_code, cause, fields FROM intents WHERE tenant_id = %s ORDER BY id DESC LIMIT 4"
    )
    runs = sides.rows("SELECT state, error_code, error_detail FROM runs WHERE tenant_id = %s ORDER BY id DESC LIMIT 2")
    raise AssertionError(f"no rest after {ROUNDS} rounds: {mark(sides)} {last} {runs}")


def sync(sides: HostSides, *, mode: str, retry: bool = False) -> None:
    """Run once, and do all that comes of it."""
    sides.answer_questions()
    if retry:
        sides.retry_failed()
    sides.start(mode)
    for _ in range(12):
        sides.let_time_pass()
        if not sides.work():
            return
        sides.answer_questions()
    live = sides.rows(
        "SELECT operation, state, external_id, due_at - now(), cause, error_message, fields, tries FROM intents "
        f"WHERE tenant_id = %s AND state IN {_LIVE}"  # constants only
    )
    failed = sides.rows(
        "SELECT direction, external_id, code FROM failed_records WHERE tenant_id = %s AND state <> 'resolved'"
    )
    raise AssertionError(f"never idle: {live} {failed}")


def mark(sides: HostSides) -> tuple[Any, ...]:
    """Return what changes when anything happens."""
    counts = sides.rows(
        "SELECT (SELECT count(*) FROM changes WHERE tenant_id = t.id), (SELECT count(*) FROM conflicts WHERE tenant_id = t.id), "
        f"(SELECT count(*) FROM intents WHERE tenant_id = t.id AND state IN {_LIVE}), "  # constants only
        "(SELECT count(*) FROM links WHERE tenant_id = t.id AND deleted_at IS NULL) FROM tenants t WHERE t.id = %s"
    )
    return (sides.vendor.writes, *counts[0])


class HostAtRest:
    """What is there, read once. `flows` is field -> (way, field over there), `always` the fields that always flowed both ways."""

    def __init__(self, sides: HostSides, flows: dict[str, Flow], always: set[str], written: set[str]) -> None:
        self.sides, self.vendor, self.flows, self.always, self.written = sides, sides.vendor, flows, always, written
        rows = sides.rows
        self.records = {
            row[0]: (row[1], row[2]) for row in rows("SELECT id, data, deleted_at FROM records WHERE tenant_id = %s")
        }
        self.links = rows("SELECT external_id, record_id, base, deleted_at FROM links WHERE tenant_id = %s ORDER BY id")
        self.conflicts = rows(
            "SELECT external_id, record_id, kind, theirs, candidates, state FROM conflicts WHERE tenant_id = %s"
        )
        self.failed = rows(
            "SELECT direction, external_id, record_id, code FROM failed_records WHERE tenant_id = %s "
            "AND state IN ('waiting', 'parked')"
        )
        self.failed_in = {row[1] for row in self.failed if row[0] == "in"}
        self.failed_out = {row[2] for row in self.failed if row[0] == "out"}

    def check(self) -> None:
        """Assert all of it."""
        self.check_failed()
        self.check_sides()
        self.check_unlinked()
        self.check_twins()
        self.check_values()
        self.check_handled()

    def check_handled(self) -> None:
        """Each change of one side has been handled by the other: the check of write-back finds nothing."""
        looked = self.sides.act(lambda: missed_writes.look(self.sides.tenant_id, uuid.UUID(int=0), limit=100_000))
        assert looked.missed == {}

    def check_failed(self) -> None:
        """Only what is bad has failed, and of it each, so nothing else was held up by it."""
        for direction, external_id, record_id, code in self.failed:
            if direction == "in":
                item = self.vendor.live().get(external_id, {})
                assert item.get("email") == BAD_EMAIL, f"{external_id} failed for {code}: {item}"
            else:
                data = self.records[record_id][0]
                assert POISON in data.values() or code == "ping_pong", f"{data} was not written for {code}"
        for name, item in self.vendor.live().items():
            if item.get("email") == BAD_EMAIL and not any(link[0] == name and not link[3] for link in self.links):
                assert name in self.failed_in, f"{item} is bad, and nobody is told"

    def _open(self, external_id: str) -> dict[str, Any] | None:
        """Return the values in the open conflict of an external record, None when there is none."""
        found = [row[3] for row in self.conflicts if row[0] == external_id and row[5] == "open"]
        return dict(found[0]) if found else None

    def check_sides(self) -> None:
        """Linked records are equal, but for open conflicts, failed records and fields that do not flow."""
        for name, record_id, base, ended in self.links:
            if name in self.failed_in or record_id in self.failed_out:
                continue
            (data, deleted), item = self.records[record_id], self.vendor.live().get(name)
            if ended:
                assert item is None, f"{name} is there, its link has ended: {item} {data}"
                continue
            assert item is not None, f"{name} is gone there, its link lives"
            assert not deleted, f"{name} was deleted here and is still there: {data}"
            waiting = self._open(name) or {}
            for field, (way, source) in self.flows.items():
                here, there = data.get(field), item.get(source)
                about = f"{name}.{field} ({way}): here {here!r}, there {there!r}, agreed {base.get(field)!r}"
                if way == "both" and field not in waiting:
                    assert here == there, about
                elif way == "in" and field not in waiting:
                    assert base.get(field) == there, about

    def check_unlinked(self) -> None:
        """What one side alone has is there for a reason."""
        live = {link[0] for link in self.links if not link[3]}
        for name in self.vendor.live().keys() - live - self.failed_in:
            assert self._open(name) is not None, f"{self.vendor.items[name]} was not read"
        tied = {link[1]: link[3] for link in sorted(self.links, key=lambda link: link[3] is None)}
        chosen = {candidate for row in self.conflicts if row[2] == "match" for candidate in row[4]}
        asked = {row[1] for row in self.conflicts if row[2] == "deleted_there"}
        for record_id, (data, deleted) in self.records.items():
            if deleted or record_id in self.failed_out or str(record_id) in chosen:
                continue
            if record_id not in tied:
                assert not any(data.values()), f"{data} is not there"
            elif tied[record_id]:
                assert record_id in asked, f"{data} was deleted there and is here"

    def check_twins(self) -> None:
        """We have made nothing twice."""
        owners = {
            str(row[0]): row[1] for row in self.sides.rows("SELECT id, record_id FROM intents WHERE tenant_id = %s")
        }
        assert set(self.vendor.made) <= owners.keys(), "something was made that was not planned"
        twice = [name for name, count in Counter(self.vendor.made).items() if count > 1]
        assert not twice, f"made twice under one reference: {twice}"
        made = Counter(owners[name] for name in self.vendor.made if name in self.vendor.live())
        doubled = [record_id for record_id, count in made.items() if count > 1]
        assert not doubled, f"made twice there: {doubled}"

    def check_values(self) -> None:
        """Every value that was written here, or that we have written over there, is current, in a conflict or in history."""
        known = self._known()
        for value in self.written:
            assert value in known, f"{value} was written here, and nothing tells of it"
        for name, field, value in self.vendor.taken:
            if value is None or field not in self.always:
                continue  # What does not flow in was never read.
            assert value in known, f"{name}.{field} was {value!r} there, and nothing tells of it"

    def _known(self) -> set[Any]:
        places = self.sides.rows(
            "SELECT data FROM records WHERE tenant_id = %(t)s AND deleted_at IS NULL UNION ALL "
            "SELECT jsonb_build_array(before, after) FROM changes WHERE tenant_id = %(t)s UNION ALL "
            "SELECT jsonb_build_array(base, ours, theirs, edited) FROM conflicts WHERE tenant_id = %(t)s".replace(
                "%(t)s", f"'{self.sides.tenant_id}'"
            )
            + " UNION ALL SELECT 'null' WHERE %s::uuid IS NULL"
        )
        found: set[Any] = set()
        for place in (*(row[0] for row in places), *self.vendor.live().values()):
            _collect(json.loads(place) if isinstance(place, str) else place, found)
        return found


def _collect(place: Any, found: set[Any]) -> None:
    if isinstance(place, dict | list):
        for value in place.values() if isinstance(place, dict) else place:
            _collect(value, found)
    else:
        found.add(place)
