"""Connect sessions and links: the wizard for people without an account here."""

import uuid
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api import gate
from app.api.operations import Noun
from app.extensions import settings
from app.models.connect_sessions import ConnectSession as SessionRow
from app.services import connect_sessions

noun = Noun(
    "connect_sessions", "Connect sessions",
    "The wizard and status pages for people without an account here: your backend asks for a session and redirects "
    "its customer, or gives a link to a colleague who holds the vendor's password.",
)  # fmt: skip
Person = Annotated[str, Field(min_length=1, max_length=120, description="Who it is for; the audit log shows it.")]
ReturnUrl = Annotated[str | None, Field(max_length=500, description="Where `Done` leads back to.")]


class ConnectSession(BaseModel):
    """Leave to set up integrations of the tenant."""

    id: uuid.UUID
    kind: Literal["session", "link"]
    url: str = Field(description="Shown once. Redirect to it; a session opens once, a link until it ends.")
    expires_at: datetime


class NewSession(BaseModel):
    """A session for a customer who comes from your product."""

    model_config = ConfigDict(extra="forbid")

    person: Person
    integration: Annotated[str | None, Field(max_length=80, description="Limits it to one integration.")] = None
    installation_id: Annotated[uuid.UUID | None, Field(description="Limits it to one installation.")] = None
    return_url: ReturnUrl = None


class NewLink(BaseModel):
    """A link for another person, like the one who holds the vendor's password."""

    model_config = ConfigDict(extra="forbid")

    person: Person
    hours: Annotated[int, Field(ge=1, le=168)] = 72
    return_url: ReturnUrl = None


def _shown(row: SessionRow, token: str) -> ConnectSession:
    return ConnectSession(
        id=row.id, kind=row.kind, url=f"{settings().base_url}/connect/{token}", expires_at=row.expires_at  # type: ignore[arg-type]  # of the two
    )  # fmt: skip


@noun.post("/connect-sessions", scope="connect", body=NewSession, answer=ConnectSession, status=201, also=(404,))
def create_connect_session(body: NewSession) -> ConnectSession:
    """Let a customer set up integrations, for 30 minutes

    Redirect the customer to `url`, which opens once within 30 minutes. The wizard and the status pages run under it
    for 30 minutes more, limited to the tenant.
    """
    who = gate.caller()
    made, token = connect_sessions.make(
        who.tenant_id, "session", person=body.person, connector=body.integration, installation_id=body.installation_id,
        return_url=body.return_url, created_by=who.key_id,
    )  # fmt: skip
    return _shown(made, token)


@noun.post(
    "/installations/<uuid:installation_id>/connect-link", scope="connect", body=NewLink, answer=ConnectSession,
    status=201,
)  # fmt: skip
def create_connect_link(installation_id: uuid.UUID, body: NewLink) -> ConnectSession:
    """Make a connect link for another person

    It opens this installation alone, as often as needed until it ends, for 30 minutes each time.
    """
    who = gate.caller()
    made, token = connect_sessions.make(
        who.tenant_id, "link", person=body.person, installation_id=installation_id, return_url=body.return_url,
        lasts=timedelta(hours=body.hours), created_by=who.key_id,
    )  # fmt: skip
    return _shown(made, token)


@noun.delete("/connect-sessions/<uuid:session_id>", scope="connect", answer=None, status=204)
def end_connect_session(session_id: uuid.UUID) -> None:
    """End a connect session or link at once"""
    connect_sessions.end(gate.caller().tenant_id, session_id)
