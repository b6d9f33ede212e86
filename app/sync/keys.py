"""How a value is normalised before records are found by it."""

from typing import Any

# The name of a field and its normalised value.
Key = tuple[str, str]


def normalise(value: Any) -> str | None:
    """Return the text a key value is stored and compared as; None when there is nothing to find by."""
    if value is None or value is True or value is False:
        return None
    return str(value).strip().casefold() or None


def keys_in(values: dict[str, Any], names: tuple[str, ...]) -> tuple[Key, ...]:
    """Return the keys of mapped values that something can be found by, in the order they are tried."""
    return tuple((name, value) for name in names if (value := normalise(values.get(name))) is not None)


def keys_of(data: dict[str, Any], fields: tuple[str, ...]) -> dict[str, str]:
    """Return field -> normalised value for every key field that has one."""
    found = {}
    for field in fields:
        value = normalise(data.get(field))
        if value is not None:
            found[field] = value
    return found
