"""Structured logs with request, task, run and tenant ids; secrets are taken out before a line is written."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from app.config import Settings

_NAME = (
    r"(?:password|passwd|passphrase|secret|token|authorization|cookie|api[_-]?key|private[_-]?key|credential|verifier"
    r"|signature)"
)
_SECRET_NAMES = re.compile(rf"(?i){_NAME}|^code$")
# Each is (what, what stays): a scheme with its credential, a URL's user, a header, a parameter, a quoted value.
_SECRET_TEXT = [
    (re.compile(r"(?i)(\b(?:cookie|authorization):[ \t])[^\r\n'\"]+"), r"\1"),
    (re.compile(r"(?i)\b(?:bearer|basic) {1,3}[a-z0-9._~+/=-]{8,}"), ""),
    (re.compile(r"(://)[^/\s:@]{0,200}:[^/\s@]{1,500}(?=@)"), r"\1"),
    (re.compile(rf"(?i)({_NAME}[\w-]{{0,20}}:[ \t])[^\s'\",;]{{6,}}"), r"\1"),
    (re.compile(rf"(?i)((?:{_NAME}[\w-]{{0,20}}|[?&]code)=)[^&\s'\",;)]{{6,}}"), r"\1"),
    (re.compile(rf"(?i)({_NAME}[\w-]{{0,20}}\\?(['\"]):[ \t]?\\?\2)(?:(?!\2)[^\\]){{1,8000}}"), r"\1"),
]
REDACTED = "[redacted]"


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values under secret names, and credentials inside texts."""
    for name, value in event.items():
        event[name] = REDACTED if _SECRET_NAMES.search(name) else _clean(value)
    return event


def _clean(value: Any) -> Any:
    if isinstance(value, BaseException | bytes):
        value = repr(value)
    if isinstance(value, str):
        for secret, kept in _SECRET_TEXT:
            value = secret.sub(kept + REDACTED, value)
        return value
    if isinstance(value, dict):
        return {key: REDACTED if _SECRET_NAMES.search(str(key)) else _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(inner) for inner in value]
    return value


def configure(settings: Settings, process: str) -> None:
    """Send structlog and the standard library's loggers through the same processors to stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    # At DEBUG these two print request bodies and, in authlib's case, the PKCE verifier.
    for noisy in ("authlib", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(process=process)


def logger(name: str) -> Any:
    """Return the logger of a module."""
    return structlog.get_logger(name)


bind = structlog.contextvars.bound_contextvars
