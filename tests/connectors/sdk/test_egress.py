"""The egress guard against real servers: cases S01 to S09 and S11 of the reliability page."""

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk import EgressError, HttpClient, Secret, UnavailableError
from connectors.sdk.manifest import Auth
from connectors.sdk.oauth import OAuthClient, exchange_code, refresh, revoke
from tests.connectors.sdk.manifests import CANARY
from tests.connectors.sdk.servers import (
    ALLOW,
    OTHER_HOST,
    VENDOR_HOST,
    Answer,
    Call,
    Names,
    Sinkhole,
    Vendor,
    side_by_side,
)

Start = Callable[[Any], Any]
HOST = "crm.vendor.example"
# Every one of them is 127.0.0.1 or another address of this machine to somebody's parser or resolver.
LITERALS = (
    "127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "0x7f.0x0.0x0.0x1", "2130706433", "017700000001",
    "0177.0.0.1", "0177.0.0.01", "127.000.000.001", "127.0.0.1.", "0", "0.0.0.0", "0x0", "127.255.255.254",
    "①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1", "localhost", "LOCALHOST", "localhost.", "10.0.0.1", "172.16.0.1", "192.168.0.1",
    "100.64.0.1", "169.254.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.0.1",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fe80::1]", "[fe80::1%25lo]",
    "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[5f00::1]", "[100::1]",
)  # fmt: skip


def fine(_call: Call) -> Answer:
    return 200, {}, {"id": "acme", "data": []}


@pytest.mark.parametrize("literal", LITERALS)
def test_s01_no_spelling_of_an_inner_address_gets_through(start: Start, literal: str) -> None:
    inside = start(Sinkhole())
    bare = literal.lower().strip("[]")
    hosts = {bare, bare.rstrip("."), *(f"{scheme}://{literal.lower()}:{inside.port}" for scheme in ("http", "https"))}
    hosts |= {host.replace(".:", ":") for host in hosts}
    for allow in ((), ALLOW):
        client = HttpClient(hosts=hosts, allow=allow, timeout=0.5)
        for scheme in ("http", "https"):
            with pytest.raises((EgressError, UnavailableError)):
                client.request("GET", f"{scheme}://{literal}:{inside.port}/", headers={"x-api-key": CANARY})
            with pytest.raises((EgressError, UnavailableError)):
                client.request("GET", f"{scheme}://{literal}/")
    assert inside.connections() == 0


def test_s01_would_notice_an_open_door(start: Start) -> None:
    inside = start(Sinkhole())
    origin = f"http://127.0.0.1:{inside.port}"
    client = HttpClient(hosts={origin}, allow=[ipaddress.ip_network("127.0.0.1/32")], timeout=0.05)
    with pytest.raises(UnavailableError):
        client.request("GET", origin)
    assert inside.connections() == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://{host}@127.0.0.1:{port}/", "http://user:word@{host}:{port}/", "http://127.0.0.1:{port}#@{host}/",
        "http://127.0.0.1:{port}/@{host}/", "http://127.0.0.1:{port}?@{host}/", "http://127.0.0.1:{port}\\@{host}/",
        "http://{host}\\@127.0.0.1:{port}/", "http:\\\\127.0.0.1:{port}\\", "http://{host}\t@127.0.0.1:{port}/",
        "\thttp://127.0.0.1:{port}/", " http://127.0.0.1:{port}/", "http://127.0.0.1\n:{port}/", "HTTP://127.0.0.1:{port}/",
        "hTTpS://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http:/127.0.0.1:{port}/", "http:127.0.0.1:{port}",
        "http://{host}:{port}:80/", "http://{host}:99999/", "http://{host}:-1/", "http://{host}:{port}@127.0.0.1/",
        "http://[::1/", "http://[{host}]:{port}/", "http://.{host}:{port}/", "http://{host}.127.0.0.1:{port}/",
        "http://{host}%00.127.0.0.1:{port}/", "http://{host}%2f@127.0.0.1:{port}/", "http://{host}&@127.0.0.1:{port}/",
        "ftp://{host}:{port}/", "file:///etc/passwd", "file://{host}/etc/passwd", "gopher://127.0.0.1:{port}/_GET",
        "dict://127.0.0.1:{port}/", "data:text/plain,x", "javascript:1", "", "/", "127.0.0.1:{port}", "http://", "http://:{port}/",
        "http://{host}/ HTTP/1.1\r\nHost: 127.0.0.1", "http://ｃrm.vendor.example:{port}/", "http://{host}:22/",
    ],
)  # fmt: skip
def test_s01_no_bent_address_gets_through(url: str) -> None:
    with side_by_side(fine) as (vendor, inside):
        names = Names({HOST: [[VENDOR_HOST]]})
        client = HttpClient(hosts={f"http://{HOST}:{vendor.port}"}, allow=ALLOW, resolver=names, timeout=0.5)
        with pytest.raises(EgressError):
            client.request("GET", url.replace("{host}", HOST).replace("{port}", str(vendor.port)))
        assert names.asked == []
        assert (vendor.calls, inside.connections()) == ([], 0)


def test_s03_the_checked_address_is_kept_for_all_calls() -> None:
    with side_by_side(fine) as (vendor, inside):
        names = Names({HOST: [[VENDOR_HOST], ["127.0.0.1"]]})
        origin = f"http://{HOST}:{vendor.port}"
        client = HttpClient(hosts={origin}, allow=ALLOW, resolver=names)
        for _ in range(3):
            assert client.request("GET", f"{origin}/x").status == 200
        assert [call.headers["host"] for call in vendor.calls] == [f"{HOST}:{vendor.port}"] * 3
        assert (names.asked, inside.connections()) == ([HOST], 0)


@pytest.mark.parametrize(
    "answers",
    [
        [VENDOR_HOST, "127.0.0.1"], ["127.0.0.1", VENDOR_HOST], [VENDOR_HOST, "::1"], [VENDOR_HOST, "::ffff:127.0.0.2"],
        [*[VENDOR_HOST] * 49, "127.0.0.1"], [VENDOR_HOST, "fe80::1%lo"], ["10.0.0.7"], ["8.8.8.8", "192.168.0.1"],
    ],
)  # fmt: skip
def test_s03_one_bad_answer_refuses_all(answers: list[str]) -> None:
    with side_by_side(fine) as (vendor, inside):
        origin = f"http://{HOST}:{vendor.port}"
        client = HttpClient(hosts={origin}, allow=ALLOW, resolver=Names({HOST: [answers]}), timeout=0.5)
        with pytest.raises(EgressError):
            client.request("GET", f"{origin}/x")
        assert (vendor.calls, inside.connections()) == ([], 0)


def test_s03_a_public_address_is_not_called_by_plain_http() -> None:
    client = HttpClient(hosts={HOST}, allow=ALLOW, resolver=Names({HOST: [["8.8.8.8"]]}))
    with pytest.raises(EgressError, match="https"):
        client.request("GET", f"http://{HOST}/")


@pytest.mark.parametrize("answers", [[[]], None])
def test_s03_a_host_without_address_is_unavailable(answers: list[list[str]] | None) -> None:
    client = HttpClient(hosts={HOST}, resolver=Names({HOST: answers} if answers else {}))
    with pytest.raises(UnavailableError):
        client.request("GET", f"https://{HOST}/")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "/elsewhere", "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "data:,x"],
)  # fmt: skip
def test_s04_no_redirect_is_followed(start: Start, status: int, location: str) -> None:
    inside = start(Sinkhole())
    place = location.replace("{port}", str(inside.port))
    page = f'<meta http-equiv="refresh" content="0;url={place}">'.encode()
    vendor = start(Vendor(lambda _call: (status, {"Location": place, "Refresh": f"0; url={place}"}, page)))
    client = HttpClient(hosts={vendor.origin}, allow=ALLOW)
    for method in ("GET", "POST"):
        answer = client.request(method, f"{vendor.origin}/x", headers={"x-api-key": CANARY})
        assert (answer.status, answer.body) == (status, page)
    assert [call.path for call in vendor.calls] == ["/x", "/x"]
    assert inside.connections() == 0


def test_s05_an_address_that_turns_inside_later_is_refused_at_the_next_send() -> None:
    with side_by_side(fine) as (vendor, inside):
        names, url = Names({HOST: [[VENDOR_HOST], ["127.0.0.1"]]}), f"http://{HOST}:{vendor.port}"
        HttpClient(hosts={url}, allow=ALLOW, resolver=names).request("POST", url, json={"event": 1})
        with pytest.raises(EgressError):
            HttpClient(hosts={url}, allow=ALLOW, resolver=names, timeout=0.5).request("POST", url, json={"event": 2})
        assert [call.body for call in vendor.calls] == [b'{"event":1}']
        assert inside.connections() == 0


def test_s07_the_environment_sets_no_proxy_and_no_credentials(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inside = start(Sinkhole())
    vendor = start(Vendor(lambda _call: (200, {"Set-Cookie": "session=1; Path=/"}, {})))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{inside.port}")
        monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{inside.port}")
    monkeypatch.setenv("NO_PROXY", "")
    (tmp_path / "netrc").write_text(f"machine {VENDOR_HOST} login ada password {CANARY}\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client = HttpClient(hosts={vendor.origin}, allow=ALLOW)
    for _ in range(2):
        client.request("GET", f"{vendor.origin}/x")
    assert inside.connections() == 0
    for call in vendor.calls:
        assert not {"authorization", "cookie", "proxy-authorization", "via"} & set(call.headers)
        assert call.path == "/x"


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("169.254.169.254", "169.254.169.254"), ("[fd00:ec2::254]", "fd00:ec2::254"), ("[::ffff:169.254.169.254]", "::ffff:a9fe:a9fe"),
        ("metadata.google.internal", "169.254.169.254"), ("2852039166", "169.254.169.254"), ("100.100.100.200", "100.100.100.200"),
        ("instance-data", "169.254.169.254"), ("168.63.129.16.nip.example", "169.254.169.254"),
    ],
)  # fmt: skip
def test_s08_no_metadata_service_is_reached(host: str, answer: str) -> None:
    bare = host.strip("[]")
    for scheme in ("http", "https"):
        client = HttpClient(hosts={bare}, allow=ALLOW, resolver=Names({bare: [[answer]]}), timeout=0.5)
        with pytest.raises(EgressError):
            client.request("GET", f"{scheme}://{host}/latest/meta-data/")


@pytest.mark.parametrize("listed", [True, False])
def test_s09_no_oauth_address_leads_inside(start: Start, listed: bool) -> None:
    inside = start(Sinkhole())
    origin = f"http://127.0.0.1:{inside.port}"
    auth = Auth(
        kind="oauth2",
        authorize_url=f"{origin}/a",
        token_url=f"{origin}/t",
        revoke_url=f"{origin}/r",
        scopes=[{"name": "read", "reason": "To read."}],
    )
    client, token, at = OAuthClient("id", Secret(CANARY)), Secret("token-1234"), datetime(2026, 11, 24, tzinfo=UTC)
    http = HttpClient(hosts={origin} if listed else {HOST}, allow=ALLOW, timeout=0.5)
    with pytest.raises(EgressError):
        exchange_code(http, auth, client, code="c", redirect_uri="https://x", verifier="v", names={}, at=at)
    with pytest.raises(EgressError):
        refresh(http, auth, client, token, names={}, at=at)
    with pytest.raises(EgressError):
        revoke(http, auth, client, token, names={})
    assert inside.connections() == 0


def test_s11_each_host_has_its_own_connection(start: Start) -> None:
    with side_by_side(fine) as (vendor, _inside):
        other = start(Vendor(lambda _call: (200, {}, {"id": "other"}), OTHER_HOST, vendor.port))
        names = Names({HOST: [[VENDOR_HOST]], "b.example": [[OTHER_HOST]]})
        first, second = (f"http://{host}:{vendor.port}" for host in (HOST, "b.example"))
        client = HttpClient(hosts={first, second}, allow=ALLOW, resolver=names)
        seen = [client.request("GET", f"{origin}/x").json()["id"] for origin in (first, second, first, second)]
        assert seen == ["acme", "other"] * 2
        assert {call.headers["host"] for call in other.calls} == {f"b.example:{vendor.port}"}


def test_a_guard_that_objects_keeps_everything_in_the_house(start: Start) -> None:
    def guard() -> None:
        raise RuntimeError("A transaction is open.")

    vendor, names = start(Vendor(fine)), Names({HOST: [[VENDOR_HOST]]})
    client = HttpClient(hosts={vendor.origin, HOST}, allow=ALLOW, guard=guard, resolver=names)
    with pytest.raises(RuntimeError):
        client.request("GET", f"{vendor.origin}/x")
    assert (vendor.calls, names.asked) == ([], [])
