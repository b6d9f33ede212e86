"""What hypothesis makes for the sdk: JSON as a vendor may send it, and settings that are the same in every run."""

from hypothesis import settings
from hypothesis import strategies as st

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=150)
FEW = settings(FIXED, max_examples=60)

TEXT = st.text(max_size=40)
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
KEY = st.sampled_from(["a", "b", "c", "0", "1", "a-b", "@id", "$x"]) | st.text(max_size=4)
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4), max_leaves=12
)
PATHS = st.lists(
    st.sampled_from(["a", "b", "c", "0", "1", "9", "a-b", "@id", "$x", "999999999999"]), min_size=1, max_size=5
).map(".".join)
# What a field of a vendor may hold that looks like something: it finds more than any text does.
LOOKALIKE = st.sampled_from(
    [
        "2026-11-24", "0001-01-01", "9999-12-31", "2026-02-30", "24/11/2026", "2026-11-24T09:30:00Z", "2026-11-24T25:00:00", "0",
        "-1", "1e400", "nan", "inf", "1_000", "1,000", "1.000,5", "£12", "yes", "No", " true ", "1", "", " ", "\x00", "\u202e",
        "ada@example.com", "https://example.com", "a" * 70_000, "İ", "ß", "1764000000", "1e18", "99999999999999999999",
    ]
)  # fmt: skip
VALUE = LOOKALIKE | JSON
