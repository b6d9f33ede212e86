"""A key that stands twice is found, and nothing else is taken for one."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk import Response, VendorDataError

_TEXT = st.text(alphabet=st.sampled_from('ab":\\ /u0'), max_size=6)
_JSON = st.recursive(
    st.none() | st.integers(-9, 9) | _TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=4)
)  # fmt: skip


@given(_JSON, st.sampled_from([None, (",", ":"), (", ", " : ")]), st.booleans())
def test_what_is_written_is_read(value: Any, separators: Any, ascii_only: bool) -> None:
    body = json.dumps(value, separators=separators, ensure_ascii=ascii_only).encode()
    assert Response(200, {}, body).json() == orjson.loads(body)


@pytest.mark.parametrize(
    "body",
    [b'{"a":1,"a":1}', b'{"a": {"b": 1, "c": 2, "b": 3}}', b'[{"\\u0061": 1, "a": 2}]', b'{"a" : 1, "a" : 2}'],
)  # fmt: skip
def test_a_key_that_stands_twice_is_refused(body: bytes) -> None:
    with pytest.raises(VendorDataError) as caught:
        Response(200, {}, body, "https://x.example").json()
    assert "twice" in caught.value.message
