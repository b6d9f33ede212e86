"""The guards that `make mutants` takes away one at a time, each with the test that must turn red without it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A guard, where it stands, what stands there without it, and the test that must see it."""

    guard: str
    file: str
    old: str
    new: str
    test: str
