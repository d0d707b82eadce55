from __future__ import annotations

import asyncio
import email.utils
import gzip
import re
import resource
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.fake_provider import PRIVATE_MESSAGE, SECRETS
from streamed_answers import StreamedAnswers
from taskreel.adapters.providers.error_replies import ErrorReply
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.provider_errors import AmbiguousError, sanitise_text
from taskreel.domain.errors import (
    PermanentError,
    ProviderDownError,
    RateLimitedError,
    RunError,
    TemporaryError,
)

Answer = Callable[[httpx.Request], httpx.Response]
SlowAnswer = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


def build_client(answer: Answer | SlowAnswer, **settings: Any) -> ProviderClient:
    defaults: dict[str, Any] = {
        "base_url": "https://api.bfl.ai",
        "hosts": ("bfl.ai",),
        "headers": {"x-key": "our-secret-key"},
        "transport": StreamedAnswers(answer),
    }
    return ProviderClient("bfl", **{**defaults, **settings})


def answer_with(status: int, body: Any = None, **headers: str) -> Answer:
    return lambda _request: httpx.Response(status, json=body, headers=headers)


async def catch_refusal(answer: Answer, creates: str | None = None) -> RunError:
    with pytest.raises(RunError) as caught:
        await build_client(answer).send("POST", "/v1/x", creates=creates)
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "https://api.eu1.bfl.ai/v1/x",
        "https://bfl.ai/x",
        "/v1/x",
        "https://api.bfl.ai:443/x",
        "//attacker.example/x",  # a path, to the library
        "file:///etc/passwd",
    ],
)
async def test_the_key_goes_to_the_providers_own_hosts(url: str) -> None:
    answer = await build_client(answer_with(200, {})).send("GET", url)
    assert answer.request.url.host.endswith("bfl.ai")
    assert answer.request.url.scheme == "https"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.eu1.bfl.ai/v1/x",
        "https://bfl.ai.attacker.example/x",
        "https://notbfl.ai/x",
        "https://attacker.example/bfl.ai",
        "https://api.bfl.ai@attacker.example/",
        "https://169.254.169.254/latest",
        "https://[bad",
    ],
)
async def test_the_key_goes_nowhere_else(url: str) -> None:
    calls: list[httpx.Request] = []

    def record(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(200, json={})

    with pytest.raises(PermanentError) as caught:
        await build_client(record).send("GET", url)
    assert caught.value.code == "untrusted_host"
    assert not calls


async def test_a_local_fake_is_reached_by_its_base_url_or_as_an_origin_in_the_list() -> None:
    http = build_client(
        answer_with(200, {}), base_url="http://127.0.0.1:8123", hosts=("http://127.0.0.1:9000",)
    )
    await http.send("GET", "/v1/x")
    await http.send("GET", "http://127.0.0.1:9000/x")
    with pytest.raises(PermanentError):
        await http.send("GET", "http://127.0.0.1:9001/x")


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    error = await catch_refusal(answer_with(302, None, location="https://attacker.example/"))
    assert error.code == "provider_rejected"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("17", 17), ("0", 1), ("1.5", 1.5), ("999999999", 86_400), ("soon", 30), ("-5", 30)],
)
async def test_retry_after_in_seconds_is_bounded_by_a_day(value: str, seconds: float) -> None:
    error = await catch_refusal(answer_with(429, {}, **{"retry-after": value}))
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == timedelta(seconds=seconds)


async def test_retry_after_as_a_date() -> None:
    when = email.utils.format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)
    error = await catch_refusal(answer_with(429, {}, **{"retry-after": when}))
    assert isinstance(error, RateLimitedError)
    assert timedelta(minutes=1) < error.retry_after <= timedelta(minutes=2)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"detail": "Request was throttled. Your rate limit resets in ~30s."}, 30),
        ({"error": {"message": "Please try again in 640ms."}}, 1),
        ({"error": {"message": "Please try again in 2m."}}, 120),
        ({"error": {"details": [{"@type": "RetryInfo", "retryDelay": "34s"}]}}, 34),
    ],
)
async def test_a_wait_in_the_text_is_understood(body: dict[str, Any], seconds: float) -> None:
    error = await catch_refusal(answer_with(429, body))
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (429, {"error": "You have reached your daily limit"}, RateLimitedError, "daily_limit"),
        (429, {"error": "Too many concurrent tasks"}, RateLimitedError, "provider_busy"),
        (429, {"error": {"code": "insufficient_quota"}}, PermanentError, "provider_out_of_credit"),
        (
            403,
            {"detail": "User is locked. Reason: Exhausted balance."},
            PermanentError,
            "provider_out_of_credit",
        ),
        (401, {"detail": {"status": "quota_exceeded"}}, PermanentError, "provider_out_of_credit"),
        (402, None, PermanentError, "provider_out_of_credit"),
        (
            400,
            {"error": "You do not have enough credits to run this task."},
            PermanentError,
            "provider_out_of_credit",
        ),
        (
            400,
            {"error": {"message": "API key not valid. Please pass one."}},
            PermanentError,
            "provider_auth",
        ),
        (400, {"error": {"message": "seed: not valid"}}, PermanentError, "provider_rejected"),
        (429, {"detail": "You have 24 active tasks"}, RateLimitedError, "provider_busy"),
        (403, {"name": "content_moderation", "errors": ["flagged"]}, PermanentError, "moderation"),
        (
            422,
            {"detail": [{"loc": [], "msg": "x", "type": "content_policy_violation"}]},
            PermanentError,
            "moderation",
        ),
        (403, {"detail": "Not authenticated"}, PermanentError, "provider_auth"),
        (413, {"error": "too large"}, PermanentError, "provider_rejected"),
        (408, {}, TemporaryError, "temporary_failure"),
        (409, {}, TemporaryError, "temporary_failure"),
        (425, {}, TemporaryError, "temporary_failure"),
        (502, None, ProviderDownError, "provider_down"),
        (503, None, ProviderDownError, "provider_down"),
        (404, None, PermanentError, "operation_unknown"),
    ],
)
async def test_a_refusal_is_told_by_status_and_word(
    status: int, body: Any, kind: type[RunError], code: str
) -> None:
    error = await catch_refusal(answer_with(status, body))
    assert isinstance(error, kind)
    assert error.code == code


@pytest.mark.parametrize("status", [401, 402])
async def test_a_user_reads_nothing_of_our_account_or_key(status: int) -> None:
    said = {"error": "key sk-123 of account acme has a balance of $0.00"}
    error = await catch_refusal(answer_with(status, said))
    assert not re.search(r"sk-|acme|balance|credit|\$", error.message)
    assert "its operators must check the" in error.message


async def test_a_key_with_a_line_end_is_sent_without_it() -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"key": request.headers["x-key"]})

    assert await build_client(echo, headers={"x-key": "our-secret-key\n"}).request_json(
        "GET", "/v1/x"
    ) == {"key": "our-secret-key"}


async def test_an_address_that_is_none_is_never_called() -> None:
    with pytest.raises(PermanentError) as caught:
        await build_client(answer_with(200, {})).send("GET", "https://x\x00.bfl.ai/")
    assert caught.value.code == "untrusted_host"


@pytest.mark.parametrize(
    ("status", "word"), [(404, ""), (403, "model_not_found"), (400, "voice_not_found")]
)
async def test_a_create_of_what_is_gone_says_so_whatever_the_status(status: int, word: str) -> None:
    error = await catch_refusal(
        answer_with(status, {"error": {"code": word, "message": "no"}}), creates="the model x"
    )
    assert error.code == "model_retired"
    assert "does not have the model x" in error.message


async def test_a_gateway_timeout_is_ambiguous_only_where_something_was_bought() -> None:
    assert isinstance(await catch_refusal(answer_with(504), creates="a picture"), AmbiguousError)
    assert isinstance(await catch_refusal(answer_with(504)), ProviderDownError)


async def test_an_answer_that_is_no_json_is_ambiguous_only_where_something_was_bought() -> None:
    http = build_client(lambda _request: httpx.Response(200, text="<html>"))
    with pytest.raises(AmbiguousError):
        await http.request_json("POST", "/v1/x", creates="a picture")
    with pytest.raises(ProviderDownError):
        await http.request_json("GET", "/v1/x")


async def test_an_answer_that_trickles_in_for_ever_is_cut_off() -> None:
    async def never(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    http = build_client(
        never, read_seconds=-9.95
    )  # the whole request may take ten seconds longer than one read
    with pytest.raises(AmbiguousError):
        await http.send("POST", "/v1/x", creates="a picture")


@pytest.mark.parametrize(
    ("body", "words", "text"),
    [
        ({"error": {"message": "m", "type": "t", "code": None}}, {"t"}, "m"),
        ([{"error": {"code": 429, "message": "m", "status": "S"}}], {"S"}, "m"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "m", "type": "t"}]}, {"t"}, "body.seed: m"),
        ({"detail": {"status": "s", "message": "m"}}, {"s"}, "m"),
        ({"name": "n", "errors": ["a", "b"]}, {"n"}, "a; b"),
        ({"error": "e", "issues": [{"code": "c", "message": "m"}]}, set(), "e; m"),
        ({"error": "e", "message": "m"}, set(), "e; m"),
        ({"title": "T", "detail": "d", "status": 422}, set(), "d"),
        ("plain", set(), "plain"),
        (7, set(), "Bad Request"),
    ],
)
def test_every_known_shape_of_complaint_is_read(body: Any, words: set[str], text: str) -> None:
    complaint = ErrorReply.parse(httpx.Response(400, json=body))
    assert complaint.codes == words
    assert complaint.text == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "detail", "message", "errors", "loc", "msg", "type"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(body=json_values)
def test_no_shape_of_complaint_is_an_error_of_ours(body: Any) -> None:
    complaint = ErrorReply.parse(httpx.Response(400, json=body))
    assert isinstance(complaint.text, str)


@given(before=st.text(max_size=50), after=st.text(max_size=400), secret=st.sampled_from(SECRETS))
def test_secrets_never_come_through_and_the_line_stays_short(
    before: str, after: str, secret: str
) -> None:
    shown = sanitise_text(f"{before} {secret} {after}")
    assert secret not in shown
    assert len(shown) <= 200
    assert "\n" not in shown


def test_a_sanitised_text_is_still_a_sentence() -> None:
    assert sanitise_text(PRIVATE_MESSAGE).startswith(
        "Field 'seed' is wrong for … (…), key …, see … host …, trace …"
    )


# ── Compressed answers ───────────────────────────────────────────────────────────────────────────


class Encoded(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


def answer_encoded(content: bytes, coding: str) -> Answer:
    return lambda _request: httpx.Response(
        200, headers={"content-encoding": coding}, stream=Encoded(content)
    )


async def test_an_answer_that_is_compressed_though_we_asked_for_none_is_read() -> None:
    asked_for: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked_for.append(request.headers["accept-encoding"])
        return answer_encoded(gzip.compress(b'{"id": "x"}'), "gzip")(request)

    assert await build_client(answer).request_json("POST", "/v1/x") == {"id": "x"}
    assert asked_for == ["identity"]


async def test_an_answer_of_nested_compression_takes_no_memory() -> None:
    bomb = gzip.compress(gzip.compress(b"\0" * (256 << 20)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ProviderDownError):
        await build_client(answer_encoded(bomb, "gzip, gzip")).send("GET", "/v1/x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10
