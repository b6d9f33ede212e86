"""Small real servers to call: a vendor, one that says any bytes, and one that nobody may reach."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import orjson

VENDOR_HOST, OTHER_HOST, INSIDE = "127.0.0.2", "127.0.0.3", "127.0.0.1"
ALLOW = (ip_network("127.0.0.2/31"),)


@dataclass(frozen=True)
class Call:
    """What a vendor was asked; `path` is as it stood on the wire."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


Answer = tuple[int, dict[str, str], Any]


class _Server(WSGIServer):
    def server_bind(self) -> None:
        # Without the reverse look-up that the standard library makes here.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "vendor", self.server_address[1]
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), "wire.target": self.path, "wire.headers": self.headers}

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Vendor:
    """A WSGI vendor in a thread: `answer` turns each call into status, headers and a body."""

    def __init__(self, answer: Callable[[Call], Answer], host: str = VENDOR_HOST, port: int = 0) -> None:
        self.answer = answer
        self.calls: list[Call] = []
        self._server = _Server((host, port), _Handler)
        self._server.set_app(self._app)
        self.port = self._server.server_port
        self.origin = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def _app(self, environ: dict[str, Any], start: Any) -> list[bytes]:
        path, _, query = environ["wire.target"].partition("?")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        call = Call(
            environ["REQUEST_METHOD"], path, {k: v[0] for k, v in parse_qs(query).items()},
            {name.lower(): value for name, value in environ["wire.headers"].items()},
            environ["wsgi.input"].read(length),
        )  # fmt: skip
        self.calls.append(call)
        status, headers, body = self.answer(call)
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        start(f"{status} Answer", list({"Content-Type": "application/json", **headers}.items()))
        return [content]

    def stop(self) -> None:
        """Stop listening and wait for the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Talker:
    """Accepts connections, reads the head of a request and lets `talk` write whatever it likes."""

    def __init__(
        self, talk: Callable[[socket.socket], None], host: str = VENDOR_HOST, context: ssl.SSLContext | None = None,
        greeting: bytes = b"",
    ) -> None:  # fmt: skip
        self.requests: list[bytes] = []
        self._talk, self._context, self._greeting = talk, context, greeting
        self._listener = socket.create_server((host, 0))
        self.port = int(self._listener.getsockname()[1])
        self.origin = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                self._meet(connection)
            except OSError:
                pass
            finally:
                connection.close()

    def _meet(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        if self._context:
            connection = self._context.wrap_socket(connection, server_side=True)
        with connection:
            connection.sendall(self._greeting)
            while True:
                head = b""
                while b"\r\n\r\n" not in head:
                    more = connection.recv(65536)
                    if not more:
                        return
                    head += more
                self.requests.append(head)
                self._talk(connection)

    def stop(self) -> None:
        """Stop listening and wait for the thread."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(15)


class Sinkhole:
    """Listens where nobody may come, and counts who came."""

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.create_server((INSIDE, port), backlog=128)
        self.port = int(self._listener.getsockname()[1])

    def connections(self) -> int:
        """How many came before our own knock."""
        count = 0
        with socket.create_connection((INSIDE, self.port)) as knock:
            while True:
                found, peer = self._listener.accept()
                found.close()
                if peer == knock.getsockname():
                    return count
                count += 1

    def stop(self) -> None:
        """Stop listening."""
        self._listener.close()


@contextmanager
def side_by_side(answer: Callable[[Call], Answer]) -> Iterator[tuple[Vendor, Sinkhole]]:
    """A vendor and a sinkhole on one port, so that only the address tells them apart."""
    for _ in range(50):
        sinkhole = Sinkhole()
        try:
            vendor = Vendor(answer, port=sinkhole.port)
        except OSError:
            sinkhole.stop()
            continue
        try:
            yield vendor, sinkhole
        finally:
            vendor.stop()
            sinkhole.stop()
        return
    raise RuntimeError("There is no port free on both addresses.")


class Names:
    """A resolver by a table: each look-up of a host gives its next answer, the last one for ever."""

    def __init__(self, hosts: dict[str, list[list[str]]]) -> None:
        self._hosts = {name: list(answers) for name, answers in hosts.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answers = self._hosts.get(host)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]
