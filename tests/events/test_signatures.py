"""E08: our signatures against the specification's own vector and two libraries that receivers use."""

from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks
import svix.webhooks

from app.sync.signatures import new_secret, sign

BODY = b'{"type":"record.updated","data":{"name":"Zo\xc3\xab"}}'
LIBRARIES = {
    "standardwebhooks": (standardwebhooks.Webhook, standardwebhooks.WebhookVerificationError),
    "svix": (svix.webhooks.Webhook, svix.webhooks.WebhookVerificationError),
}


def test_e08_the_published_vector() -> None:
    """Of the specification and its reference libraries."""
    at = datetime.fromtimestamp(1_614_265_330, UTC)
    headers = sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}', ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("name", LIBRARIES)
def test_e08_each_of_two_secrets_verifies_and_another_does_not(name: str) -> None:
    make, refused = LIBRARIES[name]
    old, new, other = new_secret(), new_secret(), new_secret()
    headers = sign("evt_1", datetime.now(UTC), BODY, [new, old])
    assert make(new).verify(BODY, headers) == make(old).verify(BODY, headers)
    with pytest.raises(refused):
        make(other).verify(BODY, headers)
    with pytest.raises(refused):
        make(new).verify(BODY + b" ", headers)
    with pytest.raises(refused):
        make(new).verify(BODY, {**headers, "webhook-id": "evt_2"})


@pytest.mark.parametrize("name", LIBRARIES)
def test_e08_an_old_message_is_refused_by_receivers(name: str) -> None:
    """Which is why each try is signed anew."""
    make, refused = LIBRARIES[name]
    secret = new_secret()
    with pytest.raises(refused):
        make(secret).verify(BODY, sign("evt_1", datetime.now(UTC) - timedelta(minutes=6), BODY, [secret]))
