"""Uploads of input files to the storage that a provider names, which must not get our key.

A provider answers with a signed address, often at another company (a bucket). The address itself
admits the upload; headers of the provider's API are never sent there.
"""

from __future__ import annotations

import logging
from typing import Any

import httpx

from taskreel.adapters.providers.connection_errors import (
    build_shortage_error,
    is_refusal,
    is_shortage,
)
from taskreel.adapters.providers.provider_client import is_same_origin
from taskreel.adapters.public_addresses import is_public
from taskreel.domain.errors import PermanentError, ProviderDownError, TemporaryError

log = logging.getLogger(__name__)

#: A whole file goes in one request.
_SECONDS = 120.0


class FileUploads:
    """The uploads to one provider's storage, without its key."""

    def __init__(
        self, provider: str, *, base_url: str, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        """`base_url`: the API's, whose own host may be reached as it is."""
        self._provider = provider
        self._api = httpx.URL(base_url)
        self._transport = transport

    async def send(self, method: str, url: str, **content: Any) -> httpx.Response:
        """Send a file once; `content` is httpx's: content, data, files, headers.

        An upload costs nothing, so that every failure is worth another try: TemporaryError where
        the storage refuses it (its address may have expired), ProviderDownError without an answer.
        """
        self._check_address(url)
        try:
            # A client for each upload: files are rare, and nothing of the API's client may come
            # along. It reads the machine's certificates: a file that may not open here.
            async with httpx.AsyncClient(
                transport=_Shared(self._transport) if self._transport else None,
                timeout=httpx.Timeout(_SECONDS, connect=5.0),
                follow_redirects=False,
            ) as client:
                response = await client.request(method, url, **content)
        except (httpx.HTTPError, OSError) as error:
            log.warning(
                "provider's storage did not answer",
                extra={"provider": self._provider, "error": repr(error)},
            )
            if is_shortage(error):
                raise build_shortage_error(self._provider) from error
            down = ProviderDownError(
                f"{self._provider}'s storage of input files did not answer",
                provider=self._provider,
            )
            down.unanswered = not is_refusal(error)
            raise down from error
        if not response.is_success:
            log.warning(
                "provider's storage refused a file",
                extra={
                    "provider": self._provider,
                    "status": response.status_code,
                    "body": response.text[:20_000],
                },
            )
            raise TemporaryError(
                f"{self._provider}'s storage of input files refused a file",
                provider=self._provider,
                status=response.status_code,
            )
        return response

    def _check_address(self, text: str) -> None:
        """Refuse an address that is not https on the Internet: a file of a user's goes there."""
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL:
            url = httpx.URL()
        if is_same_origin(url, self._api) or (url.scheme == "https" and is_outside(url.host)):
            return
        log.error(
            "provider named an unsafe address for a file",
            extra={"provider": self._provider, "host": url.host},
        )
        raise PermanentError(
            f"{self._provider} named an address for an input file that is not a public https one; "
            "nothing was sent there",
            code="untrusted_host",
            provider=self._provider,
        )


class _Shared(httpx.AsyncBaseTransport):
    """A transport that others use too: closing it here would close it for them."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._inner.handle_async_request(request)


def is_outside(host: str) -> bool:
    """True for a public address, and for a name that is not one of a local network."""
    try:
        return is_public(host)
    except ValueError:  # a name
        return "." in host and host.rpartition(".")[2] not in {"localhost", "local", "internal"}
