"""The last steps of a diagnosis: whether a record waits to be read, and what became of what is to be written. Pure."""

from app.sync.diagnosis_facts import Act, Evidence, Facts, Failed, Step, Write
from app.sync.diagnosis_steps import RUN_NOW, ahead, first_pass, listed, passed, plural, shown, stop


def check_written(facts: Facts) -> Step:
    """Say whether anything of a record that the other side has waits to be read or to be written."""
    key, short, names, live = "written", "Written", facts.names, facts.live
    if facts.read_queued:
        return stop(key, short, "waiting", f"A worker has been asked to read it from {names.vendor}.")
    if live and live.found and facts.tie is None and (live.message or live.left_out or live.hits > 1):
        return ahead(key, short)
    if live and live.found and (facts.tie is None or facts.tie.ended_at):
        return _not_read(facts, f"{names.vendor} has it, and it has not been read yet.")
    if live and live.found and live.differs:
        text = f"{listed(live.differs)} {plural(live.differs, 'differ')} in {names.vendor} from what was last agreed."
        return _not_read(facts, text)
    if facts.tie is None:
        return ahead(key, short)
    return _check_out(facts, key, short) or passed(key, short, f"Nothing waits to be written to {names.vendor}.")


def _not_read(facts: Facts, text: str) -> Step:
    live, external_id = facts.live, facts.external_id or ""
    assert live is not None
    values = [Evidence(f"{label} there", shown(value)) for label, value in live.differs.items()]
    due = Evidence("Next run", facts.standing.next_run)
    if not facts.standing.can_fetch:
        return stop("written", "Written", "not_read", text, *values, due, act=RUN_NOW)
    return stop("written", "Written", "not_read", text, *values, due, act=Act("read_now", "Read it now", external_id))


def check_sent(facts: Facts) -> Step:
    """Say what became of a record that only we have on its way to the other side."""
    key, short, names, at = "sent", "Sent", facts.names, facts.standing
    found = _check_out(facts, key, short)
    if found:
        return found
    if not at.first_pass_done:
        return first_pass(key, short, facts, f"What only {names.host} has is sent after it.")
    if "create" not in at.operations:
        return stop(key, short, "cannot_create", f"{names.stream} cannot be created in {names.vendor} from outside.")
    reason = facts.write.reason if facts.write and facts.write.state == "dropped" else "Nothing has planned it."
    return stop(key, short, "not_sent", f"It was not sent. {reason}", act=_send(facts))


def _check_out(facts: Facts, key: str, short: str) -> Step | None:
    """Return what holds a write up: a refusal, a state of the write, or differences that nobody has planned to send."""
    failed, write = facts.failed_out, facts.write
    if failed and not failed.mapped:
        return _check_failed(facts, failed, key, short)
    if write and write.state in ("planned", "sent", "in_doubt", "parked"):
        return _check_write(facts, write, key, short)
    if facts.unsent:
        reason = write.reason if write and write.state == "dropped" else "Nothing has planned it."
        verb = plural(facts.unsent, "differ")
        text = f"{listed(facts.unsent)} {verb} from what was last agreed and {'are' if verb == 'differ' else 'is'} not sent. {reason}"
        act = _send(facts) if "update" in facts.standing.operations else None
        return stop(key, short, "not_sent", text, *_values(facts), act=act)
    return None


def _check_failed(facts: Facts, failed: Failed, key: str, short: str) -> Step:
    vendor = facts.names.vendor
    again = Act("retry", "Send it again", str(failed.id))
    change = Act("change_mapping", f"Change the mapping of {failed.label or failed.target}", failed.target or "")
    last, tries = Evidence("Last try", failed.failed_at), Evidence("Tries", failed.tries)
    field = Evidence("Field", failed.label or failed.target)
    if failed.doubt:
        act = Act("open_failed", f"Say whether it is in {vendor}", str(failed.id))
        return stop(
            key, short, "in_doubt", f"{failed.message} Nothing is sent until somebody has looked.", last, act=act
        )
    if failed.state == "ignored":
        text = f"Somebody has chosen to leave it out. Before that: {failed.message}"
        return stop(key, short, "ignored", text, field, last, act=again)
    if failed.state == "parked":
        text = f"{failed.message} It is parked: nothing is sent until somebody has it sent again."
        return stop(key, short, "parked", text, field, last, tries, *_values(facts), act=again)
    what = f"the last write of {listed(facts.unsent)}" if facts.unsent else "the last write"
    # What its error table says of it mostly begins with the name as well, and then says no more than this.
    reason = "" if failed.message.startswith(vendor) else failed.message
    text = f"{vendor} refused {what}. {reason}".strip()
    due = Evidence("Sent again", failed.retry_at)
    act = change if failed.target else again
    return stop(key, short, "refused_there", text, field, last, tries, due, *_values(facts), act=act)


def _check_write(facts: Facts, write: Write, key: str, short: str) -> Step:
    vendor, planned = facts.names.vendor, Evidence("Changed", write.planned_at)
    if write.state == "parked":
        text = write.reason or f"The write to {vendor} rests until somebody decides."
        act = _send(facts)
        if write.code == "deletes_ask":
            text = f"So many were deleted here that somebody has to say whether they are deleted in {vendor} as well."
            problem = facts.standing.problem_id
            act = Act("open_problem", "Decide about the deletes", str(problem)) if problem else None
        return stop(key, short, "parked", text, planned, act=act)
    if write.state == "in_doubt":
        text = f"No answer came when it was last sent to {vendor}. Whether it arrived is found out by itself."
        sent = Evidence("Sent", write.sent_at)
        return stop(
            key, short, "in_doubt", text, sent, Evidence("Looked for", write.due_at), Evidence("Tries", write.tries)
        )
    what = f"{listed(facts.unsent)} {plural(facts.unsent, 'wait')}" if facts.unsent else "It waits"
    text = f"{what} to be sent to {vendor}." if write.state == "planned" else f"It is being sent to {vendor}."
    text = f"{text} {facts.standing.waits}".strip()
    due = Evidence("Due", write.due_at)
    return stop(key, short, "to_send", text, planned, due, Evidence("Sent", write.sent_at), *_values(facts))


def _values(facts: Facts) -> tuple[Evidence, ...]:
    return tuple(Evidence(f"{label} here", shown(value)) for label, value in facts.unsent.items())


def _send(facts: Facts) -> Act | None:
    return Act("send_now", "Send it now", str(facts.here.record_id)) if facts.here else None
