"""The preview task: reads a little from the vendor and writes nothing but the answer."""

from typing import Any

from app.models.installations import Preview
from app.services import object_types, passes, previews, tasks
from app.services.mappings import current_rules
from app.services.tasks import Done, LeasedTask, Outcome
from app.transaction import outside, transaction
from connectors.sdk import (
    Checkpoint,
    Connector,
    ConnectorError,
    MappingError,
    Page,
    Session,
    compile_mapping,
    rules_from_json,
)
from jobs.drain import Slice
from jobs.vendor import vendor_session


def answer(task: LeasedTask, _slice: Slice) -> Outcome:
    """Answer a question of a page."""
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        preview = previews.get(task.tenant_id, task.ref)
    result, message, fix = {}, None, None
    try:
        connector, session = vendor_session(task.tenant_id, preview.installation_id)
        result = _ANSWERS[preview.kind](task, preview, connector, session)
    except ConnectorError as error:
        message, fix = error.user_message, error.fix
    except MappingError as error:
        message, fix = error.problems[0].message, error.problems[0].fix
    with transaction():
        tasks.fence(task)
        preview = previews.get(task.tenant_id, task.ref)
        preview.state = "failed" if message else "ready"
        preview.result, preview.error, preview.error_fix = result, message, fix
    return Done()


def _choices(_task: LeasedTask, preview: Preview, connector: Connector, session: Session) -> dict[str, Any]:
    with outside():
        found = connector.choices(session, preview.request["field"])
    return {"choices": [{"value": choice.value, "label": choice.label} for choice in found]}


def _first_page(connector: Connector, session: Session, stream: str) -> Page:
    with outside():
        return connector.read(session, stream, Checkpoint.start("full", None))


def _sample(task: LeasedTask, preview: Preview, connector: Connector, session: Session) -> dict[str, Any]:
    stream = preview.stream or ""
    page = _first_page(connector, session, stream)
    with transaction():
        installed = passes.get_installed(task.tenant_id, preview.installation_id, stream)
        fields = object_types.fields_of(installed.object_type)
        stored = preview.request.get("rules")
        rules = rules_from_json(stored) if stored else current_rules(task.tenant_id, preview.installation_id, stream)
        found = previews.describe(
            task.tenant_id, installed.object_type, list(page.records[: previews.SAMPLES]),
            compile_mapping(rules, fields), connector.manifest.stream(stream).match_key,
            {field.name: field.label for field in fields},
        )  # fmt: skip
    return {"records": found}


_ANSWERS = {"choices": _choices, "sample": _sample}
