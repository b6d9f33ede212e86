"""What is posted about installations: JSON that programs read, and the form of Slack's incoming webhooks. Pure."""

import uuid
from datetime import datetime
from typing import Any

import orjson

# Slack shows fifty blocks at most, and a section of 3,000 characters.
_BLOCKS, _SECTION = 20, 2900


def webhook_body(
    message_id: str, at: datetime, tenant_id: uuid.UUID, tenant: str, subject: str, content: dict[str, Any], base_url: str
) -> bytes:  # fmt: skip
    """Return the body of a webhook: what is out of order and what is healthy again, each with its address."""
    body = {
        "type": "notice" if content else "notice.test", "id": message_id, "timestamp": at,
        "tenant": {"id": tenant_id, "name": tenant}, "subject": subject,
        "installations": [_with_url(one, base_url) for one in content.get("bad", ())],
        "healthy_again": [_with_url(one, base_url) for one in content.get("over", ())],
    }  # fmt: skip
    return orjson.dumps(body, option=orjson.OPT_UTC_Z)


def slack_body(subject: str, content: dict[str, Any], base_url: str) -> bytes:
    """Return the body for Slack, or what takes its form: a text for notifications, and blocks for those who look."""
    bad, over = content.get("bad", []), content.get("over", [])
    lines = [line for one in bad for line in (one["headline"], one["message"], one["fix"]) if line]
    lines += [f"{one['headline']}." for one in over]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": subject[:150], "emoji": False}}
    ]
    blocks += [_section(one, base_url, ":red_circle:") for one in bad[:_BLOCKS]]
    blocks += [_section(one, base_url, ":large_green_circle:") for one in over[: max(_BLOCKS - len(bad), 1)]]
    left = len(bad) + len(over) - (len(blocks) - 1)
    more = f"And {left} more. " if left > 0 else ""
    foot = f"{more}<{base_url}/home|Open Patchbay>"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": foot}]})
    text = "\n".join([subject, *(line for line in lines if line != subject)])
    return orjson.dumps({"text": _escaped(text[:_SECTION]), "blocks": blocks})


def _with_url(one: dict[str, Any], base_url: str) -> dict[str, Any]:
    return {**one, "url": f"{base_url}/installations/{one['id']}"}


def _section(one: dict[str, Any], base_url: str, sign: str) -> dict[str, Any]:
    head = f"{sign} *<{base_url}/installations/{one['id']}|{_escaped(one['headline'])}>*"
    text = "\n".join([head, *(_escaped(line) for line in (one["message"], one["fix"]) if line)])
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:_SECTION]}}


def _escaped(text: str) -> str:
    # The three characters that mean something to Slack; else a name of a vendor could call the whole channel.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
