"""Logs: no secret leaves by them, whoever writes the line (L01, L02, L03, L06)."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from app import log
from app.config import load_settings

SECRET = "c4n4ry-Sup3r.secret_value~1"
Lines = Callable[[], list[dict[str, Any]]]


class Written(io.StringIO):
    """What the process writes to stderr."""

    def take(self) -> str:
        """Return what was written since the last call."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    root, stream = logging.getLogger(), Written()
    before = root.handlers, root.level, structlog.get_config()
    monkeypatch.setattr(sys, "stderr", stream)
    yield stream
    root.handlers, level, config = before
    root.setLevel(level)
    structlog.configure(**config)
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def lines(written: Written) -> Lines:
    """Log at DEBUG as a process does; return the lines since the last call."""
    log.configure(load_settings({"PATCHBAY_LOG_LEVEL": "DEBUG"}), "web")
    return lambda: [json.loads(line) for line in written.take().splitlines()]


def one(lines: Lines) -> dict[str, Any]:
    found = lines()
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    "name",
    [
        "password", "old_password", "client_secret", "access_token", "refreshToken", "Authorization", "Cookie", "set-cookie",
        "api_key", "apikey", "X-Api-Key", "credential", "code_verifier", "code", "private_key", "passphrase", "signature",
    ],
)  # fmt: skip
def test_values_under_secret_names_are_not_written(lines: Lines, name: str) -> None:
    log.logger("t").info("event", **{name: SECRET}, inner={name: SECRET, "ok": [{name: SECRET}]})
    found = one(lines)
    assert SECRET not in json.dumps(found)
    assert found[name] == found["inner"][name] == log.REDACTED


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"refused: Bearer {SECRET}", "refused: [redacted]"),
        ("Basic dXNlcjpwYXNzd29yZA== was sent", "[redacted] was sent"),
        (f"postgresql://ada:{SECRET}@db.example/x", "postgresql://[redacted]@db.example/x"),
        (f"redis://:{SECRET}@redis.example:6379/0", "redis://[redacted]@redis.example:6379/0"),
        (f"GET /v1/contacts?page=2&access_token={SECRET}&x=1", "GET /v1/contacts?page=2&access_token=[redacted]&x=1"),
        (f"/oauth/callback?code={SECRET}&state=s", "/oauth/callback?code=[redacted]&state=s"),
        (f"grant_type=refresh_token&client_secret={SECRET}", "grant_type=refresh_token&client_secret=[redacted]"),
        (f'{{"access_token": "{SECRET}", "expires_in": 3600}}', '{"access_token": "[redacted]", "expires_in": 3600}'),
        (f"{{'refresh_token': '{SECRET}'}}", "{'refresh_token': '[redacted]'}"),
        (f"X-Api-Key: {SECRET}\nAccept: */*", "X-Api-Key: [redacted]\nAccept: */*"),
        (f"Authorization: Token {SECRET}\nAccept: */*", "Authorization: [redacted]\nAccept: */*"),
        (f"Cookie: a=b; patchbay={SECRET}", "Cookie: [redacted]"),
    ],
)
def test_secrets_inside_a_text_are_not_written(lines: Lines, text: str, left: str) -> None:
    log.logger("t").info("event", detail=text)
    assert one(lines)["detail"] == left
    log.logger("t").info(text)
    logging.getLogger("somebody").warning("%s", text)
    assert [found["event"] for found in lines()] == [left, left]


def test_an_ordinary_text_stays_as_it_is(lines: Lines) -> None:
    text = "2 tokens were renewed: see https://docs.example.com/a:b?page=1&code_page=utf8 (basic plan), run 12:30"
    log.logger("t").info(text, status_code=200, task_id="t1", error_code="wrong_password", host="h:80")
    found = one(lines)
    assert found["event"] == text
    assert (found["status_code"], found["error_code"], found["host"]) == (200, "wrong_password", "h:80")
    assert (found["level"], found["process"], "timestamp" in found) == ("info", "web", True)


@pytest.mark.parametrize("logger", ["ours", "theirs"])
def test_the_text_of_an_exception_is_cleaned_in_tracebacks_and_values(lines: Lines, logger: str) -> None:
    """L02: the vendor's answer says the token back."""
    try:
        raise ValueError(f'vendor said {{"error": "bad", "access_token": "{SECRET}"}}')
    except ValueError as error:
        if logger == "ours":
            log.logger("t").exception("failed", error=error, raw=str(error).encode(), many={str(error)})
        else:
            logging.getLogger("theirs").exception("failed: %s", error)
    found = one(lines)
    assert "ValueError" in found["exception"]
    assert SECRET not in json.dumps(found)


def test_bound_values_are_cleaned_too(lines: Lines) -> None:
    with log.bind(session_token=SECRET, url=f"https://x:{SECRET}@example.com"):
        log.logger("t").info("event")
    found = one(lines)
    assert SECRET not in json.dumps(found)
    assert found["url"] == "https://[redacted]@example.com"


def test_libraries_that_print_requests_are_silent_even_at_debug(lines: Lines) -> None:
    """L06: authlib logs the PKCE verifier, urllib3 the path with its query."""
    for name in ("authlib.integrations.base_client", "urllib3.connectionpool"):
        logging.getLogger(name).debug("code_verifier %s", SECRET)
        logging.getLogger(name).info("GET /?key=%s", SECRET)
    assert lines() == []


@pytest.mark.parametrize("part", ["token", "a.b-c_d", "://a:", "password ", "Bearer ", "secret='", "code=&"])
def test_a_very_long_text_is_no_trouble(part: str) -> None:
    """A pattern that looks back over what it has read would not come to an end here."""
    text = part * (300_000 // len(part)) + f" Bearer {SECRET}"
    cleaned = log.redact(None, "info", {"event": text})["event"]
    assert SECRET not in cleaned


def test_people_read_text_and_it_is_cleaned_as_well(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", written)
    log.configure(load_settings({"PATCHBAY_LOG_FORMAT": "text"}), "worker")
    log.logger("t").warning("event", token=SECRET, detail=f"Bearer {SECRET}")
    text = written.take()
    assert "event" in text
    assert SECRET not in text
