"""Every transform: what it makes of a good value, what it says of a bad one, and what holds for any value at all."""

import copy
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk import TRANSFORMS, Mapped, MappingError, Rule, TargetField, Transform, compile_mapping
from connectors.sdk.fields import LONGEST
from tests.connectors.sdk.generated import FEW, FIXED, VALUE

OUT = TargetField("out", "Out", "json")


def run(name: str, value: Any, /, **args: Any) -> Mapped:
    """Return what a mapping of one rule makes of one value, or of a list of them for transforms of many."""
    many = TRANSFORMS[name].takes_all
    data = {f"f{number}": item for number, item in enumerate(value)} if many else {"f0": value}
    rule = Rule("out", tuple(data) or ("f0",), (Transform(name, args),))
    return compile_mapping([rule], [OUT]).apply(data)


def refused(name: str, **args: Any) -> str:
    """Return what is said of arguments that do not fit."""
    with pytest.raises(MappingError) as caught:
        compile_mapping([Rule("out", ("f0",), (Transform(name, args),))], [OUT])
    (problem,) = caught.value.problems
    assert problem.field == "out"
    assert problem.fix
    return problem.message


GOOD: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("trim", {}, " \t Ada \n", "Ada"), ("trim", {}, "Ada", "Ada"), ("trim", {}, 5, 5), ("trim", {}, ["a "], ["a "]),
    ("case", {}, "ADA", "ada"), ("case", {"to": "upper"}, "ada ß", "ADA SS"), ("case", {"to": "title"}, "ada byron", "Ada Byron"),
    ("case", {"to": "upper"}, 5, "5"),
    ("concat", {}, ["Ada", None, "", "Byron"], "Ada Byron"), ("concat", {"separator": ", "}, ["Byron", "Ada"], "Byron, Ada"),
    ("concat", {"separator": ""}, ["a", 1], "a1"), ("concat", {"separator": None}, ["a", "b"], "a b"), ("concat", {}, [None, ""], None),
    ("concat", {"separator": 0}, ["a", "b"], "a0b"),
    ("coalesce", {}, [None, "", [], "Ada", "Bob"], "Ada"), ("coalesce", {}, [None, 0], 0), ("coalesce", {}, [False, 1], False),
    ("coalesce", {}, [None, ""], None),
    ("split", {}, "Ada Byron", "Ada"), ("split", {"index": -1}, "Ada King Byron", "Byron"), ("split", {"separator": ";", "index": 1}, "a; b ;c", "b"),
    ("split", {"index": 7}, "Ada", None), ("split", {"index": -2}, "Ada", None), ("split", {"separator": ""}, "a b", "a"),
    ("replace", {"old": "-", "new": " "}, "a-b-c", "a b c"), ("replace", {"old": "-"}, "a-b", "ab"), ("replace", {"old": ".*"}, "a.*b", "ab"),
    ("replace", {"old": 1, "new": 2}, "112", "222"), ("replace", {"old": "x", "new": "\\1"}, "x", "\\1"),
    ("substring", {"length": 3}, "Berlin", "Ber"), ("substring", {"start": 2}, "Berlin", "rlin"), ("substring", {"start": 2, "length": 2}, "Berlin", "rl"),
    ("substring", {"start": -2, "length": 2}, "Berlin", "in"), ("substring", {"start": -3, "length": 2}, "Berlin", "li"),
    ("substring", {"start": 99, "length": 1}, "Berlin", None), ("substring", {"length": ""}, "Berlin", "Berlin"), ("substring", {"length": 0}, "Berlin", None),
    ("number", {}, "£12,400.00", 12400), ("number", {"decimal": ","}, "1.234,5 EUR", 1234.5), ("number", {}, "-£5.50", -5.5), ("number", {}, "£-5", -5),
    ("number", {}, "US$ 1,000", 1000), ("number", {}, "12 kg", 12), ("number", {}, "5%", 5), ("number", {}, "1 234 567.5", 1234567.5),
    ("number", {}, "1\u202f234", 1234), ("number", {}, "1'234.50", 1234.5), ("number", {}, "12,34,567", 1234567), ("number", {}, "\u22125", -5),
    ("number", {}, "1e5", 100000), ("number", {}, "1.5E-3", 0.0015), ("number", {}, ".5", 0.5), ("number", {}, "5.", 5), ("number", {}, "+7", 7),
    ("number", {}, "0012", 12), ("number", {}, "12345678901234567", 12345678901234567), ("number", {}, 7, 7), ("number", {}, 7.25, 7.25),
    ("number", {}, 7.0, 7), ("number", {}, "10 kr.", 10), ("number", {"decimal": ""}, "1.5", 1.5),
    ("minor_units", {}, [1999, "eur"], 19.99), ("minor_units", {}, [2000, "USD"], 20), ("minor_units", {}, [500, "jpy"], 500), ("minor_units", {}, [12345, "KWD"], 12.345),
    ("minor_units", {}, [1999], 19.99), ("minor_units", {}, [-5, None], -0.05), ("minor_units", {}, [0, "eur"], 0), ("minor_units", {}, [None, "eur"], None),
    ("boolean", {}, "Yes", True), ("boolean", {}, " FALSE ", False), ("boolean", {}, 1, True), ("boolean", {}, "off", False), ("boolean", {}, True, True),
    ("boolean", {"yes": "Y, ja", "no": "n"}, "JA", True), ("boolean", {"yes": "y", "no": "N"}, "n", False), ("boolean", {"yes": ""}, "on", True),
    ("date_parse", {}, "2026-11-24", "2026-11-24"), ("date_parse", {"format": "DD/MM/YYYY"}, " 24/11/2026 ", "2026-11-24"),
    ("date_parse", {"format": "YYYYMMDDhhmmss"}, "20261124093000", "2026-11-24T09:30:00Z"),
    ("date_parse", {"format": "YYYY-MM-DD hh:mm", "zone": "Europe/Stockholm"}, "2026-11-24 09:30", "2026-11-24T08:30:00Z"),
    ("date_parse", {"format": "100% DD.MM.YYYY"}, "100% 24.11.2026", "2026-11-24"), ("date_parse", {"format": "epoch_s"}, 1764000000, "2025-11-24T16:00:00Z"),
    ("date_parse", {"format": "epoch_s"}, "1764000000", "2025-11-24T16:00:00Z"), ("date_parse", {"format": "epoch_ms"}, 1764000000500, "2025-11-24T16:00:00.500000Z"),
    ("date_parse", {"format": "epoch_s"}, -1, "1969-12-31T23:59:59Z"),
    ("date_format", {"format": "DD.MM.YYYY"}, "2026-11-24", "24.11.2026"), ("date_format", {}, "0999-01-02", "0999-01-02"),
    ("date_format", {"format": "hh:mm:ss 100%d", "zone": "Europe/Stockholm"}, "2026-11-24T09:30:05Z", "10:30:05 100%d"),
    ("date_format", {"format": "YYYYMMDDhhmmss"}, "2026-11-24T09:30:05", "20261124093005"), ("date_format", {"format": "MMmm"}, "2026-11-24T10:20", "1120"),
    ("value_table", {"table": {"opportunity": "lead"}}, " Opportunity ", "lead"), ("value_table", {"table": {" A ": "b"}}, "a", "b"),
    ("value_table", {"table": {"a": "b"}}, "c", "c"), ("value_table", {"table": {"a": "b"}, "otherwise": "empty"}, "c", None),
    ("value_table", {"table": {"1": 7}}, 1, 7), ("value_table", {"table": {"a": "b"}, "otherwise": "error"}, "A", "b"),
    ("default", {"value": "x"}, None, "x"), ("default", {"value": "x"}, "", "x"), ("default", {"value": "x"}, 0, 0), ("default", {"value": False}, "", False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "value", "made"), GOOD, ids=repr)
def test_a_good_value(name: str, args: dict[str, Any], value: Any, made: Any) -> None:
    mapped = run(name, value, **args)
    assert mapped.problems == ()
    assert (mapped.values, type(mapped.values["out"])) == ({"out": made}, type(made))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_example_on_the_page_is_true(name: str) -> None:
    info = TRANSFORMS[name]
    assert run(name, info.example[0], **info.example_args).values == {"out": info.example[1]}
    assert any(name == tried for tried, *_ in GOOD)


BAD: list[tuple[str, dict[str, Any], Any, str]] = [
    ("case", {}, {"a": 1}, "is a structure, not a text"), ("split", {}, ["a"], "is a structure, not a text"),
    ("concat", {}, ["a", {"b": 1}], "is a structure, not a text"), ("replace", {"old": "a"}, [], "is a structure, not a text"),
    ("replace", {"old": "a", "new": "b" * 1000}, "a" * 1000, "would be longer than 65,536 characters"),
    ("concat", {}, ["a" * LONGEST, "b"], "would be longer than 65,536 characters"), ("substring", {}, {}, "is a structure, not a text"),
    *[
        ("number", {}, value, "is not a number")
        for value in (
            "", " ", "abc", "12 pounds", "1-2", "12/24", "10:30", "(100)", "1.234,5", "1,5", "1.2.3", "--5", "+-5", "-£-5", "£", ".", "1e999",
            "9" * 30, "1" * 100, "nan", "inf", True, 1e19, 2**63 * 4, "2026-11-24", "12 34", "5kg5", "0x10", "1_000", "٣",
        )
    ],
    *[("minor_units", {}, [value, "eur"], "is not a number of minor units") for value in ("1999", True, [], 10**19, 1e300)],
    ("number", {}, {"a": 1}, "is a structure, not a text"), ("number", {"decimal": ","}, "1,234.5", "is not a number"),
    *[("boolean", {}, value, "is neither yes nor no") for value in ("maybe", "", "2", 2, "yes no")], ("boolean", {}, [], "is a structure, not a text"),
    *[("date_parse", {}, value, "is not a date of the form YYYY-MM-DD") for value in ("24/11/2026", "2026-02-30", "", "2026-11-24T10:00", 20261124)],
    ("date_parse", {}, ["2026-11-24"], "is a structure, not a text"),
    *[
        ("date_parse", {"format": "epoch_s"}, value, "is not a date of the form epoch_s")
        for value in ("soon", "", 1e17, 1.7e18, -1e17, 1e300, "nan", "inf", 10**19, True, "1e400")
    ],
    ("date_parse", {"format": "YYYY-MM-DD hh", "zone": "Asia/Tokyo"}, "0001-01-01 00", "is not a date of the form YYYY-MM-DD hh"),
    *[("date_format", {}, value, "is not a date") for value in ("24/11/2026", "", "soon", 5, "2026-13-01")], ("date_format", {}, {}, "is a structure, not a text"),
    ("date_format", {"zone": "Asia/Tokyo"}, "9999-12-31T23:00:00Z", "is not a date"),
    ("value_table", {"table": {"a": "b"}, "otherwise": "error"}, "c", "is not in the table of values"), ("value_table", {"table": {}}, [], "is a structure, not a text"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "value", "said"), BAD, ids=lambda value: repr(value)[:30])
def test_a_bad_value_is_named_with_its_field(name: str, args: dict[str, Any], value: Any, said: str) -> None:
    mapped = run(name, value, **args)
    assert (mapped.values, mapped.failed) == ({}, True)
    (problem,) = mapped.problems
    assert problem.field == "out"
    assert problem.message == f"Out: “{problem.value}” {said}."
    shown = value if isinstance(value, str) else repr(value)
    assert problem.value == (shown if len(shown) <= 80 else shown[:79] + "…")


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("case", {"to": "sideways"}, "knows no such Write in"), ("number", {"decimal": ";"}, "knows no such Decimal sign"),
        ("value_table", {"table": {}, "otherwise": "x"}, "knows no such Other values"), ("value_table", {}, "needs Values"),
        ("value_table", {"table": ["a"]}, "does not fit"), ("value_table", {"table": "a=b"}, "does not fit"), ("replace", {}, "needs Replace"),
        ("replace", {"old": ""}, "nothing to replace"), ("replace", {"old": {}}, "structure"), ("default", {}, "needs Value"), ("split", {"index": "x"}, "does not fit"),
        ("split", {"separator": ["a"]}, "structure"), ("substring", {"start": "x"}, "does not fit"), ("substring", {"length": -1}, "negative"),
        ("concat", {"separator": {}}, "structure"), ("date_parse", {"format": "YYYY YYYY"}, "twice"), ("date_parse", {"format": "MM/MM/YYYY"}, "twice"),
        ("date_parse", {"zone": "Mars/Olympus"}, "not a time zone"), ("date_parse", {"zone": "Europe"}, "not a time zone"), ("date_parse", {"zone": "../../etc/passwd"}, "not a time zone"),
        ("date_format", {"zone": "x" * 500}, "not a time zone"), ("date_format", {"zone": "/etc/localtime"}, "not a time zone"), ("date_parse", {"format": {}}, "structure"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused_before_any_record(name: str, args: dict[str, Any], said: str) -> None:
    assert said in refused(name, **args)


def test_a_bomb_is_refused_before_it_is_made() -> None:
    assert run("replace", "a" * 1_000_000, old="a", new="b" * 1_000_000).failed
    assert run("replace", "a" * LONGEST, old="a", new="b").values == {"out": "b" * LONGEST}


FORMS = st.sampled_from(
    ["YYYY-MM-DD", "DD.MM.YYYY", "YYYYMMDDhhmmss", "hh:mm", "epoch_s", "epoch_ms", "", "x", "%Y %", None]
)
ZONES = st.sampled_from([None, "UTC", "Asia/Tokyo", "Europe/Stockholm", "Pacific/Kiritimati"])
WORDS = st.text(max_size=5) | st.sampled_from(["a", " ", ".", "-"])
ARGUMENTS: Mapping[str, st.SearchStrategy[dict[str, Any]]] = {
    "trim": st.just({}), "case": st.fixed_dictionaries({"to": st.sampled_from(["lower", "upper", "title"])}),
    "concat": st.fixed_dictionaries({"separator": WORDS | st.none()}), "coalesce": st.just({}),
    "split": st.fixed_dictionaries({"separator": WORDS, "index": st.integers(-5, 5)}),
    "replace": st.fixed_dictionaries({"old": WORDS.filter(bool), "new": WORDS}),
    "substring": st.fixed_dictionaries({"start": st.integers(-9, 9), "length": st.none() | st.integers(0, 9)}),
    "minor_units": st.just({}),
    "number": st.fixed_dictionaries({"decimal": st.sampled_from([".", ","])}), "boolean": st.fixed_dictionaries({"yes": WORDS, "no": WORDS}),
    "date_parse": st.fixed_dictionaries({"format": FORMS, "zone": ZONES}), "date_format": st.fixed_dictionaries({"format": FORMS, "zone": ZONES}),
    "value_table": st.fixed_dictionaries({"table": st.dictionaries(WORDS, WORDS), "otherwise": st.sampled_from(["keep", "empty", "error"])}),
    "default": st.fixed_dictionaries({"value": VALUE.filter(lambda value: value is not None)}),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
@FIXED
@given(st.data())
def test_any_value_is_changed_or_refused_and_never_touched(name: str, data: st.DataObject) -> None:
    args = data.draw(ARGUMENTS[name])
    step = TRANSFORMS[name].make(args)
    value = data.draw(st.lists(VALUE, max_size=4) if TRANSFORMS[name].takes_all else VALUE)
    before, outcomes = copy.deepcopy(value), []
    for _ in range(2):
        try:
            outcomes.append(("made", step(value)))
        except ValueError as error:
            outcomes.append(("refused", str(error)))
    assert repr(value) == repr(before)
    assert repr(outcomes[0]) == repr(outcomes[1])
    if outcomes[0][0] == "refused":
        assert str(outcomes[0][1]).startswith(("is ", "would be "))


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("trim", {}), ("case", {"to": "lower"}), ("case", {"to": "upper"}), ("number", {"decimal": "."}), ("boolean", {}),
        ("date_parse", {"format": "YYYY-MM-DD"}), ("date_format", {"format": "YYYY-MM-DD"}), ("default", {"value": "x"}),
        ("substring", {"start": 0, "length": 3}), ("value_table", {"table": {"a": "b", "b": "b"}, "otherwise": "keep"}), ("replace", {"old": "a", "new": "b"}),
    ],
    ids=repr,
)  # fmt: skip
@FEW
@given(value=VALUE)
def test_twice_is_once(name: str, args: dict[str, Any], value: Any) -> None:
    step = TRANSFORMS[name].make(args)
    try:
        once = step(value)
    except ValueError:
        return
    if once is not None:
        assert step(once) == once


@FIXED
@given(st.integers(-(10**18), 10**18), st.floats(-1e17, 1e17, allow_nan=False))
def test_a_number_written_by_people_is_the_number(whole: int, real: float) -> None:
    assert run("number", f"{whole:,}").values == {"out": whole}
    assert run("number", f"{whole:,} EUR".replace(",", "."), decimal=",").values == {"out": whole}
    assert run("number", repr(real)).values == {"out": real}


@FIXED
@given(
    st.dates(min_value=date(1, 1, 1)),
    st.datetimes(timezones=st.none()),
    st.sampled_from(["DD.MM.YYYY", "YYYYMMDD", "MM/DD/YYYY"]),
)
def test_what_is_written_can_be_read(day: date, moment: datetime, form: str) -> None:
    written = run("date_format", day.isoformat(), format=form).values["out"]
    assert run("date_parse", written, format=form).values == {"out": day.isoformat()}
    text = moment.replace(microsecond=0).isoformat()
    written = run("date_format", text, format="DD.MM.YYYY hh:mm:ss").values["out"]
    assert run("date_parse", written, format="DD.MM.YYYY hh:mm:ss").values == {"out": f"{text}Z"}
