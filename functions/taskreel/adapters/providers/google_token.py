"""Bearer tokens of the service account that this code runs as, from Google Cloud's metadata server."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from taskreel.adapters.providers.http import Http

SERVER = "http://metadata.google.internal"
PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
#: The server itself hands out a token until five minutes before its end.
MARGIN_SECONDS = 240


class MetadataToken:
    """The `key` of `Google` on Vertex: called before each request, it asks again only when a token is about to end."""

    def __init__(
        self,
        *,
        base_url: str = SERVER,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        headers = {"metadata-flavor": "Google"}
        self._http = Http(
            "google",
            base_url=base_url,
            hosts=(),
            headers=headers,
            transport=transport,
            read_seconds=5.0,
        )
        self._monotonic = monotonic
        self._token = ""
        self._ends_at = 0.0

    async def __call__(self) -> str:
        """A token that holds for some minutes more; ProviderDownError when there is no such server."""
        if not self._token or self._monotonic() >= self._ends_at:
            reply = await self._http.call("GET", PATH)
            with self._http.reading():
                self._token = str(reply["access_token"])
                self._ends_at = self._monotonic() + float(reply["expires_in"]) - MARGIN_SECONDS
        return self._token
