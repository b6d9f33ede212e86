"""What has become of an account's fields, and which rules that touches."""

from connectors.sdk import FieldInfo, Rule
from connectors.sdk.drift import Drift, FieldDrift, drift

BEFORE = [
    {"name": "mail", "label": "E-mail", "type": "email", "custom": False}, {"name": "p.size", "label": "Size", "type": "text"},
    {"name": "p.old", "label": "Old", "type": "date"}, {"name": "box", "label": "Box", "type": "json"}, {"name": "gone", "type": "text"},
]  # fmt: skip
AFTER = [
    FieldInfo("p.new", "New", "number", custom=True), FieldInfo("mail", "Mail address", "email"), FieldInfo("p.size", "Size", "number"),
]  # fmt: skip
RULES = [
    Rule("email", ("mail",)), Rule("size", ("p.size",)), Rule("label", ("mail", "p.size")), Rule("inner", ("box.a.b",), direction="out"),
    Rule("old", ("p.old",), direction="off"), Rule("boxer", ("boxer",)),
]  # fmt: skip


def test_what_is_new_gone_and_of_another_type() -> None:
    found = drift(BEFORE, AFTER, RULES)
    assert found.new == (FieldDrift("p.new", "New", None, "number"),)
    assert found.retyped == (FieldDrift("p.size", "Size", "text", "number", ("size", "label")),)
    assert found.removed == (
        FieldDrift("p.old", "Old", "date", None), FieldDrift("box", "Box", "json", None, ("inner",)),
        FieldDrift("gone", "gone", "text", None),
    )  # fmt: skip
    assert [field.name for field in found.used] == ["box", "p.size"]
    assert [field.used for field in found.removed] == [False, True, False]
    assert found


def test_a_new_field_that_the_mapping_waited_for_is_used() -> None:
    assert drift(BEFORE, [FieldInfo("boxer", "Boxer", "text")], RULES).new[0].targets == ("boxer",)


def test_what_is_seen_for_the_first_time_or_stays_has_not_changed() -> None:
    assert drift([], AFTER, RULES) == Drift()
    same = [FieldInfo(str(field["name"]), "Another label", str(field["type"])) for field in reversed(BEFORE)]
    assert not drift(BEFORE, same, RULES)
