"""The guard's limits: bytes, inflated bytes, time and TLS (V04 to V06, V17), and answers that end in the middle."""

import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk import HttpClient, TooLargeError, UnavailableError, VendorDataError
from tests.connectors.sdk.certificates import make_authority, server_context
from tests.connectors.sdk.manifests import CANARY
from tests.connectors.sdk.servers import ALLOW, VENDOR_HOST, Names, Talker

Start = Callable[[Any], Any]
HOST = "crm.vendor.example"


def says(*pieces: bytes) -> Callable[[socket.socket], None]:
    """Return a talk that sends these pieces and keeps the connection."""

    def talk(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return talk


def whole(body: bytes, *headers: str) -> bytes:
    """Return an answer with its length."""
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


def get(talker: Talker, **limits: Any) -> bytes:
    """Call a talker with a client of these limits."""
    client = HttpClient(hosts={talker.origin}, allow=ALLOW, **limits)
    try:
        return client.request("GET", f"{talker.origin}/x").body
    finally:
        client.close()


def chunked(body: bytes) -> bytes:
    """Return a body in chunks of 1,000 bytes."""
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    return b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        lambda body: whole(body), lambda body: CHUNKED + chunked(body),
        lambda body: b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body,
    ],
    ids=["length", "chunked", "until the end"],
)  # fmt: skip
def test_v06_an_answer_is_read_to_the_limit_and_no_further(start: Start, answer: Callable[[bytes], bytes]) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(answer(b"x" * size))
        connection.close()

    talker = start(Talker(talk))
    size = 100_000
    assert get(talker, max_bytes=100_000) == b"x" * 100_000
    size = 100_001
    with pytest.raises(TooLargeError):
        get(talker, max_bytes=100_000)


def test_v06_an_endless_answer_is_left(start: Start) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(CHUNKED)
        while True:
            connection.sendall(b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n")

    with pytest.raises(TooLargeError):
        get(start(Talker(talk)), max_bytes=1_000_000)


def test_v06_a_bomb_is_inflated_to_the_limit_and_no_further(start: Start) -> None:
    squeezed = gzip.compress(b"\0" * 50_000_000)
    assert len(squeezed) < 60_000
    talker = start(Talker(says(whole(squeezed, "Content-Encoding: gzip"))))
    with pytest.raises(TooLargeError):
        get(talker, max_inflated=1_000_000)
    assert len(get(talker, max_inflated=50_000_000)) == 50_000_000


def test_a_connection_is_not_used_again_after_an_answer_that_was_too_large(start: Start) -> None:
    answers = [whole(b"x" * 300_000), whole(b"fine")]
    talker = start(Talker(lambda connection: connection.sendall(answers[len(talker.requests) - 1])))
    client = HttpClient(hosts={talker.origin}, allow=ALLOW, max_bytes=100_000)
    with pytest.raises(TooLargeError):
        client.request("GET", f"{talker.origin}/x")
    assert client.request("GET", f"{talker.origin}/x").body == b"fine"


def test_what_is_packed_is_unpacked(start: Start) -> None:
    body = b'{"id": "acme"}' * 1000
    assert get(start(Talker(says(whole(gzip.compress(body), "Content-Encoding: GZip"))))) == body
    assert get(start(Talker(says(whole(body, "Content-Encoding: identity"))))) == body
    assert get(start(Talker(says(b"HTTP/1.1 204 No\r\nContent-Encoding: gzip\r\n\r\n")))) == b""


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"not packed"), ("gzip", gzip.compress(b"x" * 5000)[:-9]), ("gzip", gzip.compress(b"x") + b"more"),
        ("gzip", gzip.compress(b"a") + gzip.compress(b"b")), ("deflate", zlib.compress(b"x")), ("br", b"x"), ("gzip, gzip", b"x"),
    ],
    # Named, because what is packed holds the time.
    ids=["not packed", "cut off", "more behind it", "two parts", "deflate", "br", "twice"],
)  # fmt: skip
def test_v05_a_damaged_packing_is_bad_data(start: Start, encoding: str, body: bytes) -> None:
    with pytest.raises(VendorDataError):
        get(start(Talker(says(whole(body, f"Content-Encoding: {encoding}")))))


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", CHUNKED + b"ff\r\nshort", CHUNKED + b"zz\r\n",
        b"nonsense\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02\x02P",
        b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)  # fmt: skip
def test_an_answer_that_is_cut_or_none_is_trouble_of_the_network(start: Start, answer: bytes) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    with pytest.raises(UnavailableError):
        get(start(Talker(talk)))


@pytest.mark.parametrize(
    ("first", "drop", "last"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", b"x", b""), (CHUNKED, b"1\r\nx\r\n", b"0\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Slow: ", b"x", b"\r\n\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=["body", "chunks", "head", "go on"],
)  # fmt: skip
def test_v04_drops_do_not_keep_a_call_alive(start: Start, first: bytes, drop: bytes, last: bytes) -> None:
    """Each pause is short, the whole is long: only a deadline for the whole ends it before the answer is complete."""
    over = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.sendall(first)
        for _ in range(200):
            connection.sendall(drop)
            if over.wait(0.05):
                return
        connection.sendall(last)

    talker = start(Talker(talk))
    with pytest.raises(UnavailableError):
        get(talker, timeout=0.5)
    over.set()


def test_v04_silence_ends_a_call(start: Start) -> None:
    over = threading.Event()
    talker = start(Talker(lambda _connection: over.wait(10) and None))
    with pytest.raises(UnavailableError):
        get(talker, timeout=0.1)
    over.set()


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with socket.create_server((VENDOR_HOST, 0)) as listener:
        origin = f"http://{VENDOR_HOST}:{listener.getsockname()[1]}"
    with pytest.raises(UnavailableError):
        HttpClient(hosts={origin}, allow=ALLOW).request("GET", origin)


def test_v05_bodies_that_are_no_json(start: Start) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    bodies = [
        b"", b"<html><form>Log in</form></html>", b'{"data": [', b'{"a": NaN}', b"Infinity", b"1e400", b"\xff\xfe", b"{'a': 1}",
        b'"\\ud800"', deep, b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"1" + b"}" * 300, b"\xef\xbb\xbf{}", b"{} {}",
    ]  # fmt: skip
    for body in bodies:
        talker = start(Talker(says(whole(body))))
        answer = HttpClient(hosts={talker.origin}, allow=ALLOW).request("GET", f"{talker.origin}/x")
        with pytest.raises(VendorDataError):
            answer.json()
    assert len(bodies) == 14


def test_a_tls_vendor_is_met_under_its_name(start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names_seen: list[str | None] = []
    context = server_context(tmp_path, HOST, make_authority(tmp_path))
    context.sni_callback = lambda _socket, name, _context: names_seen.append(name)
    talker = start(Talker(says(whole(b"fine")), context=context))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    client = tls_client(talker, HOST)
    assert client.request("GET", f"https://{HOST}:{talker.port}/x").body == b"fine"
    assert names_seen == [HOST]
    assert f"host: {HOST}:{talker.port}\r\n".encode() in talker.requests[0].lower()


@pytest.mark.parametrize("kind", ["other host", "own signature", "expired", "unknown authority"])
def test_v17_a_bad_certificate_gets_no_credentials(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    authority = make_authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    (tmp_path / "other").mkdir()
    contexts: dict[str, Callable[[], ssl.SSLContext]] = {
        "other host": lambda: server_context(tmp_path, "other.example", authority),
        "own signature": lambda: server_context(tmp_path, HOST, None),
        "expired": lambda: server_context(tmp_path, HOST, authority, days=-2),
        "unknown authority": lambda: server_context(tmp_path, HOST, make_authority(tmp_path / "other")),
    }
    talker = start(Talker(says(whole(b"fine")), context=contexts[kind]()))
    with pytest.raises(UnavailableError):
        tls_client(talker, HOST).request("GET", f"https://{HOST}:{talker.port}/x", headers={"x-api-key": CANARY})
    assert talker.requests == []


def tls_client(talker: Talker, host: str) -> HttpClient:
    """Return a client that finds a host at the talker's address."""
    names = Names({host: [[VENDOR_HOST]]})
    return HttpClient(hosts={f"https://{host}:{talker.port}"}, allow=ALLOW, resolver=names, timeout=5.0)


def test_v17_https_is_not_spoken_with_plain_http(start: Start) -> None:
    talker = start(Talker(says(), greeting=whole(b"fine")))
    with pytest.raises(UnavailableError):
        tls_client(talker, HOST).request("GET", f"https://{HOST}:{talker.port}/x", headers={"x-api-key": CANARY})
    assert not any(CANARY.encode() in request for request in talker.requests)
