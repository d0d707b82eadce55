"""Signed links to files on the API's own host.

Replicate's client reads a result with its token in the request and follows no redirect. A bucket
would get a token that it does not know beside the signature of its own URL; so these files come
through the API.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

from taskreel.domain.errors import ForbiddenError
from taskreel.web.derived_keys import derive_keys


class FileLinks:
    """Makes and checks links; signs by the first of the keys (LINK_KEY)."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = derive_keys(keys, "file links")

    def make(self, url: str, path: str, now: datetime, lifetime: timedelta) -> str:
        """The link to `path` below `url`, for everybody who has it, until its end."""
        expires = int((now + lifetime).timestamp())
        signature = self._sign(self._keys[0], path, expires)
        query = urlencode({"expires": expires, "signature": signature})
        return f"{url}/{quote(path)}?{query}"

    def check(self, path: str, expires: str, signature: str, now: datetime) -> None:
        """Raise ForbiddenError unless the link was made here and has not expired."""
        if not expires.isdecimal() or len(expires) > 12:
            raise ForbiddenError("The link has no valid `expires`; read the result again.")
        signed = [self._sign(key, path, int(expires)) for key in self._keys]
        given = signature.encode()
        if not any(hmac.compare_digest(one.encode(), given) for one in signed):
            raise ForbiddenError("The link's signature does not match; read the result again.")
        if now.timestamp() >= int(expires):
            raise ForbiddenError("The link has expired; read the result again for a fresh one.")

    @staticmethod
    def _sign(key: bytes, path: str, expires: int) -> str:
        return hmac.digest(key, f"{expires}\n{path}".encode(), hashlib.sha256).hex()
