"""Acting on failed records that have changed since the page was shown."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from tests.factories.conflicts import Desk
from tests.factories.people import sign_in

Owner = psycopg.Connection[Any]


def test_a_record_that_was_put_right_meanwhile_is_no_error(
    apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried again by itself a moment before the click: the page says so, and a create in doubt still asks."""
    monkeypatch.setitem(apps["web"].config, "WTF_CSRF_ENABLED", False)
    desk = Desk(apps, owner)
    client, ids = sign_in(apps, desk.tenant_id), [uuid.uuid4(), uuid.uuid4()]
    for failed_id, state, code in zip(ids, ("resolved", "parked"), ("mapping_failed", "in_doubt"), strict=True):
        owner.execute(
            "INSERT INTO failed_records (tenant_id, id, installation_id, stream, external_id, code, message, title, state, "
            "direction) VALUES (%s, %s, %s, 'contacts', %s, %s, 'It does not fit.', 'Ada', %s, 'in')",
            (desk.tenant_id, failed_id, desk.installation_id, str(failed_id), code, state),
        )
    place = f"/installations/{desk.installation_id}/failed"
    answer = client.post(f"{place}/{ids[0]}/retry", follow_redirects=True)
    assert (answer.status_code, "The record is in sync by now." in answer.text) == (200, True)
    assert client.post(f"{place}/{ids[1]}/retry").status_code == 409
