"""The web process as it is, telling with each answer what it took: time, time of the processor, and statements."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import event

from app.db import db
from wsgi import app as real

_here = threading.local()


def _count(*_: Any) -> None:
    _here.statements = getattr(_here, "statements", 0) + 1


with real.app_context():
    event.listen(db.engine, "before_cursor_execute", _count)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer as the application does, with two headers more."""
    kept: list[Any] = []
    _here.statements, began, busy = 0, time.perf_counter(), time.thread_time()
    answer = real.wsgi_app(environ, lambda *told: kept.extend(told))
    try:
        body = b"".join(answer)
    finally:
        close = getattr(answer, "close", None)
        if close:
            close()
    took, busy = (time.perf_counter() - began) * 1000, (time.thread_time() - busy) * 1000
    status, headers = kept[0], kept[1]
    told = {"X-Bench-Ms": took, "X-Bench-Cpu": busy, "X-Bench-Statements": _here.statements}
    start_response(status, [*headers, *((name, f"{value:.3f}") for name, value in told.items())])
    return [body]
