"""Keys that are derived from LINK_KEY, one for each purpose."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence


def derive_keys(keys: Sequence[str], purpose: str) -> list[bytes]:
    """The keys for one purpose: what they sign can never pass for anything else.

    Who knows one of them learns nothing of those for other purposes.
    """
    return [
        hmac.digest(key.encode(), f"taskreel {purpose}".encode(), hashlib.sha256) for key in keys
    ]
