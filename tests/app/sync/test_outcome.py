"""What a run has come to, from how its streams ended (V20)."""

import pytest

from app.sync.outcome import RunEnd, StreamEnd, end_of

READ, ALSO_READ = StreamEnd("contacts"), StreamEnd("companies")
FORBIDDEN, ALSO_FORBIDDEN = StreamEnd("deals", "permission_missing"), StreamEnd("notes", "permission_missing")


@pytest.mark.parametrize(
    ("streams", "end"),
    [
        ([], RunEnd("done")),
        ([READ, ALSO_READ], RunEnd("done")),
        ([READ, FORBIDDEN], RunEnd("incomplete", (FORBIDDEN,))),
        ([FORBIDDEN, READ, ALSO_FORBIDDEN], RunEnd("incomplete", (FORBIDDEN, ALSO_FORBIDDEN))),
        ([FORBIDDEN], RunEnd("failed", (FORBIDDEN,))),
        ([FORBIDDEN, ALSO_FORBIDDEN], RunEnd("failed", (FORBIDDEN, ALSO_FORBIDDEN))),
    ],
)
def test_the_end_of_a_run(streams: list[StreamEnd], end: RunEnd) -> None:
    assert end_of(streams) == end
