"""The story of an installation in words: what a person did, how a run ended, which problem came and went."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.filters import TRIGGERS, duration, number
from app.services.activity import Entry


@dataclass(frozen=True)
class Told:
    """An entry as the page shows it: its icon, its colour, the sentence, what else is to say, and where to read more."""

    icon: str
    tone: str
    title: str
    note: str = ""
    link: str = ""


# Audit action -> icon and sentence; {..} are details of the entry, {subject} what it was done to, {vendor} the vendor.
ACTS: dict[str, tuple[str, str]] = {
    "installation.created": ("plus", "Began the setup"),
    "installation.activated": ("player-play", "Finished the setup and started to sync"),
    "installation.configured": ("settings", "Changed the settings"),
    "installation.paused": ("player-pause", "Paused the sync"),
    "installation.resumed": ("player-play", "Resumed the sync"),
    "installation.upgraded": ("refresh", "Upgraded from version {before} to {after}"),
    "installation.removed": ("trash", "Removed the installation; its records were {records}"),
    "mapping.changed": ("pencil", "Saved version {version} of the mapping of {subject}"),
    "connection.authorised": ("key", "Allowed access to the account at {vendor}"),
    "connection.entered": ("key", "Entered credentials for {vendor}"),
    "connection.revoked": ("plug-x", "Gave the access back"),
    "endpoint.rotated": ("key", "Exchanged the secret that signs webhooks"),
    "deliveries.replayed": ("refresh", "Had webhooks applied once more: {subject}"),
    "run.stopped": ("player-pause", "Stopped a run"),
    "run.confirmed": ("check", "Let a run go on that had asked first"),
    "run.declined": ("x", "Ended a run that had asked first"),
    "run.undone": ("arrow-back-up", "Had a run undone"),
    "run.held_to_dry_run": ("eye", "Held the next run to what the dry run predicted"),
    "problem.tried": ("refresh", "Tried once more what had failed"),
    "deletes.confirmed": ("trash", "Let {records} records be deleted at {vendor}"),
    "deletes.declined": ("x", "Kept {records} records at {vendor} that would have been deleted"),
    "conflict.settled": ("git-merge", "Decided a conflict about {subject}"),
    "conflict.changed": ("git-merge", "Changed the decision of a conflict about {subject}"),
    "conflict.settled_similar": ("git-merge", "Decided {count} similar conflicts"),
    "export.requested": ("download", "Asked for an export as {format}"),
    "export.fetched": ("download", "Fetched an export as {format}"),
    "failed_record.corrected": ("pencil", "Put a failed record right: {subject}"),
    "failed_record.linked": ("link", "Said which record at {vendor} is {subject}"),
    "failed_record.sent_again": ("send", "Had {subject} sent again"),
}
_REVOKED = {
    "given_back": "{vendor} has taken the access back.",
    "no_address": "{vendor} has no address for it: remove the access in its own settings.",
    "failed": "{vendor} did not answer: remove the access in its own settings.",
}
_RUNS = {
    "queued": ("clock", "", "Run waits for a worker"), "running": ("refresh", "", "Run in progress"),
    "done": ("circle-check", "green", "Run done"), "failed": ("circle-x", "red", "Run failed"),
    "stopped": ("player-pause", "", "Run stopped"), "asking": ("alert-triangle", "amber", "Run asks before it goes on"),
}  # fmt: skip


class Known(dict[str, Any]):
    """Details with a word for what an old entry does not say."""

    def __missing__(self, key: str) -> str:
        return "it" if key == "subject" else "some"


def told(entry: Entry, vendor: str) -> Told:
    """Return an entry in words."""
    if entry.kind == "act":
        return _act(entry, vendor)
    if entry.kind == "run":
        return _run(entry)
    link = f"/problems/{entry.subject_id}"
    if entry.kind == "closed":
        return Told("circle-check", "green", f"Solved: {entry.subject}", str(entry.details["by"]), link)
    stops = entry.details["stops"]
    icon, tone = ("circle-x", "red") if stops else ("alert-triangle", "amber")
    return Told(icon, tone, f"Problem: {entry.subject}", "Nothing is synced until it is solved." if stops else "", link)


def _act(entry: Entry, vendor: str) -> Told:
    icon, sentence = ACTS.get(entry.what, ("info-circle", entry.what.replace(".", ": ").replace("_", " ")))
    named = {"subject": entry.subject} if entry.subject else {}
    said = {key: number(value) if isinstance(value, int) else value for key, value in entry.details.items()}
    if "format" in said:
        said["format"] = str(said["format"]).upper()
    title = sentence.format_map(Known({**said, **named, "vendor": vendor}))
    return Told(icon, "", title, _note(entry, vendor), _link(entry))


def _note(entry: Entry, vendor: str) -> str:
    details: Mapping[str, Any] = entry.details
    if entry.what == "connection.revoked":
        return _REVOKED.get(str(details.get("outcome")), "").format(vendor=vendor)
    if entry.what == "installation.configured":
        return "; ".join(str(change) for change in details.get("changes", ()))
    return ""


def _link(entry: Entry) -> str:
    places = {"run": "/runs/", "problem": "/problems/", "conflict": "/conflicts/"}
    return f"{places[entry.subject_type]}{entry.subject_id}" if entry.subject_type in places else ""


def _run(entry: Entry) -> Told:
    icon, tone, title = _RUNS[entry.what]
    details, parts = entry.details, []
    if entry.what in ("done", "failed", "stopped"):
        parts = [f"{number(details['written'])} written"]
        parts += [
            f"{number(details[name])} {word}"
            for name, word in (("deleted", "deleted"), ("failed", "refused"))
            if details[name]
        ]
        parts += [f"took {duration(details['seconds'])}"] if details["seconds"] is not None else []
    mode = "full pass" if details["mode"] == "full" else "changes only"
    note = f"{mode}, {TRIGGERS[details['trigger']]}" + (f": {', '.join(parts)}" if parts else "")
    if entry.what == "failed" and entry.subject:
        note = f"{entry.subject} {note[:1].upper()}{note[1:]}"
    return Told(icon, tone, title, f"{note[:1].upper()}{note[1:]}.", f"/runs/{entry.id}")
