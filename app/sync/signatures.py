"""Signing by the Standard Webhooks specification, and the secrets for it."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks.webhooks import Webhook


def new_secret() -> str:
    """Return a fresh secret in the form receivers' libraries take."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def sign(message_id: str, at: datetime, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """Return the headers of a message, with a signature by each secret: two while one is being replaced."""
    text = body.decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(message_id, at, text) for key in keys),
    }
