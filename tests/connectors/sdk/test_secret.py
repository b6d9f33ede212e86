"""A secret is not seen by accident."""

import copy
import json
import pickle

import orjson
import pytest

from connectors.sdk import Secret

HELD = Secret("canary-1")


def test_it_is_not_printed() -> None:
    assert "canary" not in f"{HELD} {HELD!r} {[HELD]} {vars(HELD) if hasattr(HELD, '__dict__') else ''}" + str(HELD)
    assert HELD.reveal() == "canary-1"


@pytest.mark.parametrize("write", [pickle.dumps, json.dumps, orjson.dumps, copy.copy, copy.deepcopy])
def test_it_is_not_written(write: object) -> None:
    assert callable(write)
    with pytest.raises(TypeError):
        write(HELD)


def test_an_empty_one_is_none() -> None:
    assert not Secret("")
    assert HELD
