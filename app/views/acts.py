"""How a diagnosis and a trace are shown: what buttons open or post to and who may, and the sockets of the cables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.access import viewer
from app.filters import RECORD_STATE
from app.models.records import Change
from app.services.diagnoses import Case
from app.services.record_traces import Target, Trace
from app.sync.diagnosis_facts import Act, Step


@dataclass(frozen=True)
class Way:
    """A button: a link, or a form with these fields where `post` is set. `allowed`: the viewer has the role."""

    label: str
    address: str
    post: bool = False
    fields: dict[str, str] = field(default_factory=dict)
    allowed: bool = True


# kind -> (address, whether it is posted, role). {base} is the installation's, {target} what it is done to.
_WAYS = {
    "finish_setup": ("{base}", False, "admin"),
    "resume": ("{base}/resume", True, "admin"),
    "reconnect": ("{base}/setup/connect", False, "admin"),
    "open_problem": ("/problems/{target}", False, "member"),
    "open_run": ("/runs/{target}", False, "member"),
    "run_now": ("{base}/run", True, "member"),
    "resync": ("{base}/resync", True, "admin"),
    "choose_stream": ("{base}/setup/configure#s-{stream}", False, "admin"),
    "change_direction": ("{base}/setup/configure#s-{stream}", False, "admin"),
    "widen_filter": ("{base}/setup/configure#s-{stream}", False, "admin"),
    "change_mapping": ("{base}/mapping/{stream}/rules/{target}?part=row#map-{target}", False, "member"),
    "retry": ("{base}/failed/{target}/retry", True, "member"),
    "open_failed": ("{base}/failed/{target}", False, "member"),
    "open_conflict": ("/conflicts/{target}", False, "member"),
    "read_now": ("{base}/why/read", True, "member"),
    "look_there": ("{base}/why/look", True, "member"),
    "ask_id": ("#q", False, "member"),
    "restore": ("/records/{target}", False, "member"),
    "send_now": ("{base}/why/send", True, "member"),
    "create_there": ("{base}/why/send", True, "member"),
}


def way_of(case: Case, act: Act, text: str) -> Way:
    """Return what the button of an act does for a case; `text` is what was pasted, to come back to."""
    address, post, role = _WAYS[act.kind]
    base = f"/installations/{case.scene.installation.id}"
    fields = {"q": text, "stream": case.stream}
    if act.kind in ("send_now", "create_there"):
        fields["record_id"] = act.target
    elif act.kind in ("read_now", "look_there"):
        fields["external_id"] = case.external_id or ""
    if act.kind == "create_there":
        fields["again"] = "1"
    where = address.format(base=base, stream=case.stream, target=act.target)
    own = post and address.startswith("{base}/why/")
    return Way(act.label, where, post, fields if own else {}, viewer().may(role))


def sockets_of(case: Case) -> list[dict[str, str]]:
    """Return the steps of a case as the sockets of a cable: name, what stands under it, state."""
    found = case.diagnosis
    return [{"name": s.short, "sub": _under(s, s == found.decisive), "state": state_of(s)} for s in found.steps]


def state_of(step: Step) -> str:
    """Return how a step is drawn: passed, broken, loose (it waits, or is meant to stop there) or ahead."""
    if step.state in ("passed", "ahead"):
        return step.state
    return "broken" if step.outcome in _DISPUTED or RECORD_STATE[step.outcome][2] == "st-bad" else "loose"


def _under(step: Step, decisive: bool) -> str:
    if step.state == "ahead":
        return "not yet" if step.key == "in_sync" else ""
    if decisive and step.outcome != "in_sync":
        return RECORD_STATE[step.outcome][0]
    proof = next((e for e in step.evidence if e.label in _SHORT), None)
    text = f"{_SHORT[proof.label]} {proof.value}".strip() if proof else ""
    return text if len(text) <= 18 else f"{text[:17]}…"


_DISPUTED = ("conflict", "match_many")
# Evidence that is short enough to stand under a socket.
_SHORT = {"Mapping version": "version", "Id there": ""}


@dataclass(frozen=True)
class End:
    """One end of the cable of a change: a side, the word under it and since when, and if it is whole, loose or cut."""

    name: str
    word: str
    state: str
    at: datetime | None = None


@dataclass(frozen=True)
class Cable:
    """The way of the last change: from whom, when, by which mapping version, into which sides."""

    source: str
    change: Change
    host: str
    ends: list[End]


_WENT = {
    "confirmed": ("Written", "whole"), "planned": ("Waits", "loose"), "sent": ("Being sent", "loose"),
    "in_doubt": ("No answer", "loose"), "rejected": ("Refused", "cut"), "parked": ("Parked", "cut"),
    "dropped": ("Nothing to send", "whole"),
}  # fmt: skip


def cable_of(trace: Trace, targets: Sequence[Target], host: str) -> Cable | None:
    """Return the picture of the last change, None for a record of which none is kept."""
    change = trace.newest
    return Cable(change.writer, change, host, [_end(target) for target in targets]) if change else None


def _end(target: Target) -> End:
    case, write = target.case, target.case.write
    word, state = _WENT[write.state] if target.went and write else ("Nothing to send", "whole")
    if write and target.went and write.state == "dropped" and not case.diagnosis.in_sync:
        word, state = "Not sent", "loose"
    at = write.settled_at or write.sent_at if write and target.went else None
    return End(case.names.vendor, word, state, at)
