"""A key service of one machine: a key in a file of its owner, or in a variable."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from taskreel.domain.errors import StoreError

KEY_BYTES = 32
_NONCE_BYTES = 12
_CONTEXT = b"taskreel/data-key"


class LocalKey:
    """`KeyService` with its key in memory."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        # A name without the key in it, that another key does not have.
        digest = hashlib.sha256(b"taskreel/key-name/" + key).hexdigest()
        self.name = f"local:{digest[:16]}"

    async def wrap(self, data_key: bytes, /) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data_key, _CONTEXT)

    async def unwrap(self, wrapped: bytes, /) -> bytes:
        try:
            return self._cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], _CONTEXT)
        except InvalidTag:
            raise StoreError(
                f"A data key in the store was changed since {self.name} encrypted it. Restore the "
                "collection data_keys from a backup."
            ) from None

    async def close(self) -> None:
        """Nothing is open."""


def parse_key(text: str) -> bytes:
    """Parse a key in base64. Raises ValueError."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(
            f"a key must be {KEY_BYTES} random bytes in base64; `openssl rand -base64 32` makes one"
        )
    return key


def read_key_file(path: Path) -> bytes:
    """Read a key from a file that only its owner can read. Raises ValueError."""
    try:
        text = path.read_text("utf-8")
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise ValueError(f"the key file {path} cannot be read: {error}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"the key file {path} can be read by others: chmod 600 {path}")
    return parse_key(text)


def create_key_file(path: Path) -> None:
    """Write a new key to a file for its owner alone. Raises FileExistsError: keys are not replaced.

    Without the file, what it has encrypted is lost.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
