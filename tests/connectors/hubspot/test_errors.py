"""What HubSpot's errors mean to the customer, in words, and to the engine."""

from typing import Any

import pytest

from connectors.sdk import ConnectorError
from tests.connectors.hubspot.cases import ERRORS
from tests.connectors.hubspot.sessions import here, session_at
from tests.connectors.hubspot.vendor import HubSpot


def failed(hubspot: HubSpot, origin: str, status: int, body: Any, **headers: str) -> ConnectorError:
    """Return what an answer is raised as."""
    hubspot.fault = (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)
    with pytest.raises(ConnectorError) as caught:
        here().check(session_at(origin))
    return caught.value


@pytest.mark.parametrize("case", ERRORS, ids=[case["name"] for case in ERRORS])
def test_every_error_is_understood_in_words(hubspot: HubSpot, origin: str, case: dict[str, Any]) -> None:
    error = failed(hubspot, origin, case["response"]["status"], case["response"]["body"])
    assert error.code == case["expect"]
    assert "HubSpot" in error.user_message or "properties" in error.user_message
    assert error.fix
    assert "correlation" not in error.user_message


def test_the_missing_permission_is_named(hubspot: HubSpot, origin: str) -> None:
    case = next(case for case in ERRORS if case["name"] == "scope missing")
    error = failed(hubspot, origin, 403, case["response"]["body"])
    assert error.user_message == "HubSpot has not granted a permission that is needed: crm.objects.deals.write."
    assert "Missing: crm.objects.deals.write." in error.message


def test_a_permission_that_is_not_named_leaves_no_gap(hubspot: HubSpot, origin: str) -> None:
    error = failed(hubspot, origin, 403, {"category": "MISSING_SCOPES"})
    assert "{" not in error.user_message
    assert error.code == "permission_missing"


def test_a_used_up_day_is_told_from_a_busy_moment(hubspot: HubSpot, origin: str) -> None:
    day = failed(hubspot, origin, 429, {"policyName": "DAILY"})
    moment = failed(hubspot, origin, 429, {"policyName": "TEN_SECONDLY_ROLLING"}, Retry_After="7")
    assert "day" in day.user_message
    assert (moment.user_message, moment.retry_after) == ("HubSpot asks us to slow down.", 7.0)


def test_a_move_to_another_data_centre_waits_as_told(hubspot: HubSpot, origin: str) -> None:
    assert failed(hubspot, origin, 477, {}, Retry_After="600").retry_after == 600.0
    assert (
        failed(hubspot, origin, 477, {}, Retry_After="86400").retry_after == 900.0
    )  # Asked again each quarter of an hour.


def test_an_answer_that_is_no_json_is_understood_by_its_status(hubspot: HubSpot, origin: str) -> None:
    assert failed(hubspot, origin, 401, b"<html>").code == "reconnect"
    assert failed(hubspot, origin, 403, b"<html>").code == "permission_missing"
    assert failed(hubspot, origin, 502, b"<html>").code == "vendor_down"
