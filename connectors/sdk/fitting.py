"""Which types fit which, and the transform that makes them."""

from connectors.sdk.fields import TEXTS
from connectors.sdk.mapping_types import Transform

TYPE_WORDS = {
    "text": "a text", "long_text": "a long text", "email": "an e-mail address", "phone": "a phone number",
    "url": "a web address", "number": "a number", "integer": "a whole number", "flag": "a yes or no", "date": "a date",
    "datetime": "a date with time", "choice": "a choice", "multi_choice": "a list of choices", "json": "a structure",
    "reference": "a reference",
}  # fmt: skip
_SCALARS = (*TEXTS, "number", "integer", "flag", "date", "datetime")
# Whether a number is whole and a text an address is found out value by value.
_FITS: dict[str, tuple[str, ...]] = {
    "text": _SCALARS, "long_text": _SCALARS, "phone": TEXTS, "reference": (*TEXTS, "integer"), "email": ("email",),
    "url": ("url",), "number": ("number", "integer"), "integer": ("integer", "number"), "flag": ("flag",),
    "date": ("date", "datetime"), "datetime": ("datetime", "date"), "choice": ("choice",),
    "multi_choice": ("multi_choice", "choice"),
}  # fmt: skip


def fits(source_type: str, target_type: str) -> bool:
    """Whether values of one type can be written to a field of another as they are."""
    return target_type == "json" or source_type == target_type or source_type in _FITS.get(target_type, ())


def suggest_transform(source_type: str, target_type: str) -> Transform | None:
    """Return the transform that makes a source type fit a target type, None when none is needed or known."""
    if fits(source_type, target_type):
        return None
    written = source_type in TEXTS
    counted = source_type in ("number", "integer")
    if target_type in ("number", "integer") and written:
        return Transform("number", {"decimal": "."})
    if target_type == "flag" and (written or counted):
        return Transform("boolean", {})
    if target_type in ("date", "datetime") and (written or counted):
        return Transform("date_parse", {"format": "epoch_s" if counted else "YYYY-MM-DD"})
    if target_type in ("choice", "multi_choice") and (written or counted or source_type == "flag"):
        return Transform("value_table", {"table": {}, "otherwise": "keep"})
    if target_type in ("email", "url") and written:
        return Transform("trim", {})
    return None
