"""What somebody means who pastes a text to find a record: an id of ours or theirs, a key, an address of a page. Pure."""

import uuid
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from app.sync.keys import normalise

LONGEST = 300
_PARTS = 8


@dataclass(frozen=True, slots=True)
class Pasted:
    """What a text may be: external ids (the likeliest first), our own ids, the normalised value of a key.

    `by_id`: the other side can be asked for it, because it may be an id.
    """

    text: str
    external_ids: tuple[str, ...] = ()
    record_ids: tuple[uuid.UUID, ...] = ()
    value: str | None = None
    by_id: bool = False


def read_pasted(text: str) -> Pasted:
    """Return what a text may be. Of an address of a page each part of its path may be the id, the last one first."""
    text = "".join(character for character in text if character.isprintable()).strip()[:LONGEST]
    if not text:
        return Pasted("")
    is_address = text.startswith(("https://", "http://"))
    ids = _parts(text) if is_address else (text,)
    by_id = bool(ids) and (is_address or not ("@" in text or " " in text))
    return Pasted(text, ids, tuple(found for part in ids if (found := _uuid(part))), normalise(text), by_id)


def _parts(address: str) -> tuple[str, ...]:
    try:
        parts = [unquote(part).strip() for part in urlsplit(address).path.split("/")]
    except ValueError:
        return ()
    found = [part for part in reversed(parts) if part][:_PARTS]
    # An id nearly always has a digit; words are names of pages.
    return tuple(sorted(found, key=lambda part: not any(character.isdigit() for character in part)))


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text.removeprefix("record:"))
    except ValueError:
        return None
