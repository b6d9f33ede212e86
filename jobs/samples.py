"""Answers to the mapping editor: records of the account as samples, one record by its id, the fields anew."""

from dataclasses import replace
from typing import Any

from app.models.installations import Preview
from app.services import drift, mappings, samples, stream_fields, tasks
from app.services.stream_fields import AccountField
from app.services.tasks import LeasedTask
from app.transaction import outside, transaction
from connectors.sdk import Checkpoint, Connector, ConnectorError, External, FieldInfo, Page, Session
from connectors.sdk.expressions import look_up

# A vendor that sends only what is asked for is asked for so many of the account's own fields besides those in use.
_CUSTOM = 60
# A stream of children shows a record only after its parents have been read.
_LOOK_FOR_SAMPLE = 3


def sample(task: LeasedTask, preview: Preview, connector: Connector, session: Session) -> dict[str, Any]:
    """Return the first records of a stream with the values that the editor offers."""
    stream = preview.stream or ""
    fields, read = _known(task, preview, connector)
    page = read_some(connector, asking(session, stream, read, fields), stream)
    return {"records": samples.keep(page.records, fields, read)}


def lookup(task: LeasedTask, preview: Preview, connector: Connector, session: Session) -> dict[str, Any]:
    """Return one record, fetched by the id that was asked for; ConnectorError when there is none."""
    stream, wanted = preview.stream or "", str(preview.request["external_id"])
    label, vendor = connector.manifest.stream(stream).label.lower(), connector.manifest.listing.name
    fields, read = _known(task, preview, connector)
    try:
        with outside():
            found: External | None = connector.fetch(asking(session, stream, read, fields), stream, wanted)
    except ConnectorError as error:
        if error.code == "no_fetch":
            error.user_message = f"{vendor} does not give {label} one by one."
            error.fix = "Choose one of the sampled records."
        raise
    if found is None:
        raise ConnectorError(
            f"No record {wanted}.", user_message=f"{vendor} has no record “{wanted[:80]}” among its {label}.",
            fix="Copy the id from there, or enter the e-mail address of a linked record.",
        )  # fmt: skip
    return {"records": samples.keep([found], fields, read)}


def fields(task: LeasedTask, preview: Preview, connector: Connector, session: Session) -> dict[str, Any]:
    """Discover the fields anew, with a sample value each, and say what has changed."""
    stream = preview.stream or ""
    _, read = _known(task, preview, connector)
    found = discover(connector, session, stream, read)
    with transaction():
        tasks.fence(task)
        return drift.note(task.tenant_id, preview.installation_id, stream, found)


def _known(task: LeasedTask, preview: Preview, connector: Connector) -> tuple[list[AccountField], set[str]]:
    """Return the fields of the account and the paths that the mapping, as edited, reads."""
    stream = preview.stream or ""
    with transaction():
        content = mappings.get_content(task.tenant_id, preview.installation_id, stream)
        rules = (*content.rules_in_force, *content.rules)
        read = {source for rule in rules for source in rule.sources}
        return stream_fields.of_mapping(content.installed, connector.manifest.stream(stream), rules), read


def asking(session: Session, stream: str, read: set[str], fields: list[AccountField] | list[FieldInfo]) -> Session:
    """Return a session that asks for the account's own fields as well."""
    custom = [field.name for field in fields if field.custom and field.name not in read][:_CUSTOM]
    wanted = {*session.sources.get(stream, ()), *read, *custom}
    return replace(session, sources={**session.sources, stream: sorted(wanted)})


def discover(connector: Connector, session: Session, stream: str, read: set[str]) -> list[FieldInfo]:
    """Return the fields of a stream, each with the value that one of the first records has."""
    with outside():
        found = connector.discover(session, stream)
    page = read_some(connector, asking(session, stream, read, found), stream)
    return [replace(field, sample=_sample(page, field.name)) for field in found]


def read_some(connector: Connector, session: Session, stream: str) -> Page:
    """Return the first page that holds records, or the last one looked at."""
    with outside():
        page = connector.read(session, stream, Checkpoint.start("full", None))
        for _ in range(_LOOK_FOR_SAMPLE):
            if page.records or page.last:
                break
            page = connector.read(session, stream, page.checkpoint)
    return page


def _sample(page: Page, name: str) -> str | bool | None:
    values = (look_up(record.data, name) for record in page.records[:20])
    shown = next((value for value in values if value not in (None, "", [])), None)
    return shown if shown is None or isinstance(shown, bool) else str(shown)[:80]
