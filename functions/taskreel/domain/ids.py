"""Ids are random or hashed, never sequential: neighbours in time must not be neighbours in the store."""

from __future__ import annotations

import base64
import hashlib
from random import Random


def _text(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def random_id(random: Random) -> str:
    """26 letters and digits (128 random bits)."""
    return _text(random.getrandbits(128).to_bytes(16))


def random_job_id(random: Random) -> str:
    """`job_` and a random id."""
    return f"job_{random_id(random)}"


def keyed_job_id(user_id: str, idempotency_key: str) -> str:
    """The one job id of a user's idempotency key, so that the job itself is the record of the key."""
    digest = hashlib.sha256(f"{user_id}\n{idempotency_key}".encode()).digest()
    return f"job_{_text(digest[:16])}"
