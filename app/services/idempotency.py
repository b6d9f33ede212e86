"""POST with an Idempotency-Key: done once, and answered again as it was for 24 hours.

The row is written first in the transaction that does the work. A second request with the key waits at the unique
index until the first is through: then it has its answer, or, when that came to nothing, does the work itself. Kept
is the answer sealed with the caller's own key, so that what is shown once is nowhere to be read.
"""

import os
import uuid
from dataclasses import dataclass
from datetime import timedelta

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg.errors import LockNotAvailable
from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError

from app.clock import now
from app.crypto import token_hash
from app.db import db
from app.errors import ConflictError
from app.ids import new_id
from app.models.api_keys import IdempotencyKey
from app.tenancy import scoped

KEPT = timedelta(hours=24)


@dataclass(frozen=True)
class Asked:
    """A POST as it is known again: by whom, under which key, and what it asks."""

    tenant_id: uuid.UUID
    api_key_id: uuid.UUID
    key: str
    request: bytes
    secret: str

    def hash(self) -> bytes:
        """Return what tells another request from the same one."""
        return token_hash(self.request.hex())

    def cipher(self) -> AESGCM:
        """Return what seals the answer."""
        return AESGCM(token_hash(f"idempotent answer {self.secret}"))


def claim(asked: Asked) -> tuple[int, bytes] | None:
    """Return the status and answer of before, None when this request is the first and is to be done.

    ConflictError when the key was used for another request, or that one is still under way.
    """
    mine = (
        IdempotencyKey.tenant_id == asked.tenant_id, IdempotencyKey.api_key_id == asked.api_key_id,
        IdempotencyKey.key == asked.key,
    )  # fmt: skip
    db.session.execute(delete(IdempotencyKey).where(*mine, IdempotencyKey.created_at < now() - KEPT))
    row = {"tenant_id": asked.tenant_id, "id": new_id(), "api_key_id": asked.api_key_id, "key": asked.key,
           "request_hash": asked.hash()}  # fmt: skip
    try:
        made = insert(IdempotencyKey).values(row).on_conflict_do_nothing().returning(IdempotencyKey.id)
        if db.session.scalar(made) is not None:
            return None
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            raise ConflictError(
                "A request with this Idempotency-Key is still under way. Send it again later.",
                code="request_in_progress",
            ) from None
        raise
    before = db.session.scalars(scoped(IdempotencyKey, asked.tenant_id).where(*mine)).one()
    if before.request_hash != asked.hash():
        raise ConflictError(
            "This Idempotency-Key was used for another request. Use a new key for each request.",
            code="idempotency_key_reused",
        )
    assert before.status is not None
    assert before.answer is not None
    return before.status, asked.cipher().decrypt(before.answer[:12], before.answer[12:], asked.hash())


def keep(asked: Asked, status: int, answer: bytes) -> None:
    """Keep the answer of a claimed request; in the same transaction."""
    nonce = os.urandom(12)
    db.session.execute(
        update(IdempotencyKey)
        .where(
            IdempotencyKey.tenant_id == asked.tenant_id, IdempotencyKey.api_key_id == asked.api_key_id,
            IdempotencyKey.key == asked.key,
        )
        .values(status=status, answer=nonce + asked.cipher().encrypt(nonce, answer, asked.hash()))
    )  # fmt: skip
