"""An endpoint for events: answers as a test says, several at once, and remembers what it was sent."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Message:
    """What was posted, and when by this machine's clock."""

    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Answer = int | tuple[int, dict[str, str], bytes] | Callable[[Any], None]


class Receiver:
    """`answer` says how each message is met: a status, (status, headers, body), or a function that writes by itself."""

    def __init__(
        self, answer: Callable[[Message], Answer] = lambda _: 204, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.answer = answer
        self.messages: list[Message] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                message = Message({k.lower(): v for k, v in self.headers.items()}, body, time.monotonic())
                receiver.messages.append(message)
                answer = receiver.answer(message)
                if callable(answer):
                    answer(self)
                    return
                status, headers, content = (answer, {}, b"") if isinstance(answer, int) else answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server((host, port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}/in"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
