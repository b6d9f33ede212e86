"""Children that die with their parent, and running PostgreSQL although one is root."""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


class StackError(Exception):
    """The stack cannot start; the message is one sentence that says why and what to do."""


def _dies_with_parent(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        os.setsid()
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def spawn(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, output: IO[bytes] | int | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:  # fmt: skip
    """Start a child in a session of its own that is killed when this process dies."""
    return subprocess.Popen(
        list(command), env=None if env is None else dict(env), stdin=subprocess.DEVNULL, stdout=output,
        stderr=subprocess.STDOUT if output is not None else None, cwd=cwd, preexec_fn=_dies_with_parent(os.getpid()),
    )  # fmt: skip


def stop(child: subprocess.Popen[bytes], sign: int = signal.SIGTERM, seconds: float = 10) -> None:
    """Ask a child to end, kill it when it has not after `seconds`."""
    if child.poll() is None:
        child.send_signal(sign)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def unprivileged(reachable: Path) -> list[str]:
    """Return the words to put before a PostgreSQL command: it refuses to run as root.

    A user namespace changes nothing on disk; where namespaces are forbidden, `nobody` is used if it can reach the
    files. StackError when neither works.
    """
    if os.geteuid() != 0:
        return []
    if shutil.which("unshare") and shutil.which("setpriv"):
        words = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
            return [*words, "setpriv", "--pdeathsig", "INT", "--"]
    nobody = pwd.getpwnam("nobody")
    words = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--"]
    if shutil.which("setpriv") and _can_reach(words, reachable):
        return words
    raise StackError(
        "PostgreSQL does not run as root, and neither a user namespace nor the user nobody can be used here: "
        "run as an ordinary user, or set DATABASE_URL to a PostgreSQL of your own."
    )


def _can_reach(words: list[str], path: Path) -> bool:
    return subprocess.run([*words, "ls", str(path)], capture_output=True, check=False).returncode == 0
