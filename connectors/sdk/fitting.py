"""Which types fit which, and the transform that makes them."""

from connectors.sdk.fields import TEXTS
from connectors.sdk.mapping_types import Transform

_FITS: dict[str, tuple[str, ...]] = {
    "text": (*TEXTS, "number", "integer", "flag", "date", "datetime"),
    "long_text": (*TEXTS, "number", "integer", "flag", "date", "datetime"),
    "phone": TEXTS, "reference": (*TEXTS, "integer"), "email": ("email",), "url": ("url",),
    "number": ("number", "integer"), "integer": ("integer",), "flag": ("flag",), "date": ("date", "datetime"),
    "datetime": ("datetime", "date"), "choice": ("choice",), "multi_choice": ("multi_choice", "choice"),
}  # fmt: skip


def fits(source_type: str, target_type: str) -> bool:
    """Whether values of one type can be written to a field of another as they are."""
    return target_type == "json" or source_type == target_type or source_type in _FITS.get(target_type, ())


def suggest_transform(source_type: str, target_type: str) -> Transform | None:
    """Return the transform that makes a source type fit a target type, None when none is needed or known."""
    if fits(source_type, target_type):
        return None
    if target_type in ("number", "integer") and source_type in TEXTS:
        return Transform("number", {"decimal": "."})
    if target_type == "flag":
        return Transform("boolean", {})
    if target_type in ("date", "datetime") and source_type in (*TEXTS, "number", "integer"):
        pattern = "epoch_s" if source_type in ("number", "integer") else "YYYY-MM-DD"
        return Transform("date_parse", {"format": pattern})
    if target_type == "choice":
        return Transform("value_table", {"table": {}, "otherwise": "keep"})
    if target_type == "email":
        return Transform("trim", {})
    return None
