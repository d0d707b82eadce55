"""The page at `/`: queues, tasks and deliveries, live. One file, and no other host is asked.

It has no rights of its own: it calls the same API as everybody else, from the same origin.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=1)
def load_page() -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return the page and its headers; read on the first request, not when the service starts."""
    text = resources.files("taskreel_cloud_tasks").joinpath("page.html").read_text("utf-8")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash_of('script', text)}",
            f"style-src {_hash_of('style', text)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-store",
    }
    return text.encode(), [(name.encode(), value.encode()) for name, value in headers.items()]


def _hash_of(tag: str, text: str) -> str:
    """Return the source expression that allows the page's only element of this kind."""
    (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digest = hashlib.sha256(inside.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
