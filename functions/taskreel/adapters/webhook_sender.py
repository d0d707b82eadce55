"""Sends client webhooks: signed by Standard Webhooks, never to a private address, bounded.

The address that is checked is the address that is connected to. Redirects are not followed, and of
an answer only the beginning is read. Its libraries are imported on first use: cold start.
"""

from __future__ import annotations

import asyncio
import base64
import email.utils
import ipaddress
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from taskreel.app.request_trace import build_trace_parent
from taskreel.domain.errors import InvalidError
from taskreel.domain.webhook_events import ANSWER_SECONDS, Signature
from taskreel.ports import WebhookMessage

if TYPE_CHECKING:
    import httpx

    from taskreel.domain.client_webhook import SigningKey, WebhookAnswer

_BODY_BYTES = 2048
_LONGEST_ERROR = 200


class WebhookSender:
    """`SendWebhook` over httpx. Only the origins of `private` may be private, or without TLS."""

    def __init__(
        self, private: Sequence[str] = (), transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._private = frozenset(_origin(url) for url in private)
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    def check_url(self, url: str, path: str, /) -> None:
        """Raise InvalidError, with the field's path, for an address that cannot get webhooks."""
        problem = self._find_problem(url)
        if problem is not None:
            raise InvalidError.at(path, problem)

    def public_key(self, key: SigningKey, /) -> str | None:
        """The public half of an Ed25519 key, `whpk_…`; None for a shared secret."""
        if key.kind is not Signature.ED25519:
            return None
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = Ed25519PrivateKey.from_private_bytes(_decode_secret(key))
        raw = private.public_key().public_bytes_raw()
        return f"whpk_{base64.b64encode(raw).decode()}"

    async def send(self, message: WebhookMessage, /) -> WebhookAnswer:
        """Post the message once. Raises nothing."""
        from taskreel.domain.client_webhook import WebhookAnswer

        problem = self._find_problem(message.url)
        if problem is not None:
            return WebhookAnswer(error=f"The address {problem}.")
        headers = {
            **message.headers,
            "Content-Type": "application/json",
            "User-Agent": "Taskreel-Webhooks",
            "Accept-Encoding": "identity",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(message.at.timestamp())),
        }
        if message.keys:
            headers["webhook-signature"] = " ".join(_sign(key, message) for key in message.keys)
        parent = build_trace_parent()
        if parent is not None:
            headers["traceparent"] = parent
        started = time.perf_counter()
        answer = await self._post(message, headers)
        took = round((time.perf_counter() - started) * 1000)
        return answer.model_copy(update={"milliseconds": took})

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _post(self, message: WebhookMessage, headers: dict[str, str]) -> WebhookAnswer:
        import httpx

        from taskreel.domain.client_webhook import WebhookAnswer

        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._exchange(message, headers)
        except TimeoutError:
            # It answers no message in time: the others of its messages wait, and hold no place.
            return WebhookAnswer(
                error=f"It did not answer within {ANSWER_SECONDS:.0f} s.",
                retry_after=timedelta(seconds=60),
            )
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            reason = str(error)[:_LONGEST_ERROR] or type(error).__name__
            return WebhookAnswer(error=f"It could not be reached: {reason}")

    async def _exchange(self, message: WebhookMessage, headers: dict[str, str]) -> WebhookAnswer:
        import httpx

        from taskreel.adapters.public_addresses import is_public, resolve_host
        from taskreel.domain.client_webhook import WebhookAnswer

        parts = httpx.URL(message.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            addresses = await resolve_host(parts.host, port)
        except OSError:
            return WebhookAnswer(error=f"The host name {parts.host} has no address.")
        if _origin(message.url) not in self._private and not all(map(is_public, addresses)):
            return WebhookAnswer(error=f"{parts.host} has a private address.")
        # To the address that was checked: a name that resolves otherwise a second time gains
        # nothing. The host's name is for TLS and for the server.
        request = httpx.Request(
            "POST",
            parts.copy_with(host=addresses[0]),
            content=message.body.encode(),
            headers={**headers, "Host": parts.netloc.decode()},
            extensions={
                "sni_hostname": parts.host,
                "timeout": httpx.Timeout(ANSWER_SECONDS).as_dict(),
            },
        )
        response = await self._open_client().send(request, stream=True)
        try:
            return WebhookAnswer(
                status=response.status_code,
                body=await _read_start(response),
                retry_after=_read_retry_after(response, message.at),
            )
        finally:
            await response.aclose()

    def _open_client(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx

            self._client = httpx.AsyncClient(
                transport=self._transport, follow_redirects=False, trust_env=False
            )
        return self._client

    def _find_problem(self, url: str) -> str | None:
        """The reason why an address cannot get webhooks, as far as it can be known without DNS."""
        import httpx

        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            httpx.URL(url)
        except (ValueError, httpx.InvalidURL):
            return "is not a complete https:// URL"
        is_private = host.rpartition(".")[2] == "localhost" or _is_private_literal(host)
        if parts.scheme not in {"http", "https"} or not host or port == 0:
            problem = "must be a complete https:// URL"
        elif not url.isprintable() or " " in url:
            problem = "must not contain spaces or control characters"
        elif "@" in parts.netloc:
            problem = "must not contain a user or a password: receivers verify the signature"
        elif _origin(url) in self._private:
            problem = None
        elif is_private:
            problem = (
                "must be a public https:// address; on a machine of your own, allow this one by "
                f"WEBHOOK_PRIVATE_ORIGINS={'://'.join(_origin(url))} when you start the stack"
            )
        else:
            problem = None if parts.scheme == "https" else "must begin with https://"
        return problem


def _sign(key: SigningKey, message: WebhookMessage) -> str:
    """One signature: its version, a comma, and base64."""
    if key.kind is Signature.ED25519:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        text = f"{message.id}.{int(message.at.timestamp())}.{message.body}"
        raw = Ed25519PrivateKey.from_private_bytes(_decode_secret(key)).sign(text.encode())
        return f"v1a,{base64.b64encode(raw).decode()}"
    from standardwebhooks.webhooks import Webhook

    # The package replaces the time's zone by UTC, whatever it was.
    signature: str = Webhook(key.secret).sign(message.id, message.at.astimezone(UTC), message.body)
    return signature


def _decode_secret(key: SigningKey) -> bytes:
    return base64.b64decode(key.secret.partition("_")[2])


async def _read_start(response: httpx.Response) -> str:
    """The first two kilobytes of an answer; the rest is never read."""
    start = b""
    async for chunk in response.aiter_raw():
        start += chunk[: _BODY_BYTES - len(start)]
        if len(start) >= _BODY_BYTES:
            break
    text = start.decode("utf-8", "replace")
    return "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)


def _read_retry_after(response: httpx.Response, at: datetime) -> timedelta | None:
    """Retry-After in seconds or as a date; None when it is absent or unreadable."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        return timedelta(seconds=int(text))
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(timedelta(0), aware - at)


def _is_private_literal(host: str) -> bool:
    from taskreel.adapters.public_addresses import is_public

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return not is_public(host)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
