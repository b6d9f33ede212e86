"""A proxy before a Kinto that loses the answers of some creates: they are made, and nobody is told."""

import http.client
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class CuttingProxy:
    """Passes everything on to `port`; of creates it cuts the given share after they are made."""

    def __init__(self, port: int, share: float, seed: int = 5) -> None:
        self.port, self.share, self.rng = port, share, random.Random(seed)
        self.creates = self.cut = 0
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def loses(self, made: bool) -> bool:
        """Whether the answer of a create is lost; `made` says that it was one that worked."""
        with self.lock:
            self.creates += made
            lost = made and self.rng.random() < self.share
            self.cut += lost
            return lost

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: CuttingProxy

    def log_message(self, *_: Any) -> None:
        """Stay silent."""

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        behind = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=30)
        behind.request(self.command, self.path, body or None, headers)
        answer = behind.getresponse()
        content = answer.read()
        behind.close()
        create = self.command == "PUT" and self.headers.get("If-None-Match") == "*"
        if create and self.proxy.loses(answer.status == 201):
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value.replace(f":{self.proxy.port}", f":{self.server.server_port}"))  # type: ignore[attr-defined]  # an HTTPServer
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _pass
