"""What the tests ask HubSpot for, and what it may answer: records, writes, errors and events."""

from typing import Any

from connectors.sdk import Outgoing
from connectors.sdk.testing import WriteCase
from tests.connectors.hubspot.vendor import BASE, PORTAL, HubSpot

STREAMS = ("contacts", "companies", "deals")
SINCE = "2026-11-24T00:00:00Z"
_VALUES: dict[str, dict[str, Any]] = {
    "contacts": {"properties.firstname": "Nora", "properties.lifecyclestage": "customer"},
    "companies": {"properties.name": "Brightwater", "properties.numberofemployees": 250},
    "deals": {"properties.dealname": "Refit", "properties.amount": 1250.5, "properties.closedate": "2026-12-31"},
}


def fill(vendor: HubSpot) -> HubSpot:
    """Fill a vendor with a few records of each kind; ids go on from 101."""
    contacts = [("Ada", "Lind", "marketingqualifiedlead"), ("Ben", "Okoro", "customer"), ("Cara", "Voss", "lead")]
    for first, last, stage in contacts:
        vendor.add(
            "contacts", email=f"{first.lower()}@example.test", firstname=first, lastname=last, lifecyclestage=stage,
            phone="+44 20 7946 0102", company="Calder", jobtitle="Buyer", city="Leeds", country="United Kingdom",
            notes_last_contacted="2026-11-20T08:15:00Z", favourite_shade="blue",
        )  # fmt: skip
    for name, employees in (("Calder", "120"), ("Fieldstone", "")):
        vendor.add(
            "companies", name=name, domain=f"{name.lower()}.example", numberofemployees=employees, industry="RETAIL"
        )
    vendor.add("deals", dealname="Fit-out", amount="1200.50", deal_currency_code="EUR", dealstage="closedwon", pipeline="default", closedate="2026-10-31T12:00:00Z")  # fmt: skip
    vendor.add("deals", amount="10", dealstage="appointmentscheduled")
    return vendor


def writes_of(stream: str) -> list[WriteCase]:
    """Return a write of each kind for a stream that was filled as above: creates get the ids from 108 on."""
    first = {"contacts": 108, "companies": 111, "deals": 114}[stream]
    values = _VALUES[stream]
    new = [Outgoing({**values, **_own(stream, n)}, reference=f"pb-{stream}-{n}") for n in range(3)]
    changed = [Outgoing(values, id=str(first + n), reference=f"pb-change-{first + n}") for n in range(3)]
    return [
        WriteCase(stream, "create", new[:1]), WriteCase(stream, "find", new[:1]),
        WriteCase(stream, "find", [Outgoing({}, reference="pb-never-made")]), WriteCase(stream, "update", changed[:1]),
        WriteCase(stream, "batch_create", new[1:]), WriteCase(stream, "batch_update", changed[1:]),
        WriteCase(stream, "delete", changed[:1]),
    ]  # fmt: skip


def _own(stream: str, number: int) -> dict[str, str]:
    return {"properties.email": f"nora{number}@example.test"} if stream == "contacts" else {}


def refusal(status: int, expect: str, name: str, **body: Any) -> dict[str, Any]:
    """Return the fixture of an error, in the form of HubSpot's error page."""
    return {
        "name": name, "verified": "vendor's documentation, 2026-11-24", "expect": expect,
        "request": {"method": "GET", "path": "/crm/v3/objects/contacts", "query": {}, "body": None},
        "response": {
            "status": status, "headers": {"content-type": "application/json"},
            "body": {"status": "error", "correlationId": "aeb5f871-7f07-4993-9211-075dc63e7cbf", **body},
        },
    }  # fmt: skip


_SCOPES = [{"message": "One or more of the following scopes are required.", "context": {"requiredGranularScopes": ["crm.objects.deals.write"]}}]  # fmt: skip
ERRORS = [
    refusal(401, "reconnect", "token expired", category="EXPIRED_AUTHENTICATION", message="The OAuth token used to make this call expired."),
    refusal(401, "reconnect", "token withdrawn", category="INVALID_AUTHENTICATION", message="Authentication credentials not found."),
    refusal(403, "permission_missing", "scope missing", category="MISSING_SCOPES", message="This app hasn't been granted all required scopes.", errors=_SCOPES),
    refusal(403, "permission_missing", "not allowed", category="FORBIDDEN", message="Not allowed."),
    refusal(429, "rate_limited", "ten seconds", errorType="RATE_LIMIT", policyName="TEN_SECONDLY_ROLLING", message="You have reached your ten_secondly_rolling limit."),
    refusal(429, "rate_limited", "search", errorType="RATE_LIMIT", policyName="SECONDLY", message="You have reached your secondly limit."),
    refusal(429, "rate_limited", "day", errorType="RATE_LIMIT", policyName="DAILY", message="You have reached your daily limit."),
    refusal(409, "record_failed", "e-mail taken", category="CONFLICT", message="Contact already exists. Existing ID: 101"),
    refusal(423, "vendor_down", "locked", category="LOCKED", message="The object is locked."),
    refusal(477, "vendor_down", "migration", category="MIGRATION", message="Migration in progress."),
    refusal(400, "settings_wrong", "property missing", category="VALIDATION_ERROR", message='Property values were not valid: [{"isValid":false,"error":"PROPERTY_DOESNT_EXIST","name":"patchbay_reference"}]'),
    refusal(400, "record_failed", "value refused", category="VALIDATION_ERROR", message='Property values were not valid: [{"isValid":false,"error":"INVALID_OPTION","name":"lifecyclestage"}]'),
    refusal(404, "record_failed", "record gone", category="OBJECT_NOT_FOUND", message="resource not found"),
    refusal(414, "settings_wrong", "too many properties", message="URI too long"),
    refusal(503, "vendor_down", "out of order", message="Service unavailable"),
]  # fmt: skip


def event(kind: str, **more: Any) -> dict[str, Any]:
    """Return one event as HubSpot sends it."""
    return {
        "eventId": 100, "subscriptionId": 12345, "portalId": PORTAL, "appId": 54321, "occurredAt": BASE,
        "subscriptionType": kind, "attemptNumber": 0, "changeSource": "CRM", **more,
    }  # fmt: skip


def says(stream: str, action: str, record_id: str) -> dict[str, str]:
    """Return what an event is expected to say."""
    return {"stream": stream, "action": action, "id": record_id}


def _merge(kind: str, **more: Any) -> dict[str, Any]:
    return event(kind, primaryObjectId=7, mergedObjectIds=[8, 9], newObjectId=10, numberOfPropertiesMoved=3, **more)


EVENTS: dict[str, dict[str, Any]] = {
    "a batch of every stream": {
        "webhook": {"body": [
            event("contact.creation", objectId=101, changeFlag="NEW"),
            event("contact.propertyChange", objectId=102, propertyName="email", propertyValue="ben@example.test"),
            event("contact.privacyDeletion", objectId=103), event("contact.restore", objectId=103),
            event("company.deletion", objectId=104), event("deal.propertyChange", objectId=106, propertyName="amount"),
            event("contact.associationChange", fromObjectId=101, toObjectId=104),
        ]},
        "events": [
            says("contacts", "upsert", "101"), says("contacts", "upsert", "102"), says("contacts", "delete", "103"),
            says("contacts", "upsert", "103"), says("companies", "delete", "104"), says("deals", "upsert", "106"),
        ],
    },
    "a merge": {
        "webhook": {"body": [_merge("contact.merge")]},
        "events": [
            says("contacts", "upsert", "10"), says("contacts", "upsert", "7"), says("contacts", "delete", "8"),
            says("contacts", "delete", "9"),
        ],
    },
    "an app of the developer platform": {
        "webhook": {"body": [
            event("object.creation", objectId=104, objectTypeId="0-2"), event("object.deletion", objectId=106, objectTypeId="0-3"),
            event("object.creation", objectId=1, objectTypeId="0-5"), _merge("object.merge", objectTypeId="0-1"),
        ]},
        "events": [
            says("companies", "upsert", "104"), says("deals", "delete", "106"), says("contacts", "upsert", "10"),
            says("contacts", "upsert", "7"), says("contacts", "delete", "8"), says("contacts", "delete", "9"),
        ],
    },
}  # fmt: skip
