"""The key itself: what it is, and a new one in its place."""

import uuid
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api import gate
from app.api.operations import Noun
from app.models.api_keys import ApiKey
from app.services import api_keys

noun = Noun("key", "Key", "The key that calls: what it may do, until when, and how it is replaced.")


class Key(BaseModel):
    """A key, without its value."""

    id: uuid.UUID
    name: str
    kind: Literal["tenant", "host"]
    profile: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    tenant_id: uuid.UUID | None = Field(description="The tenant that this call acts for.")


class NewKey(Key):
    """A key with its value, which is shown once."""

    value: str


class Rotation(BaseModel):
    """How a key is replaced."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: int = Field(24, ge=0, le=168, description="How long the old key works beside the new one.")


def _shown(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id, "name": key.name, "kind": key.kind, "profile": key.profile, "scopes": key.scopes,
        "created_at": key.created_at, "expires_at": key.expires_at, "tenant_id": gate.caller().tenant,
    }  # fmt: skip


@noun.get("/key", scope="", answer=Key, tenant=False, owner=True)
def show_key() -> Key:
    """Show the key that calls

    The first call to make: it says what the key may do, and for whom.
    """
    who = gate.caller()
    return Key.model_validate(_shown(api_keys.show(who.owner_id, who.key_id)))


@noun.post("/key/rotate", scope="", body=Rotation, answer=NewKey, status=201, tenant=False, also=(409,), owner=True)
def rotate_key(body: Rotation) -> NewKey:
    """Replace the key that calls by a new one

    The new key has the same scopes; the old one works on for `overlap_hours`. The value is shown once.
    """
    who = gate.caller()
    made, value = api_keys.rotate(
        who.owner_id, who.key_id, overlap=timedelta(hours=body.overlap_hours), created_by=who.key_id
    )
    return NewKey.model_validate(_shown(made) | {"value": value})
