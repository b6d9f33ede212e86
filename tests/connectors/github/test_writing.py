"""Issues are opened, edited, closed and reopened; every body is one that GitHub's document allows."""

import orjson
import pytest

from connectors.sdk import ConfigError, Outgoing, RecordError
from tests.connectors.github.local import LocalConnector, session
from tests.connectors.github.vendor import GitHub
from tests.connectors.sdk.servers import Vendor

ONE, TWO = "octo-org/support", "octo-org/shop.web"


@pytest.fixture(autouse=True)
def repositories(github: GitHub) -> None:
    """Two repositories, with an issue each."""
    github.add(ONE, 1)
    github.add(TWO, 1)


def test_an_issue_is_opened_in_the_first_repository(github: GitHub, vendor: Vendor, connector: LocalConnector) -> None:
    writer = connector.writer(session(connector, ONE, TWO), "issues")
    fields = {"title": "The door", "body": "It does not close.", "labels": ["bug"], "state": "closed"}
    written = writer.create(Outgoing(fields, reference="patchbay-1"))
    (call,) = vendor.calls
    assert (call.method, call.path, orjson.loads(call.body)) == ("POST", f"/repos/{ONE}/issues", fields)
    assert (written.id, github.checked) == (f"{ONE}/2", 1)
    assert written.data is not None
    # GitHub opens every new issue: the engine sees that and closes it by an update.
    assert written.data["state"] == "open"
    assert written.version == written.data["updated_at"]


def test_or_in_the_one_that_is_named(vendor: Vendor, connector: LocalConnector) -> None:
    written = connector.writer(session(connector, ONE, TWO), "issues").create(Outgoing({"title": "x"}, parent=TWO))
    assert (written.id, vendor.calls[0].path) == (f"{TWO}/2", f"/repos/{TWO}/issues")


def test_an_issue_is_edited_closed_and_reopened(github: GitHub, vendor: Vendor, connector: LocalConnector) -> None:
    writer = connector.writer(session(connector, ONE, TWO), "issues")
    for fields in (
        {"title": "Another", "body": None, "labels": ["bug", "door"]}, {"labels": []}, {"state": "closed"},
        {"state": "open"},
    ):  # fmt: skip
        written = writer.update(Outgoing(fields, id=f"{TWO}/1", version="2026-01-02T08:00:01Z"))
        assert written.id == f"{TWO}/1"
        call = vendor.calls[-1]
        assert (call.method, call.path, orjson.loads(call.body)) == ("PATCH", f"/repos/{TWO}/issues/1", fields)
        # GitHub does not refuse by ETag, so none is sent that would promise it.
        assert "if-match" not in call.headers
    assert github.checked == 4
    assert github.repositories[ONE][0]["title"] == "Issue 1"


@pytest.mark.parametrize("name", ["reference", "number", "assignee.login", "created_at"])
def test_what_can_only_be_read_is_not_written(vendor: Vendor, connector: LocalConnector, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        connector.writer(session(connector, ONE), "issues").update(Outgoing({name: "x"}, id=f"{ONE}/1"))
    assert caught.value.code == "read_only"
    assert vendor.calls == []


def test_nothing_is_deleted_and_no_create_is_looked_up(vendor: Vendor, connector: LocalConnector) -> None:
    writer = connector.writer(session(connector, ONE), "issues")
    with pytest.raises(ConfigError) as caught:
        writer.delete(Outgoing({}, id=f"{ONE}/1"))
    assert caught.value.code == "no_delete"
    with pytest.raises(ConfigError) as caught:
        writer.find("patchbay-1")
    assert caught.value.code == "no_lookup"
    assert writer.writes.create_safety is not None
    assert writer.writes.create_safety.kind == "review"
    assert vendor.calls == []


def test_a_refused_title_is_that_records_own_trouble(github: GitHub, connector: LocalConnector) -> None:
    github.faults = [(422, {}, {"message": "Validation Failed", "errors": [{"field": "title", "code": "custom"}]})]
    with pytest.raises(RecordError):
        connector.writer(session(connector, ONE), "issues").create(Outgoing({"title": "x" * 300}))
