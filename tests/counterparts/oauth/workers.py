"""The process of `refreshers`, seen from a test."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping

from tests.counterparts.oauth.site import Site
from tests.processes import ROOT


class Refreshers:
    """Workers that need a token, real processes."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.counterparts.oauth.refreshers"], env={**os.environ, **environment}, cwd=ROOT,
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._word() == "ready"

    def _line(self) -> list[str]:
        assert self._child.stdout
        line = self._child.stdout.readline()
        assert line, "the workers have ended"
        return line.split()

    def _word(self) -> str:
        return self._line()[0]

    def go(self, site: Site, count: int = 1, *, dies: str = "never") -> list[int]:
        """Start workers at one moment; return their process ids when each has found the token expired."""
        words = (count, site.tenant_id, site.installation_id, dies)
        assert self._child.stdin
        self._child.stdin.write(" ".join(map(str, words)) + "\n")
        self._child.stdin.flush()
        found = [self._line() for _ in range(count)]
        assert {word for word, _ in found} == {"asks"}, found
        return [int(pid) for _, pid in found]

    def end(self) -> Counter[str]:
        """Wait for all of them and return what became of them."""
        return Counter(iter(self._word, "end"))

    def stop(self) -> None:
        """Stop."""
        assert self._child.stdin
        self._child.stdin.close()
        self._child.wait(10)
