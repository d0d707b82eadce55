"""The one file that talks HTTP to generation services: where a key may go, and what every failure means.

What a failed request becomes (`domain.errors`):

    not sent: no connection          ProviderDownError
    sent, no answer, a paid create   AmbiguousError: it may have been bought, so it is never sent again
    sent, no answer, anything else   ProviderDownError
    402, or words for "no credit"    PermanentError provider_out_of_credit
    moderation's words               PermanentError moderation
    404, or words for "no model"     PermanentError model_retired (a create), operation_unknown (anything else)
    401, 403, or "key not valid"     PermanentError provider_auth
    408, 409, 425                    TemporaryError
    429                              RateLimitedError rate_limited, provider_busy (concurrency), daily_limit
    504 to a create                  AmbiguousError: the gateway gave up, what is behind it may not have
    other 5xx                        ProviderDownError
    anything else                    PermanentError provider_rejected, with the provider's words made presentable
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import httpx

from taskreel.domain.errors import (
    PermanentError,
    ProviderDownError,
    RateLimitedError,
    RunError,
    TemporaryError,
)

log = logging.getLogger(__name__)

#: Raised before a byte of the request left, so nothing can have been bought.
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.LocalProtocolError,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
OUT_OF_CREDIT = frozenset(
    {"insufficient_quota", "quota_exceeded", "payment_required", "billing_hard_limit_reached"}
)
NO_CREDIT_TEXT = re.compile(
    r"(insufficient|out of|exhausted|enough)\s+(credit|balance|fund)", re.IGNORECASE
)
#: Google answers a wrong key with 400.
BAD_KEY_TEXT = re.compile(r"api key (not valid|expired|not found)", re.IGNORECASE)
MISSING = frozenset({"model_not_found", "voice_not_found"})
MODERATION = frozenset(
    {
        "content_moderation",
        "moderation_blocked",
        "content_policy_violation",
        "content_filter",
        "invalid_prompt",
    }
)
KEY_HEADERS = ("authorization", "x-key", "xi-api-key", "x-goog-api-key")
#: A wait that the provider puts in words ("resets in ~30s") or in its body (google.rpc.RetryInfo).
WAIT_IN_TEXT = re.compile(
    r"(?:resets? in|retry in|try again in|retry after|\"retryDelay\":)\W*(\d+(?:\.\d+)?) ?(ms|s|m)?"
)
#: What a user must not be shown: addresses, keys and account names, long opaque words.
UNFIT = re.compile(
    r"""https?://\S+ | data:\S+ | [\w.+-]+@[\w-]+\.[\w.-]+ | \b(?:Bearer|Basic)\s+\S+
    | \b(?:sk|pk|key|r8|org|proj|user|acct|req)[-_][\w*.-]{4,} | [\w+/=*-]{28,} | \b\d{1,3}(?:\.\d{1,3}){3}\b""",
    re.VERBOSE | re.IGNORECASE,
)
#: What taking apart a JSON value of another shape raises.
NOT_AS_DOCUMENTED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class AmbiguousError(PermanentError):
    """A paid create was sent and its answer never came: it may be running. An operator resolves it."""

    code = "ambiguous_create"


class OperationFailedError(TemporaryError):
    """The operation ended without a result: another attempt must start anew, not resume it."""

    code = "operation_failed"

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message, code=code, **details, ended=True)


def moderated(provider: str, **details: Any) -> PermanentError:
    """What a provider's moderation held back; no retry and no other account helps."""
    return PermanentError(
        f"{provider} refused the request: its moderation objects", code="moderation", **details
    )


def failed(provider: str, said: Any, **details: Any) -> OperationFailedError:
    """What the provider gave up on, with its words if it has any."""
    words = presentable(str(said or "no reason given"))
    return OperationFailedError(f"{provider} failed: {words}", provider=provider, **details)


def no_output(provider: str) -> OperationFailedError:
    """A success with nothing in it."""
    return OperationFailedError(
        f"{provider} finished without a result", code="no_output", provider=provider
    )


def presentable(text: str, limit: int = 200) -> str:
    """A provider's words as a user may see them: one line, no keys, addresses or names of accounts."""
    line = " ".join(UNFIT.sub("…", text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error answer taken apart: its machine words and its text, whichever of the known shapes it has."""

    words: frozenset[str]
    text: str

    @classmethod
    def of(cls, response: httpx.Response) -> Complaint:
        """Read `{error: {…}}`, `{detail: …}`, `{name, errors}`, a list of one of them, or plain text."""
        try:
            body = response.json()
        except ValueError:
            body = response.text
        words = {*_words(body), response.headers.get("x-fal-error-type", "")}
        return cls(frozenset(words - {""}), _text(body) or response.reason_phrase)

    @property
    def no_credit(self) -> bool:
        """Whether more money, not more time, is what it asks for."""
        return bool(self.words & OUT_OF_CREDIT) or NO_CREDIT_TEXT.search(self.text) is not None


class Http:
    """One provider's connections.

    `hosts` are where its key may go: `bfl.ai` allows https to it and below it, `http://127.0.0.1:8123` that origin.
    The base URL's own origin always is allowed.
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
        patience: timedelta = timedelta(seconds=30),
        missing: str = "model_retired",
    ) -> None:
        self.provider = provider
        self._origins = tuple(host for host in (base_url, *hosts) if "://" in host)
        self._domains = tuple(host for host in hosts if "://" not in host)
        self._base_url = base_url
        self._headers = {
            name: value.strip() for name, value in headers.items()
        }  # secrets love to end in a newline
        self._transport = transport
        self._read_seconds = read_seconds
        self._patience = patience
        self._missing = missing

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        # Made on first use: loading the certificates takes longer than most requests.
        return httpx.AsyncClient(
            base_url=self._base_url,
            headers=self._headers,
            transport=self._transport,
            timeout=httpx.Timeout(self._read_seconds, connect=5.0, pool=5.0),
            # A kept connection that the provider closes just now would make a create ambiguous.
            limits=httpx.Limits(max_connections=50, keepalive_expiry=4.0),
            follow_redirects=False,
        )

    async def send(
        self,
        method: str,
        url: str,
        *,
        creates: str | None = None,
        fine: Sequence[int] = (),
        **content: Any,
    ) -> httpx.Response:
        """One request, never repeated; its 2xx (or `fine`) answer, read whole, or a RunError.

        `creates` names what the request buys, for the message; without it the request is free to repeat.
        `content` is httpx's: json, data, files, params, headers.
        """
        try:
            request = self._client.build_request(method, str(url), **content)
            self._guard(request.url)
            async with asyncio.timeout(
                self._read_seconds + 10
            ):  # httpx's own limits are per read, not in all
                response = await self._client.send(request)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise self._unreachable(error, creates) from error
        if response.is_success or response.status_code in fine:
            return response
        raise self._refusal(response, creates)

    async def call(
        self, method: str, url: str, *, creates: str | None = None, **content: Any
    ) -> dict[str, Any]:
        """`send`, its answer read as a JSON object."""
        return self.read(await self.send(method, url, creates=creates, **content), creates=creates)

    def read(self, response: httpx.Response, *, creates: str | None = None) -> dict[str, Any]:
        """The answer's JSON object; an answer to a create that is none is ambiguous."""
        try:
            body = response.json()
        except ValueError:
            body = None
        if isinstance(body, dict):
            return body
        self._log("provider answered no JSON object", response)
        raise self._unclear(creates, "answered something that is not JSON")

    def accepted(self, reply: Mapping[str, Any], field: str, creates: str) -> str:
        """The id of the work that a create's answer names."""
        value = reply.get(field)
        if isinstance(value, str) and value:
            return value
        raise self._unclear(creates, f"answered without {field!r}")

    @contextlib.contextmanager
    def reading(self, creates: str | None = None) -> Iterator[None]:
        """Around what takes an answer apart: one that is not as documented is the provider's trouble, not a crash."""
        try:
            yield
        except NOT_AS_DOCUMENTED as error:
            log.exception("provider answered in another shape", extra={"provider": self.provider})
            raise self._unclear(creates, "answered in a shape that is not documented") from error

    async def close(self) -> None:
        """Let go of the connections."""
        if "_client" in self.__dict__:
            await self._client.aclose()

    def _guard(self, url: httpx.URL) -> None:
        """Refuse to carry the key outside the provider's own hosts, whatever a reply says."""
        if any(_same_origin(url, httpx.URL(origin)) for origin in self._origins):
            return
        if url.scheme == "https" and any(
            url.host == d or url.host.endswith(f".{d}") for d in self._domains
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

    def _unreachable(self, error: Exception, creates: str | None) -> RunError:
        log.warning("provider not reached", extra={"provider": self.provider, "error": repr(error)})
        if isinstance(error, httpx.InvalidURL):
            return PermanentError(
                f"{self.provider} named a malformed address", code="untrusted_host"
            )
        if isinstance(error, NOT_SENT):
            return ProviderDownError(f"{self.provider} cannot be reached", provider=self.provider)
        return self._unclear(creates, "did not answer")

    def _unclear(self, creates: str | None, what: str) -> RunError:
        if creates is None:
            return ProviderDownError(f"{self.provider} {what}", provider=self.provider)
        return AmbiguousError(
            f"{self.provider} {what} after {creates} was asked for; it may have been accepted",
            provider=self.provider,
        )

    def _refusal(self, response: httpx.Response, creates: str | None) -> RunError:
        self._log("provider refused", response)
        status, complaint = response.status_code, Complaint.of(response)
        if verdict := self._verdict(status, complaint, creates):
            code, words = verdict
            return PermanentError(
                f"{self.provider} {words}", code=code, provider=self.provider, status=status
            )
        if status == 429:
            return self._too_many(response, complaint)
        if status == 504:
            return self._unclear(creates, "timed out")
        if status >= 500:
            return ProviderDownError(
                f"{self.provider} is having trouble", provider=self.provider, status=status
            )
        asks = f"{self.provider} asks to try again: {presentable(complaint.text)}"
        return TemporaryError(asks, provider=self.provider, status=status)

    def _verdict(
        self, status: int, complaint: Complaint, creates: str | None
    ) -> tuple[str, str] | None:
        """Code and words of a refusal that no further try changes; None where one may."""
        verdict = None
        if status == 402 or complaint.no_credit:
            verdict = "provider_out_of_credit", "has no credit left on our account"
        elif complaint.words & MODERATION:
            verdict = "moderation", "refused the request: its moderation objects"
        elif creates and (status == 404 or complaint.words & MISSING):
            verdict = self._missing, f"does not have {creates} (any more)"
        elif status in {401, 403} or (status == 400 and BAD_KEY_TEXT.search(complaint.text)):
            verdict = "provider_auth", "does not accept our key"
        elif status == 404:
            verdict = "operation_unknown", "does not know the operation (any more)"
        elif status < 500 and status not in {408, 409, 425, 429}:
            verdict = "provider_rejected", f"rejected the request: {presentable(complaint.text)}"
        return verdict

    def _too_many(self, response: httpx.Response, complaint: Complaint) -> RateLimitedError:
        said = f"{' '.join(complaint.words)} {complaint.text}".lower()
        code, wait, what = "rate_limited", self._patience, "is called too often"
        if "concurren" in said or "active task" in said:
            code, what = "provider_busy", "runs as much for us at once as it allows"
        elif "daily" in said:
            code, wait, what = (
                "daily_limit",
                timedelta(hours=1),
                "has reached its daily limit for us",
            )
        wait = _retry_after(response) or wait
        return RateLimitedError(
            f"{self.provider} {what}", code=code, retry_after=wait, provider=self.provider
        )

    def _log(self, event: str, response: httpx.Response) -> None:
        """The provider's whole text, for operators; our key, should it be echoed, is taken out."""
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


def _same_origin(url: httpx.URL, origin: httpx.URL) -> bool:
    return (url.scheme, url.host, url.port) == (origin.scheme, origin.host, origin.port)


def _retry_after(response: httpx.Response) -> timedelta | None:
    """Retry-After in seconds or as a date (RFC 9110 §10.2.3), or a wait in the text; capped at a day."""
    value = response.headers.get("retry-after", "")
    if value.replace(".", "", 1).isdigit():
        seconds = float(value)
    elif value:
        try:
            seconds = (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    elif match := WAIT_IN_TEXT.search(response.text):
        seconds = float(match[1]) * {"ms": 0.001, "m": 60}.get(match[2] or "s", 1)
    else:
        return None
    return timedelta(seconds=min(max(seconds, 1.0), 86_400.0))


def _words(body: Any) -> set[str]:
    """The machine-readable words at any of the places where the providers put them."""
    if isinstance(body, list):
        return {word for item in body for word in _words(item)}
    if not isinstance(body, dict):
        return set()
    own = {
        body[field]
        for field in ("code", "type", "status", "name", "error_type")
        if isinstance(body.get(field), str)
    }
    return own | _words(body.get("error")) | _words(body.get("detail"))


def _text(body: Any) -> str:
    """The sentence for people."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(filter(None, map(_text, body)))
    if not isinstance(body, dict):
        return ""
    if "msg" in body:  # pydantic's shape
        place = body.get("loc")
        return f"{'.'.join(map(str, place)) if isinstance(place, list) else ''}: {body['msg']}"
    parts = [
        _text(body[key])
        for key in ("error", "detail", "message", "errors", "issues")
        if key in body
    ]
    return "; ".join(filter(None, parts))
