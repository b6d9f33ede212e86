"""Workers that need a token, forked from one loaded application as RQ forks its horses; tests may kill them.

`python -m tests.counterparts.oauth.refreshers` reads lines `<count> <tenant> <installation> <dies>` and prints, for each
worker, `asks <pid>` when it has found its token expired, then `works`, `reconnect`, `unavailable` or `killed` with its
pid, and `end` when all are gone. `dies`: never, answered (with the answer, before it is stored), stored.
"""

import gc
import os
import signal
import sys
import uuid
from typing import Any

from flask import Flask
from sqlalchemy.orm import configure_mappers

from app import create_app
from app.services import credentials
from app.tenancy import bind_tenant
from connectors.sdk import AuthError, UnavailableError
from jobs import vendor


def _say(word: str, pid: int) -> None:
    os.write(1, f"{word} {pid}\n".encode())


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _work(flask_app: Flask, tenant_id: uuid.UUID, installation_id: uuid.UUID, dies: str) -> str:
    refresh = vendor.refresh_tokens

    def ask(*args: Any, **more: Any) -> Any:
        _say("asks", os.getpid())
        return refresh(*args, **more)

    vendor.refresh_tokens = ask
    if dies == "answered":
        credentials.save_tokens = _die
    try:
        with flask_app.app_context(), bind_tenant(tenant_id):
            connector, session = vendor.vendor_session(tenant_id, installation_id)
            if dies == "stored":
                _die()
            connector.check(session)
    except AuthError:
        return "reconnect"
    except UnavailableError:
        return "unavailable"
    return "works"


def _fork(flask_app: Flask, barrier: tuple[int, int], words: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(barrier[1])
        os.read(barrier[0], 1)
        _say(_work(flask_app, uuid.UUID(words[1]), uuid.UUID(words[2]), words[3]), os.getpid())
    finally:
        os._exit(0)


def main() -> None:
    """Serve until the end of the input."""
    flask_app = create_app("worker")
    configure_mappers()
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        barrier = os.pipe()
        pids = [_fork(flask_app, barrier, words) for _ in range(int(words[0]))]
        for end in barrier:
            os.close(end)
        for pid in pids:
            if os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
                _say("killed", pid)
        _say("end", 0)


if __name__ == "__main__":
    main()
