"""What services/intent_* and jobs/intent_sending do, on dictionaries: app.sync decides, the vendor answers or does not."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from app.sync.deletes import judge
from app.sync.echoes import hash_of
from app.sync.outbound import Abilities, Tie, decide, resolve_doubt, settle
from app.sync.plan import Held, difference
from connectors.sdk import ChangedError, ConnectorError, RetryableError
from tests.app.sync.model.inbound import Inbound
from tests.app.sync.model.tables import Conflict, Intent, Link, Tables
from tests.app.sync.model.vendor import Vendor

TRIES = 3


@dataclass
class Outcome:
    """What became of one write. `doubt`: it was in doubt before this try."""

    kind: Literal["answer", "deleted", "gone", "met", "refused", "parked", "planned", "in_doubt"]
    intent: Intent
    doubt: bool = False
    external_id: str = ""
    version: str | None = None
    data: dict[str, Any] | None = None
    error: str = ""
    absent: bool = False
    read: tuple[str | None, dict[str, Any]] | None = None


class Outbound:
    """Writes to the other side. `claimed` are committed as sent; `done` have an answer that is not written down yet."""

    def __init__(self, tables: Tables, vendor: Vendor, inbound: Inbound) -> None:
        self.tables, self.vendor, self.inbound = tables, vendor, inbound
        self.claimed: list[tuple[Intent, bool]] = []
        self.done: list[Outcome] = []

    def crash(self) -> None:
        """The worker is lost: what it had not written down is gone, what it had sent is found in doubt."""
        self.claimed, self.done = [], []
        for intent in self.tables.intents.values():
            if intent.state == "sent":
                intent.state = "in_doubt"

    def claim(self, limit: int = 20) -> None:
        """Take up what is due and commit it as sent."""
        t = self.tables
        t.tick()
        self._hold_deletes()
        for intent in [i for i in t.intents.values() if i.state == "in_doubt" and i.operation in ("update", "delete")]:
            intent.state, intent.error, intent.again = "dropped", "answer_lost", False
            t.plan(intent.record_id)
        if self.vendor.traits.safety == "review":
            limit = 1
        due = [i for i in t.intents.values() if i.state in ("planned", "in_doubt")][:limit]
        for intent in due:
            if intent.state == "in_doubt" and t.ties(intent.record_id):
                intent.state, intent.again = "dropped", False
                t.plan(intent.record_id)
            elif intent.state == "in_doubt":
                self.claimed.append((intent, True))
            else:
                self._decide(intent)

    def _hold_deletes(self) -> None:
        t = self.tables
        due = [
            i for i in t.intents.values()
            if i.state == "planned" and i.operation != "delete" and t.records[i.record_id].deleted
            and any(not link.deleted for _, link in t.ties(i.record_id))
        ]  # fmt: skip
        live = sum(not link.deleted for link in t.links.values())
        if t.delete_policy == "mirror" and judge(len(due), live, confirmed=False).ask:
            for intent in due:
                intent.state, intent.error = "parked", "deletes_ask"

    def answer_deletes(self) -> None:
        """A person says yes to the deletes that were held."""
        for intent in self.tables.intents.values():
            if intent.state == "parked" and intent.error == "deletes_ask":
                if self.tables.live_intent(intent.record_id):
                    intent.state = "dropped"
                else:
                    intent.state, intent.operation, intent.error = "planned", "delete", None

    def _decide(self, intent: Intent) -> None:
        t = self.tables
        record = t.records[intent.record_id]
        ties = [
            Tie(name, dict(link.base), link.version, link.deleted, self._waiting(name))
            for name, link in t.ties(record.id)
        ]
        abilities = Abilities(
            self.vendor.traits.operations if t.directions.outgoing else frozenset(), t.directions.outgoing, t.complete,
            t.delete_policy == "mirror",
        )  # fmt: skip
        todo = decide(
            Held(record.data, record.deleted), ties, abilities, writes_last_hour=self._writes_last_hour(record.id),
            again=intent.operation == "create",
            unsure=any(i.record_id == record.id and (i.state, i.error) == ("parked", "in_doubt") for i in t.intents.values()),
        )  # fmt: skip
        intent.mapping_version = None if todo.later else t.mapping_version
        if todo.operation in ("drop", "park"):
            intent.state = "dropped" if todo.operation == "drop" else "parked"
            intent.error, intent.again = todo.reason, False
            intent.external_id = todo.tie.external_id if todo.tie else None
            return
        tie = todo.tie or Tie("", {})
        intent.operation, intent.state, intent.again, intent.more = todo.operation, "sent", False, todo.more
        intent.external_id, intent.version, intent.base = (
            tie.external_id or None,
            tie.version,
            {**tie.base, **tie.waiting},
        )
        intent.values = {name: record.data.get(name) for name in todo.fields}
        intent.sent_hash, intent.answer_hash, intent.echoed = hash_of(intent.values, intent.values), None, False
        intent.tries, intent.sent_at = intent.tries + 1, t.now
        self.claimed.append((intent, False))

    def _waiting(self, external_id: str) -> dict[str, Any]:
        known = self.tables.open_conflict(external_id)
        return known.theirs if known and known.kind == "fields" else {}

    def _writes_last_hour(self, record_id: uuid.UUID) -> dict[str, int]:
        since, found = self.tables.now - timedelta(hours=1), dict[str, int]()
        for i in self.tables.intents.values():
            late = i.record_id == record_id and i.operation == "update" and i.sent_at and i.sent_at > since
            if late and i.cause == "sync" and i.state != "rejected":
                found[str(i.external_id)] = found.get(str(i.external_id), 0) + 1
        return found

    def send_next(self) -> None:
        """Make the next request."""
        intent, doubt = self.claimed.pop(0)
        t = self.tables
        self.vendor.clock = t.tick().timestamp()
        act: Callable[[Intent, bool], Outcome] = {
            "create": self._create,
            "update": self._update,
            "delete": self._delete,
        }[intent.operation]
        try:
            outcome = act(intent, doubt)
        except RetryableError:
            outcome = Outcome("in_doubt", intent)
        except ConnectorError as error:
            looked = intent.external_id and self.vendor.traits.fetch
            kind = "gone" if looked and self.vendor.fetch(str(intent.external_id)) is None else "refused"
            outcome = Outcome(kind, intent, error=error.code)  # type: ignore[arg-type]
        outcome.doubt = doubt
        self.done.append(outcome)

    def _create(self, intent: Intent, doubt: bool) -> Outcome:
        if not doubt:
            return self._make(intent)
        traits, t = self.vendor.traits, self.tables
        assert intent.sent_at is not None
        age = (t.now - intent.sent_at) / timedelta(hours=1)
        can_look_up = traits.safety == "lookup" or traits.key_and_lookup
        way = resolve_doubt(traits.safety, age_hours=age, window_hours=traits.window, can_look_up=can_look_up)
        if way == "review":
            return Outcome("parked", intent, error="in_doubt")
        if way == "same_key":
            return Outcome("answer", intent, external_id=self.vendor.create(intent.values, str(intent.id))[0])
        if (t.now - intent.sent_at).total_seconds() < traits.lag:
            return Outcome("in_doubt", intent)
        found = self.vendor.find(str(intent.id))
        if found is not None:
            return Outcome("answer", intent, external_id=found, read=self.vendor.show(found))
        return Outcome("in_doubt" if intent.tries < TRIES - 1 else "planned", intent, absent=True)

    def _make(self, intent: Intent) -> Outcome:
        return self._answer(intent, *self.vendor.create(intent.values, str(intent.id)))

    def _answer(self, intent: Intent, external_id: str, version: str | None, data: dict[str, Any] | None) -> Outcome:
        if data is None and self.vendor.traits.fetch and not self.tables.directions.incoming >= set(intent.values):
            version, data = self.vendor.fetch(external_id) or (version, None)
        return Outcome("answer", intent, False, external_id, version, data)

    def _update(self, intent: Intent, _doubt: bool) -> Outcome:
        name = str(intent.external_id)
        return self._guarded(intent, lambda v: self._answer(intent, *self.vendor.update(name, intent.values, v)))

    def _delete(self, intent: Intent, _doubt: bool) -> Outcome:
        def delete(version: str | None) -> Outcome:
            self.vendor.delete(str(intent.external_id), version)
            return Outcome("deleted", intent)

        return self._guarded(intent, delete)

    def _guarded(self, intent: Intent, act: Callable[[str | None], Outcome]) -> Outcome:
        traits, version = self.vendor.traits, intent.version
        unmet = any(name not in intent.base for name in intent.values)
        look = traits.fetch and (version is None or not traits.if_match or unmet)
        for _ in range(TRIES):
            if look:
                current = self.vendor.fetch(str(intent.external_id))
                if current is None:
                    return Outcome("gone", intent)
                version, data = current
                if any(
                    intent.base.get(n) != data.get(n) for n in self.tables.fields
                    if n in intent.base or n in intent.values
                ):  # fmt: skip
                    return Outcome("met", intent, version=version, data=data)
            try:
                return act(version)
            except ChangedError:
                if not traits.fetch:
                    raise
                look = True
        return Outcome("planned", intent)

    def settle(self) -> None:
        """Write down what became of the writes."""
        done, self.done = self.done, []
        t = self.tables
        for outcome in sorted(done, key=lambda outcome: outcome.kind == "answer"):
            self._settle(outcome)
        for outcome in done:
            if outcome.kind == "met":
                name = str(outcome.intent.external_id)
                self.inbound.apply_page([(name, outcome.version, outcome.data or {})], [], None, anyway=True)
                outcome.intent.state = "planned"
            elif outcome.read:
                self.inbound.apply_page([(outcome.external_id, *outcome.read)], [], None, anyway=True)
        t.tick()

    def _settle(self, outcome: Outcome) -> None:
        intent = outcome.intent
        if outcome.kind == "answer":
            self._confirm(outcome)
        elif outcome.kind == "deleted" or (outcome.kind == "gone" and intent.operation == "delete"):
            link = self.tables.links[str(intent.external_id)]
            link.deleted, link.written_at, intent.state = True, self.tables.now, "confirmed"
            self._go_on(intent)
        elif outcome.kind == "gone":
            self.inbound.delete_links([str(intent.external_id)])
            intent.state = "planned"
        elif outcome.kind in ("refused", "parked"):
            intent.state = "rejected" if outcome.kind == "refused" else "parked"
            intent.error, intent.again = outcome.error, intent.again and outcome.kind == "refused"
            self._go_on(intent, more=False)
        elif outcome.kind in ("in_doubt", "planned"):
            intent.state = outcome.kind
            intent.tries = intent.tries if not outcome.absent else 0 if outcome.kind == "planned" else intent.tries + 1

    def put_back(self) -> None:
        """What was never sent is not in doubt."""
        for intent, doubt in self.claimed:
            intent.state = "in_doubt" if doubt else "planned"
        self.claimed = []

    def _confirm(self, outcome: Outcome) -> None:
        t, intent = self.tables, outcome.intent
        record = t.records[intent.record_id]
        mapped = None if outcome.data is None else {name: outcome.data.get(name) for name in t.fields}
        settled = settle(intent.values, mapped, record.data, t.directions.incoming, intent.base)
        link = t.links.get(outcome.external_id)
        if link and link.record_id != record.id:
            self._join_twins(outcome, link)
        if link is None:
            link = t.links[outcome.external_id] = Link(t.new_id(), record.id, {}, b"", t.mapping_version, t.now)
        link.base, link.version = {**link.base, **settled.base}, outcome.version
        link.written_at, link.deleted, link.missing, link.source_hash = t.now, False, 0, b""
        if outcome.doubt and outcome.read is None:
            t.rereads.add(outcome.external_id)
        if settled.values and not record.deleted:
            before, after = difference(record.data, settled.values)
            record.data, record.updated_at = {**record.data, **settled.values}, t.now
            t.journal(record.id, "updated", before, after)
            if sum(not tie.deleted for _, tie in t.ties(record.id)) > 1:
                t.plan(record.id, cause="sync")
        intent.state, intent.external_id, intent.error = "confirmed", outcome.external_id, None
        intent.answer_hash, intent.near = hash_of(settled.base, intent.values), intent.near + len(settled.near)
        self._go_on(intent)
        if record.deleted:
            t.plan(record.id, cause="sync")

    def _go_on(self, intent: Intent, *, more: bool = True) -> None:
        if intent.again or (more and intent.more):
            intent.again = False
            self.tables.plan(intent.record_id, cause=intent.cause)

    def _join_twins(self, outcome: Outcome, link: Link) -> None:
        t, ours, other = self.tables, outcome.intent.record_id, link.record_id
        twin = t.records[other]
        assert outcome.intent.sent_at is not None
        alone = twin.created_at >= outcome.intent.sent_at and len(t.ties(other)) == 1
        if not alone:
            t.add_conflict(
                Conflict(outcome.external_id, "match", None, {}, {}, outcome.intent.values, candidates=(ours, other))
            )
            return
        twin.deleted, link.record_id = True, ours
        t.journal(other, "deleted", twin.data, {})

    def run(self) -> None:
        """Send all that is due, in one go."""
        self.claim()
        while self.claimed:
            self.send_next()
        self.settle()
