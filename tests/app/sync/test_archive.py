"""A ZIP written piece by piece, its state kept as JSON between any two: every reader opens it."""

import io
import json
import shutil
import subprocess
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sync import archive
from app.sync.archive import Archive, ArchiveFullError

AT = datetime(2026, 11, 28, 14, 30, 20, tzinfo=UTC)
NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00/\\", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12
)
FILES = st.dictionaries(NAMES, st.lists(st.binary(max_size=300), max_size=5), max_size=4)


def written(files: dict[str, list[bytes]]) -> bytes:
    """Return the archive; whoever goes on knows nothing but the state."""
    state, out = Archive(AT).state, b""
    for name, pieces in files.items():
        for step in ("begin", *pieces, "end"):
            found = Archive.load(json.loads(json.dumps(state)))
            out += found.begin(name) if step == "begin" else found.end() if step == "end" else found.add(step)  # type: ignore[arg-type]
            state = found.state
    return out + Archive.load(state).close()


@given(FILES)
def test_what_was_put_in_comes_out(files: dict[str, list[bytes]]) -> None:
    if not files:
        return
    with zipfile.ZipFile(io.BytesIO(written(files))) as found:
        assert found.testzip() is None
        assert found.namelist() == list(files)
        assert {name: found.read(name) for name in files} == {name: b"".join(pieces) for name, pieces in files.items()}
        assert found.infolist()[0].date_time == (2026, 11, 28, 14, 30, 20)


@pytest.mark.skipif(shutil.which("unzip") is None, reason="no unzip")
def test_another_reader_opens_it_as_well(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    file.write_bytes(written({"records/Zoë.csv": [b"a,b\r\n", b"1,2\r\n" * 5000], "README.txt": []}))
    told = subprocess.run(["unzip", "-t", str(file)], capture_output=True, text=True, check=True)
    assert "No errors detected" in told.stdout


def test_many_like_pieces_become_small() -> None:
    assert len(written({"a.csv": [b"name,city\r\n" * 2000] * 10})) < 5000


def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST", 1000)
    with pytest.raises(ArchiveFullError):
        written({"a.csv": [bytes(2000)]})
