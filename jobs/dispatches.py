"""The sending task: what is due of a tenant's subscriptions is posted to their endpoints, several at a time.

Calls are made by threads that hold no database session; this one claims, records and hands out work. Each endpoint has
a queue of its own and few threads, fewer while it is slow or fails, so a dead one delays nobody else.
"""

import queue
import time
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from flask import current_app

from app import log
from app.clock import now
from app.models.events import Subscription
from app.services import dispatch_claims, signing_secrets, tasks
from app.services.dispatch_claims import Claimed, Result
from app.services.fan_out import message_id
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.sync.attempts import judge
from app.sync.breaker import outcome_of
from app.sync.signatures import sign
from app.transaction import outside, transaction
from connectors.sdk import ConnectorError, HttpClient
from connectors.sdk.errors import EgressError
from jobs.drain import Slice

TIMEOUT = 15.0
MOST_READ = 64 * 1024
# Threads of a task, and of one endpoint in it.
_THREADS, _OF_ONE = 16, 4
# Claimed at once of an endpoint that answers quickly, and of one that is not known yet.
_CHUNK, _FIRST = 128, 8
_QUICK = 1.0
_GATHER = 0.05
_PAUSE = timedelta(seconds=5)
_logger = log.logger(__name__)
# What this process knows of endpoints from the tasks before: whether they answer quickly.
_known: dict[uuid.UUID, bool] = {}


@dataclass
class Endpoint:
    """Where one subscription is sent to, and what waits for it in this process."""

    id: uuid.UUID
    url: str
    secrets: list[str]
    allow: Any
    waiting: deque[Claimed] = field(default_factory=deque)
    clients: deque[HttpClient] = field(default_factory=deque)
    running: int = 0
    quick: bool | None = None

    @property
    def threads(self) -> int:
        """How many threads may call it at once."""
        return _OF_ONE if self.quick else 2 if self.quick is None else 1

    @property
    def room(self) -> int:
        """How many more may be claimed for it."""
        most = _CHUNK if self.quick else _FIRST if self.quick is None else 1
        return max(most - len(self.waiting) - self.running, 0)

    def send(self, claimed: Claimed) -> Result:
        """Post one message, and return what came of it. Never raises: whatever goes wrong is a failed try."""
        try:
            client = self.clients.pop()
        except IndexError:
            client = client_for(self.url, self.allow)
        at, began = now(), time.monotonic()
        headers = sign(message_id(claimed.event_id), at, claimed.body, self.secrets)
        headers |= {"content-type": "application/json", "accept": "*/*", "accept-encoding": "identity"}
        status, answer, text, trouble = None, {}, "", ""
        try:
            response = client.request("POST", self.url, headers=headers, content=claimed.body)
            status, answer = response.status, dict(response.headers)
            text = response.body[:2048].decode("utf-8", "replace").replace("\0", "")
        except ConnectorError as error:
            trouble = sentence_of(error)
        except Exception:  # The edge of a thread: a try that failed in a way nobody has thought of.
            _logger.exception("sending failed", subscription_id=str(self.id))
            trouble = "Sending failed on our side."
        took = time.monotonic() - began
        self.quick = _known[self.id] = took < _QUICK and status is not None and status < 500
        self.clients.append(client)
        verdict = judge(status, answer, trouble, at)
        return Result(
            claimed, verdict, outcome_of(status) if status else "failed", round(took * 1000), status, text
        )  # fmt: skip

    def close(self) -> None:
        """Close its connections."""
        while self.clients:
            self.clients.pop().close()


def client_for(url: str, allow: Any) -> HttpClient:
    """Return a client that may call the host of this address and no other."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return HttpClient(
        {f"{parts.scheme}://{host}:{port}".lower()}, allow=allow, timeout=TIMEOUT, max_bytes=MOST_READ, total=True
    )


def sentence_of(error: ConnectorError) -> str:
    """Return what is said of a call that got no answer, without a word of the vendor's or of the address."""
    if isinstance(error, EgressError):
        return "The address may not be reached: it leads into a private network, or is not https."
    if "Timeout" in error.message:
        return f"No answer within {TIMEOUT:g} s."
    if "cannot be found" in error.message or "has no address" in error.message:
        return "The host name cannot be found."
    if "SSL" in error.message:
        return "The certificate of the endpoint is not valid."
    return "The connection failed."


class Sender:
    """Sends what is due of one tenant until nothing is, or the slice is over."""

    def __init__(self, task: LeasedTask) -> None:
        self._task, self._tenant_id, self._holder = task, task.tenant_id, uuid.uuid4()
        settings = current_app.extensions["settings"]
        self._allow, self._wait = settings.egress_allow, min(1.0, settings.lease_seconds / 4)
        self._endpoints: dict[uuid.UUID, Endpoint] = {}
        self._given_up: set[uuid.UUID] = set()
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._lock = Lock()
        self._flying = self.sent = 0

    def run(self, slice_: Slice, pool: ThreadPoolExecutor) -> None:
        """Claim, send and record, until nothing is left in hand."""
        results: list[Result] = []
        first = not slice_.stopping
        while True:
            over = slice_.over()
            with transaction():
                tasks.fence(self._task, moved=bool(results))
                settled = dispatch_claims.settle(self._tenant_id, results, self._holder)
                self._given_up |= set(settled.given_up)
                dispatch_claims.release(self._tenant_id, self._take_back(None if over else settled.stopped))
                claimed = self._claim(only_quick=over) if first or self._goes_on(over, slice_) else []
                first = False
            self._hand_out(claimed, pool)
            if settled.given_up:
                with transaction():
                    dispatch_claims.give_up(self._tenant_id, settled.given_up)
            if not self._flying:
                break
            with outside():
                results = self._gather()
        with transaction():
            tasks.fence(self._task)
            dispatch_claims.give_probes_back(self._tenant_id, self._holder)

    def _goes_on(self, over: bool, slice_: Slice) -> bool:
        # While a slow endpoint keeps the task from ending, the quick ones are not made to wait for it.
        slow = any(endpoint.running and not endpoint.quick for endpoint in self._endpoints.values())
        return not over or (slow and not slice_.stopping)

    def _claim(self, *, only_quick: bool) -> list[Claimed]:
        wanted: dict[uuid.UUID, int] = {}
        due = [row for row in dispatch_claims.list_due(self._tenant_id) if row.id not in self._given_up]
        fresh = [row.id for row in due if row.id not in self._endpoints]
        opened = signing_secrets.open_all(self._tenant_id, Subscription, fresh) if fresh else {}
        for row in due:
            endpoint = self._endpoints.get(row.id)
            if endpoint is None:
                endpoint = self._endpoints[row.id] = Endpoint(row.id, row.url, opened.get(row.id, []), self._allow)
            room = 0 if only_quick and _known.get(row.id) is False else endpoint.room
            if row.breaker and dispatch_claims.breaker_of(row).state != "closed":
                room = 1 if not endpoint.waiting and not endpoint.running else 0
            if room and endpoint.secrets and dispatch_claims.may_call(row, self._holder):
                wanted[row.id] = room
        return dispatch_claims.claim(self._tenant_id, wanted)

    def _take_back(self, ids: set[uuid.UUID] | None) -> list[Claimed]:
        """Take what waits for these endpoints out of their queues, or for all of them."""
        taken = []
        for endpoint in self._endpoints.values():
            while ids is None or endpoint.id in ids:
                try:
                    taken.append(endpoint.waiting.pop())
                except IndexError:
                    break
        with self._lock:
            self._flying -= len(taken)
        return taken

    def _hand_out(self, claimed: list[Claimed], pool: ThreadPoolExecutor) -> None:
        with self._lock:
            self._flying += len(claimed)
        for item in claimed:
            self._endpoints[item.subscription_id].waiting.append(item)
        for endpoint in self._endpoints.values():
            with self._lock:
                more = max(min(endpoint.threads - endpoint.running, len(endpoint.waiting)), 0)
                endpoint.running += more
            for _ in range(more):
                pool.submit(self._send_one, endpoint, pool)

    def _send_one(self, endpoint: Endpoint, pool: ThreadPoolExecutor) -> None:
        """Send one message and go to the end of the line, so that no endpoint keeps a thread while others wait."""
        try:
            claimed = endpoint.waiting.popleft()
        except IndexError:
            with self._lock:
                endpoint.running -= 1
            return
        result = endpoint.send(claimed)
        with self._lock:
            go_on = bool(endpoint.waiting) and endpoint.running <= endpoint.threads
            endpoint.running -= not go_on
        self._results.put(result)
        if go_on:
            pool.submit(self._send_one, endpoint, pool)

    def _gather(self) -> list[Result]:
        """Return what has come in: the first result, and what follows within a moment; nothing after a while."""
        found: list[Result] = []
        until = time.monotonic() + self._wait
        while len(found) < _CHUNK and (left := until - time.monotonic()) > 0:
            try:
                found.append(self._results.get(timeout=left))
            except queue.Empty:
                break
            if len(found) == 1:
                until = time.monotonic() + _GATHER
            if len(found) >= self._flying:
                break
        with self._lock:
            self._flying -= len(found)
            self.sent += len(found)
        return found

    def drop(self) -> None:
        """Forget what waits in this process: another worker has the task."""
        self._take_back(None)

    def close(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints.values():
            endpoint.close()


def send_dispatches(task: LeasedTask, slice_: Slice) -> Outcome:
    """Send what is due of a tenant; come back when the next is."""
    with transaction():
        tasks.fence(task)
        dispatch_claims.recover(task.tenant_id)
    sender = Sender(task)
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            try:
                sender.run(slice_, pool)
            finally:
                sender.drop()
    finally:
        sender.close()
    with transaction():
        tasks.fence(task)
        due = dispatch_claims.next_due(task.tenant_id)
    if due is None:
        return Done()
    # What is due and yet cannot be sent must not keep the lane busy.
    return Again(max(due, now() if sender.sent else now() + _PAUSE))
