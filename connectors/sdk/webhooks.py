"""Webhooks: verify a request from its raw parts, answer a handshake, and read what the events say.

Nothing is parsed before it is verified, and closed by default: no secret or no header is a refusal.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import parse_qsl

import orjson

from connectors.sdk.errors import VendorDataError
from connectors.sdk.expressions import look_up
from connectors.sdk.reading import holds
from connectors.sdk.schema.webhooks import Handshake, Verify, Webhooks
from connectors.sdk.secret import Secret

Verdict = Literal["accepted", "no_secret", "no_signature", "bad_signature", "stale"]
# A vendor that exchanges a secret sends two; a header full of them would only cost time.
MOST_SIGNATURES = 10
_STANDARD = Verify(kind="hmac", encoding="base64", key_encoding="base64", key_prefix="whsec_")


@dataclass(frozen=True)
class Delivery:
    """A request as it came: header names in lower case, the body byte for byte."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Event:
    """What an event says about one record, or a whole stream when `record_id` is None."""

    stream: str
    action: str
    record_id: str | None
    data: dict[str, Any] | None
    account: str | None


def verify(spec: Verify, delivery: Delivery, secrets: Sequence[Secret], at: datetime) -> Verdict:
    """Return what a request is worth; any of the active secrets may have signed it. Compared in constant time."""
    if not secrets:
        return "no_secret"
    if spec.kind == "shared_token":
        return _one_of(delivery.headers.get(spec.header.lower()), [secret.reveal() for secret in secrets])
    if spec.kind == "basic":
        logins = ["Basic " + base64.b64encode(secret.reveal().encode()).decode() for secret in secrets]
        return _one_of(delivery.headers.get("authorization"), logins)
    if spec.kind == "standard_webhooks":
        return _standard(delivery, secrets, at)
    header = delivery.headers.get(spec.header.lower(), "")
    found = _elements(spec, header, spec.element) if spec.element else [header.strip()]
    signatures = [text.removeprefix(spec.prefix) for text in found if text.startswith(spec.prefix) and text]
    if not signatures:
        return "no_signature"
    if len(signatures) > MOST_SIGNATURES:
        return "bad_signature"
    stamp = _timestamp(spec, delivery, header)
    if any(part.kind == "timestamp" for part in spec.parts):
        age = _age(spec, stamp, at)
        if age is None or abs(age) > spec.tolerance_seconds:
            return "stale"
    message = signed_message(spec, delivery, stamp or "")
    expected = [sign(spec, secret, message) for secret in secrets]
    good = [hmac.compare_digest(_same(spec, given), want) for given in signatures for want in expected]
    return "accepted" if any(good) else "bad_signature"


def sign(spec: Verify, secret: Secret, message: bytes) -> bytes:
    """Return the signature of a message as it stands in the header, without prefix."""
    raw = hmac.new(_key(spec, secret), message, getattr(hashlib, spec.algorithm)).digest()
    return base64.b64encode(raw) if spec.encoding == "base64" else raw.hex().encode()


def _same(spec: Verify, given: str) -> bytes:
    # Hex may be written in either case; anything that is not ASCII is simply wrong.
    text = given.lower() if spec.encoding == "hex" else given
    return text.encode("ascii", "replace")


def _one_of(given: str | None, expected: Sequence[str]) -> Verdict:
    if not given:
        return "no_signature"
    good = [hmac.compare_digest(given.encode(), want.encode()) for want in expected]
    return "accepted" if any(good) else "bad_signature"


def _standard(delivery: Delivery, secrets: Sequence[Secret], at: datetime) -> Verdict:
    # standardwebhooks.com: id.timestamp.body, base64, several signatures with a version, five minutes.
    name, stamp = delivery.headers.get("webhook-id", ""), delivery.headers.get("webhook-timestamp", "")
    given = [part[3:] for part in delivery.headers.get("webhook-signature", "").split() if part.startswith("v1,")]
    if not name or not given:
        return "no_signature"
    if len(given) > MOST_SIGNATURES:
        return "bad_signature"
    if not stamp.isascii() or not stamp.isdigit() or abs(at.timestamp() - int(stamp[:15])) > 300:
        return "stale"
    message = f"{name}.{stamp}.".encode() + delivery.body
    expected = [sign(_STANDARD, secret, message) for secret in secrets]
    good = [hmac.compare_digest(text.encode("ascii", "replace"), want) for text in given for want in expected]
    return "accepted" if any(good) else "bad_signature"


def _elements(spec: Verify, header: str, name: str | None) -> list[str]:
    pairs = (part.strip().partition("=") for part in header.split(spec.separator))
    return [value.strip() for key, _, value in pairs if key.strip() == name]


def _timestamp(spec: Verify, delivery: Delivery, header: str) -> str | None:
    if spec.timestamp_element:
        found = _elements(spec, header, spec.timestamp_element)
        return found[0] if found else None
    return delivery.headers.get(spec.timestamp_header.lower()) if spec.timestamp_header else None


def _age(spec: Verify, stamp: str | None, at: datetime) -> float | None:
    try:
        if stamp is None:
            return None
        if spec.timestamp_unit == "iso":
            return at.timestamp() - datetime.fromisoformat(stamp).timestamp()
        return at.timestamp() - float(int(stamp)) / (1000 if spec.timestamp_unit == "ms" else 1)
    except (ValueError, OverflowError):
        return None


def signed_message(spec: Verify, delivery: Delivery, stamp: str) -> bytes:
    """Return what is signed: the parts of the manifest, put together."""
    parts = []
    for part in spec.parts:
        match part.kind:
            case "literal":
                parts.append(part.value.encode())
            case "timestamp":
                parts.append(stamp.encode())
            case "method":
                parts.append(delivery.method.encode())
            case "url":
                parts.append(delivery.url.encode())
            case "path":
                parts.append(("/" + delivery.url.split("/", 3)[-1]).encode())
            case "header":
                parts.append(delivery.headers.get(part.value.lower(), "").encode())
            case "body":
                parts.append(delivery.body)
    return b"".join(parts)


def _key(spec: Verify, secret: Secret) -> bytes:
    text = secret.reveal().removeprefix(spec.key_prefix)
    try:
        if spec.key_encoding == "base64":
            return base64.b64decode(text + "=" * (-len(text) % 4))
        return binascii.unhexlify(text) if spec.key_encoding == "hex" else text.encode()
    except (binascii.Error, ValueError) as error:
        raise VendorDataError("The webhook secret is not of the declared encoding.") from error


def handshake(spec: Handshake | None, delivery: Delivery) -> str | None:
    """Return the plain text that answers a vendor's question, None when it asks none. The request is verified before,
    except where the question itself brings the secret."""
    if spec is None:
        return None
    if spec.kind == "echo_header":
        return delivery.headers.get(spec.name.lower())
    if spec.kind == "echo_query":
        query = parse_qsl(delivery.url.partition("?")[2], max_num_fields=20)
        return next((value[:500] for name, value in query if name == spec.name), None)
    if spec.kind in ("json_challenge", "token_capture"):
        data = _parsed(delivery.body)
        if spec.when is not None and not holds(spec.when, data):
            return None
        found = look_up(data, spec.name)
        return found[:500] if isinstance(found, str) else None
    return None


def events(hooks: Webhooks, delivery: Delivery) -> Iterator[Event]:
    """Yield what a verified delivery says; events that no rule is for are left out. VendorDataError for bad JSON."""
    data = look_up(_parsed(delivery.body), hooks.events)
    for item in data if isinstance(data, list) else [data]:
        if not isinstance(item, dict):
            continue
        for rule in hooks.rules:
            if all(holds(condition, item) for condition in rule.where):
                found = look_up(item, rule.id) if rule.id else None
                parent = f"{look_up(item, rule.parent)}/" if rule.parent else ""
                account = look_up(item, hooks.account) if hooks.account else None
                record = look_up(item, rule.record) if rule.record is not None else None
                # An event may name several records at once, as those that went into another.
                for one in found if isinstance(found, list) else [found]:
                    yield Event(
                        rule.stream, rule.action if one is not None else "resync",
                        None if one is None else f"{parent}{one}", record if isinstance(record, dict) else None,
                        None if account is None else str(account),
                    )  # fmt: skip


def by_account(hooks: Webhooks, delivery: Delivery) -> dict[str | None, Delivery]:
    """Return a verified delivery apart by account, each part with the events of that account alone, in their order.

    What is of one account, or names none, stays byte for byte. VendorDataError for bad JSON.
    """
    items = look_up(_parsed(delivery.body), hooks.events)
    parts: dict[str | None, list[Any]] = {}
    for item in items if isinstance(items, list) else [items]:
        found = look_up(item, hooks.account) if hooks.account else None
        parts.setdefault(None if found is None else str(found), []).append(item)
    if len(parts) <= 1:
        return dict.fromkeys(parts or [None], delivery)
    return {
        account: replace(delivery, body=orjson.dumps(_placed(hooks.events, part))) for account, part in parts.items()
    }


def _placed(path: str, items: list[Any]) -> Any:
    placed: Any = items
    for name in reversed(path.split(".") if path else []):
        placed = {name: placed}
    return placed


def event_id(hooks: Webhooks, delivery: Delivery) -> str:
    """Return what tells one delivery from another: the vendor's id, else a hash of what stays the same in each event,
    else of the body. VendorDataError for bad JSON, where the id is in it."""
    if hooks.event_id_header and delivery.headers.get(hooks.event_id_header.lower()):
        return delivery.headers[hooks.event_id_header.lower()][:200]
    found = look_up(_parsed(delivery.body), hooks.event_id) if hooks.event_id else None
    if found is not None:
        return str(found)[:200]
    told = delivery.body
    if hooks.event_id_fields:
        items = look_up(_parsed(delivery.body), hooks.events)
        # In any order: what is sent again may come sorted in another way.
        told = b"".join(
            sorted(
                orjson.dumps([look_up(item, path) for path in hooks.event_id_fields])
                for item in (items if isinstance(items, list) else [items])
            )
        )
    return hashlib.sha256(told).hexdigest()


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise VendorDataError("The webhook's body is not JSON.") from None
