"""Why a record is, or is not, in sync: what is known of it becomes a path of steps; the first that stops it decides. Pure.

The order is that of the engine: what comes in is read, mapped, filtered, matched and merged; what only we have is
filtered, mapped and sent.
"""

from app.sync.diagnosis_facts import Act, Check, Diagnosis, Evidence, Facts, Failed, Standing, Step
from app.sync.diagnosis_steps import (
    RUN_NOW,
    ahead,
    decide,
    deleted_here,
    first_pass,
    listed,
    passed,
    plural,
    restore,
    shown,
    stop,
    unknown,
)
from app.sync.diagnosis_writes import check_sent, check_written

# Codes that stop an installation until somebody connects the account again.
_RECONNECT = ("reconnect", "permission_missing", "settings_wrong")


def diagnose(facts: Facts) -> Diagnosis:
    """Return the path of a record. What is beyond the step that stops it is told as far as it is known."""
    steps = [check(facts) for check in (_OUT if facts.only_here else _IN)]
    good = all(step.state == "passed" for step in steps)
    return Diagnosis((*steps, _end(facts) if good else ahead("in_sync", "In sync")))


def _end(facts: Facts) -> Step:
    text = "Both sides agree."
    if facts.kept:
        verb = plural(facts.kept, "differ")
        text = f"Both sides agree on what flows. {listed(facts.kept)} {verb} and {plural(facts.kept, 'stay')} as in {facts.names.host}."
    agreed = Evidence("Last agreed", facts.tie.agreed_at if facts.tie else None)
    version = Evidence("Mapping version", facts.tie.mapping_version if facts.tie else None)
    kept = [Evidence(f"{label} here", shown(value)) for label, value in facts.kept.items()]
    end = stop("in_sync", "In sync", "in_sync", text, agreed, version, *kept)
    return Step(end.key, end.short, "passed", end.text, end.evidence, end.outcome)


def _check_active(facts: Facts) -> Step:
    at, vendor = facts.standing, facts.names.vendor
    key, short = "active", "Active"
    if at.state == "setting_up":
        text = f"{vendor} is not set up yet: nothing has been read."
        return stop(key, short, "setting_up", text, act=Act("finish_setup", "Finish the setup"))
    if at.state == "removed":
        return stop(key, short, "removed", f"{vendor} was removed. Nothing is read or sent any more.")
    if at.state == "paused":
        text = f"{at.paused_reason or f'{vendor} is paused.'} Nothing is read or sent until it is resumed."
        return stop(key, short, "paused", text, act=Act("resume", f"Resume {vendor}"))
    if at.blocked:
        return _blocked(vendor, at)
    if at.asking:
        text = "A run has stopped before something large and asks for a decision. Nothing else is read meanwhile."
        return stop(key, short, "asking", text, act=Act("open_run", "Decide", str(at.asking)))
    return passed(key, short, f"{vendor} is active.")


def _blocked(vendor: str, at: Standing) -> Step:
    act = Act("open_problem", "Open the problem", str(at.problem_id)) if at.problem_id else None
    if at.blocked in _RECONNECT:
        act = Act("reconnect", f"Reconnect {vendor}")
    text = at.problem or f"{vendor} is stopped until somebody acts."
    return stop("active", "Active", "blocked", text, Evidence("What to do", at.fix), act=act)


def _check_chosen(facts: Facts) -> Step:
    at, names = facts.standing, facts.names
    key, short = "chosen", "Chosen"
    if not at.enabled:
        text = f"{names.stream} are not chosen in {names.vendor}, so none of them is read or sent."
        return stop(key, short, "stream_off", text, act=Act("choose_stream", f"Choose {names.stream}"))
    if at.forbidden:
        act = Act("reconnect", f"Reconnect {names.vendor}")
        return stop(key, short, "forbidden", at.forbidden, Evidence("What to do", at.fix), act=act)
    if facts.only_here and at.direction == "in":
        text = f"{names.stream} only flow from {names.vendor} into {names.host}, so this record is not sent to {names.vendor}."
        act = Act("change_direction", f"Let {names.stream} flow out as well")
        return stop(key, short, "direction", text, act=act)
    if at.direction == "out" and facts.tie is None and facts.live and facts.live.found and not facts.live.hits:
        text = f"{names.stream} only flow from {names.host} into {names.vendor}, so one that is new in {names.vendor} does not come in."
        act = Act("change_direction", f"Let {names.stream} flow in as well")
        return stop(key, short, "direction", text, act=act)
    ways = {"in": f"from {names.vendor} into {names.host}", "out": f"from {names.host} into {names.vendor}"}
    return passed(key, short, f"{names.stream} flow {ways.get(at.direction, 'both ways')}.")


def _check_there(facts: Facts) -> Step:
    tie, names, live = facts.tie, facts.names, facts.live
    key, short = "there", "Known there"
    if tie and tie.ended_at and not (live and live.found):
        return _check_ended(facts)
    if live and not live.found and not live.problem and (tie or facts.failed_in):
        text, act = f"{names.vendor} no longer has it. The next run notices that.", RUN_NOW
        if facts.failed_in and not tie:
            text, act = (
                f"{names.vendor} no longer has it. The next try takes it off the failed records.",
                _again(facts.failed_in),
            )
        return stop(key, short, "deleted_there", text, Evidence("Asked", live.asked_at), act=act)
    if facts.external_id and (tie or facts.failed_in or facts.clash):
        since = Evidence("Since", tie.since if tie else None)
        return passed(key, short, f"{names.vendor} has it.", Evidence("Id there", facts.external_id), since)
    return _check_answer(facts) if live else _never_seen(facts)


def _check_ended(facts: Facts) -> Step:
    """Say what became of a record that the other side once had."""
    tie, here, names, at, write = facts.tie, facts.here, facts.names, facts.standing, facts.write
    assert tie is not None
    key, short, ended = "there", "Known there", Evidence("Gone there", tie.ended_at)
    if facts.clash and facts.clash.kind == "deleted_there":
        text = f"{names.vendor} has deleted it after it was edited in {names.host}. The edit is kept until somebody decides."
        return stop(key, short, "conflict", text, ended, act=decide(facts.clash))
    if here and here.deleted_at:
        if write and write.operation == "delete" and write.state == "confirmed":
            return deleted_here(key, short, facts, f"{names.vendor} has followed.")
        text = f"{names.vendor} has deleted it, and so it was deleted in {names.host}."
        return stop(key, short, "deleted_there", text, ended, act=restore(here.record_id))
    if write and write.state in ("planned", "sent", "in_doubt") and write.operation == "create":
        return stop(key, short, "to_send", f"It is being created in {names.vendor} again.", ended)
    act = None
    if here and at.direction != "in" and "create" in at.operations:
        act = Act("create_there", f"Create it in {names.vendor} again", str(here.record_id))
    text = (
        f"{names.vendor} has deleted it. It stays in {names.host} and is not created in {names.vendor} again by itself."
    )
    return stop(key, short, "deleted_there", text, ended, act=act)


def _check_answer(facts: Facts) -> Step:
    live, names = facts.live, facts.names
    assert live is not None
    key, short, asked = "there", "Known there", Evidence("Asked", live.asked_at)
    if live.problem:
        act = Act("look_there", f"Ask {names.vendor} again")
        return unknown(key, short, "not_asked", live.problem, Evidence("What to do", live.fix), act=act)
    if not live.found:
        text = f"{names.vendor} has no record “{facts.text}” among its {names.stream.lower()}."
        return stop(key, short, "not_there", text, asked, act=Act("ask_id", "Enter another id"))
    return passed(key, short, f"{names.vendor} has it.", Evidence("Id there", facts.external_id), asked)


def _never_seen(facts: Facts) -> Step:
    at, names = facts.standing, facts.names
    key, short = "there", "Known there"
    if not at.first_pass_done:
        return first_pass(key, short, facts, "What it has not read yet is not known.")
    if facts.looking:
        return unknown(key, short, "looking", f"{names.vendor} is being asked for it.")
    text = f"Nothing in {facts.names.host} has “{facts.text}”, and nothing with it was refused."
    if not facts.by_id:
        act = Act("ask_id", f"Enter its id in {names.vendor}")
        return stop(key, short, "never_seen", f"{text} {names.vendor} can only be asked by id.", act=act)
    if at.can_fetch:
        return unknown(key, short, "not_looked", text, act=Act("look_there", f"Ask {names.vendor}"))
    text = f"{text} {names.vendor} does not give {names.stream.lower()} one by one, so it cannot be asked for this one."
    return stop(key, short, "never_seen", text, act=Act("resync", "Read everything again"))


def _check_mapped(facts: Facts) -> Step:
    key, short, live = "mapped", "Mapped", facts.live
    if live and live.found:
        if live.message:
            return _unfit(facts, live.message, live.target, live.label)
        return passed(key, short, "The mapping accepts its values as they are there now.")
    failed = facts.failed_in or (facts.failed_out if facts.failed_out and facts.failed_out.mapped else None)
    if failed:
        return _check_failed(facts, failed)
    if facts.tie or facts.only_here:
        version = Evidence("Mapping version", facts.tie.mapping_version if facts.tie else None)
        return passed(key, short, "The mapping accepts its values.", version)
    return passed(key, short, "The mapping accepted its values when it was read.") if facts.clash else ahead(key, short)


def _unfit(facts: Facts, message: str, target: str | None, label: str, *evidence: Evidence) -> Step:
    act = Act("change_mapping", f"Change the mapping of {label or target}", target) if target else None
    if act is None and facts.failed_in:
        act = _again(facts.failed_in)
    return stop("mapped", "Mapped", "mapping_failed", message, Evidence("Field", label or target), *evidence, act=act)


def _check_failed(facts: Facts, failed: Failed) -> Step:
    last, field = Evidence("Last try", failed.failed_at), Evidence("Field", failed.label or failed.target)
    if failed.state == "waiting":
        due = Evidence("Tried again", failed.retry_at)
        return _unfit(facts, failed.message, failed.target, failed.label, last, due)
    if failed.state == "ignored":
        text = f"Somebody has chosen to leave it out. Before that: {failed.message}"
        return stop("mapped", "Mapped", "ignored", text, field, last, act=_again(failed))
    text = f"{failed.message} It is parked after {failed.tries} tries: correct the value or the mapping, then try it again."
    return stop("mapped", "Mapped", "parked", text, field, last, act=_again(failed))


def _again(failed: Failed) -> Act:
    return Act("retry", "Try it again", str(failed.id))


def _check_filter(facts: Facts) -> Step:
    key, short, live = "filter", "Passes filter", facts.live
    left_out = facts.left_out or (live.left_out if live and live.found else None)
    if left_out:
        value = [Evidence(left_out.label, shown(left_out.value))] if left_out.label else []
        text = f"A filter leaves it out: {left_out.sentence}."
        return stop(key, short, "filtered", text, *value, act=Act("widen_filter", "Change the filter"))
    if facts.here or (live and live.found and not live.message):
        return passed(key, short, "No filter leaves it out.")
    return passed(key, short, "No filter left it out when it was read.") if facts.clash else ahead(key, short)


def _check_matched(facts: Facts) -> Step:
    key, short, names, live = "matched", "Matched", facts.names, facts.live
    if facts.clash and facts.clash.kind == "match":
        text = (
            f"{facts.clash.candidates} records of {names.host} have its match key, so it is not clear which one it is."
        )
        act = decide(facts.clash, "Choose the record")
        return stop(key, short, "match_many", text, Evidence("Since", facts.clash.since), act=act)
    if facts.tie and facts.tie.ended_at and not (live and live.found):
        return ahead(key, short)
    if facts.tie and facts.here and facts.here.deleted_at:
        return deleted_here(key, short, facts)
    if facts.tie:
        return passed(key, short, f"It is joined with one {names.thing} of {names.host}.")
    if live is None or not live.found or live.message or live.left_out:
        return ahead(key, short)
    if live.hits > 1:
        text = f"{live.hits} records of {names.host} have its match key. Once it is read, somebody chooses which one it is."
        return stop(key, short, "match_many", text, act=Act("read_now", "Read it now", facts.external_id or ""))
    return passed(
        key, short, f"It fits one {names.thing} of {names.host}." if live.hits else f"It is new to {names.host}."
    )


def _check_agreed(facts: Facts) -> Step:
    key, short, clash, names = "agreed", "Agreed", facts.clash, facts.names
    if clash is None or clash.kind not in ("fields", "deleted_here"):
        new = facts.live and facts.live.found and not (facts.live.message or facts.live.left_out or facts.live.hits > 1)
        return passed(key, short, "No conflict is open.") if facts.tie or facts.here or new else ahead(key, short)
    what = listed(clash.values) if clash.values else "A field"
    text = f"{what} changed in {names.vendor} and in {names.host}, and nobody has decided yet."
    if clash.kind == "deleted_here":
        text = f"It was deleted in {names.host} while it was edited in {names.vendor}. The edit is kept until somebody decides."
    values = [
        Evidence(label, f"last agreed {shown(base)}, {names.host} {shown(ours)}, {names.vendor} {shown(theirs)}")
        for label, (base, ours, theirs) in clash.values.items()
    ]
    return stop(key, short, "conflict", text, Evidence("Since", clash.since), *values, act=decide(clash))


def _check_here(facts: Facts) -> Step:
    if facts.here and facts.here.deleted_at:
        return deleted_here("here", "Known here", facts)
    changed = Evidence("Changed", facts.here.changed_at if facts.here else None)
    return passed("here", "Known here", f"{facts.names.host} has it, {facts.names.vendor} has not yet.", changed)


_IN: tuple[Check, ...] = (
    _check_active, _check_chosen, _check_there, _check_mapped, _check_filter, _check_matched, _check_agreed,
    check_written,
)  # fmt: skip
_OUT: tuple[Check, ...] = (_check_active, _check_chosen, _check_here, _check_filter, _check_mapped, check_sent)
