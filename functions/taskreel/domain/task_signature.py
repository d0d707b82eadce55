"""The signature of a task: it proves that its sender has the internal key, without showing it.

It is bound to the path and the body. Who reads a task can at most have that same task delivered
again, which every delivery allows for.
"""

from __future__ import annotations

import hmac

#: A signature begins so; no key of ours does.
SIGNATURE_PREFIX = "hmac-sha256="


def sign_task(key: str, path: str, body: bytes) -> str:
    """The value of X-Internal-Api-Key for this body, in place of the key."""
    return (
        SIGNATURE_PREFIX + hmac.digest(key.encode(), path.encode() + b"\n" + body, "sha256").hex()
    )
