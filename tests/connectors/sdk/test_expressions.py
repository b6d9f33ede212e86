"""The expression language of a manifest: paths and places. Data stays data."""

from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk import ConfigError
from connectors.sdk.expressions import compile_path, fill, fill_path, look_up, places
from tests.connectors.sdk.generated import FIXED, JSON, KEY, PATHS

DATA = {
    "id": 7, "name": "Ada", "flag": True, "none": None, "empty": "", "list": ["a", {"b": "c"}], "map": {"a": {"b": 1.5}},
    "@odd-$key": "x", "0": "zero", "evil": "{name}", "a.b": "dotted", "code": "{__import__}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", DATA), ("id", 7), ("list.0", "a"), ("list.1.b", "c"), ("map.a.b", 1.5), ("@odd-$key", "x"), ("0", "zero"), ("none", None),
        ("list.2", None), ("list.-1", None), ("list.a", None), ("list.²", None), ("list.٠", None), ("list." + "9" * 5000, None),
        ("name.0", None), ("name.upper", None), ("id.real", None), ("map.__class__", None), ("__class__", None), ("none.a", None),
        ("a.b", None), ("map..a", None), ("nowhere.at.all", None), ("map.keys", None),
    ],
)  # fmt: skip
def test_a_path_leads_into_data_and_nowhere_else(path: str, found: Any) -> None:
    assert look_up(DATA, path) == found
    if path:
        assert compile_path(path)(DATA) == found


@FIXED
@given(st.dictionaries(KEY, JSON, max_size=4), PATHS)
def test_a_compiled_path_finds_the_same(data: dict[str, Any], path: str) -> None:
    assert compile_path(path)(data) == look_up(data, path)


@FIXED
@given(JSON, PATHS | st.text(max_size=20))
def test_looking_up_never_fails(data: Any, path: str) -> None:
    look_up(data, path)


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("/plain/path", "/plain/path"), ("/x/{id}", "/x/7"), ("/x/{name}/y/{map.a.b}", "/x/Ada/y/1.5"), ("/x/{flag}", "/x/true"),
        ("/x/{evil}", "/x/%7Bname%7D"), ("/x/{ id }", "/x/{ id }"), ("/x/{}", "/x/{}"), ("/x/${id}", "/x/$7"), ("/x/{{id}}", "/x/{7}"),
        ("/x/{id}.json", "/x/7.json"), ("/x/{0}", "/x/zero"), ("/x/{id!r}", "/x/{id!r}"), ("/x/{id:>99999999}", "/x/{id:>99999999}"),
        ("/x/%(id)s", "/x/%(id)s"), ("/x/{list[0]}", "/x/{list[0]}"), ("/x/{{ 7*7 }}", "/x/{{ 7*7 }}"), ("/x/{code}", "/x/%7B__import__%7D"),
    ],
)  # fmt: skip
def test_a_path_is_filled_by_names_alone(template: str, filled: str) -> None:
    assert fill_path(template, DATA) == filled


@pytest.mark.parametrize(
    "template", ["/{none}", "/{nowhere}", "/{empty}", "/{list}", "/{map}", "/{name.__class__}", "/{0.__class__}", "/{dot}", "/{dots}", "/{half}"]
)  # fmt: skip
def test_a_path_takes_no_structure_nothing_and_no_way_up(template: str) -> None:
    with pytest.raises(ConfigError):
        fill_path(template, {**DATA, "dot": ".", "dots": "..", "half": "\ud800"})


VALUES = st.text(max_size=30) | st.sampled_from(
    ["../x", "a/b", "%2e%2e", "?a=b", "#c", "//evil", "a@b", "\\", "\r\n", "\x00", ";a"]
)


@FIXED
@given(VALUES, VALUES | st.integers() | st.floats() | st.booleans())
def test_a_filled_path_never_gains_a_segment(first: str, second: Any) -> None:
    names = {"a": first, "b": {"c": second}}
    try:
        filled = fill_path("/v1/{a}/of/{b.c}/end", names)
    except ConfigError:
        assert {str(first), str(second)} & {"", ".", ".."}
        return
    parts = urlsplit("https://vendor.example" + filled)
    assert (parts.netloc, parts.query, parts.fragment, parts.path) == ("vendor.example", "", "", filled)
    segments = filled.split("/")
    assert (len(segments), segments[1], segments[3], segments[5]) == (6, "v1", "of", "end")
    assert not {".", ".."} & set(segments)
    assert unquote(segments[2]) == first
    assert filled.isascii()
    assert filled.isprintable()


@FIXED
@given(
    st.dictionaries(KEY, JSON, max_size=4),
    st.lists(PATHS.map(lambda path: "{" + path + "}") | st.text(max_size=8), max_size=5),
)
def test_filling_raises_its_own_error_only(names: dict[str, Any], pieces: list[str]) -> None:
    for make in (fill_path, fill):
        try:
            make("".join(pieces), names)
        except ConfigError as error:
            assert error.message  # noqa: PT017


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("{id}", 7), ("{flag}", True), ("{none}", None), ("{nowhere}", None), ("{map.a}", {"b": 1.5}), ("{list}", ["a", {"b": "c"}]),
        ("no {id}", "no 7"), ("{id}{name}", "7Ada"), ("is {flag}", "is true"), ("{evil}", "{name}"), ("<{evil}>", "<{name}>"), ("", ""),
        (5, 5), (None, None), (True, True), ({"a": "{id}", "{id}": ["{name}", {"b": "{map.a.b}"}]}, {"a": 7, "{id}": ["Ada", {"b": 1.5}]}),
        ("{id}\n", "7\n"), ("a\r\nb {name}", "a\r\nb Ada"),
    ],
)  # fmt: skip
def test_a_place_alone_keeps_its_type(value: Any, filled: Any) -> None:
    found = fill(value, DATA)
    assert found == filled
    assert type(found) is type(filled)


@pytest.mark.parametrize("value", ["x{none}", "x{nowhere}", "x{list}", ["{id}", {"a": "x{map}"}]])
def test_a_text_takes_no_structure_and_not_nothing(value: Any) -> None:
    with pytest.raises(ConfigError):
        fill(value, DATA)


@FIXED
@given(JSON, JSON)
def test_filling_leaves_what_it_was_given(template: Any, inner: Any) -> None:
    before = repr((template, inner))
    assert fill({"in": template, "a": "{x}"}, {"x": inner})["a"] == inner or inner != inner
    assert repr((template, inner)) == before


def test_the_places_of_a_template() -> None:
    assert places("/x/{id}/{map.a.b}/{ no }/{}/{{twice}}") == ["id", "map.a.b", "twice"]
