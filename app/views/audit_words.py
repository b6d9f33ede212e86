"""The audit log in words: one sentence an entry, with who and what it was done to."""

from collections.abc import Sequence

from app.filters import number
from app.models.audit import AuditEntry
from app.views.activity_words import ACTS, Known

# What the log can be narrowed to -> what its actions begin with.
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "installations": (
        "Installations",
        ("installation.", "connection.", "mapping.", "export.", "run.", "problem.", "deletes."),
    ),
    "records": ("Records and conflicts", ("record.", "failed_record.", "conflict.")),
    "people": ("People and access", ("member.", "session.", "password.", "support.", "connect_", "tenant.", "staff.")),
    "programs": (
        "Keys, webhooks, events and notifications",
        ("api_key.", "subscription.", "destination.", "endpoint.", "deliveries.", "webhooks."),
    ),
    "requests": ("Requests", ("integration.",)),
}
# Audit action -> icon and sentence, beside those of an installation. {subject} is what it was done to.
_OTHERS: dict[str, tuple[str, str]] = {
    "api_key.created": ("key", "Made the API key “{subject}”"),
    "api_key.revoked": ("trash", "Revoked the API key “{subject}”"),
    "api_key.rotated": (
        "refresh",
        "Exchanged the API key “{subject}”; the old one works for {overlap_hours} more hours",
    ),
    "connect_link.created": ("link", "Made a connect link for {subject}"),
    "connect_link.opened": ("eye", "{subject} opened a connect link"),
    "connect_session.created": ("link", "Opened a session for {subject} from the product"),
    "connect_session.opened": ("eye", "{subject} came from the product"),
    "connect_session.ended": ("x", "Ended a session that came from the product or by a link"),
    "connection.refused": ("plug-x", "An authorisation was refused: {subject}"),
    "destination.created": ("bell", "Made the destination “{subject}” for notifications"),
    "destination.changed": ("pencil", "Changed the destination “{subject}”"),
    "destination.enabled": ("player-play", "Switched the destination “{subject}” on"),
    "destination.disabled": ("player-pause", "Switched the destination “{subject}” off"),
    "destination.removed": ("trash", "Removed the destination “{subject}”"),
    "destination.secret_rotated": ("key", "Made a new signing secret for the destination “{subject}”"),
    "destination.tested": ("send", "Sent a test notification to “{subject}”"),
    "integration.requested": ("mail", "Asked for {subject}"),
    "integration.approved": ("check", "Approved the request for {subject}"),
    "integration.declined": ("x", "Declined the request for {subject}"),
    "integration.withdrawn": ("arrow-back-up", "Took back the request for {subject}"),
    "member.added": ("users", "{subject} became {role}"),
    "member.invited": ("mail", "Invited {subject_id} as {role}"),
    "member.invitation_revoked": ("x", "Took back the invitation of {subject_id}"),
    "member.removed": ("trash", "Removed {subject} from the company"),
    "member.role_changed": ("users", "Changed the role of {subject} from {before} to {after}"),
    "oauth_client.saved": ("key", "Entered the application at {subject}"),
    "oauth_client.removed": ("trash", "Removed the application at {subject}"),
    "object_field.added": ("plus", "Added the field {field} to {subject_id}"),
    "object_type.added": ("plus", "Added the object type {subject_id}"),
    "password.changed": ("key", "Changed the password"),
    "password.reset": ("key", "Set a new password by e-mail"),
    "record.deleted": ("trash", "Deleted the record {subject}"),
    "record.edited": ("pencil", "Changed {field} of the record {subject}"),
    "record.restored": ("arrow-back-up", "Brought the record {subject} back"),
    "session.ended": ("logout", "Signed another device out"),
    "session.all_ended": ("logout", "Signed out everywhere"),
    "session.others_ended": ("logout", "Signed all other devices out"),
    "staff.role_given": ("users", "Gave the staff role {role}"),
    "subscription.created": ("send", "Made the subscription “{subject}”"),
    "subscription.changed": ("pencil", "Changed the subscription “{subject}”"),
    "subscription.removed": ("trash", "Removed the subscription “{subject}”"),
    "subscription.secret_rotated": ("key", "Made a new signing secret for the subscription “{subject}”"),
    "subscription.tested": ("send", "Sent a test event to “{subject}”"),
    "subscription.enabled": ("player-play", "Switched the subscription “{subject}” on"),
    "subscription.disabled": ("player-pause", "Switched the subscription “{subject}” off"),
    "subscription.replayed": ("refresh", "Sent {count} events to “{subject}” again"),
    "support.granted": ("eye", "Let support read the installations for {hours} hours: {reason}"),
    "support.ended": ("x", "Ended the support access"),
    "support.read": ("eye", "Support read {subject}: {reason}"),
    "tenant.created": ("building", "Made the company {subject}"),
    "tenant.export_requested": ("download", "Asked for a file with everything of the company"),
    "tenant.export_fetched": ("download", "Fetched the file with everything of the company"),
    "tenant.erase_requested": ("trash", "Asked for everything of {subject} to be erased"),
    "tenant.erase_undone": ("arrow-back-up", "Called the erasing of {subject} off"),
    "tenant.erased": ("trash", "Everything of the company was erased: {rows} rows"),
    "tenant.changed": ("pencil", "Changed the company's name or time zone"),
}
WORDS = ACTS | _OTHERS
_PLACES = {
    "installation": "/installations/", "run": "/runs/", "record": "/records/", "conflict": "/conflicts/",
    "problem": "/problems/", "subscription": "/subscriptions/",
}  # fmt: skip


def told(entry: AuditEntry) -> tuple[str, str, str]:
    """Return (icon, sentence, address of what it is about or nothing) of an entry."""
    icon, sentence = WORDS.get(entry.action, ("info-circle", entry.action.replace(".", ": ").replace("_", " ")))
    said = {key: number(value) if isinstance(value, int) else value for key, value in entry.details.items()}
    named = {"subject": entry.subject} if entry.subject else {}
    # An installation is called after its product as a rule, and where it is not, its name says more.
    vendor = entry.subject if entry.subject_type == "installation" and entry.subject else "the connected product"
    words = sentence.format_map(Known({"vendor": vendor, "subject_id": entry.subject_id, **said, **named}))
    # Where the sentence does not say which one it was.
    if not ("{subject" in sentence or vendor in words) and entry.subject and entry.installation_id:
        words += f": {entry.subject}"
    gone = entry.action.endswith((".removed", ".deleted"))
    place = _PLACES.get(entry.subject_type, "")
    return icon, words, f"{place}{entry.subject_id}" if place and not gone else ""


def prefixes_of(kind: str) -> Sequence[str]:
    """Return what the actions of a kind begin with; nothing for all of them."""
    return KINDS[kind][1] if kind in KINDS else ()
