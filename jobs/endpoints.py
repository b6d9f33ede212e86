"""Subscriptions at the vendor, brought in line with what their endpoints say: made, checked, renewed, exchanged, ended."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from app import log
from app.clock import now
from app.models.endpoints import Endpoint
from app.models.installations import Installation
from app.services import credentials, endpoints, oauth_clients, runs, silences, tasks
from app.services.endpoints import Registered
from app.services.silences import Silence
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.sync.retry import decide
from app.transaction import outside, transaction
from connectors.sdk import Connector, ConnectorError, Session, VendorDataError
from connectors.sdk.expressions import look_up
from connectors.sdk.schema.webhooks import Webhooks
from jobs.drain import Slice
from jobs.vendor import vendor_session

# A handshake that brings a secret may come while the subscription is being made, and shortly after.
_CAPTURE = timedelta(minutes=10)
_logger = log.logger(__name__)


def keep_endpoint(task: LeasedTask, _slice: Slice) -> Outcome:
    """Make, renew or exchange the subscription of an endpoint where that is due, and look into a silence.

    Comes back by itself for the next of these.
    """
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        endpoint = endpoints.get(task.tenant_id, task.ref)
        if endpoint.state == "removed" or endpoint.installation_id is None or endpoint.address is None:
            return Done()
        installation = runs.get_installation(task.tenant_id, endpoint.installation_id)
        hooks = endpoints.hooks_of(installation)
        if hooks is None or installation.state not in ("active", "paused"):
            return Done()
        url = endpoints.url_of(endpoint.address)
        silence = silences.look(endpoint, installation)
        _bring_secret(endpoint, installation, hooks)
    try:
        _keep(task, endpoint, installation, hooks, url, silence=silence)
    except ConnectorError as error:
        return _stumble(task, error)
    with transaction():
        tasks.fence(task)
        endpoint = endpoints.get(task.tenant_id, task.ref)
        return Again(silences.next_look(endpoint, installation))


def _bring_secret(endpoint: Endpoint, installation: Installation, hooks: Webhooks) -> None:
    """Keep a secret that was entered, or is the application's, where web can open it."""
    tenant_id, secret = endpoint.tenant_id, None
    if hooks.verify.secret == "config":  # noqa: S105  # a word, not a secret
        secret = credentials.open_secrets(tenant_id, installation.connection_id).get(hooks.verify.secret_field or "")
    elif hooks.verify.secret == "client_secret":  # noqa: S105  # as above
        client = oauth_clients.open_client(installation.connector)
        secret = client.secret if client else None
    known = endpoints.newest_secret(endpoint)
    if secret is not None and (known is None or known.reveal() != secret.reveal()):
        endpoints.retire_secrets(endpoint)
        endpoints.add_secret(endpoint, secret.reveal())


def _keep(
    task: LeasedTask, endpoint: Endpoint, installation: Installation, hooks: Webhooks, url: str, *, silence: Silence
) -> None:  # fmt: skip
    if hooks.subscribe.create is None:
        with transaction():
            tasks.fence(task)
            endpoints.wait_for_person(endpoints.get(task.tenant_id, endpoint.id))
        return
    connector, session = vendor_session(task.tenant_id, installation.id)
    known, again = endpoint.subscription, endpoint.rotate or bool(silence.missed)
    gone = bool(known and silence.began and not _is_there(connector, session, hooks, known))
    if known and not gone and not again:
        if endpoint.renew_at is None or endpoint.renew_at > now():
            return
        if hooks.subscribe.renew:
            answer = _call(connector, session, hooks, "renew", {"id": known, "url": url}, missing=True)
            if answer is not None:
                _keep_answer(task, endpoint, hooks, answer, subscription=known)
                return
            gone = True
    _subscribe(task, endpoint, connector, session, hooks, url, before=None if gone else known)
    if gone:
        with transaction():
            tasks.fence(task)
            silences.tell_gone(installation)


def _is_there(connector: Connector, session: Session, hooks: Webhooks, subscription: str) -> bool:
    if hooks.subscribe.check is None:
        return True
    with outside():
        answer = connector.call(session, hooks.subscribe.check, {"hook": {"id": subscription}}, missing=True)
    return answer.status not in (404, 410)


def _subscribe(
    task: LeasedTask, endpoint: Endpoint, connector: Connector, session: Session, hooks: Webhooks, url: str,
    *, before: str | None,
) -> None:  # fmt: skip
    """Make a subscription, then end the one before; both secrets are accepted for a while.

    One that sends to our address already, because the answer to an earlier call was lost, is taken over where its secret
    is known, else ended first: nobody knows what it signs with.
    """
    lost = [item for item in _find(connector, session, hooks, url) if item[0] != before]
    # Without a secret in the answer it is one that we have told, or that belongs to no single subscription.
    kept = lost.pop() if lost and before is None and hooks.subscribe.secret is None else None
    for name, _ in lost:
        _remove(connector, session, hooks, name)
    if kept is None:
        _create(task, endpoint, connector, session, hooks, url, before=before)
    else:
        _keep_answer(task, endpoint, hooks, kept[1], subscription=kept[0])


def _find(connector: Connector, session: Session, hooks: Webhooks, url: str) -> list[tuple[str, Any]]:
    """Return what is subscribed there with our address: (id, as the vendor shows it)."""
    find = hooks.subscribe.find
    if find is None:
        return []
    with outside():
        answer = connector.call(session, find.request, {"hook": {"url": url}})
    items = look_up(answer.json(), find.items) if answer.body else None
    mine = [item for item in items if look_up(item, find.url) == url] if isinstance(items, list) else []
    return [(str(look_up(item, find.id)), item) for item in mine if look_up(item, find.id) is not None]


def _create(
    task: LeasedTask, endpoint: Endpoint, connector: Connector, session: Session, hooks: Webhooks, url: str,
    *, before: str | None,
) -> None:  # fmt: skip
    ours = ""
    with transaction():
        tasks.fence(task)
        endpoint = endpoints.get(task.tenant_id, endpoint.id)
        endpoint.capture_until = now() + _CAPTURE if hooks.handshake else None
        if hooks.verify.secret == "subscription" and hooks.subscribe.secret is None:  # noqa: S105  # a word
            ours = endpoints.secret_to_tell(endpoint, hooks.verify, fresh=before is not None)
    answer = _call(connector, session, hooks, "create", {"url": url, "secret": ours})
    _keep_answer(task, endpoint, hooks, answer, subscription=None)
    if before:
        _remove(connector, session, hooks, before)


def _call(
    connector: Connector, session: Session, hooks: Webhooks, name: str, hook: dict[str, Any], *, missing: bool = False
) -> Any:  # fmt: skip
    """Return the answer to a call of the manifest; None when the subscription is `missing`, where that may be."""
    with outside():
        response = connector.call(session, getattr(hooks.subscribe, name), {"hook": hook}, missing=missing)
    if missing and response.status in (404, 410):
        return None
    return response.json() if response.body else {}


def _keep_answer(
    task: LeasedTask, endpoint: Endpoint, hooks: Webhooks, answer: Any, *, subscription: str | None
) -> None:  # fmt: skip
    told = hooks.subscribe
    found = subscription or look_up(answer, told.id)
    secret = look_up(answer, told.secret) if told.secret and subscription is None else None
    if found is None or (told.secret and subscription is None and not isinstance(secret, str)):
        raise VendorDataError("The answer does not name the subscription and its secret.")
    expires = _moment(look_up(answer, told.expires)) if told.expires else None
    # Not fenced: a subscription that the vendor has made is known, whoever holds the task now.
    with transaction():
        made = Registered(str(found), secret if isinstance(secret, str) else None, expires)
        endpoints.keep_registered(task.tenant_id, endpoint.id, made, renewed=subscription is not None)


def _moment(value: Any) -> datetime | None:
    """Read a time as vendors write it: ISO, or epoch in seconds or milliseconds."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = None
    try:
        if number is not None:
            return datetime.fromtimestamp(number / 1000 if number > 1e11 else number, tz=now().tzinfo)
        found = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=now().tzinfo)


def _stumble(task: LeasedTask, error: ConnectorError) -> Outcome:
    assert task.ref is not None
    decision = decide(error, min(task.attempts - 1, 4))
    _logger.warning("subscription not kept", code=decision.code, error=error.message)
    with transaction():
        tasks.fence(task)
        endpoints.note_failure(task.tenant_id, task.ref, error)
        # What a person must right is looked at again when the connection is tested anew; until then runs find changes.
        return Again(now() + timedelta(seconds=decision.delay or 3600.0))


def unsubscribe(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """End the subscription of an installation that is removed, while there still is an access to do so."""
    with transaction():
        endpoint = endpoints.find(tenant_id, installation_id)
        installation = runs.get_installation(tenant_id, installation_id)
        hooks = endpoints.hooks_of(installation)
    if endpoint is None or endpoint.address is None or hooks is None:
        return
    if endpoint.subscription is None and hooks.subscribe.find is None:
        return
    try:
        connector, session = vendor_session(tenant_id, installation_id, testing=True)
        found = _find(connector, session, hooks, endpoints.url_of(endpoint.address))
        # Also one that nobody here knows of, because the answer to its making was lost.
        known = {endpoint.subscription} if endpoint.subscription else set()
        for name in known | {name for name, _ in found}:
            _remove(connector, session, hooks, name)
    except ConnectorError as error:
        _logger.warning("subscription not removed", error=error.message)
        return
    with transaction():
        endpoints.forget_subscription(tenant_id, endpoint.id)


def _remove(connector: Connector, session: Session, hooks: Webhooks, subscription: str) -> None:
    if hooks.subscribe.remove is not None:
        with outside():
            connector.call(session, hooks.subscribe.remove, {"hook": {"id": subscription}}, missing=True)
