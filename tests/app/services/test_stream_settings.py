"""How a stream is synced: what can be chosen, what changing it leads to, and what that costs."""

from typing import Any

import psycopg
import pytest
from flask import Flask

from app.services import connections, installations, listings, mappings, stream_settings
from app.services.full_passes import Cost
from app.services.stream_settings import StreamSettings
from connectors import registry
from connectors.sdk import MappingError
from tests.factories.mappings import STREAM, Workspace

Owner = psycopg.Connection[Any]
BERLIN = [{"field": "city", "op": "is", "values": ["Berlin"], "mode": "include"}]


@pytest.fixture
def work(apps: dict[str, Flask], clean: None) -> Workspace:
    return Workspace(apps)


def ways(work: Workspace) -> dict[str, str]:
    def read() -> dict[str, str]:
        installation = installations.get_installation(work.tenant_id, work.installation_id)
        manifest = listings.manifest_of(installation.listing_version_id)
        connection = connections.get_connection(work.tenant_id, installation.connection_id)
        return stream_settings.directions_of(manifest, manifest.stream(STREAM), connection)

    found: dict[str, str] = work.act(read)
    return found


def save(work: Workspace, wanted: StreamSettings) -> None:
    def do() -> None:
        installed = mappings.get_stream(work.tenant_id, work.installation_id, STREAM)
        fields = {f.name: f for f in work.fields(mappings.get_content(work.tenant_id, work.installation_id, STREAM))}
        stream_settings.save(installed, wanted, fields, user_id=work.user_id)

    work.act(do)


def test_data_flows_out_only_where_the_connection_may_write(work: Workspace, owner: Owner) -> None:
    assert ways(work) == {"in": "", "both": "", "out": ""}
    owner.execute("""UPDATE connections SET settings = settings || '{"left_out": ["crm.write"]}'""")
    reason = "The connection may not write. Connect Sandbox CRM again and allow crm.write."
    assert ways(work) == {"in": "", "both": reason, "out": reason}


def test_data_flows_out_only_where_the_connector_writes(work: Workspace) -> None:
    manifest = registry.get("sandbox").manifest
    stream = manifest.streams[0].model_copy(update={"writes": None})

    def read() -> dict[str, str]:
        installation = installations.get_installation(work.tenant_id, work.installation_id)
        connection = connections.get_connection(work.tenant_id, installation.connection_id)
        return stream_settings.directions_of(manifest, stream, connection)

    assert work.act(read)["out"] == "Nothing can be written to companies of Sandbox CRM from here."


def test_the_newest_value_wins_only_by_clocks_that_can_be_compared() -> None:
    for slug, trusted in (("sandbox", True), ("stripe", False)):
        manifest = registry.get(slug).manifest
        reason = stream_settings.policies_of(manifest, manifest.streams[0])["newest"]
        assert (reason == "") is trusted


@pytest.mark.parametrize(("direction", "policy"), [("in", "theirs"), ("out", "ours"), ("both", "ask")])
def test_one_way_there_is_nothing_to_decide(work: Workspace, direction: str, policy: str) -> None:
    save(work, StreamSettings(direction, "ask", "archive"))
    installed = work.content().installed
    assert (installed.direction, installed.conflict_policy, installed.delete_policy) == (direction, policy, "archive")


def test_another_direction_and_other_filters_are_read_in_full(work: Workspace, owner: Owner) -> None:
    owner.execute("UPDATE installation_streams SET full_pass_due = false")
    for wanted, due in (
        (StreamSettings("in", "ask", "ignore"), False),
        (StreamSettings("both", "ask", "ignore"), True),
        (StreamSettings("both", "theirs", "ignore"), False),
        (StreamSettings("both", "theirs", "ignore", BERLIN), True),
        (StreamSettings("both", "theirs", "ignore", BERLIN), False),
    ):
        save(work, wanted)
        assert work.content().installed.full_pass_due is due, wanted
        owner.execute("UPDATE installation_streams SET full_pass_due = false")
    assert work.content().in_force.filters == BERLIN
    assert work.content().in_force.version == 2


def test_a_stream_turned_round_lets_its_fields_flow_out(work: Workspace) -> None:
    """Where nobody has said anything about a field; a join, or one place for two fields, stays as it is."""

    def inward() -> None:
        content = mappings.get_content(work.tenant_id, work.installation_id, STREAM)
        content.in_force.rules = [{**rule, "direction": "in"} for rule in content.in_force.rules]

    work.act(inward, process="owner")
    save(work, StreamSettings("both"))
    directions = {rule.target: rule.direction for rule in work.content().rules_in_force}
    assert directions["email"] == directions["city"] == "both"
    assert directions["full_name"] == "in"


def test_filters_that_cannot_be_are_named(work: Workspace) -> None:
    wrong = [{"field": "score", "op": "greater", "values": ["a lot"], "mode": "include"}]
    with pytest.raises(MappingError, match="Score: “a lot” is not a number"):
        save(work, StreamSettings(filters=wrong))
    assert work.content().in_force.filters == []


def full_pass(work: Workspace, owner: Owner, *, read: int, pages: int, seconds: int, mode: str = "full") -> None:
    run = owner.execute(
        "INSERT INTO runs (tenant_id, id, installation_id, listing_version_id, trigger, state) SELECT tenant_id, "
        "gen_random_uuid(), id, listing_version_id, 'manual', 'done' FROM installations RETURNING id"
    ).fetchone()
    assert run is not None
    owner.execute(
        "INSERT INTO run_streams (tenant_id, id, run_id, stream, position, mode, pass_id, mapping_version, state, read, "
        "pages, started_at, finished_at) SELECT tenant_id, gen_random_uuid(), id, %s, 0, %s, gen_random_uuid(), 1, "
        "'done', %s, %s, now(), now() + make_interval(secs => %s) FROM runs WHERE id = %s",
        (STREAM, mode, read, pages, seconds, run[0]),
    )


def test_the_cost_is_that_of_the_last_full_pass(work: Workspace, owner: Owner) -> None:
    contents = {STREAM: work.content()}
    wanted = {STREAM: StreamSettings("both")}

    def costs(wanted: dict[str, StreamSettings]) -> Any:
        return work.act(lambda: stream_settings.costs_of(work.tenant_id, work.installation_id, contents, wanted))

    assert costs({STREAM: StreamSettings("in", "ask", "ignore")}) == {}
    assert costs(wanted) == {STREAM: None}
    full_pass(work, owner, read=12_400, pages=124, seconds=120)
    full_pass(work, owner, read=3, pages=1, seconds=1, mode="incremental")
    assert costs(wanted) == {STREAM: Cost(12_400, 124, 120.0)}
