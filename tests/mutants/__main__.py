"""`make mutants`: takes one guard away at a time, in a copy, and says which test turns red.

A guard whose test stays green is not guarded: then this ends with an error, and so it does when a guard has moved.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutants import Mutant, bus, data, sync

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = sync.MUTANTS + data.MUTANTS + bus.MUTANTS


def copy_to(folder: Path) -> None:
    """Copy the tree as it is, without what belongs to this machine."""
    shutil.copytree(
        ROOT,
        folder,
        symlinks=True,
        ignore=shutil.ignore_patterns(".venv", ".git", ".data", "__pycache__", ".mypy_cache"),
    )


def is_red(folder: Path, mutant: Mutant) -> tuple[bool, str]:
    """Take the guard away, run its test, put the guard back; return whether the test has failed, and why."""
    file = folder / mutant.file
    before = file.read_text()
    if mutant.old not in before:
        sys.exit(f"The guard “{mutant.guard}” is no longer where it was: {mutant.file}. Correct tests/mutants.")
    file.write_text(before.replace(mutant.old, mutant.new))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutant.test]
    run = subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, check=False)  # fmt: skip
    file.write_text(before)
    reason = next((line[1:].strip() for line in run.stdout.decode().splitlines() if line.startswith("E ")), "")
    return run.returncode == 1, reason[:90]


def main() -> None:
    """Print for each guard whether its test turned red; end with an error when one did not.

    Words on the command line narrow it to guards in whose name, file or test one of them stands.
    """
    words, survived = sys.argv[1:], 0
    chosen = [
        each for each in MUTANTS if not words or any(word in f"{each.guard} {each.file} {each.test}" for word in words)
    ]
    with tempfile.TemporaryDirectory(prefix="patchbay-mutants-") as place:
        folder = Path(place) / "tree"
        copy_to(folder)
        for mutant in chosen:
            red, reason = is_red(folder, mutant)
            survived += not red
            print(f"{'red  ' if red else 'GREEN'}  without {mutant.guard}: {mutant.test}\n       {reason}", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} guards are guarded")
    sys.exit(bool(survived))


if __name__ == "__main__":
    main()
