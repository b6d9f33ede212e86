"""Dotted paths and `{name.path}` substitution: the whole expression language of a manifest. Data is never evaluated."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from connectors.sdk.errors import ConfigError

PATH = r"[A-Za-z0-9_@$-]+(\.[A-Za-z0-9_@$-]+){0,15}"
_INDEX = re.compile(r"[0-9]{1,9}")
_PLACE = re.compile(r"\{(" + PATH + r")\}")


def look_up(data: Any, path: str) -> Any:
    """Return what stands at a dotted path (numbers index lists), or None. The empty path is the data itself."""
    if not path:
        return data
    for part in path.split("."):
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and _INDEX.fullmatch(part) and int(part) < len(data):
            data = data[int(part)]
        else:
            return None
    return data


def compile_path(path: str) -> Callable[[Any], Any]:
    """Return a fast reader of one path; see `look_up`."""
    parts = path.split(".")
    if len(parts) == 1:
        return lambda data: data.get(path) if isinstance(data, dict) else None
    if len(parts) == 2 and not parts[1].isdigit():
        first, second = parts

        def two(data: Any) -> Any:
            inner = data.get(first) if isinstance(data, dict) else None
            return inner.get(second) if isinstance(inner, dict) else None

        return two
    return lambda data: look_up(data, path)


def places(template: str) -> list[str]:
    """Return the paths a template names."""
    return [found[0] for found in _PLACE.findall(template)]


def fill_path(template: str, names: Mapping[str, Any]) -> str:
    """Fill a URL path: each value is one segment, percent-encoded; ConfigError for an empty one, `.` and `..`."""

    def segment(found: re.Match[str]) -> str:
        text = _text(found[1], names)
        if text in ("", ".", ".."):
            raise ConfigError(f"{found[1]} is {text!r}, which cannot be part of an address.")
        try:
            return quote(text, safe="")
        except UnicodeEncodeError:
            raise ConfigError(f"{found[1]} holds a character that cannot be part of an address.") from None

    return _PLACE.sub(segment, template)


def fill(value: Any, names: Mapping[str, Any]) -> Any:
    """Fill texts in a query, header or JSON body. A text that is one place alone keeps the value's type."""
    if isinstance(value, str):
        alone = _PLACE.fullmatch(value)
        if alone:
            return look_up(names, alone[1])
        return _PLACE.sub(lambda found: _text(found[1], names), value)
    if isinstance(value, dict):
        return {key: fill(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, names) for inner in value]
    return value


def _text(path: str, names: Mapping[str, Any]) -> str:
    value = look_up(names, path)
    if value is None:
        raise ConfigError(f"{path} has no value.")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        raise ConfigError(f"{path} is a structure and cannot stand in a text.")
    return str(value)
