"""Answers to people who look for a record: whether the other side has it, and what would become of it here."""

from typing import Any

from app.clock import now
from app.models.installations import Preview
from app.services import lookups, mappings, runs, standings
from app.services.tasks import LeasedTask
from app.transaction import transaction
from connectors.sdk import AuthError, Connector, ConnectorError, External, Session
from jobs.records import fetch


def look(task: LeasedTask, preview: Preview, connector: Connector, session: Session) -> dict[str, Any]:
    """Return the answer for each place that was asked about; what goes wrong with one is its own answer."""
    at = now()
    answers = [
        {**place, **_look_at(task, preview, connector, session, place["stream"], place["external_id"])}
        for place in preview.request["places"]
    ]
    return {"at": at.isoformat(), "answers": answers}


def _look_at(
    task: LeasedTask, preview: Preview, connector: Connector, session: Session, stream: str, external_id: str
) -> dict[str, Any]:
    try:
        record = fetch(connector, session, stream, external_id)
    except AuthError:
        raise
    except ConnectorError as error:
        return {"found": False, "problem": error.user_message, "fix": error.fix}
    return {"found": False} if record is None else _describe(task, preview, connector, stream, record)


def _describe(
    task: LeasedTask, preview: Preview, connector: Connector, stream: str, record: External
) -> dict[str, Any]:
    with transaction():
        installation = runs.get_installation(task.tenant_id, preview.installation_id)
        installed = mappings.get_stream(task.tenant_id, installation.id, stream)
        declared, types = connector.manifest.stream(stream), standings.load_types()
        (scene,) = standings.load(task.tenant_id, types, installation.id)
        keys = [key for key in (declared.match_key, declared.second_key) if key]
        return lookups.describe(
            task.tenant_id, installation.id, stream, record, scene.rules[stream], types, installed.object_type, keys
        )
