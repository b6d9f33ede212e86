"""Telling people what has become of their installations: by e-mail, and at the destinations of their tenant."""

from flask import current_app

from app import log
from app.clock import now
from app.services import destinations, notice_bodies, notices, tasks
from app.services.destinations import Outgoing
from app.services.fan_out import message_id
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.sync.attempts import Verdict, judge
from app.sync.signatures import sign
from app.transaction import outside, transaction
from connectors.sdk import ConnectorError
from jobs.dispatches import client_for, sentence_of
from jobs.drain import Slice

_logger = log.logger(__name__)


def notify(task: LeasedTask, _slice: Slice) -> Outcome:
    """Queue the messages that are due; look again when something is about to settle or to be late."""
    with transaction():
        again = notices.tell(task.tenant_id)
        # Last: whoever changes a status holds its row when it asks for this task.
        tasks.fence(task)
    return Again(again) if again else Done()


def send_notices(task: LeasedTask, slice_: Slice) -> Outcome:
    """Post what waits for one destination, oldest first; come back when it may be tried again."""
    assert task.ref is not None
    while True:
        with transaction():
            tasks.fence(task)
            found = destinations.open_next(task.tenant_id, task.ref)
        if found is None:
            return Done()
        if not isinstance(found, Outgoing):
            return Again(found)
        with outside():
            verdict, status = _post(task, found)
        with transaction():
            tasks.fence(task, moved=True)
            destinations.settle(task.tenant_id, found, verdict, status)
        if slice_.over():
            return Again(now())


def _post(task: LeasedTask, outgoing: Outgoing) -> tuple[Verdict, int | None]:
    """Post one message; whatever goes wrong is a failed try."""
    settings, notice, at = current_app.extensions["settings"], outgoing.notice, now()
    headers = {"content-type": "application/json", "accept": "*/*", "accept-encoding": "identity"}
    if outgoing.kind == "slack":
        body = notice_bodies.slack_body(notice.subject, notice.content, settings.base_url)
    else:
        name = message_id(notice.id)
        body = notice_bodies.webhook_body(
            name, notice.created_at, task.tenant_id, outgoing.tenant, notice.subject, notice.content, settings.base_url
        )
        headers |= sign(name, at, body, outgoing.secrets)
    client = client_for(outgoing.url, settings.egress_allow)
    status, answer, trouble = None, {}, ""
    try:
        response = client.request("POST", outgoing.url, headers=headers, content=body, secrets=[outgoing.url])
        status, answer = response.status, dict(response.headers)
    except ConnectorError as error:
        trouble = sentence_of(error)
    finally:
        client.close()
    return judge(status, answer, trouble, at), status
