"""Tasks about connections: test one, exchange a code, refresh a token, give a token back."""

import uuid
from datetime import timedelta

from flask import current_app

from app.clock import now
from app.services import breakers, connections, credentials, drift, listings, oauth, oauth_clients, runs, tasks
from app.services.breakers import Key
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.sync.breaker import VendorDownError
from app.transaction import outside, transaction
from connectors import registry
from connectors.sdk import ConnectorError
from connectors.sdk import oauth as vendor_oauth
from jobs import calls, samples
from jobs.drain import Slice
from jobs.endpoints import unsubscribe
from jobs.vendor import http_client, refresh_tokens, vendor_of, vendor_session


def test_connection(task: LeasedTask, _slice: Slice) -> Outcome:
    """Prove a connection by a real call, then look which fields the account has."""
    assert task.ref is not None
    _test(task, task.ref)
    return Done()


def _test(task: LeasedTask, connection_id: uuid.UUID) -> None:
    tenant_id = task.tenant_id
    with transaction():
        tasks.fence(task)
        installation_id = connections.installation_of(tenant_id, connection_id).id
    try:
        connector, session = vendor_session(tenant_id, installation_id, testing=True)
        with outside():
            account = connector.check(session)
            fields = {s.name: samples.discover(connector, session, s.name, set()) for s in connector.manifest.streams}
            choices = {f.name: connector.choices(session, f.name) for f in connector.manifest.config if f.choices_from}
    except ConnectorError as error:
        with transaction():
            tasks.fence(task)
            connections.refuse(tenant_id, connection_id, error)
        return
    with transaction():
        tasks.fence(task)
        connections.accept(tenant_id, connections.get_connection(tenant_id, connection_id), account)
        breakers.forget(Key("connection", str(connection_id)))
        connections.keep_choices(tenant_id, connection_id, choices)
        for stream, found in fields.items():
            drift.note(tenant_id, installation_id, stream, found)


def exchange_code(task: LeasedTask, _slice: Slice) -> Outcome:
    """Exchange the code of a callback for tokens, store them at once, then test the connection."""
    assert task.ref is not None
    tenant_id = task.tenant_id
    with transaction():
        tasks.fence(task)
        taken = oauth.take_code(tenant_id, task.ref)
        if taken is None:
            return Done()
        state, code, verifier = taken
        installation = runs.get_installation(tenant_id, state.installation_id)
        settings = connections.get_connection(tenant_id, state.connection_id).settings
        connector = listings.connector_of(installation.listing_version_id)
        client = oauth_clients.open_client(state.connector)
    try:
        if code is None:
            raise ConnectorError("The worker was lost while it exchanged the code.")
        if client is None:
            raise ConnectorError("There is no application for this connector.")
        with outside():
            fresh = vendor_oauth.exchange_code(
                http_client(connector, settings, timeout=10.0), connector.manifest.auth_for(settings), client, code=code,
                redirect_uri=state.redirect_uri, verifier=verifier, names=oauth.names_of(connector, settings),
                at=now(),
            )  # fmt: skip
    except ConnectorError as error:
        error.user_message = f"{connector.manifest.listing.name} did not accept the authorisation."
        error.fix = "Connect again. When it stays, tell support."
        with transaction():
            tasks.fence(task)
            oauth.forget(tenant_id, task.ref)
            connections.refuse_authorisation(tenant_id, state.connection_id, error)
        return Done()
    # Not fenced: tokens that the vendor has given out are kept, whoever holds the task now.
    with transaction():
        credentials.save_tokens(tenant_id, state.connection_id, fresh)
        connections.authorised(tenant_id, state.connection_id)
        connections.keep_values(tenant_id, state.connection_id, {**state.kept, **fresh.kept})
        oauth.forget(tenant_id, task.ref)
    _test(task, state.connection_id)
    return Done()


def refresh_token(task: LeasedTask, _slice: Slice) -> Outcome:
    """Renew a token before it expires; a connection without one, or no longer in use, is left alone."""
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        connection = connections.get_connection(task.tenant_id, task.ref)
        tokens = credentials.open_tokens(task.tenant_id, task.ref) if connection.state == "ready" else None
        installation = connections.installation_of(task.tenant_id, task.ref)
        settings = {**connection.settings, **installation.settings}
        connector = listings.connector_of(installation.listing_version_id)
    if tokens is not None and tokens.refresh_after and tokens.refresh_after > now() + timedelta(seconds=5):
        # A run has refreshed it meanwhile.
        return Again(tokens.refresh_after)
    if tokens is not None:
        try:
            with transaction():
                calls.current().enter(vendor_of(connector, settings, task.ref))
            refresh_tokens(task.tenant_id, task.ref, connector, settings, tokens)
        except VendorDownError as error:
            return Again(now() + timedelta(seconds=error.retry_after or 60.0))
        except ConnectorError as error:
            # A lost grant is recorded already; anything else is tried again when a run needs the token.
            if error.code != "reconnect":
                raise
    return Done()


def revoke(task: LeasedTask, _slice: Slice) -> Outcome:
    """End the subscription and give the token back at the vendor, then delete everything sealed for the connection."""
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        connection = connections.get_connection(task.tenant_id, task.ref)
        installation = connections.installation_of(task.tenant_id, task.ref)
        connector = listings.connector_of(installation.listing_version_id)
    unsubscribe(task.tenant_id, installation.id)
    with transaction():
        tasks.fence(task)
        tokens = credentials.open_tokens(task.tenant_id, task.ref)
        client = oauth_clients.open_client(connector.manifest.slug)
        settings = connection.settings
    # A vendor without a call for it, and a token that we ask for ourselves, leave nothing to give back.
    outcome = "failed" if connector.manifest.auth_for(settings).revoke_url else "no_address"
    if tokens and client and task.attempts < task.max_attempts:
        with outside():
            done = vendor_oauth.revoke(
                http_client(connector, settings), connector.manifest.auth_for(settings), client,
                connector.manifest.auth_for(settings).token_to_revoke(tokens.refresh_token, tokens.access_token), names=oauth.names_of(connector, settings),
            )  # fmt: skip
        outcome = "given_back" if done else "no_address"
    elif not tokens:
        outcome = "no_address"
    with transaction():
        tasks.fence(task)
        connections.keep_revocation(task.tenant_id, task.ref, outcome)
        credentials.delete_all(task.tenant_id, task.ref)
    return Done()


def test_client(task: LeasedTask, _slice: Slice) -> Outcome:
    """Ask the vendor whether it knows the host's application: a code that never was must be what it refuses."""
    connector = registry.get(task.key)
    with transaction():
        tasks.fence(task)
        client = oauth_clients.open_client(task.key)
    auth = next(auth for auth in connector.manifest.auths() if auth.kind == "oauth2")
    settings = {"server": current_app.extensions["settings"].sandbox_url}
    result = "The application has been removed."
    if client:
        try:
            with outside():
                result = vendor_oauth.test_client(
                    http_client(connector, settings), auth, client, names=oauth.names_of(connector, settings)
                )
        except ConnectorError as error:
            result = error.user_message
    with transaction():
        tasks.fence(task)
        oauth_clients.keep_test(task.key, result)
    return Done()
