"""Download of URLs that users name: bounded in size and time, and never from a private address.

Compressed transfers are refused: a few kilobytes of nested gzip decode to gigabytes, in one step
that no time limit interrupts. The bytes that are counted are those of the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from taskreel.adapters.public_addresses import is_public, resolve_host
from taskreel.domain.errors import PermanentError, TemporaryError

_MAX_REDIRECTS = 3
#: Digits of a Content-Length; more than any file has.
_LONGEST_LENGTH = 18
#: HTTP statuses that another try does not change.
_PERMANENT_STATUSES = frozenset({400, 401, 403, 404, 405, 406, 410, 415, 451})


class Fetcher:
    """`Fetch` over httpx. Only the origins of `own` may be at a private address.

    `own` are the URLs of this deployment's own files. The address that is checked is the address
    that is connected to, so a host name that resolves differently the second time gains nothing.
    """

    def __init__(
        self, own: Sequence[str] = (), transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._own_origins = frozenset(_origin(url) for url in own)
        self._client = httpx.AsyncClient(
            transport=transport, follow_redirects=False, trust_env=False
        )

    async def __call__(
        self,
        url: str,
        target: Path,
        /,
        *,
        max_bytes: int,
        seconds: float,
        admit: Callable[[int], None] | None = None,
    ) -> str:
        sink = _Sink(target, max_bytes, admit)
        try:
            async with asyncio.timeout(seconds):
                return await self._download(url, sink)
        except TimeoutError:
            raise TemporaryError(
                f"Downloading {_without_query(url)} took longer than {seconds:.0f} s.",
                code="input_timeout",
            ) from None
        except (httpx.InvalidURL, ValueError) as error:
            # A ValueError comes from encoding the host name, or from urllib.
            raise PermanentError(
                "An input's URL is not valid. Give a complete http:// or https:// URL.",
                code="input_invalid",
            ) from error
        except httpx.HTTPError as error:
            raise TemporaryError(
                f"{_without_query(url)} could not be downloaded: its server did not answer.",
                code="input_unreachable",
            ) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _download(self, url: str, sink: _Sink) -> str:
        """Follow redirects to the file; every address on the way is checked."""
        for _ in range(_MAX_REDIRECTS + 1):
            request = await self._build_request(url)
            response = await self._client.send(request, stream=True)
            try:
                if response.has_redirect_location:
                    url = urljoin(url, response.headers["location"])
                    continue
                return await _save_body(response, url, sink)
            finally:
                await response.aclose()
        raise PermanentError(
            f"{_without_query(url)} redirects more than {_MAX_REDIRECTS} times.",
            code="input_unreachable",
        )

    async def _build_request(self, url: str) -> httpx.Request:
        """A request to the checked address, with the host name for TLS and for the server."""
        parts = httpx.URL(url)
        if parts.scheme not in {"http", "https"} or not parts.host:
            raise PermanentError(
                f"{_without_query(url)} is not an http(s) URL.", code="input_invalid"
            )
        address = await self._resolve_address(url, parts)
        headers = {
            "Host": parts.netloc.decode(),
            "User-Agent": "Taskreel",
            "Accept-Encoding": "identity",
        }
        extensions = {"sni_hostname": parts.host, "timeout": httpx.Timeout(30).as_dict()}
        return httpx.Request(
            "GET", parts.copy_with(host=address), headers=headers, extensions=extensions
        )

    async def _resolve_address(self, url: str, parts: httpx.URL) -> str:
        """The host's first address. Raises PermanentError if any of its addresses is private."""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            addresses = await resolve_host(parts.host, port)
        except OSError as error:
            raise TemporaryError(
                f"The host name {parts.host} has no address.", code="input_unreachable"
            ) from error
        if _origin(url) not in self._own_origins and not all(map(is_public, addresses)):
            raise PermanentError(
                f"{parts.host} is a private address; inputs must be public.",
                code="input_forbidden",
            )
        return addresses[0]


@dataclass(frozen=True, slots=True)
class _Sink:
    """The file that a body is written to, and the bounds of its size."""

    target: Path
    max_bytes: int
    admit: Callable[[int], None] | None

    def admit_bytes(self, size: int, total: int, name: str) -> None:
        """Admit `size` more bytes, `total` with them. Raises PermanentError or `admit`'s error."""
        # First the caller's own check, which knows the field that named the file.
        if self.admit is not None:
            self.admit(size)
        if total > self.max_bytes:
            raise PermanentError(
                f"{name} is larger than {self.max_bytes >> 20} MiB.", code="input_too_large"
            )


async def _save_body(response: httpx.Response, url: str, sink: _Sink) -> str:
    """Write the response's body to the sink; return its content type without parameters.

    A length that the server announces is admitted before the first byte of the body is read.
    """
    name = _without_query(url)
    if response.status_code in _PERMANENT_STATUSES:
        raise PermanentError(
            f"{name} answered {response.status_code}. Check that the file exists and is public.",
            code="input_unreachable",
        )
    if response.status_code != httpx.codes.OK:
        raise TemporaryError(f"{name} answered {response.status_code}.", code="input_unreachable")
    _refuse_encoded_body(response, name)
    admitted = _announced_length(response)
    sink.admit_bytes(admitted, admitted, name)
    size = 0
    with sink.target.open("wb") as file:
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > admitted:
                sink.admit_bytes(size - admitted, size, name)
                admitted = size
            file.write(chunk)
    content_type = response.headers.get("content-type", "").split(";")[0].strip()
    return content_type or "application/octet-stream"


def _announced_length(response: httpx.Response) -> int:
    """The Content-Length; 0 when there is none, or none that is a number."""
    text = response.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_LENGTH else 0


def _refuse_encoded_body(response: httpx.Response, name: str) -> None:
    """Raise PermanentError for a body with a Content-Encoding; we asked for none."""
    # Several header lines are one list; an empty element says nothing.
    listed = response.headers.get("content-encoding", "").split(",")
    codings = {coding.strip().lower() for coding in listed}
    refused = sorted(codings - {"", "identity"})
    if refused:
        raise PermanentError(
            f"{name} was sent with Content-Encoding {', '.join(refused)[:60]}. "
            "Serve the file without compression in transit (Content-Encoding).",
            code="input_encoded",
        )


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _without_query(url: str) -> str:
    """The URL for an error text. Its query may contain a signature, so it is omitted."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"[:200]
