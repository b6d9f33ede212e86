"""Issues of several repositories, read whole and then what changed, against requests that GitHub's document allows."""

from dataclasses import replace

import pytest

from app.services.object_types import standard_fields
from connectors.sdk import Checkpoint, ConfigError, Connector, compile_mapping, manifest_from_json
from connectors.sdk.manifest import canonical
from tests.connectors.github.local import TOKEN, LocalConnector, read_all, session
from tests.connectors.github.vendor import GitHub
from tests.connectors.sdk.servers import Vendor

ONE, TWO = "octo-org/support", "octo-org/shop.web"


def ids(pages: list) -> list[str]:
    """Return the ids of all records of a pass."""
    return [record.id for page in pages for record in page.records]


def test_all_repositories_are_read_page_by_page_without_pull_requests(
    github: GitHub, vendor: Vendor, connector: LocalConnector
) -> None:
    for number in range(1, 251):
        github.add(ONE, number, pull=number % 5 == 0, state="closed" if number % 2 else "open")
    github.add(TWO, 7)
    pages = read_all(connector, session(connector, ONE, TWO), "issues")
    assert sorted(ids(pages)) == sorted([*(f"{ONE}/{n}" for n in range(1, 251) if n % 5), f"{TWO}/7"])
    assert [call.path for call in vendor.calls] == [
        f"/repos/{ONE}/issues", "/repositories/0/issues", "/repositories/0/issues", f"/repos/{TWO}/issues"
    ]  # fmt: skip
    assert github.checked == 4
    assert all(call.headers["authorization"] == f"Bearer {TOKEN}" for call in vendor.calls)


def test_a_page_of_pull_requests_alone_is_no_end(github: GitHub, connector: LocalConnector) -> None:
    for number in range(1, 402):
        github.add(ONE, number, pull=number <= 400, created_at=f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z")
    assert ids(read_all(connector, session(connector, ONE), "issues")) == [f"{ONE}/401"]


def test_only_what_changed_is_asked_for(github: GitHub, vendor: Vendor, connector: LocalConnector) -> None:
    github.add(ONE, 1, updated_at="2026-11-01T00:00:00Z")
    github.add(ONE, 2, updated_at="2026-11-23T00:00:00Z")
    github.add(TWO, 3, updated_at="2026-11-24T00:00:00Z")
    with_ = session(connector, ONE, TWO)
    full = read_all(connector, with_, "issues")
    since = connector.next_since("issues", full[-1].checkpoint)
    # GitHub's own time at the first call, five minutes earlier.
    assert since == "2026-11-24T08:55:00Z"
    assert ids(read_all(connector, with_, "issues", since)) == []
    github.repositories[ONE][0] |= {"updated_at": "2026-11-24T08:55:00Z", "title": "Changed"}
    again = read_all(connector, with_, "issues", since)
    assert ids(again) == [f"{ONE}/1"]
    assert vendor.calls[-1].query["since"] == "2026-11-24T08:55:00Z"
    assert (again[1].records[0].version, again[1].records[0].data["title"]) == ("2026-11-24T08:55:00Z", "Changed")


def sorted_by(connector: LocalConnector, order: str) -> Connector:
    """Return the connector with another order of the list."""
    data = connector.manifest.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    data["streams"][0]["request"]["query"]["sort"] = order
    other = LocalConnector(connector.origin({}))
    other.manifest = manifest_from_json(data)
    assert (canonical(other.manifest) == canonical(connector.manifest)) == (order == "created")
    return other


@pytest.mark.parametrize(("order", "lost"), [("created", 0), ("updated", 1)])
def test_an_issue_edited_meanwhile_moves_no_other_out_of_sight(
    github: GitHub, connector: LocalConnector, order: str, lost: int
) -> None:
    for number in range(1, 251):
        at = f"2026-03-01T00:{number // 60:02}:{number % 60:02}Z"
        github.add(ONE, number, created_at=at, updated_at=at)

    def edit(page: int) -> None:
        if page == 2:
            github.repositories[ONE][0] |= {"updated_at": "2026-11-24T09:00:10Z"}

    github.before_page = edit
    found = sorted_by(connector, order)
    assert len({f"{ONE}/{n}" for n in range(1, 251)} - set(ids(read_all(found, session(found, ONE), "issues")))) == lost


def test_an_issue_becomes_a_ticket(github: GitHub, connector: LocalConnector) -> None:
    github.add(ONE, 12, title=" The door ", body=None, state="closed")
    stream = connector.manifest.stream("issues")
    (record,) = [record for page in read_all(connector, session(connector, ONE), "issues") for record in page.records]
    mapped = compile_mapping(stream.rules(), standard_fields("ticket")).apply(record.data)
    assert mapped.values == {"subject": "The door", "number": f"{ONE}#12", "status": "closed", "body": None}


def test_one_issue_is_read_and_one_that_is_gone_is_none(github: GitHub, connector: LocalConnector) -> None:
    github.add(ONE, 1)
    github.add(TWO, 1, title="The other")
    with_ = session(connector, ONE, TWO)
    found = connector.fetch(with_, "issues", f"{TWO}/1")
    assert found is not None
    assert (found.id, found.data["title"], found.data["reference"]) == (f"{TWO}/1", "The other", f"{TWO}#1")
    assert connector.fetch(with_, "issues", f"{ONE}/9") is None
    github.faults = [(410, {}, {"message": "This issue was deleted"})]
    assert connector.fetch(with_, "issues", f"{ONE}/1") is None


@pytest.mark.parametrize("name", ["support", "octo-org/", "a/b/c", "/x"])
def test_a_repository_of_another_form_is_named(github: GitHub, connector: LocalConnector, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_all(connector, session(connector, name), "issues")
    assert name in caught.value.user_message
    assert "owner/name" in caught.value.user_message


def test_a_name_cannot_lead_elsewhere(github: GitHub, vendor: Vendor, connector: LocalConnector) -> None:
    for name in ("../user", "a?b/c", "octo org/x"):
        with pytest.raises(ConfigError):
            read_all(connector, session(connector, name), "issues")
    assert all(call.path.startswith("/repos/") for call in vendor.calls)


def test_a_pass_goes_on_where_it_stopped(github: GitHub, connector: LocalConnector) -> None:
    for number in range(1, 151):
        github.add(ONE, number)
    with_ = session(connector, ONE)
    first = connector.read(with_, "issues", Checkpoint.start("full", None))
    second = connector.read(with_, "issues", first.checkpoint)
    again = [connector.read(with_, "issues", replace(second.checkpoint)) for _ in range(2)]
    assert [len(page.records) for page in again] == [50, 50]
    assert again[0].checkpoint == again[1].checkpoint


def test_the_account_is_named(github: GitHub, connector: LocalConnector) -> None:
    account = connector.check(session(connector, ONE))
    assert (account.id, account.name) == ("583231", "octocat")
