"""Sealing: whoever holds the public key can seal a value, only the holder of the private key can open it.

HPKE (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM). Tenant, owner, field and version are bound in, so a sealed
value cannot be moved to another row. Two purposes: `token` (credentials; opened by workers only) and `hook`
(secrets of inbound webhooks; opened by web as well).
"""

import base64
import hashlib
import os
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

Purpose = Literal["token", "hook"]
PURPOSES: tuple[Purpose, ...] = ("token", "hook")
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_FORMAT, _LOCKED = b"\x01", b"\x02"


class SealError(Exception):
    """A value cannot be sealed or opened: no key here, a wrong key, or a value moved from another row."""


@dataclass(frozen=True)
class Seal:
    """What a sealed value is bound to; all of it must be the same at opening."""

    tenant_id: uuid.UUID
    owner_id: uuid.UUID
    field: str
    version: int

    def info(self) -> bytes:
        """Length-prefixed parts, so that `a|bc` and `ab|c` differ."""
        parts = (
            b"patchbay1",
            self.tenant_id.bytes,
            self.owner_id.bytes,
            self.field.encode(),
            str(self.version).encode(),
        )
        return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


class KeyRing:
    """The keys one process was given. Files hold `<id> <base64>` a line; the last line is the one sealed with."""

    def __init__(self, keys_dir: Path | None, token_key_file: Path | None = None) -> None:
        self._public: dict[str, dict[str, X25519PublicKey]] = {purpose: {} for purpose in PURPOSES}
        self._private: dict[str, dict[str, X25519PrivateKey]] = {purpose: {} for purpose in PURPOSES}
        for purpose in PURPOSES:
            if keys_dir:
                for key_id, raw in _read(keys_dir / f"{purpose}.pub"):
                    self._public[purpose][key_id] = X25519PublicKey.from_public_bytes(raw)
        private_files = {"hook": keys_dir / "hook.key" if keys_dir else None, "token": token_key_file}
        for name, file in private_files.items():
            if file and os.access(file, os.R_OK):
                for key_id, raw in _read(file):
                    self._private[name][key_id] = X25519PrivateKey.from_private_bytes(raw)

        self._locks = {key_id: AESGCM(_derived(key)) for key_id, key in self._private["hook"].items()}

    def seal(self, purpose: Purpose, value: bytes, bound: Seal) -> bytes:
        """Return `value` sealed with the newest public key: format byte, 4 bytes of key id, HPKE message."""
        if not self._public[purpose]:
            raise SealError(f"There is no public key for {purpose}: set PATCHBAY_KEYS_DIR.")
        key_id, key = list(self._public[purpose].items())[-1]
        return _FORMAT + bytes.fromhex(key_id) + _SUITE.encrypt(value, key, info=bound.info())

    def lock(self, value: bytes, bound: Seal) -> bytes:
        """Return `value` under a key that is made of the newest private hook key: for processes that may open it anyway,
        thirty times faster than a seal. Format byte, 4 bytes of key id, nonce, AES-256-GCM."""
        if not self._locks:
            raise SealError("There is no private key for hook: set PATCHBAY_KEYS_DIR.")
        key_id, cipher = list(self._locks.items())[-1]
        nonce = os.urandom(12)
        return _LOCKED + bytes.fromhex(key_id) + nonce + cipher.encrypt(nonce, value, bound.info())

    def unlock(self, locked: bytes, bound: Seal) -> bytes:
        """Return what lock() was given; SealError when this process lacks the key or the binding differs."""
        cipher = self._locks.get(locked[1:5].hex())
        if locked[:1] != _LOCKED or cipher is None:
            raise SealError("This process holds no private key that opens this value.")
        try:
            return cipher.decrypt(locked[5:17], locked[17:], bound.info())
        except InvalidTag as error:
            raise SealError("The value was locked for another row or has been changed.") from error

    def open(self, purpose: Purpose, sealed: bytes, bound: Seal) -> bytes:
        """Return the value; SealError when this process lacks the key or the binding differs."""
        key = self._private[purpose].get(sealed[1:5].hex())
        if sealed[:1] != _FORMAT or key is None:
            raise SealError(f"This process holds no private key that opens this {purpose} value.")
        try:
            return _SUITE.decrypt(sealed[5:], key, info=bound.info())
        except InvalidTag as error:
            raise SealError("The value was sealed for another row or has been changed.") from error

    def sign(self, value: bytes) -> dict[str, str]:
        """Return an Ed25519 signature of `value` with the key that proves it, made of the newest private hook key."""
        if not self._private["hook"]:
            raise SealError("There is no private key for hook: set PATCHBAY_KEYS_DIR.")
        key_id, key = list(self._private["hook"].items())[-1]
        signer = _signer(key)
        public = signer.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {
            "algorithm": "Ed25519", "key": key_id, "public_key": base64.b64encode(public).decode(),
            "signature": base64.b64encode(signer.sign(value)).decode(),
        }  # fmt: skip

    def is_signed(self, value: bytes, signature: Mapping[str, str]) -> bool:
        """Whether this deployment has signed `value`: its own key proves it, not the one that comes with it."""
        key = self._private["hook"].get(signature.get("key", ""))
        try:
            if key is None:
                return False
            _signer(key).public_key().verify(base64.b64decode(signature["signature"]), value)
        except (InvalidSignature, KeyError, ValueError):
            return False
        return True


def _signer(key: X25519PrivateKey) -> Ed25519PrivateKey:
    raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return Ed25519PrivateKey.from_private_bytes(HKDF(SHA256(), 32, None, b"patchbay1 report").derive(raw))


def _derived(key: X25519PrivateKey) -> bytes:
    raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return HKDF(SHA256(), 32, None, b"patchbay1 lock").derive(raw)


def _read(file: Path) -> list[tuple[str, bytes]]:
    if not file.exists():
        return []
    pairs = [line.split() for line in file.read_text().splitlines() if line.strip()]
    return [(key_id, base64.b64decode(text)) for key_id, text in pairs]


def generate_keys(directory: Path) -> None:
    """Write secret_key and a key pair for each purpose into `directory`; existing files are kept."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(directory / "secret_key", secrets.token_urlsafe(48))
    for purpose in PURPOSES:
        if (directory / f"{purpose}.key").exists():
            continue
        private = X25519PrivateKey.generate()
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        key_id = hashlib.sha256(public).digest()[:4].hex()
        raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        _write(directory / f"{purpose}.key", f"{key_id} {base64.b64encode(raw).decode()}\n")
        _write(directory / f"{purpose}.pub", f"{key_id} {base64.b64encode(public).decode()}\n")


def _write(file: Path, text: str) -> None:
    if file.exists():
        return
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)


def token() -> str:
    """Return a fresh random token for a link, cookie or state: 256 bits, safe in a URL."""
    return secrets.token_urlsafe(32)


def token_hash(value: str) -> bytes:
    """Return what is stored of a token: its SHA-256, so that a stolen table signs nobody in."""
    return hashlib.sha256(value.encode()).digest()
