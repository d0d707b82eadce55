"""Bearer tokens of this code's service account, from Google Cloud's metadata server."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from taskreel.adapters.providers.provider_client import ProviderClient

SERVER = "http://metadata.google.internal"
PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
#: The server renews a token five minutes before its end; ask again after that.
MARGIN_SECONDS = 240


class MetadataToken:
    """The `key` of `Google` on Vertex: called before each request, it caches a token until late."""

    def __init__(
        self,
        *,
        base_url: str = SERVER,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = ProviderClient(
            "google",
            base_url=base_url,
            hosts=(),
            headers={"metadata-flavor": "Google"},
            transport=transport,
            read_seconds=5.0,
        )
        self._monotonic = monotonic
        self._token = ""
        self._ends_at = 0.0

    async def __call__(self) -> str:
        """A token valid for some more minutes; ProviderDownError where there is no such server."""
        if not self._token or self._monotonic() >= self._ends_at:
            reply = await self._client.request_json("GET", PATH)
            with self._client.parsing_reply():
                self._token = str(reply["access_token"])
                self._ends_at = self._monotonic() + float(reply["expires_in"]) - MARGIN_SECONDS
        return self._token
