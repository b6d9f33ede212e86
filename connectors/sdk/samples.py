"""Samples made from a manifest alone: values for a write, an answer to it, and a webhook signed as the vendor would."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.sdk.fields import FieldInfo
from connectors.sdk.manifest import Manifest, Stream
from connectors.sdk.schema.webhooks import Verify
from connectors.sdk.secret import Secret
from connectors.sdk.webhooks import Delivery, sign, signed_message
from connectors.sdk.writing import Outgoing, nested

AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
_VALUES: dict[str, Any] = {
    "text": "Sample", "long_text": "A longer sample.", "email": "sample@example.test", "phone": "+44 20 7946 0000",
    "url": "https://example.test/", "number": 12.5, "integer": 12, "flag": True, "date": "2026-11-24",
    "datetime": "2026-11-24T09:30:00Z", "choice": "sample", "multi_choice": ["sample"], "json": {}, "reference": "1",
}  # fmt: skip


def value_of(info: FieldInfo) -> Any:
    """Return a value that fits a field."""
    if info.choices:
        first = info.choices[0].value
        return [first] if info.type == "multi_choice" else first
    return _VALUES.get(info.type, "Sample")


def outgoing(stream: Stream) -> Outgoing:
    """Return a record to write: all fields that can be written, with an id, a version, our reference and a key."""
    fields = {info.name: value_of(info) for info in stream.field_infos() if not info.read_only}
    parents = {name for name in fields for other in fields if other.startswith(f"{name}.")}
    kept = {name: value for name, value in fields.items() if name not in parents}
    # A field and one below it cannot both be set: the more precise ones are.
    return Outgoing(kept, id="sample-1", version="7", reference="patchbay-sample", key="sample-key")


def written(stream: Stream, record_path: str, id_path: str) -> Any:
    """Return the least that an answer to a write may hold: a record with its id, where the manifest looks for it."""
    record: Any = nested({id_path: "sample-1"})
    for part in reversed(record_path.split(".")) if record_path else []:
        record = {part: record} if not part.isdigit() else [record]
    return record


def webhook_secret(spec: Verify, raw: bytes = b"sample secret of thirty-two byte") -> Secret:
    """Return a secret of the form the manifest declares."""
    if spec.kind == "standard_webhooks":
        return Secret("whsec_" + base64.b64encode(raw).decode())
    if spec.kind == "basic":
        return Secret(f"sample:{raw.hex()}")
    text = {"raw": raw.decode(), "base64": base64.b64encode(raw).decode(), "hex": raw.hex()}[spec.key_encoding]
    return Secret(spec.key_prefix + text)


def signed(
    spec: Verify, body: bytes, secret: Secret, *, headers: Mapping[str, str] | None = None, at: datetime = AT,
    url: str = "https://patchbay.example/hooks/sample",
) -> Delivery:  # fmt: skip
    """Return a delivery of this body, signed as the manifest says the vendor does."""
    sent = {"content-type": "application/json", **{name.lower(): value for name, value in (headers or {}).items()}}
    if spec.kind == "shared_token":
        return Delivery("POST", url, {**sent, spec.header.lower(): secret.reveal()}, body)
    if spec.kind == "basic":
        login = base64.b64encode(secret.reveal().encode()).decode()
        return Delivery("POST", url, {**sent, "authorization": f"Basic {login}"}, body)
    if spec.kind == "standard_webhooks":
        return Delivery("POST", url, {**sent, **standard_headers(secret, "msg_sample", body, at)}, body)
    stamp = _stamp(spec, at)
    if spec.timestamp_header:
        sent[spec.timestamp_header.lower()] = stamp
    unsigned = Delivery("POST", url, sent, body)
    text = spec.prefix + sign(spec, secret, signed_message(spec, unsigned, stamp)).decode()
    if spec.element:
        pairs = [f"{spec.timestamp_element}={stamp}"] if spec.timestamp_element else []
        text = spec.separator.join([*pairs, f"{spec.element}={text}"])
    return Delivery("POST", url, {**sent, spec.header.lower(): text}, body)


def standard_headers(secret: Secret, message_id: str, body: bytes, at: datetime) -> dict[str, str]:
    """Return the three headers of Standard Webhooks (standardwebhooks.com) for a body."""
    spec = Verify(kind="hmac", encoding="base64", key_encoding="base64", key_prefix="whsec_")
    stamp = str(int(at.timestamp()))
    signature = sign(spec, secret, f"{message_id}.{stamp}.".encode() + body).decode()
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}


def _stamp(spec: Verify, at: datetime) -> str:
    if spec.timestamp_unit == "iso":
        return at.isoformat()
    return str(int(at.timestamp() * (1000 if spec.timestamp_unit == "ms" else 1)))


def placeholders(manifest: Manifest) -> tuple[dict[str, Any], dict[str, Secret]]:
    """Return settings and credentials to build requests with: the examples of the manifest, secrets that are none."""
    settings: dict[str, Any] = {}
    for field in manifest.config:
        if field.kind == "secret":
            continue
        example: Any = field.example or field.default or "sample"
        settings[field.name] = [example] if field.kind == "list" else example
    secrets = {name: Secret(f"test-{name}-0000") for name in manifest.secret_fields()}
    secrets["access_token"] = Secret("test-access-token-0000")
    settings["kept"] = {path: "sample" for auth in manifest.auths() for path in auth.keep}
    return settings, secrets
