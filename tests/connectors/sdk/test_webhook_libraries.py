"""Signatures against the vendors' own libraries, both ways: Svix and Slack. Stripe's and HubSpot's are with their
connectors, Standard Webhooks' own in test_webhooks.py."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk import Secret
from connectors.sdk.schema.webhooks import Verify
from connectors.sdk.webhooks import Delivery, sign, signed_message, verify

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("svix==2.9.1", "slack_sdk==3.48.0")
SVIX_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
BODIES = ['{"id": "evt_1"}', '{"name": "Söhne 🚪"}', '{ "odd":\t"white space" }\n']
SLACK = Verify.model_validate({
    "kind": "hmac", "header": "X-Slack-Signature", "prefix": "v0=", "timestamp_header": "X-Slack-Request-Timestamp",
    "parts": [
        {"kind": "literal", "value": "v0:"}, {"kind": "timestamp"}, {"kind": "literal", "value": ":"}, {"kind": "body"},
    ],
})  # fmt: skip
SCRIPT = """
import json, sys, datetime
asked = json.loads(sys.stdin.read())
body, secret, stamp = asked["body"], asked["secret"], asked["stamp"]
if asked["library"] == "svix":
    from svix.webhooks import Webhook, WebhookVerificationError
    hook = Webhook(secret)
    made = hook.sign("msg_1", datetime.datetime.fromtimestamp(int(stamp), datetime.timezone.utc), body)
    try:
        hook.verify(body, {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": asked["signature"]})
        taken = True
    except WebhookVerificationError:
        taken = False
else:
    from slack_sdk.signature import SignatureVerifier
    slack = SignatureVerifier(secret)
    made = slack.generate_signature(timestamp=stamp, body=body)
    taken = slack.is_valid(body=body, timestamp=stamp, signature=asked["signature"])
print(json.dumps([made, taken]))
"""
Library = Callable[..., list[Any]]


@pytest.fixture(scope="session")
def library() -> Library:
    """Return what asks a library for its signature and for its opinion of ours; skips where they cannot be had."""
    kept = ROOT / ".data" / "test-packages" / "-".join(name.replace("==", "_") for name in PACKAGES)
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=kept.parent))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(made)]
        done = subprocess.run([*pip, *PACKAGES], capture_output=True, text=True, timeout=180, check=False)
        if done.returncode:
            shutil.rmtree(made, ignore_errors=True)
            pytest.skip(f"svix and slack_sdk cannot be installed with pip: {done.stderr[-200:]}")
        try:
            made.rename(kept)
        except OSError:
            shutil.rmtree(made)  # Another worker was faster.

    def ask(name: str, secret: str, body: str, stamp: str, signature: str) -> list[Any]:
        asked = {"library": name, "secret": secret, "body": body, "stamp": stamp, "signature": signature}
        env = {**os.environ, "PYTHONPATH": str(kept)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], input=json.dumps(asked), capture_output=True, text=True, env=env,
            timeout=60, check=True,
        )  # fmt: skip
        return list(json.loads(done.stdout))

    return ask


@pytest.mark.parametrize("body", BODIES)
def test_svix(library: Library, body: str) -> None:
    stamp, raw, spec = str(int(time.time())), body.encode(), Verify(kind="standard_webhooks")
    ours = Verify(encoding="base64", key_encoding="base64", key_prefix="whsec_")
    signature = "v1," + sign(ours, Secret(SVIX_SECRET), f"msg_1.{stamp}.".encode() + raw).decode()
    theirs, taken = library("svix", SVIX_SECRET, body, stamp, signature)
    assert taken is True
    headers = {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": theirs}
    at = datetime.now(UTC)
    assert verify(spec, Delivery("POST", "", headers, raw), [Secret(SVIX_SECRET)], at) == "accepted"
    assert verify(spec, Delivery("POST", "", headers, raw + b" "), [Secret(SVIX_SECRET)], at) == "bad_signature"
    assert library("svix", SVIX_SECRET, body + " ", stamp, signature)[1] is False


@pytest.mark.parametrize("body", BODIES)
def test_slack(library: Library, body: str) -> None:
    stamp, raw, at = str(int(time.time())), body.encode(), datetime.now(UTC)
    bare = Delivery("POST", "", {"x-slack-request-timestamp": stamp}, raw)
    signature = "v0=" + sign(SLACK, Secret(SLACK_SECRET), signed_message(SLACK, bare, stamp)).decode()
    theirs, taken = library("slack", SLACK_SECRET, body, stamp, signature)
    assert taken is True
    assert theirs == signature
    signed = Delivery("POST", "", {**bare.headers, "x-slack-signature": theirs}, raw)
    assert verify(SLACK, signed, [Secret(SLACK_SECRET)], at) == "accepted"
    changed = Delivery("POST", "", dict(signed.headers), raw + b" ")
    assert verify(SLACK, changed, [Secret(SLACK_SECRET)], at) == "bad_signature"
    assert library("slack", SLACK_SECRET, body + " ", stamp, signature)[1] is False
