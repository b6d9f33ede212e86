"""How a field stands with another side."""

from typing import Any

import pytest

from app.sync.agreement import Flow, state_of

FLOW = Flow(targets=("city", "score", "email"), outgoing=("city", "email", "phone"))


@pytest.mark.parametrize(
    ("name", "here", "base", "more", "state"),
    [
        ("city", "Oslo", {"city": "Oslo"}, {}, "same"),
        ("city", None, {"city": ""}, {}, "same"),
        ("city", "Oslo", {"city": "Bonn"}, {}, "waits"),
        ("city", "Oslo", {"city": "Bonn"}, {"outcome": "refused_there"}, "refused"),
        ("city", "Oslo", {"city": "Bonn"}, {"outcome": "parked"}, "refused"),
        ("city", "Oslo", {"city": "Bonn"}, {"outcome": "filtered"}, "left_out"),
        ("city", "Oslo", {"city": "Bonn"}, {"outcome": "not_sent"}, "not_sent"),
        ("city", "Oslo", {"city": "Oslo"}, {"outcome": "refused_there"}, "same"),
        ("city", "Oslo", {"city": "Bonn"}, {"disputed": {"city"}}, "conflict"),
        ("score", 7, {"score": 3}, {}, "kept"),
        ("score", 7, {}, {}, "new"),
        ("phone", "1", {}, {}, "waits"),
        ("phone", None, {}, {}, "unmapped"),
        ("notes", "x", {}, {}, "unmapped"),
    ],
)
def test_a_field_stands(name: str, here: Any, base: dict[str, Any], more: dict[str, Any], state: str) -> None:
    assert state_of(name, here, base, FLOW, **more) == state
