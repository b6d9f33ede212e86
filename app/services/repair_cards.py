"""What a problem's card says beside the sentence of the error: why it happens, the one button, and what closes it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from app.models.runs import Problem
from app.services.failed_records import IN_DOUBT, cause_of
from connectors.sdk import Manifest

Try = Literal["", "test", "run", "write"]


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
    # What stands in for the fix that the error brings, where that does not say it all.
    fix: str = ""


@dataclass(frozen=True)
class _Place:
    """Where a problem is: its page, its installation's, the vendor's name, and the stream its signature names."""

    problem: Problem
    base: str
    own: str
    vendor: str
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
    place = _Place(problem, installation, f"/problems/{problem.id}", manifest.listing.name, manifest)
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
        "a filter, a permission or a fault over there. The run waits."
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
        f"They are deleted in {place.vendor}, as they were here. {place.vendor} may not be able to bring them back.",
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
        f"{place.vendor} ended the subscription, or its webhooks did not get here. Runs find every change all the same, "
        "only later."
    )
    act = Act("Show the webhooks", f"{place.base}/webhooks")
    return Card(why, f"It closes with the next webhook of {place.vendor} that is verified.", act)


def _conflicts(place: _Place) -> Card:
    act = Act("Show the conflicts", f"/conflicts?installation={place.problem.installation_id}&stream={place.stream}")
    why = f"The same fields were changed here and in {place.vendor}, and the rule of this data is to ask."
    return Card(why, "It closes with the last of them.", act)


def _records(place: _Place) -> Card:
    cause = cause_of(place.problem.signature)
    show = Act("Show the records", f"{place.base}/failed?{urlencode(cause.query)}")
    closes = "It closes with the last of them, written or left out."
    if cause.code == IN_DOUBT:
        return Card("The line broke between the write and its answer.", closes, show)
    retry = Act("Retry them", f"{place.base}/failed/retry", "refresh", form=True, values=cause.query)
    fix = Act("Fix in the mapping", f"{place.base}/mapping/{cause.stream}#map-{cause.field}", "pencil", role="admin")
    if cause.code == "mapping_failed" and cause.field:
        return Card("The value does not fit the field it is mapped to.", closes, fix, (show, retry))
    why = (
        f"{place.vendor} refused them."
        if cause.direction == "out"
        else "They came in a form that cannot be written here."
    )
    return Card(why, closes, show, (retry,))


_CARDS: dict[str, Callable[[_Place], Card]] = {
    "reconnect": _refused, "permission_missing": _forbidden, "settings_wrong": _settings, "address_refused": _settings,
    "write_forbidden": _write_forbidden, "vendor_down": _down, "vendor_bad_data": _down, "too_large": _down,
    "retry_later": _down, "connector_bug": _our_fault, "gave_up": _our_fault, "pause_ahead": _pause_ahead,
    "paused_by_itself": _paused, "deletes_ask": _deletes, "promise_ask": _promise, "deletes_out_ask": _deletes_out,
    "schema_drift": _drift, "conflicts_open": _conflicts, "records_refused": _records,
    "webhooks_silent": _silent,
}  # fmt: skip
