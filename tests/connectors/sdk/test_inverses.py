"""The way out of every transform that has one: what it writes, what it refuses, and that it settles."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connectors.sdk import (
    TRANSFORMS,
    Choice,
    CompiledMapping,
    FieldInfo,
    Mapped,
    Rule,
    TargetField,
    Transform,
    compile_mapping,
)
from connectors.sdk.writing import nested
from tests.connectors.sdk.generated import FIXED, TEXT, VALUE
from tests.connectors.sdk.test_transforms import GOOD as VALUES_IN

STAGES = (Choice("lead", "Lead"), Choice("won", "Won deal"))


def turned(*steps: Transform, sources: int = 1, kind: str = "json", theirs: str = "") -> CompiledMapping:
    """Return a mapping of one field that flows both ways."""
    paths = tuple(f"f{number}" for number in range(sources))
    target = TargetField("out", "Out", kind, choices=STAGES if "choice" in kind else ())
    infos = [FieldInfo(path, path, theirs) for path in paths] if theirs else []
    return compile_mapping([Rule("out", paths, steps, "both")], [target], direction="both", sources=infos)


T = Transform
TABLE = {"opportunity": "lead", "7": "Won deal"}
OUT: list[tuple[CompiledMapping, Any, Any]] = [
    (turned(T("trim")), "Ada", "Ada"), (turned(T("case", {"to": "lower"})), "Ada", "Ada"), (turned(T("default", {"value": "x"})), "y", "y"),
    (turned(T("concat"), sources=2), "Ada King Byron", ["Ada", "King Byron"]), (turned(T("concat"), sources=2), "Ada", ["Ada", None]),
    (turned(T("concat"), sources=3), "a b c d", ["a", "b", "c d"]), (turned(T("concat", {"separator": ", "}), sources=2), "Byron, Ada", ["Byron", "Ada"]),
    (turned(T("concat"), sources=2), " Ada", [" Ada", None]), (turned(T("concat"), sources=2), "Ada ", ["Ada ", None]), (turned(T("concat"), sources=1), "a b", ["a b"]),
    (turned(T("concat"), T("trim"), T("case", {"to": "upper"}), sources=2), "ADA B", ["ADA", "B"]), (turned(sources=2), 5, ["5", None]),
    (turned(T("coalesce"), sources=2), "Ada", ["Ada"]),
    (turned(T("number")), 1234.5, "1234.5"), (turned(T("number", {"decimal": ","})), 1234.5, "1234,5"), (turned(T("number")), 7, "7"), (turned(T("number")), "7.0", "7"),
    (turned(T("number", {"decimal": ","}), theirs="number"), 1234.5, 1234.5), (turned(T("number"), theirs="text"), 7, "7"),
    (turned(T("boolean")), True, "yes"), (turned(T("boolean")), False, "no"), (turned(T("boolean", {"yes": "Ja,1", "no": " Nein"})), False, "Nein"),
    (turned(T("boolean"), theirs="flag"), True, True), (turned(T("boolean"), kind="text"), "yes", "yes"),
    (turned(T("date_parse", {"format": "DD/MM/YYYY"})), "2026-11-24", "24/11/2026"), (turned(T("date_parse", {"format": "DD/MM/YYYY"})), "2026-11-24T23:30:00-05:00", "25/11/2026"),
    (turned(T("date_parse", {"format": "epoch_s"})), "2025-11-24T16:00:00Z", 1764000000), (turned(T("date_parse", {"format": "epoch_ms"})), "2025-11-24T16:00:00.5Z", 1764000000500),
    (turned(T("date_parse", {"format": "epoch_s"})), "2025-11-24T16:00:00.5Z", 1764000000.5), (turned(T("date_parse", {"format": "epoch_s"}), theirs="text"), "1969-12-31", "-86400"),
    (turned(T("date_parse", {"format": "epoch_ms"}), theirs="integer"), "2026-11-24", 1795478400000),
    (turned(T("date_parse", {"format": "YYYY-MM-DD hh:mm", "zone": "Europe/Stockholm"})), "2026-11-24T08:30:15Z", "2026-11-24 09:30"),
    (turned(T("date_format", {"format": "DD.MM.YYYY"})), "24.11.2026", "2026-11-24"), (turned(T("date_format", {"format": "DD.MM.YYYY"}), theirs="date"), " 24.11.2026", "2026-11-24"),
    (turned(T("date_format", {"format": "DD.MM.YYYY", "zone": "Asia/Tokyo"}), theirs="datetime"), "24.11.2026", "2026-11-23T15:00:00Z"),
    (turned(T("date_format", {"format": "DD.MM.YYYY hh:mm", "zone": "Asia/Tokyo"})), "24.11.2026 09:30", "2026-11-24T00:30:00Z"),
    (turned(T("date_format", {"format": "DD.MM.YYYY hh:mm"}), theirs="date"), "24.11.2026 09:30", "2026-11-24"),
    (turned(T("value_table", {"table": TABLE})), "Lead ", "opportunity"), (turned(T("value_table", {"table": TABLE})), "other", "other"),
    (turned(T("value_table", {"table": TABLE}), kind="choice"), "won", "7"), (turned(T("value_table", {"table": TABLE}), kind="choice", theirs="integer"), "won", 7),
    (turned(T("value_table", {"table": {"y": True, "n": False, "z": ""}})), False, "n"), (turned(T("value_table", {"table": {"b": "a", "a": "b"}})), "b", "a"),
    (turned(T("value_table", {"table": {"a": "a"}, "otherwise": "error"})), "A", "a"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mapping", "value", "sent"), OUT, ids=lambda value: None if isinstance(value, CompiledMapping) else repr(value)
)
def test_a_value_flows_out(mapping: CompiledMapping, value: Any, sent: Any) -> None:
    made = mapping.outgoing({"out": value})
    assert made.problems == ()
    parts = sent if isinstance(sent, list) else [sent]
    assert made.fields == {f"f{number}": part for number, part in enumerate(parts)}
    assert [type(part) for part in made.fields.values()] == [type(part) for part in parts]


REFUSED: list[tuple[CompiledMapping, Any, str]] = [
    (turned(T("number")), "many", "is not a number"), (turned(T("number")), True, "is not a number"), (turned(T("boolean")), "maybe", "is neither yes nor no"),
    (turned(T("date_parse", {"format": "DD/MM/YYYY"})), "soon", "is not a date"), (turned(T("date_parse", {"format": "epoch_s"})), {}, "is not a date"),
    (turned(T("date_parse", {"format": "YYYY-MM-DD hh:mm", "zone": "Europe/Stockholm"})), "2026-10-25T01:30:00Z", "falls into an hour that the clocks repeat"),
    (turned(T("date_format", {"format": "DD.MM.YYYY"})), "2026-11-24", "is not a date of the form DD.MM.YYYY"),
    (turned(T("date_format", {"format": "YYYY-MM-DD hh:mm", "zone": "Europe/Stockholm"})), "2026-03-29 02:30", "falls into an hour that the clocks skip"),
    (turned(T("value_table", {"table": TABLE})), "opportunity", "would come back as lead"), (turned(T("value_table", {"table": TABLE, "otherwise": "empty"})), "x", "is not in the table of values"),
    (turned(T("value_table", {"table": TABLE, "otherwise": "error"})), "x", "is not in the table of values"),
    (turned(T("value_table", {"table": TABLE})), {}, "is a structure, not a text"), (turned(T("concat"), sources=2), ["a"], "is a structure, not a text"),
    (turned(T("concat"), sources=2, theirs="email"), "ada@example.com nobody", "is not an e-mail address"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mapping", "value", "said"), REFUSED, ids=lambda value: None if isinstance(value, CompiledMapping) else repr(value)
)
def test_a_value_that_cannot_flow_out_is_refused(mapping: CompiledMapping, value: Any, said: str) -> None:
    made = mapping.outgoing({"out": value})
    assert (made.fields, made.failed) == ({}, True)
    assert made.problems[0].message == f"Out: “{made.problems[0].value}” {said}."


@pytest.mark.parametrize("empty", [None, ""])
def test_nothing_flows_out_as_nothing(empty: Any) -> None:
    for mapping, *_ in OUT:
        assert set(mapping.outgoing({"out": empty}).fields.values()) == {None}


def test_every_transform_has_a_way_out_or_says_why_not() -> None:
    for info in TRANSFORMS.values():
        assert bool(info.invert) == bool(info.back_help) != bool(info.no_inverse), info.name
        assert (info.no_inverse or info.back_help).endswith("."), info.name


FORMS = st.sampled_from(["YYYY-MM-DD", "DD.MM.YYYY", "YYYYMMDDhhmmss", "YYYY-MM-DD hh:mm", "hh DD/MM/YYYY"])
ZONES = st.sampled_from(["UTC", "Asia/Tokyo", "Europe/Stockholm", "America/Sao_Paulo", "Pacific/Apia"])
WORDS = st.sampled_from(["a", "b", " C", "ß", "1", "yes", "lead", "Won deal"]) | st.text(max_size=3)
ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "trim": st.just({}), "case": st.fixed_dictionaries({"to": st.sampled_from(["lower", "upper", "title"])}),
    "concat": st.fixed_dictionaries({"separator": st.sampled_from([" ", ", ", "-", "--", "a"])}), "coalesce": st.just({}),
    "number": st.fixed_dictionaries({"decimal": st.sampled_from([".", ","])}),
    "boolean": st.sampled_from([{}, {"yes": "Y,1", "no": "N,0"}, {"yes": "ja", "no": "nein,ß"}]),
    "date_parse": st.fixed_dictionaries({"format": FORMS | st.sampled_from(["epoch_s", "epoch_ms"]), "zone": ZONES}),
    "date_format": st.fixed_dictionaries({"format": FORMS, "zone": ZONES}),
    "value_table": st.fixed_dictionaries({"table": st.dictionaries(WORDS, WORDS | st.booleans(), max_size=4), "otherwise": st.sampled_from(["keep", "empty", "error"])}),
    "default": st.fixed_dictionaries({"value": st.sampled_from(["x", 7, False])}),
}  # fmt: skip
# Before that a zone's clock may differ by odd seconds, which a form without them cannot say.
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 2))
# What each transform takes for good, so that more than refusals is tried.
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "number": st.integers(-(10**18), 10**18) | st.floats(-1e17, 1e17) | st.integers(0, 10**9).map("{:,}".format) | st.sampled_from(["£1,5", "1.234,5 EUR"]),
    "boolean": st.booleans() | st.sampled_from(["Y", "n", "ja", "NEIN", "yes", "0"]), "value_table": WORDS,
    "date_parse": MOMENTS.map(lambda at: f"{at:%d.%m.}{at.year:04}") | MOMENTS.map(lambda at: f"{at.year:04}{at:%m%d%H%M%S}")
    | MOMENTS.map(lambda at: f"{at.year:04}{at:-%m-%d %H:%M}") | st.integers(-(10**10), 10**10) | st.integers(-(10**13), 10**13) | st.floats(-1e10, 1e10),
    "date_format": st.dates().map(str) | MOMENTS.map(lambda at: at.isoformat()) | st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
}  # fmt: skip


def test_the_strategies_know_every_way_out() -> None:
    assert set(ARGUMENTS) == {info.name for info in TRANSFORMS.values() if info.invert}


def spelled(mapped: Mapped) -> str:
    """Return the value of a record's one field, spelling aside."""
    return str(mapped.values["out"]).strip().casefold()


@pytest.mark.parametrize("name", ARGUMENTS)
@FIXED
@given(st.data())
def test_what_flows_out_settles(name: str, data: st.DataObject) -> None:
    args = data.draw(ARGUMENTS[name])
    many = data.draw(st.integers(1, 3)) if TRANSFORMS[name].takes_all else 1
    kind = data.draw(st.sampled_from(["json", "text", *({"number": ["number"], "boolean": ["flag"], "date_parse": ["date", "datetime"], "value_table": ["choice"]}.get(name, []))]))  # fmt: skip
    more = data.draw(st.sampled_from([()] if name == "default" else [(), (Transform("trim"),)]))
    theirs = data.draw(st.sampled_from(["", "json"] if kind == "json" else ["", "json", "text"]))
    try:
        mapping = turned(Transform(name, args), *more, sources=many, kind=kind, theirs=theirs)
    except ValueError:  # a table that is not one-to-one
        return
    value = st.sampled_from([v for tried, _, v, _ in VALUES_IN if tried == name and not isinstance(v, list)] or [""])
    drawn = st.one_of(VALUE, TEXT, value, LIKELY[name]) if name in LIKELY else st.one_of(VALUE, TEXT, value)
    record = {f"f{number}": data.draw(drawn) for number in range(many)}
    first = mapping.apply(record)
    assume(not first.problems)
    sent = mapping.outgoing(first.values)
    assume(not sent.problems)
    came = mapping.apply(nested(sent.fields))
    if name == "value_table":
        # A value that was kept and is spelled nearly as one of the table comes back as it stands there.
        assert spelled(came) == spelled(first)
        return
    assert came == first
    # Where the first of several fields is emptied, the next one shows.
    if name != "coalesce" or first.values["out"] is not None:
        assert mapping.apply({**record, **sent.fields}) == first


@FIXED
@given(st.data())
def test_a_new_value_of_ours_settles_at_its_second_return(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(ARGUMENTS)))
    many = 2 if TRANSFORMS[name].takes_all else 1
    try:
        mapping = turned(Transform(name, data.draw(ARGUMENTS[name])), sources=many)
    except ValueError:
        return
    sent = mapping.outgoing({"out": data.draw(VALUE)})
    assume(not sent.problems)
    once = mapping.apply(nested(sent.fields))
    assume(not once.problems)
    again = mapping.outgoing(once.values)
    assert mapping.apply(nested(again.fields)) == once
