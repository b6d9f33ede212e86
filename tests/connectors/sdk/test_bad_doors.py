"""Other hosts, certificates, cut connections and refusals (reliability V16-V20), through the real engine.

Of V18 only reading is here: a create on a connection that is being closed belongs to writes.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from app.errors import ConflictError
from jobs import drain as drain_module
from tests.connectors.sdk.acme import (
    CONTACTS,
    Acme,
    Owner,
    Sync,
    assert_recovers,
    assert_stopped,
    person,
    second,
)
from tests.connectors.sdk.certificates import server_context
from tests.connectors.sdk.servers import OTHER_HOST, Answer, Call, Talker, Vendor
from tests.factories.tenants import activate
from tests.jobs.test_connections import Site
from tests.jobs.test_connections import Vendor as Sandbox


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_v16_a_redirect_to_another_host_is_not_followed(
    installed: Callable[..., Sync], acme: Acme, status: int
) -> None:
    other = Vendor(lambda _call: (200, {}, {"data": [person(9)]}), host=OTHER_HOST)
    try:
        acme.bad = second((status, {"Location": f"{other.origin}{CONTACTS}"}, b""))
        sync = installed()
        sync.drain()
        assert_stopped(sync, acme, "settings_wrong")
        assert other.calls == []
    finally:
        other.stop()


def test_v16_a_next_page_on_another_host_is_not_asked(installed: Callable[..., Sync], acme: Acme) -> None:
    other = Vendor(lambda _call: (200, {}, {"data": [person(9)]}), host=OTHER_HOST)
    try:
        acme.bad = second((200, {"Next-Page": f"{other.origin}{CONTACTS}"}, {"data": acme.people[2:4]}))
        sync = installed()
        sync.drain()
        assert sync.run("state", "error_code") == ("failed", "settings_wrong")
        assert sync.rows()[0] == 4
        assert other.calls == []
    finally:
        other.stop()


@pytest.mark.usefixtures("worker")
def test_v17_a_certificate_of_nobody_gets_no_credential(
    apps: dict[str, Flask], clean: None, owner: Owner, tmp_path: Path
) -> None:
    secure = Talker(
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
        context=server_context(tmp_path, "localhost", None),
    )
    try:
        with pytest.raises(ConflictError, match="not ready"):
            Sync(apps, owner, secure.origin.replace("http:", "https:"))
        assert secure.requests == []
    finally:
        secure.stop()
    assert owner.execute("SELECT state <> 'ready' FROM connections").fetchone() == (True,)
    assert owner.execute("SELECT count(*) FROM records").fetchone() == (0,)


def test_v18_a_connection_cut_without_an_answer_is_asked_again(installed: Callable[..., Sync], acme: Acme) -> None:
    def cut(_call: Call, page: int) -> Answer | None:
        if page == 2:
            raise ConnectionAbortedError
        return None

    acme.bad = cut
    sync = installed()
    sync.drain()
    assert_stopped(sync, acme, "vendor_down")
    assert_recovers(sync, acme)


@pytest.mark.usefixtures("worker")
def test_v19_one_refresh_after_a_401(apps: dict[str, Flask], clean: None, owner: Owner) -> None:
    vendor = Sandbox()
    try:
        site = Site(apps, vendor, owner)
        site.authorise()
        with apps["web"].app_context():
            activate(site.tenant_id, site.installation_id)
        vendor.expire_access()
        assert vendor.calls() == 1
        drain_module.drain("sync")
        assert owner.execute("SELECT state FROM runs").fetchone() == ("done",)
        assert vendor.calls() == 2
        statuses = owner.execute("SELECT count(*) FROM records").fetchone()
        assert statuses == (1497,), "three contacts are refused"
    finally:
        vendor.stop()


@pytest.mark.parametrize(("status", "code"), [(401, "reconnect"), (404, "settings_wrong")])
def test_v20_what_a_person_must_solve_is_not_tried_again(
    installed: Callable[..., Sync], acme: Acme, status: int, code: str
) -> None:
    acme.bad = second((status, {}, {}))
    sync = installed()
    sync.drain()
    assert_stopped(sync, acme, code)
    assert sync.run("state", "error_code") == ("failed", code)
    calls = len(acme.calls())
    sync.again()
    assert len(acme.calls()) == calls == 1 + 2
    blocked = sync.owner.execute("SELECT blocked_code FROM installations").fetchone()
    assert blocked == (code,)


def test_v20_a_stream_that_may_not_be_read_stops_no_other(installed: Callable[..., Sync], acme: Acme) -> None:
    acme.bad = second((403, {}, {}))
    sync = installed()
    sync.drain()
    assert sync.rows() == (2, 2, 2)
    assert sync.stream("state", "error_code", "pages") == ("failed", "permission_missing", 1)
    assert sync.run("state", "error_code") == ("done", None)
    problem = sync.owner.execute("SELECT code, stops_sync FROM problems WHERE state = 'open'").fetchall()
    assert problem == [("permission_missing", False)]
