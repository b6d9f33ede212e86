"""Which of two versions of an external record is the newer one."""

from datetime import datetime


def is_newer(version: str | None, known: str | None) -> bool:
    """Whether `version` is newer than what is known; without either of them nothing says that it is not."""
    if version is None or known is None:
        return True
    mine, theirs = _ordered(version), _ordered(known)
    return mine > theirs if mine[0] == theirs[0] else version != known


def _ordered(version: str) -> tuple[str, float | str]:
    """Numbers and times are compared as what they are, anything else as text."""
    text = version.strip('W/"')
    try:
        return "number", float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return "text", text
    return "time", moment.timestamp()
