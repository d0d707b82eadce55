"""HTTP to generation services: which hosts may get a key, and which error a failure becomes.

The errors (`domain.errors`) of a failed request:

    not sent: no connection          ProviderDownError
    not sent: our own shortage       RateLimitedError: a wait, without blame
    sent, no answer, a paid create   AmbiguousError: it may have been bought; never repeated
    sent, no answer, anything else   ProviderDownError
    402, or a "no credit" code       PermanentError provider_out_of_credit
    a moderation code                PermanentError moderation
    404, or a "no such model" code   PermanentError model_retired (a create), else operation_unknown
    401, 403, or "key not valid"     PermanentError provider_auth
    408, 409, 425                    TemporaryError
    429                              RateLimitedError rate_limited, provider_busy or daily_limit
    504 to a create                  AmbiguousError: the service behind it may have accepted
    other 5xx                        ProviderDownError
    anything else                    PermanentError provider_rejected, with the text sanitised
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any

import httpx

from taskreel.adapters.providers.connection_errors import (
    build_shortage_error,
    is_refusal,
    is_shortage,
)
from taskreel.adapters.providers.error_replies import (
    BAD_KEY_TEXT,
    MISSING,
    MODERATION,
    ErrorReply,
    parse_retry_after,
)
from taskreel.adapters.providers.provider_errors import (
    KEY_REFUSED,
    NO_CREDIT,
    AmbiguousError,
    sanitise_text,
)
from taskreel.app.request_trace import build_trace_parent
from taskreel.domain.errors import (
    PermanentError,
    ProviderDownError,
    RateLimitedError,
    RunError,
    TemporaryError,
)

log = logging.getLogger(__name__)

#: Raised before a byte of the request was sent, so nothing can have been bought.
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.LocalProtocolError,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
KEY_HEADERS = ("authorization", "x-key", "xi-api-key", "x-goog-api-key")
#: The largest answer: ten pictures as base64, or a film, with room to spare. It is held in memory.
MAX_ANSWER_BYTES = 128 << 20
#: Raised by reading a JSON value that has another shape.
NOT_AS_DOCUMENTED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class ProviderClient:
    """The HTTP client of one provider.

    `hosts` may get its key: `bfl.ai` allows https to it and its subdomains, `http://127.0.0.1:8123`
    that origin. The base URL's own origin is always allowed.
    """

    def __init__(  # noqa: PLR0913  # each is one thing that providers differ in
        self,
        provider: str,
        *,
        base_url: str,
        hosts: Sequence[str],
        headers: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None,
        read_seconds: float = 30.0,
        rate_limit_wait: timedelta = timedelta(seconds=30),
        missing_code: str = "model_retired",
    ) -> None:
        self.provider = provider
        self._origins = tuple(host for host in (base_url, *hosts) if "://" in host)
        self._domains = tuple(host for host in hosts if "://" not in host)
        self._base_url = base_url
        # A key read from a file often ends in a newline.
        self._headers = {name: value.strip() for name, value in headers.items()}
        self._transport = transport
        self._read_seconds = read_seconds
        self._rate_limit_wait = rate_limit_wait
        self._missing_code = missing_code

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        # Made on first use: loading the certificates takes longer than most requests.
        return httpx.AsyncClient(
            base_url=self._base_url,
            headers={"Accept-Encoding": "identity", **self._headers},
            transport=self._transport,
            timeout=httpx.Timeout(self._read_seconds, connect=5.0, pool=5.0),
            # A create over an idle connection that the provider is closing would be ambiguous.
            limits=httpx.Limits(max_connections=50, keepalive_expiry=4.0),
            follow_redirects=False,
        )

    async def send(
        self,
        method: str,
        url: str,
        *,
        creates: str | None = None,
        accepts: Sequence[int] = (),
        **content: Any,
    ) -> httpx.Response:
        """Send one request, never repeated, and read its whole answer; raises a RunError.

        `creates` names the paid work that the request starts, for the messages; None means that the
        request may be repeated at no cost. `accepts` are statuses that are answers too, beside 2xx.
        `content` is httpx's: json, data, files, params, headers.
        """
        try:
            request = self._client.build_request(method, str(url), **content)
            self._check_host(request.url)
            parent = build_trace_parent()
            if parent is not None:
                request.headers["traceparent"] = parent
            # httpx limits each read, not the whole request.
            async with asyncio.timeout(self._read_seconds + 10):
                response = await _read_answer(await self._client.send(request, stream=True))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise self._build_connection_error(error, creates) from error
        except OSError as error:
            # httpx wraps those of its sockets; this one is of the client itself, which reads the
            # certificates when it is built, and nothing was sent.
            if not is_shortage(error):
                raise
            raise build_shortage_error(self.provider) from error
        if response.is_success or response.status_code in accepts:
            return response
        raise self._build_refusal_error(response, creates)

    async def request_json(
        self, method: str, url: str, *, creates: str | None = None, **content: Any
    ) -> dict[str, Any]:
        """`send`, with the answer read as a JSON object."""
        response = await self.send(method, url, creates=creates, **content)
        return self.parse_object(response, creates=creates)

    def parse_object(
        self, response: httpx.Response, *, creates: str | None = None
    ) -> dict[str, Any]:
        """The JSON object of an answer; AmbiguousError where a create answers with none."""
        try:
            body = response.json()
        except ValueError:
            body = None
        if isinstance(body, dict):
            return body
        self._log_response("provider did not answer with a JSON object", response)
        raise self.build_unclear_error(creates, "answered with something that is not JSON")

    def require_text(self, reply: Mapping[str, Any], field: str, creates: str) -> str:
        """A field that identifies the accepted work; AmbiguousError where it is missing."""
        value = reply.get(field)
        if isinstance(value, str) and value:
            return value
        raise self.build_unclear_error(creates, f"answered without the field {field!r}")

    @contextlib.contextmanager
    def parsing_reply(self, creates: str | None = None) -> Iterator[None]:
        """Turn the exceptions of reading an answer in an undocumented shape into a RunError."""
        try:
            yield
        except NOT_AS_DOCUMENTED as error:
            log.exception(
                "provider answered in an undocumented shape", extra={"provider": self.provider}
            )
            raise self.build_unclear_error(
                creates, "answered in a shape that is not documented"
            ) from error

    def build_unclear_error(self, creates: str | None, event: str) -> RunError:
        """The error where it is unknown whether the provider accepted the request.

        Paid work must not be bought twice: an unclear create is ambiguous, and never repeated.
        """
        if creates is None:
            return ProviderDownError(f"{self.provider} {event}", provider=self.provider)
        return AmbiguousError(
            f"{self.provider} {event} after a request for {creates}; it may have been accepted",
            provider=self.provider,
        )

    async def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            await self._client.aclose()

    def _check_host(self, url: httpx.URL) -> None:
        """Refuse to send the key outside the provider's own hosts, whatever a reply says."""
        if any(is_same_origin(url, httpx.URL(origin)) for origin in self._origins):
            return
        if url.scheme == "https" and any(
            url.host == domain or url.host.endswith(f".{domain}") for domain in self._domains
        ):
            return
        log.error(
            "provider named a foreign host", extra={"provider": self.provider, "host": url.host}
        )
        raise PermanentError(
            f"{self.provider} named an address outside its own domain; nothing was sent there",
            code="untrusted_host",
            provider=self.provider,
        )

    def _build_connection_error(self, error: Exception, creates: str | None) -> RunError:
        log.warning(
            "provider request failed", extra={"provider": self.provider, "error": repr(error)}
        )
        if isinstance(error, httpx.InvalidURL):
            return PermanentError(
                f"{self.provider} named a malformed address", code="untrusted_host"
            )
        if not isinstance(error, NOT_SENT):
            found = self.build_unclear_error(creates, "did not answer")
        elif is_shortage(error):
            return build_shortage_error(self.provider)
        else:
            found = ProviderDownError(f"{self.provider} cannot be reached", provider=self.provider)
        # Other than a refused connection, it may be due to this instance or its network.
        found.unanswered = not is_refusal(error)
        return found

    def _build_refusal_error(self, response: httpx.Response, creates: str | None) -> RunError:
        self._log_response("provider refused a request", response)
        error = self._classify_refusal(response, creates)
        # For the job's record, which administrators read; users see the message alone.
        error.details["answer"] = response.text
        return error

    def _classify_refusal(self, response: httpx.Response, creates: str | None) -> RunError:
        status, reply = response.status_code, ErrorReply.parse(response)
        if permanent := self._find_permanent_reason(status, reply, creates):
            code, reason = permanent
            return PermanentError(
                f"{self.provider} {reason}", code=code, provider=self.provider, status=status
            )
        if status == 429:
            return self._build_rate_limit_error(response, reply)
        if status == 504:
            return self.build_unclear_error(creates, "timed out")
        if status >= 500:
            return ProviderDownError(
                f"{self.provider} answered with the server error {status}",
                provider=self.provider,
                status=status,
            )
        message = f"{self.provider} cannot take the request now: {sanitise_text(reply.text)}"
        return TemporaryError(message, provider=self.provider, status=status)

    def _find_permanent_reason(
        self, status: int, reply: ErrorReply, creates: str | None
    ) -> tuple[str, str] | None:
        """The code and text of a refusal that no retry changes; None where one may help."""
        found = None
        if status == 402 or reply.no_credit:
            found = "provider_out_of_credit", NO_CREDIT
        elif reply.codes & MODERATION:
            found = "moderation", "refused the request: its content moderation rejected it"
        elif creates and (status == 404 or reply.codes & MISSING):
            found = self._missing_code, f"does not have {creates}, or no longer has it"
        elif status in {401, 403} or (status == 400 and BAD_KEY_TEXT.search(reply.text)):
            found = "provider_auth", KEY_REFUSED
        elif status == 404:
            found = "operation_unknown", "does not know the operation, or no longer knows it"
        elif status < 500 and status not in {408, 409, 425, 429}:
            found = "provider_rejected", f"rejected the request: {sanitise_text(reply.text)}"
        return found

    def _build_rate_limit_error(
        self, response: httpx.Response, reply: ErrorReply
    ) -> RateLimitedError:
        said = f"{' '.join(reply.codes)} {reply.text}".lower()
        wait = self._rate_limit_wait
        if "concurren" in said or "active task" in said:
            code = "provider_busy"
            reason = "already runs as many of our requests as it allows at the same time"
        elif "daily" in said:
            code, wait = "daily_limit", timedelta(hours=1)
            reason = "reports that our daily limit is used up"
        else:
            code, reason = "rate_limited", "reports that it is called too often"
        return RateLimitedError(
            f"{self.provider} {reason}",
            code=code,
            retry_after=parse_retry_after(response) or wait,
            provider=self.provider,
        )

    def _log_response(self, event: str, response: httpx.Response) -> None:
        """Log the provider's whole text for operators, without our key should it be echoed."""
        text = response.text
        for header in KEY_HEADERS:
            for secret in response.request.headers.get(header, "").split(" "):
                text = text.replace(secret, "[key]") if len(secret) > 6 else text
        log.warning(
            event,
            extra={
                "provider": self.provider,
                "status": response.status_code,
                "path": response.request.url.path,
                "body": text[:20_000],
            },
        )


async def _read_answer(response: httpx.Response) -> httpx.Response:
    """Read the whole answer, bounded on the wire and decoded.

    We ask for no compression; should a service compress anyway, one layer of gzip is undone, since
    the answer may be to a paid request. Raises httpx.DecodingError for any other coding, and for an
    answer of more than MAX_ANSWER_BYTES.
    """
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise httpx.DecodingError("the answer is too large", request=response.request)
    finally:
        await response.aclose()
    headers = response.headers.copy()
    coding = headers.pop("content-encoding", "").strip().lower()
    headers.pop("content-length", None)
    headers.pop("transfer-encoding", None)
    content = bytes(body)
    if coding in {"gzip", "x-gzip"}:
        content = _decode_gzip(content, response.request)
    elif coding not in {"", "identity"}:
        raise httpx.DecodingError(f"the answer is encoded: {coding}", request=response.request)
    return httpx.Response(
        response.status_code, headers=headers, content=content, request=response.request
    )


def _decode_gzip(content: bytes, request: httpx.Request) -> bytes:
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        decoded = decoder.decompress(content, MAX_ANSWER_BYTES)
    except zlib.error as error:
        raise httpx.DecodingError(str(error), request=request) from error
    if not decoder.eof:
        raise httpx.DecodingError("the answer is cut off or too large", request=request)
    return decoded


def is_same_origin(url: httpx.URL, origin: httpx.URL) -> bool:
    """True if both have the scheme, the host and the port in common."""
    return (url.scheme, url.host, url.port) == (origin.scheme, origin.host, origin.port)
