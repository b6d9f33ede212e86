"""What is locked under the hook key: opened by its holders, and only where it belongs."""

import uuid
from dataclasses import replace

import pytest
from flask import Flask

from app.crypto import KeyRing, Seal, SealError


def test_a_locked_value_opens_only_where_it_belongs(apps: dict[str, Flask]) -> None:
    keys: KeyRing = apps["web"].extensions["keys"]
    bound = Seal(uuid.uuid4(), uuid.uuid4(), "body", 1)
    locked = keys.lock(b"a body", bound)
    assert b"a body" not in locked
    assert keys.lock(b"a body", bound) != locked
    assert keys.unlock(locked, bound) == b"a body"
    assert apps["worker"].extensions["keys"].unlock(locked, bound) == b"a body"
    for other in (replace(bound, tenant_id=uuid.uuid4()), replace(bound, owner_id=uuid.uuid4())):
        with pytest.raises(SealError):
            keys.unlock(locked, other)
    with pytest.raises(SealError):
        keys.unlock(locked[:-1] + bytes([locked[-1] ^ 1]), bound)
    with pytest.raises(SealError):
        KeyRing(None).lock(b"a body", bound)
