"""Children that die with their parent, and running PostgreSQL although one is root."""

import ctypes
import os
import pwd
import runpy
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

_PR_SET_PDEATHSIG = 1


class StackError(Exception):
    """The stack cannot start; the message is one sentence that says why and what to do."""


class Child(Protocol):
    """What the supervisor needs of a child: a part of subprocess.Popen."""

    pid: int
    returncode: int | None

    @property
    def stdout(self) -> IO[bytes] | None: ...

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sign: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Forked:
    """A child forked from this process, so that it need not import again what is imported here."""

    def __init__(self, pid: int, stdout: IO[bytes]) -> None:
        self.pid, self.stdout = pid, stdout
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; subprocess.TimeoutExpired after `timeout` seconds."""
        ends = time.monotonic() + (timeout or float("inf"))
        while self.poll() is None:
            if time.monotonic() > ends:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(0.02)
        return self.returncode or 0

    def send_signal(self, sign: int, /) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, sign)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self.send_signal(signal.SIGKILL)


def fork(command: Sequence[str], *, env: Mapping[str, str]) -> Forked:
    """Do what `spawn` does for a `python -m module` command, in a fork of this process: no second import.

    Only from a process without threads.
    """
    reading, writing = os.pipe()
    prepare = _dies_with_parent(os.getpid())
    pid = os.fork()
    if pid:
        os.close(writing)
        return Forked(pid, os.fdopen(reading, "rb"))
    code = 1
    try:
        prepare()
        _become(command, env, writing)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(end.code + "\n")
    except BaseException:  # noqa: BLE001  # the end of a process: what went wrong is printed, as an interpreter would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become(command: Sequence[str], env: Mapping[str, str], output: int) -> None:
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(env)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    module, *sys.argv[1:] = command[2:]
    sys.argv[0] = module
    runpy.run_module(module, run_name="__main__", alter_sys=True)


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


def stop(child: Child, sign: int = signal.SIGTERM, seconds: float = 10) -> None:
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
