"""What GitHub's refusals mean: limits of two kinds, rights, repositories that are gone, moved, blocked or without issues."""

import time
from typing import Any

import pytest

from app.sync.retry import decide
from connectors.sdk import (
    AuthError,
    ConfigError,
    ConnectorError,
    RateLimitedError,
    RecordError,
    ScopeError,
    UnavailableError,
)
from tests.connectors.github.local import LocalConnector, read_all, session
from tests.connectors.github.vendor import GitHub
from tests.connectors.sdk.servers import Vendor

ONE = "octo-org/support"
PRIMARY = {
    "message": "API rate limit exceeded for user ID 583231. If you reach out to GitHub Support for help, please ..."
}
SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}


def refused(connector: LocalConnector) -> ConnectorError:
    """Return what a pass over one repository ends with."""
    with pytest.raises(ConnectorError) as caught:
        read_all(connector, session(connector, ONE), "issues")
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "kind", "decision"),
    [
        (401, {"message": "Bad credentials"}, AuthError, "block"),
        (403, {"message": "Resource not accessible by personal access token"}, ScopeError, "block"),
        (403, {"message": "Resource protected by organization SAML enforcement."}, ScopeError, "block"),
        (404, {"message": "Not Found"}, ConfigError, "block"),
        (301, {"message": "Moved Permanently", "url": "https://api.github.com/repositories/1"}, ConfigError, "block"),
        (410, {"message": "Issues are disabled for this repo"}, ConfigError, "block"),
        (451, {"message": "Repository access blocked"}, ConfigError, "block"),
        (422, {"message": "Validation Failed"}, RecordError, "fail"),
        (503, {"message": "Service unavailable"}, UnavailableError, "again"),
        (403, PRIMARY, RateLimitedError, "wait"),
        (429, PRIMARY, RateLimitedError, "wait"),
        (403, SECONDARY, RateLimitedError, "wait"),
        (429, SECONDARY, RateLimitedError, "wait"),
        (429, {"message": "Too many requests"}, RateLimitedError, "wait"),
    ],
)
def test_a_refusal_is_understood(
    github: GitHub, connector: LocalConnector, status: int, body: dict[str, Any], kind: type, decision: str
) -> None:
    github.faults = [(status, {}, body)]
    error = refused(connector)
    assert type(error) is kind
    assert decide(error, 0).kind == decision
    assert error.user_message
    assert error.fix


def test_single_sign_on_has_its_own_words(github: GitHub, connector: LocalConnector) -> None:
    github.faults = [
        (403, {"X-GitHub-SSO": "required"}, {"message": "Resource protected by organization SAML enforcement."})
    ]
    assert "single sign-on" in refused(connector).user_message


def test_the_primary_limit_waits_for_its_window(github: GitHub, connector: LocalConnector) -> None:
    opens = str(int(time.time()) + 600)
    github.faults = [(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": opens}, PRIMARY)]
    pause = refused(connector).retry_after
    assert pause is not None
    assert 500 < pause <= 600


def test_a_window_far_away_is_looked_at_again_sooner(github: GitHub, connector: LocalConnector) -> None:
    opens = str(int(time.time()) + 3600)
    github.faults = [(429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": opens}, PRIMARY)]
    assert refused(connector).retry_after == 900


def test_the_secondary_limit_says_how_long(github: GitHub, connector: LocalConnector) -> None:
    headers = {"Retry-After": "60", "X-RateLimit-Remaining": "4000", "X-RateLimit-Reset": str(int(time.time()) + 3000)}
    github.faults = [(403, headers, SECONDARY)]
    assert refused(connector).retry_after == 60


def test_no_call_is_made_when_none_is_left(github: GitHub, vendor: Vendor, connector: LocalConnector) -> None:
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 600)}
    github.faults = [(200, headers, [])]
    with pytest.raises(RateLimitedError):
        read_all(connector, session(connector, ONE, "octo-org/shop"), "issues")
    assert len(vendor.calls) == 1


def test_a_repository_that_is_gone_does_not_look_empty(github: GitHub, connector: LocalConnector) -> None:
    # Else a full pass would take its issues for deleted.
    github.add("octo-org/shop", 1)
    with pytest.raises(ConfigError):
        read_all(connector, session(connector, "octo-org/shop", "octo-org/gone"), "issues")
