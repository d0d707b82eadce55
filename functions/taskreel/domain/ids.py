"""Ids are random or hashed, never sequential: neighbours in time must not be neighbours in the store."""

from __future__ import annotations

import base64
import hashlib
import re
from random import Random

#: What `is_user_id` asks, in words.
USER_ID = "1 to 256 characters without a slash, other than `.`, `..` and `__…__`"


def is_user_id(text: str) -> bool:
    """Whether the text may be a user's: it names a document, so Firestore's rules for ids hold everywhere."""
    return re.fullmatch(r"(?!\.\.?$|__.*__$)[^/]{1,256}", text, re.DOTALL) is not None


def _text(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def random_id(random: Random) -> str:
    """26 letters and digits (128 random bits)."""
    return _text(random.getrandbits(128).to_bytes(16))


def random_job_id(random: Random) -> str:
    """`job_` and a random id."""
    return f"job_{random_id(random)}"


def child_job_id(parent_id: str, round_: int, step: str, index: int) -> str:
    """The one id of a pipeline's job, so that creating it twice is creating it once."""
    return keyed_job_id(parent_id, f"{round_}.{step}.{index}")


def keyed_job_id(user_id: str, idempotency_key: str) -> str:
    """The one job id of a user's idempotency key, so that the job itself is the record of the key."""
    # Each part hashed alone: no character in one can move the border between the two.
    parts = [hashlib.sha256(part.encode()).digest() for part in (user_id, idempotency_key)]
    digest = hashlib.sha256(b"".join(parts)).digest()
    return f"job_{_text(digest[:16])}"
