"""Manifests that are not what they look like: cases M01 and M02, each refused with its line."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk import ManifestError, load_manifest
from connectors.sdk.loader import MAX_BYTES, MAX_DEPTH, MAX_NODES, Issue, load_yaml
from tests.connectors.sdk.generated import FEW, FIXED

BEFORE = "slug: acme\nname:\n  - one\n"
LINE = 4


def refused(content: str | bytes) -> Issue:
    """Return the one thing that is wrong with a text."""
    with pytest.raises(ManifestError) as caught:
        load_yaml(content, "acme.yaml")
    (issue,) = caught.value.issues
    assert str(caught.value).startswith("acme.yaml: ")
    return issue


LAUGHS = 'a: &a ["x","x"]\n' + "\n".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]" for n in range(9)
)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ("a: &x 1", "anchor"), ("a: *x", "alias"), ("a: &x [*x]", "anchor"), (LAUGHS, "anchor"), ("a: [1, &x 2]", "anchor"),
        ("<<: {a: 1}", "plain text"), ("a: {<<: {b: 1}}", "plain text"), ("<<: *x", "alias"), ("<<: [{a: 1}, {b: 2}]", "plain text"),
        ("a: !!python/object/apply:os.system ['id']", "tag"), ("a: !!binary aGk=", "tag"), ("a: !!timestamp 2026-11-24", "tag"),
        ("a: !own x", "tag"), ("a: !!set {x}", "tag"), ("!!str a: 1", "tag"), ("a: ! x", "tag"),
        ("---\na: 1", "document"), ("...", "document"), ("a: 1\n---\nb: 2", "document"),
        ("[a]: 1", "plain text"), ("{a: 1}: 2", "plain text"), ("? [a]\n: 1", "plain text"),
        ("a: " + "[" * 10_000, "nested"), ("a: " + "{b: " * 10_000, "nested"), ("a:\n " + "- " * 10_000 + "x", "nested"),
        ("? " * 10_000 + "x", "nested"), ("a: [1, 2", "expected"), ("a: 'x", "end of stream"), ("a: {b", "expected"),
        ("a: b: c", "mapping"), ("\ta: 1", "cannot start"), ("a: @x", "start"), ("a: `x`", "start"), ('a: "\\q"', "escape"), ("a:\n- %x\n %", "start"),
    ],
    ids=lambda value: value[:20],
)  # fmt: skip
def test_m01_what_yaml_can_do_beyond_plain_values(bad: str, word: str) -> None:
    issue = refused(BEFORE + bad)
    assert word in issue.message
    assert issue.line >= LINE
    assert issue.line <= LINE + bad.count("\n") + 1


def test_m01_more_than_one_document_and_directives() -> None:
    assert refused("%YAML 1.1\n---\na: 1").line == 1
    assert refused("--- a").line == 1
    assert refused("a: 1\n--- b\n").line == 2


def test_m01_depth_is_counted_not_guessed() -> None:
    deepest = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    value, _ = load_yaml(f"a: {deepest}", "acme.yaml")
    assert value["a"]
    assert refused(f"{BEFORE}a: [{deepest}]").line == LINE
    assert load_yaml("a: [" + "[], " * 500 + "]", "acme.yaml")


def test_m01_sizes() -> None:
    for big in (b"a: " + b"x" * 5_000_000, b"a: '" + b"x" * MAX_BYTES, "ä" * (MAX_BYTES // 2 + 1)):
        assert refused(big).message == "is larger than 256 kB."
    keys = "\n".join(f"k{number}: 1" for number in range(20_000))
    assert 1 < refused(keys).line <= MAX_NODES + 1
    assert "values" in refused(f"a: [{'1,' * 100_000}]").message


def test_m01_other_encodings() -> None:
    assert refused("a: ä".encode("latin-1")).message == "is not UTF-8 text."
    assert refused("a: 1".encode("utf-16")).message == "is not UTF-8 text."
    assert refused("a: 1".encode("utf-16-le")).line == 1
    assert refused("\ufeffa: 1".encode()).line == 1
    assert refused("a: \ud800").message == "is not UTF-8 text."
    assert refused(b"a: \xed\xa0\x80").message == "is not UTF-8 text."


@pytest.mark.parametrize("nothing", ["", "\n\n", "# only a remark", b""])
def test_an_empty_text_is_no_manifest(nothing: str | bytes) -> None:
    assert refused(nothing).message == "is empty."


@pytest.mark.parametrize(
    ("bad", "key"),
    [
        ("a: 1\na: 2", "a"), ("a: 1\n'a': 2", "a"), ('a: 1\n"\\x61": 2', "a"), ("b: {a: 1,\n a: 1}", "a"), ("1: x\n'1': y", "1"),
        ("a: 1\n? a\n: 2", "a"),
    ],
)  # fmt: skip
def test_m02_a_key_twice(bad: str, key: str) -> None:
    issue = refused(BEFORE + bad)
    assert issue.message == f"has {key} twice."
    assert issue.line == LINE + 1


@pytest.mark.parametrize(
    "bad",
    [
        "no", "No", "NO", "yes", "Yes", "on", "ON", "off", "Off", "y", "n", "Y", "N", "~", "null", "Null", "NULL", "True", "TRUE", "False",
        "12:30:45", "1:30", "-1:30", "190:20:30.15", "0777", "-017", "0o17", "0x1F", "0b101", "089", "1_000", "1e5", "1.5E+3", "5.", ".5",
        "+.5", ".inf", "-.INF", ".nan", "12345678901234567890", "2026-11-24", "2026-1-2", "2026-11-24T10:00:00Z", "=", "<<", "+1_0",
    ],
)  # fmt: skip
def test_m02_what_can_be_read_in_two_ways(bad: str) -> None:
    issue = refused(f"{BEFORE}a: {bad}")
    assert (issue.path, issue.line) == ("a", LINE)
    assert bad in issue.message
    assert refused(f"{BEFORE}a: [x, {bad}]").path == "a.1"
    assert load_yaml(f'a: "{bad}"', "acme.yaml")[0] == {"a": bad}


@pytest.mark.parametrize("code", [0x202A, 0x202E, 0x2066, 0x2069, 0x200E, 0x200F, 0x061C, 0x200B, 0x2060, 0xFEFF, 0x2028, 0x85, 0x7F, 0x9F, 0xE0041, 0x00, 0x07, 0x1B])  # fmt: skip
def test_m02_characters_that_hide_text(code: int) -> None:
    for place in ("a: x{}y", "a{}: x", "a: 1 # {}", "a: '{}'", "{}"):
        issue = refused(BEFORE + place.format(chr(code)))
        assert issue.line == LINE
        assert "hides text" in issue.message
    written = f"\\U{code:08x}"
    for place in ('a: "x{}y"', '"a{}": 1', 'a: [{{"{}": 1}}]'):
        issue = refused(BEFORE + place.format(written))
        assert issue.line == LINE
        assert "hides text" in issue.message


def test_m02_half_a_character_written_as_an_escape() -> None:
    assert refused(f'{BEFORE}a: "\\ud800"').line == LINE


@pytest.mark.parametrize(
    "host",
    ["аpi.example.com", "api.exаmple.com", "api。example.com", "ａpi.example.com", "api.example.com\u0301", "xn--.."],
)
def test_m02_a_host_that_looks_like_another(host: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(f"slug: acme\nhosts:\n  - good.example.com\n  - {host}\n")
    assert any(issue.line == 4 and issue.path.startswith("hosts") for issue in caught.value.issues)


def test_plain_values_come_through_with_their_lines() -> None:
    text = (
        "# a remark\nslug: acme\nyes: 1\nlist:\n- -7\n- 1.50\n- true\n- false\n-\nmap: {a: 'no', b: \"~\"}\n"
        "long: >-\n  one\n  two\nblock: |\n  one\n  two\nempty: {}\nversion: 1.2.3\nurl: https://x.example/a?b=c#d\nü: ä 😀\n"
    )
    value, lines = load_yaml(text, "acme.yaml")
    assert value == {
        "slug": "acme", "yes": 1, "list": [-7, 1.5, True, False, None], "map": {"a": "no", "b": "~"}, "long": "one two",
        "block": "one\ntwo\n", "empty": {}, "version": "1.2.3", "url": "https://x.example/a?b=c#d", "ü": "ä 😀",
    }  # fmt: skip
    assert (lines["slug"], lines["list.0"], lines["list.3"], lines["map.b"], lines["ü"]) == (2, 5, 8, 10, 20)


@FIXED
@given(st.text(max_size=80) | st.text(alphabet="ab:-[]{},&*!|>'\"%@`#?<\n ~0.\\", max_size=80) | st.binary(max_size=40))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    try:
        value, lines = load_yaml(text, "acme.yaml")
    except ManifestError:
        return
    assert json.loads(json.dumps(value)) == value
    assert lines[""] >= 1


_WORD = st.text(alphabet=st.characters(categories=("L", "N", "P", "S")), max_size=12)
_PLAIN = st.booleans() | st.integers(-(10**17), 10**17) | _WORD
_DATA = st.recursive(
    _PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORD, inner, max_size=4), max_leaves=10
)


@FEW
@given(st.dictionaries(_WORD, _DATA, max_size=4))
def test_json_means_the_same_in_a_manifest(data: dict[str, Any]) -> None:
    assert load_yaml(json.dumps(data, ensure_ascii=False), "acme.yaml")[0] == data
    assert load_yaml(json.dumps(data, ensure_ascii=False, indent=1), "acme.yaml")[0] == data
