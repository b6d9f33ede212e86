"""Why a record is not in sync: every outcome, the step that it stops at, and the one thing to do."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.sync.diagnosis import diagnose
from app.sync.diagnosis_facts import (
    Clash,
    Facts,
    Failed,
    Here,
    LeftOut,
    Live,
    Names,
    Standing,
    Step,
    Tie,
    Write,
)

NAMES = Names("HubSpot", "Fieldstone", "Contacts", "contact")
BOTH = Standing(direction="both", operations=frozenset({"create", "update", "delete"}))
AT = datetime(2026, 11, 24, 9, 44, tzinfo=UTC)
RECORD, OTHER = uuid.uuid4(), uuid.uuid4()
KNOWN = Facts(
    NAMES, BOTH, "88213", external_id="88213", tie=Tie("88213", AT, AT, mapping_version=4), here=Here(RECORD, AT)
)
ONLY_HERE = replace(KNOWN, external_id=None, tie=None)
NOTHING = Facts(NAMES, BOTH, "88213")
ENDED = replace(KNOWN, tie=Tie("88213", AT, AT, AT))
REFUSED = Failed(OTHER, "waiting", "Phone: “1” is too short.", True, False, "phone", "Phone", 2, AT, AT)
READ = replace(NOTHING, external_id="88213", failed_in=REFUSED)
FOUND = Live(AT, found=True)


def standing(**values: Any) -> Standing:
    return replace(BOTH, **values)


def refused(state: str, **values: Any) -> Failed:
    return replace(REFUSED, state=state, mapped=False, **values)


# outcome -> (facts, key of the step, kind of the act, what the sentence holds)
CASES: dict[str, tuple[Facts, str, str | None, str]] = {
    "in sync": (KNOWN, "in_sync", None, "Both sides agree"),
    "setting_up": (replace(KNOWN, standing=standing(state="setting_up")), "active", "finish_setup", "not set up"),
    "removed": (replace(KNOWN, standing=standing(state="removed")), "active", None, "removed"),
    "paused": (replace(KNOWN, standing=standing(state="paused")), "active", "resume", "until it is resumed"),
    "paused by itself": (
        replace(KNOWN, standing=standing(state="paused", paused_reason="Paused by itself after 10 failed runs.")),
        "active", "resume", "Paused by itself",
    ),
    "blocked: reconnect": (
        replace(KNOWN, standing=standing(blocked="reconnect", problem="HubSpot no longer accepts the connection.")),
        "active", "reconnect", "no longer accepts",
    ),
    "blocked: other": (
        replace(KNOWN, standing=standing(blocked="strange", problem_id=OTHER)), "active", "open_problem", "stopped until",
    ),
    "asking": (replace(KNOWN, standing=standing(asking=OTHER)), "active", "open_run", "asks for a decision"),
    "stream_off": (replace(KNOWN, standing=standing(enabled=False)), "chosen", "choose_stream", "not chosen"),
    "forbidden": (
        replace(KNOWN, standing=standing(forbidden="The account may not read contacts.")), "chosen", "reconnect", "may not",
    ),
    "direction: only in": (
        replace(ONLY_HERE, standing=standing(direction="in")), "chosen", "change_direction", "is not sent to HubSpot",
    ),
    "direction: only out": (
        replace(NOTHING, standing=standing(direction="out"), external_id="88213", live=FOUND),
        "chosen", "change_direction", "does not come in",
    ),
    "first_pass": (
        replace(NOTHING, standing=standing(first_pass_done=False, running=OTHER)), "there", "open_run", "first full pass",
    ),
    "first_pass: nothing runs": (
        replace(NOTHING, standing=standing(first_pass_done=False)), "there", "run_now", "first full pass",
    ),
    "first_pass: only here": (
        replace(ONLY_HERE, standing=standing(first_pass_done=False)), "sent", "run_now", "is sent after it",
    ),
    "never_seen": (replace(NOTHING, by_id=False), "there", "ask_id", "only be asked by id"),
    "never_seen: cannot be asked": (
        replace(NOTHING, standing=standing(can_fetch=False)), "there", "resync", "does not give contacts one by one",
    ),
    "not_looked": (NOTHING, "there", "look_there", "Nothing in Fieldstone has"),
    "looking": (replace(NOTHING, looking=True), "there", None, "is being asked"),
    "not_asked": (
        replace(NOTHING, live=Live(AT, problem="HubSpot is down.", fix="Wait.")), "there", "look_there", "is down",
    ),
    "not_there": (replace(NOTHING, live=Live(AT)), "there", "ask_id", "has no record “88213”"),
    "not_read": (
        replace(NOTHING, external_id="88213", live=FOUND), "written", "read_now", "has not been read yet",
    ),
    "not_read: changed there": (
        replace(KNOWN, live=replace(FOUND, differs={"City": "Bonn"})), "written", "read_now", "City differs in HubSpot",
    ),
    "not_read: refused before, good now": (replace(READ, live=FOUND), "written", "read_now", "has not been read yet"),
    "waiting: asked to be read": (replace(KNOWN, read_queued=True), "written", None, "has been asked to read it"),
    "deleted_there": (
        replace(ENDED, standing=standing(direction="in")), "there", None, "is not created in HubSpot again",
    ),
    "deleted_there: can be made again": (ENDED, "there", "create_there", "is not created in HubSpot again"),
    "deleted_there: here too": (
        replace(ENDED, here=Here(RECORD, AT, AT, "HubSpot")), "there", "restore", "so it was deleted in Fieldstone",
    ),
    "deleted_there: not noticed yet": (replace(KNOWN, live=Live(AT)), "there", "run_now", "no longer has it"),
    "deleted_there: was refused before": (replace(READ, live=Live(AT)), "there", "retry", "no longer has it"),
    "conflict: deleted there": (
        replace(ENDED, clash=Clash(OTHER, "deleted_there", AT)), "there", "open_conflict", "after it was edited",
    ),
    "deleted_here: on its way": (
        replace(KNOWN, here=Here(RECORD, AT, AT, "Maja"), write=Write("planned")), "matched", "restore", "by Maja. The delete",
    ),
    "deleted_here: not carried over": (
        replace(KNOWN, here=Here(RECORD, AT, AT), standing=standing(delete_policy="ignore")),
        "matched", "restore", "was not carried over",
    ),
    "deleted_here: asked before many": (
        replace(KNOWN, here=Here(RECORD, AT, AT), write=Write("parked", code="deletes_ask")),
        "matched", "restore", "somebody has to decide first",
    ),
    "deleted_here: HubSpot has followed": (
        replace(ENDED, here=Here(RECORD, AT, AT), write=Write("confirmed", "delete")), "there", "restore", "has followed",
    ),
    "deleted_here: never there": (
        replace(ONLY_HERE, here=Here(RECORD, AT, AT)), "here", "restore", "was deleted in Fieldstone",
    ),
    "mapping_failed": (READ, "mapped", "change_mapping", "is too short"),
    "mapping_failed: no field": (
        replace(READ, failed_in=replace(REFUSED, target=None, label="")), "mapped", "retry", "is too short",
    ),
    "mapping_failed: seen there now": (
        replace(NOTHING, external_id="88213", live=replace(FOUND, message="E-mail: “x” is bad.", target="email")),
        "mapped", "change_mapping", "is bad",
    ),
    "mapping_failed: on the way out": (replace(KNOWN, failed_out=REFUSED), "mapped", "change_mapping", "is too short"),
    "parked": (replace(READ, failed_in=replace(REFUSED, state="parked", tries=4)), "mapped", "retry", "after 4 tries"),
    "ignored": (replace(READ, failed_in=replace(REFUSED, state="ignored")), "mapped", "retry", "chosen to leave it out"),
    "filtered": (
        replace(KNOWN, left_out=LeftOut("Country is not Germany", "Country", "GB")), "filter", "widen_filter",
        "Country is not Germany",
    ),
    "filtered: seen there now": (
        replace(NOTHING, external_id="88213", live=replace(FOUND, left_out=LeftOut("Country is empty", "Country"))),
        "filter", "widen_filter", "Country is empty",
    ),
    "match_many": (
        replace(NOTHING, external_id="88213", clash=Clash(OTHER, "match", AT, 2)), "matched", "open_conflict", "2 records",
    ),
    "match_many: seen there now": (
        replace(NOTHING, external_id="88213", live=replace(FOUND, hits=3)), "matched", "read_now", "3 records",
    ),
    "conflict": (
        replace(KNOWN, clash=Clash(OTHER, "fields", AT, values={"City": ("London", "Oslo", "Bonn")})),
        "agreed", "open_conflict", "City changed in HubSpot and in",
    ),
    "conflict: deleted here": (
        replace(KNOWN, clash=Clash(OTHER, "deleted_here", AT)), "agreed", "open_conflict", "while it was edited in HubSpot",
    ),
    "to_send": (
        replace(KNOWN, write=Write("planned", due_at=AT), unsent={"Phone": "1"}), "written", None, "Phone waits to be sent",
    ),
    "to_send: under way": (replace(KNOWN, write=Write("sent", sent_at=AT)), "written", None, "being sent"),
    "to_send: new": (replace(ONLY_HERE, write=Write("planned")), "sent", None, "waits to be sent"),
    "to_send: again": (replace(ENDED, write=Write("planned", "create")), "there", None, "being created in HubSpot again"),
    "in_doubt": (replace(KNOWN, write=Write("in_doubt", sent_at=AT, tries=1)), "written", None, "No answer came"),
    "in_doubt: a create that only a person can resolve": (
        replace(ONLY_HERE, failed_out=refused("parked", doubt=True, message="No answer came."), write=Write("parked")),
        "sent", "open_failed", "until somebody has looked",
    ),
    "refused_there": (
        replace(KNOWN, failed_out=refused("waiting"), write=Write("rejected"), unsent={"Phone": "1"}),
        "written", "change_mapping", "HubSpot refused the last write",
    ),
    "refused_there: no field": (
        replace(ONLY_HERE, failed_out=refused("waiting", target=None)), "sent", "retry", "HubSpot refused",
    ),
    "parked: sent too often": (replace(KNOWN, failed_out=refused("parked")), "written", "retry", "until somebody"),
    "parked: deletes ask": (
        replace(KNOWN, write=Write("parked", code="deletes_ask"), standing=standing(problem_id=OTHER)),
        "written", "open_problem", "So many were deleted here",
    ),
    "parked: another reason": (replace(KNOWN, write=Write("parked", reason="It rests.")), "written", "send_now", "It rests"),
    "ignored: on the way out": (replace(KNOWN, failed_out=refused("ignored")), "written", "retry", "chosen to leave"),
    "not_sent": (replace(KNOWN, unsent={"City": "Oslo"}), "written", "send_now", "City differs"),
    "not_sent: cannot be changed there": (
        replace(
            KNOWN, unsent={"City": "Oslo", "Phone": "1"}, standing=standing(operations=frozenset()),
            write=Write("dropped", reason="Records cannot be changed there."),
        ),
        "written", None, "City and Phone differ from what was last agreed and are not sent. Records cannot",
    ),
    "not_sent: new": (ONLY_HERE, "sent", "send_now", "Nothing has planned it"),
    "cannot_create": (
        replace(ONLY_HERE, standing=standing(operations=frozenset({"update"}))), "sent", None, "cannot be created",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_outcome_stops_at_its_step_with_one_thing_to_do(name: str) -> None:
    facts, key, act, part = CASES[name]
    found = diagnose(facts)
    stop = found.decisive
    assert stop.outcome == name.split(":")[0].replace(" ", "_").removesuffix("_by_itself")
    assert (stop.key, stop.act.kind if stop.act else None) == (key, act), stop
    assert part in stop.text
    assert found.in_sync is (name == "in sync")


@pytest.mark.parametrize("name", CASES)
def test_a_path_ends_in_sync_only_when_every_step_is_passed(name: str) -> None:
    found = diagnose(CASES[name][0])
    assert found.steps[-1].key == "in_sync"
    assert (found.steps[-1].state == "passed") is all(step.state == "passed" for step in found.steps[:-1])
    assert all(step.text for step in found.steps if step.state != "ahead")
    assert all(e.value not in (None, "") for step in found.steps for e in step.evidence)
    for step in found.steps:
        assert not any(part in step.text for part in ("..", "None", "  ")), step.text
        assert step.act is None or step.act.target != "None"


@pytest.mark.parametrize("name", CASES)
def test_no_two_steps_have_the_same_button(name: str) -> None:
    acts = [step.act for step in diagnose(CASES[name][0]).steps if step.act]
    assert len(set(acts)) == len(acts)


def test_what_is_beyond_the_stop_is_told_as_far_as_it_is_known() -> None:
    """A paused installation stops a record first; its open conflict is told all the same."""
    clash = Clash(OTHER, "fields", AT, values={"City": ("London", "Oslo", "Bonn")})
    steps = {s.key: s for s in diagnose(replace(KNOWN, standing=standing(state="paused"), clash=clash)).steps}
    assert steps["active"].state == steps["agreed"].state == "stopped"
    assert steps["agreed"].act is not None
    assert steps["mapped"].state == "passed"
    assert steps["in_sync"].state == "ahead"


def test_a_conflict_shows_the_three_values() -> None:
    clash = Clash(OTHER, "fields", AT, values={"City": (None, "Oslo", "Bonn")})
    evidence = diagnose(replace(KNOWN, clash=clash)).decisive.evidence
    assert [e.value for e in evidence if e.label == "City"] == ["last agreed empty, Fieldstone “Oslo”, HubSpot “Bonn”"]


def test_a_field_that_flows_in_only_and_differs_here_is_in_sync_and_said_so() -> None:
    found = diagnose(replace(KNOWN, kept={"Score": 7}))
    assert found.in_sync
    assert "Score differs" in found.decisive.text


def test_what_only_we_have_goes_the_way_out() -> None:
    out = [step.key for step in diagnose(ONLY_HERE).steps]
    assert out == ["active", "chosen", "here", "filter", "mapped", "sent", "in_sync"]
    assert diagnose(KNOWN).steps[2].key == "there"


def test_a_run_that_waits_for_the_vendor_is_told_where_a_write_waits() -> None:
    waits = standing(waits="HubSpot asks us to slow down.")
    step: Step = diagnose(replace(KNOWN, standing=waits, write=Write("planned"))).decisive
    assert step.text.endswith("HubSpot asks us to slow down.")
