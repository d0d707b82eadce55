"""Brings a URL that a user named to disk, with limits and a guard against private addresses."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from taskreel.domain.errors import PermanentError, TemporaryError

_REDIRECTS = 3
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_FINAL = frozenset({400, 401, 403, 404, 405, 406, 410, 415, 451})


class Fetcher:
    """`Fetch` over httpx. Only the origins in `own` (this deployment's own files) may be at a private address.

    The address that was checked is the address that is called: a name that changes its answer gains nothing.
    """

    def __init__(
        self, own: Sequence[str] = (), transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._own = frozenset(_origin(url) for url in own)
        self._client = httpx.AsyncClient(
            transport=transport, follow_redirects=False, trust_env=False
        )

    async def __call__(self, url: str, target: Path, /, *, max_bytes: int, seconds: float) -> str:
        try:
            async with asyncio.timeout(seconds):
                return await self._follow(url, target, max_bytes)
        except TimeoutError:
            raise TemporaryError(
                f"{_shown(url)} took longer than {seconds:.0f} s.", code="input_timeout"
            ) from None
        except (
            httpx.InvalidURL,
            ValueError,
        ) as error:  # a ValueError from the names' encoding, or from urllib
            raise PermanentError(
                "This is no URL that can be fetched.", code="input_invalid"
            ) from error
        except httpx.HTTPError as error:
            raise TemporaryError(
                f"{_shown(url)} could not be fetched.", code="input_unreachable"
            ) from error

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def _follow(self, url: str, target: Path, max_bytes: int) -> str:
        for _ in range(_REDIRECTS + 1):
            request = await self._request(url)
            response = await self._client.send(request, stream=True)
            try:
                if response.has_redirect_location:
                    url = urljoin(url, response.headers["location"])
                    continue
                return await _save(response, url, target, max_bytes)
            finally:
                await response.aclose()
        raise PermanentError(
            f"{_shown(url)} redirects more than {_REDIRECTS} times.", code="input_unreachable"
        )

    async def _request(self, url: str) -> httpx.Request:
        """A request to the checked address, with the name where TLS and the server look for it."""
        parts = httpx.URL(url)
        if parts.scheme not in {"http", "https"} or not parts.host:
            raise PermanentError(f"{_shown(url)} is not an http(s) URL.", code="input_invalid")
        address = await self._address(url, parts)
        headers = {"Host": parts.netloc.decode(), "User-Agent": "Taskreel"}
        extensions = {"sni_hostname": parts.host, "timeout": httpx.Timeout(30).as_dict()}
        return httpx.Request(
            "GET", parts.copy_with(host=address), headers=headers, extensions=extensions
        )

    async def _address(self, url: str, parts: httpx.URL) -> str:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                parts.host, port, type=socket.SOCK_STREAM
            )
        except OSError as error:
            raise TemporaryError(
                f"{parts.host} has no address.", code="input_unreachable"
            ) from error
        addresses = [str(entry[4][0]) for entry in found]
        if _origin(url) not in self._own and not all(map(_public, addresses)):
            raise PermanentError(
                f"{parts.host} is a private address; inputs must be public.", code="input_forbidden"
            )
        return addresses[0]


async def _save(response: httpx.Response, url: str, target: Path, max_bytes: int) -> str:
    if response.status_code in _FINAL:
        message = f"{_shown(url)} answered {response.status_code}; is it public, and still there?"
        raise PermanentError(message, code="input_unreachable")
    if response.status_code != httpx.codes.OK:
        raise TemporaryError(
            f"{_shown(url)} answered {response.status_code}.", code="input_unreachable"
        )
    size = 0
    with target.open("wb") as file:
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > max_bytes:
                raise PermanentError(
                    f"{_shown(url)} is larger than {max_bytes >> 20} MiB.", code="input_too_large"
                )
            file.write(chunk)
    return (
        response.headers.get("content-type", "").split(";")[0].strip() or "application/octet-stream"
    )


def _public(address: str) -> bool:
    """Whether everybody can reach it; of an IPv6 address that stands for an IPv4 one, whether everybody can that."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        teredo = ip.teredo[1] if ip.teredo else None
        nat64 = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
        if any(
            inner is not None and not inner.is_global
            for inner in (ip.ipv4_mapped, ip.sixtofour, teredo, nat64)
        ):
            return False
    return ip.is_global and not ip.is_multicast


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _shown(url: str) -> str:
    """The URL without its query, which may hold a signature."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"[:200]
