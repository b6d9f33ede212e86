"""What a problem's card says beside the sentence of the error: why it happens, the one button, and what closes it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from flask import current_app

from app.models.runs import Problem
from app.services.failed_records import IN_DOUBT, Cause, cause_of
from connectors.sdk import Manifest

Try = Literal["", "test", "run", "write"]
# From so many records that fail alike on, the mapping is the likelier cause.
ALIKE = 20


@dataclass(frozen=True)
class Act:
    """A button: a page to go to, or a form to send (`form`). `role` may press it; `ask` is asked before (title, text)."""

    label: str
    address: str
    icon: str = ""
    form: bool = False
    role: str = "member"
    values: dict[str, str] = field(default_factory=dict)
    ask: tuple[str, str] | None = None


@dataclass(frozen=True)
class Card:
    """`act` is the button of the card, `others` stand beside it. `tries`: the real call that "Try now" makes."""

    why: str
    closes: str
    act: Act | None = None
    others: tuple[Act, ...] = ()
    tries: Try = ""
    # What stands in for the fix that the error brings, and for its sentence, where that does not say it all.
    fix: str = ""
    happened: str = ""


@dataclass(frozen=True)
class _Place:
    """Where a problem is: its page, its installation's, the names of both products, the stream its signature names."""

    problem: Problem
    base: str
    own: str
    vendor: str
    host: str
    manifest: Manifest

    @property
    def stream(self) -> str:
        """The stream that the signature is about, empty when it is about none."""
        parts = self.problem.signature.split(":")
        return parts[1] if len(parts) > 1 else ""


_GOES_ON = "It is tried again by itself, with growing pauses."


def card_of(problem: Problem, manifest: Manifest) -> Card:
    """Return the card of a problem."""
    installation = f"/installations/{problem.installation_id}"
    place = _Place(
        problem,
        installation,
        f"/problems/{problem.id}",
        manifest.listing.name,
        current_app.extensions["settings"].host_name,
        manifest,
    )
    return _CARDS.get(problem.code, _other)(place)


def _reconnect(place: _Place, label: str = "") -> Act:
    return Act(label or f"Reconnect {place.vendor}", f"{place.base}/setup/connect", "plug-connected", role="admin")


def _refused(place: _Place) -> Card:
    why = (
        f"This happens when somebody takes the access back in {place.vendor}, changes the password or key, or when the "
        "person who connected it is no longer there."
    )
    return Card(why, f"It closes once a real call to {place.vendor} succeeds.", _reconnect(place), tries="test")


def _forbidden(place: _Place) -> Card:
    if place.stream:
        why = f"{place.vendor} lets the connected account read the other data, which goes on. Only this is left out."
        return Card(
            why,
            f"It closes once {place.stream} can be read.",
            _reconnect(place, "Connect another account"),
            tries="run",
        )
    why = f"A permission was never given, or was taken away in {place.vendor}: nothing can be read."
    return Card(why, f"It closes once a real call to {place.vendor} succeeds.", _reconnect(place), tries="test")


def _settings(place: _Place) -> Card:
    why = f"What the connection was set up with does not fit {place.vendor}, or no longer does."
    closes = f"It closes once a real call to {place.vendor} succeeds."
    return Card(why, closes, _reconnect(place, "Check the settings"), tries="test")


def _write_forbidden(place: _Place) -> Card:
    stream = next((item for item in place.manifest.streams if item.name == place.stream), None)
    scope = stream.writes.scope if stream and stream.writes else None
    why = f"{place.vendor} lets the connected account read, but not change, this data."
    why += f" Changing it needs the permission {scope}." if scope else ""
    closes = f"It closes once {place.vendor} has accepted a write."
    return Card(
        why, closes, _reconnect(place), tries="write", fix=f"{place.problem.fix} What waits is sent after that."
    )


def _down(place: _Place) -> Card:
    why = f"{place.vendor} does not answer, or answers with an error of its own. {_GOES_ON}"
    return Card(why, "It closes once a run is done.", tries="run")


def _our_fault(place: _Place) -> Card:
    return Card("This is a fault on our side, not yours.", "It closes once a run is done.", tries="run")


def _other(_place: _Place) -> Card:
    return Card(f"The last run ended with it. {_GOES_ON}", "It closes once a run is done.", tries="run")


def _pause_ahead(place: _Place) -> Card:
    why = "A sync that goes on failing is stopped, so that nobody takes old data for new."
    return Card(why, "It closes once a run is done.", Act("Show its problems", f"/problems?in={place.problem.installation_id}"), tries="run")  # fmt: skip


def _paused(place: _Place) -> Card:
    why = "Ten runs in a row have failed. What stopped them is a problem of its own, which stays open until a run is done."
    act = Act("Resume", f"{place.base}/resume", "player-play", form=True, role="admin")
    others = (Act("Show its problems", f"/problems?in={place.problem.installation_id}"),)
    return Card(why, "It closes when it is resumed.", act, others)


def _run_asks(place: _Place, label: str, why: str) -> Card:
    return Card(why, "It closes when somebody has decided.", Act(label, f"/runs/{place.problem.run_id}"))


def _deletes(place: _Place) -> Card:
    why = (
        f"More than 20 records, and more than 20 % of them, are no longer shown by {place.vendor}. That may be right, or "
        f"a filter, a permission or a fault at {place.vendor}. The run waits."
    )
    return _run_asks(place, "Decide about the deletes", why)


def _promise(place: _Place) -> Card:
    why = (
        "The dry run has counted what the first run does. This run leaves that range, so it waits before it does more."
    )
    return _run_asks(place, "Decide about the run", why)


def _deletes_out(place: _Place) -> Card:
    count = f"{place.problem.count:,} {place.stream}"
    ask = (
        f"Delete {count} in {place.vendor}?",
        f"They are deleted in {place.vendor}, as they were in {place.host}. {place.vendor} may not be able to bring them back.",
    )
    delete = Act(
        f"Delete in {place.vendor}", f"{place.own}/deletes", "trash", form=True, role="admin",
        values={"delete": "yes"}, ask=ask,
    )  # fmt: skip
    keep = Act(f"Keep in {place.vendor}", f"{place.own}/deletes", form=True, role="admin", values={"delete": "no"})
    why = "So many deletes at once are more often a mistake than a wish. They wait until somebody says which it is."
    return Card(why, "It closes when somebody has decided.", keep, (delete,))


def _drift(place: _Place) -> Card:
    act = Act("Decide about the fields", f"{place.base}/mapping/{place.stream}/drift")
    why = f"Somebody has added, removed or changed fields in {place.vendor}. Runs go on with the mapping as it is."
    return Card(why, "It closes once each field is decided.", act)


def _silent(place: _Place) -> Card:
    why = (
        f"{place.vendor} ended the subscription, or its webhooks did not arrive. Runs find every change all the same, "
        "only later."
    )
    act = Act("Show the webhooks", f"{place.base}/webhooks")
    return Card(why, f"It closes with the next webhook of {place.vendor} that is verified.", act)


def _conflicts(place: _Place) -> Card:
    act = Act("Decide the conflicts", f"/conflicts?installation={place.problem.installation_id}&stream={place.stream}")
    why = f"Both {place.vendor} and {place.host} have changed the same record, and the rule of this data is to ask."
    fix = f"Choose a value for each. Until then {place.vendor} and {place.host} keep their own."
    count = place.problem.count
    happened = (
        f"{count:,} {'record' if count == 1 else 'records'} of {place.stream} {'differs' if count == 1 else 'differ'} in "
        f"{place.vendor} and {place.host}, and nothing says which is right."
    )
    return Card(why, "It closes once each of them is decided.", act, fix=fix, happened=happened)


def _records(place: _Place) -> Card:
    cause, count = cause_of(place.problem.signature), place.problem.count
    one = {"one": "1"} if count == 1 else {}
    address = f"{place.base}/failed?{urlencode({**cause.query, **one})}"
    show = Act("Show the record" if one else "Show the records", address)
    closes = (
        "It closes once the record is written or left out."
        if one
        else "It closes once each record is written or left out."
    )
    if cause.code == IN_DOUBT:
        return Card(
            "The line broke between the write and its answer.", closes, show,
            fix=f"Look in {place.vendor} whether it is there, then say so on the page of the record.",
        )  # fmt: skip
    retry = Act(
        "Retry it" if one else "Retry them", f"{place.base}/failed/retry", "refresh", form=True, values=cause.query
    )
    if not cause.field:
        return Card(_refused_by(place, cause), closes, show, (retry,))
    value = Act("Correct the value" if one else "Correct the values", address, "pencil", role="admin")
    mapping = Act("Change the mapping", f"{place.base}/mapping/{cause.stream}#map-{cause.field}", role="admin")
    alike = cause.code == "mapping_failed" and count >= ALIKE
    why, fix = _refused_by(place, cause), _correct(place, cause, count)
    if alike:
        why = f"{why} {count:,} records fail alike, which is more often the mapping than their values."
        fix = "Change the mapping so that it takes such values; the records are tried again with it."
    first, second = (mapping, value) if alike else (value, mapping)
    return Card(why, closes, first, (second, retry), fix=fix, happened=_happened(place, cause, count))


def _refused_by(place: _Place, cause: Cause) -> str:
    if cause.code == "mapping_failed":
        source, target = (place.vendor, place.host) if cause.direction == "in" else (place.host, place.vendor)
        return f"What stands in {source} does not fit the field of {target} that it is mapped to."
    if cause.direction == "out":
        return f"{place.vendor} refused what was sent."
    return f"It came from {place.vendor} in a form that cannot be written to {place.host}."


def _correct(place: _Place, cause: Cause, count: int) -> str:
    where = "on the page of the record" if count == 1 else "on the page of each record"
    if cause.direction == "out":
        return f"Correct the value {where}. It is changed in {place.host} and sent to {place.vendor} again."
    return f"Correct the value in {place.vendor}, or give {place.host} another one {where}. Then it is tried again."


def _happened(place: _Place, cause: Cause, count: int) -> str:
    said = place.problem.message.partition(": ")[2] or place.problem.message
    what = f"{count:,} {'record' if count == 1 else 'records'} of {cause.stream}"
    way = f"from {place.vendor} to {place.host}" if cause.direction == "in" else f"from {place.host} to {place.vendor}"
    return f"{what} could not be taken {way}{'' if count == 1 else ', for example'}: {said}"


_CARDS: dict[str, Callable[[_Place], Card]] = {
    "reconnect": _refused, "permission_missing": _forbidden, "settings_wrong": _settings, "address_refused": _settings,
    "write_forbidden": _write_forbidden, "vendor_down": _down, "vendor_bad_data": _down, "too_large": _down,
    "retry_later": _down, "connector_bug": _our_fault, "gave_up": _our_fault, "pause_ahead": _pause_ahead,
    "paused_by_itself": _paused, "deletes_ask": _deletes, "promise_ask": _promise, "deletes_out_ask": _deletes_out,
    "schema_drift": _drift, "conflicts_open": _conflicts, "records_refused": _records,
    "webhooks_silent": _silent,
}  # fmt: skip
