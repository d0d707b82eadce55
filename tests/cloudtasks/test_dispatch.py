"""Requests to a real worker over real HTTP, and the handling of its responses."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from cloudtasks.worker import QUEUE, Worker
from taskreel_cloud_tasks.delivery_history import OutgoingRequest
from taskreel_cloud_tasks.engine import Engine
from taskreel_cloud_tasks.http_client import HttpClient, SendError
from taskreel_cloud_tasks.http_request import apply_uri_override, encode_url
from taskreel_cloud_tasks.messages import (
    AppEngineHttpRequest,
    EnforceMode,
    Header,
    HeaderOverride,
    HttpMethod,
    HttpRequest,
    HttpTarget,
    OAuthToken,
    OidcToken,
    PathOverride,
    QueryOverride,
    Queue,
    RetryConfig,
    Scheme,
    Task,
    UriOverride,
)
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

EMAIL = "runner@demo.test"


@pytest.fixture
async def engine(worker: Worker) -> AsyncIterator[Engine]:
    config = ServiceConfig(rest_port=None, queues=[Queue(name=QUEUE)])
    config = replace(config, engine=replace(config.engine, app_engine_url=worker.url))
    async with LocalCloudTasks(config) as service:
        yield service.engine


async def send(engine: Engine, url: str, **fields: Any) -> str:
    request = HttpRequest(url=url, **fields)
    entry = await engine.create_task(QUEUE, Task(http_request=request))
    return f"{QUEUE}/tasks/{entry.id}"


async def test_the_headers_of_a_first_attempt(engine: Engine, worker: Worker) -> None:
    headers = {
        "Content-Type": "text/plain",
        "X-Mine": "ä",
        "user-agent": "mine",
        "Host": "evil",
        "X-Google-Y": "1",
    }
    name = await send(engine, f"{worker.url}/run?x=%zz&y=a b", headers=headers, body=b"hello")
    (seen,) = await worker.received(1)
    assert (seen.method, seen.path, seen.body) == ("POST", "/run?x=%zz&y=a%20b", b"hello")
    eta = seen.headers.pop("X-CloudTasks-TaskETA")
    assert seen.headers == {
        "Host": worker.url.removeprefix("http://"),
        "Content-Type": "text/plain",
        "X-Mine": "ä",
        "User-Agent": "Google-Cloud-Tasks",
        "X-CloudTasks-QueueName": "jobs",
        "X-CloudTasks-TaskName": name.rpartition("/")[2],
        "X-CloudTasks-TaskRetryCount": "0",
        "X-CloudTasks-TaskExecutionCount": "0",
        "Content-Length": "5",
    }
    assert float(eta) > 1_700_000_000


async def test_a_retry_tells_the_last_answer(engine: Engine, worker: Worker) -> None:
    worker.answers.append(404)
    await send(engine, worker.url)
    again = (await worker.received(2))[1]
    assert again.headers["X-CloudTasks-TaskPreviousResponse"] == "404"
    assert again.headers["X-CloudTasks-TaskRetryReason"] == ""
    await engine.wait_idle()


async def test_a_redirect_is_followed_as_the_same_attempt_with_the_same_body(
    engine: Engine, worker: Worker
) -> None:
    worker.answers.append((307, {"Location": "/moved"}))
    worker.answers.append((303, {"Location": "/see"}))
    await send(engine, f"{worker.url}/start", body=b"hello")
    await engine.wait_idle()
    assert [(seen.method, seen.path, seen.body) for seen in worker.seen] == [
        ("POST", "/start", b"hello"),
        ("POST", "/moved", b"hello"),
        ("GET", "/see", b""),
    ]
    assert {seen.headers["X-CloudTasks-TaskRetryCount"] for seen in worker.seen} == {"0"}


async def test_a_redirect_to_nowhere_ends_and_is_retried(engine: Engine, worker: Worker) -> None:
    for _ in range(6):
        worker.answers.append((302, {"Location": "/again"}))
    await send(engine, worker.url)
    assert (await worker.received(7))[6].headers["X-CloudTasks-TaskPreviousResponse"] == "302"
    await engine.wait_idle()


def claims(header: str) -> dict[str, Any]:
    payload = header.removeprefix("Bearer ").split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return decoded


async def test_an_oidc_token_is_for_the_url_unless_an_audience_is_named(
    engine: Engine, worker: Worker
) -> None:
    token = OidcToken(service_account_email=EMAIL)
    await send(engine, f"{worker.url}/a", oidc_token=token, headers={"authorization": "mine"})
    await worker.received(1)
    await send(engine, f"{worker.url}/b", oidc_token=replace(token, audience="aud"))
    await worker.received(2)
    audiences = [claims(seen.headers["Authorization"])["aud"] for seen in worker.seen]
    assert audiences == [f"{worker.url}/a", "aud"]
    assert claims(worker.seen[0].headers["Authorization"])["email"] == EMAIL


async def test_an_oauth_token_is_opaque(engine: Engine, worker: Worker) -> None:
    await send(engine, worker.url, oauth_token=OAuthToken(service_account_email=EMAIL))
    (seen,) = await worker.received(1)
    assert seen.headers["Authorization"].startswith("Bearer ya29.")


async def test_the_queues_http_target_decides_over_the_tasks(
    engine: Engine, worker: Worker
) -> None:
    port = int(worker.url.rpartition(":")[2])
    target = HttpTarget(
        uri_override=UriOverride(
            scheme=Scheme.HTTP,
            host="127.0.0.1",
            port=port,
            path_override=PathOverride(path="/forced"),
            query_override=QueryOverride(query_params="q=1"),
        ),
        http_method=HttpMethod.GET,
        header_overrides=(HeaderOverride(header=Header(key="x-mine", value="queue's")),),
        oidc_token=OidcToken(service_account_email=EMAIL, audience="queue-aud"),
    )
    await engine.update_queue(Queue(name=QUEUE, http_target=target))
    await send(
        engine,
        "https://elsewhere.test/path?z=2",
        headers={"X-Mine": "task's"},
        body=b"ignored with GET",
    )
    (seen,) = await worker.received(1)
    assert (seen.method, seen.path, seen.body) == ("GET", "/forced?q=1", b"")
    assert seen.headers["x-mine"] == "queue's"
    assert "X-Mine" not in seen.headers
    assert claims(seen.headers["Authorization"])["aud"] == "queue-aud"


@pytest.mark.parametrize(
    ("url", "override", "result"),
    [
        ("http://a.test/x", UriOverride(), "http://a.test/x"),
        ("http://a.test/x", UriOverride(scheme=Scheme.SCHEME_UNSPECIFIED), "https://a.test/x"),
        ("http://a.test:81/x", UriOverride(host="b.test"), "http://b.test:81/x"),
        ("http://a.test:81/x", UriOverride(port=0), "http://a.test/x"),
        (
            "http://a.test/x?q",
            UriOverride(path_override=PathOverride(), query_override=QueryOverride()),
            "http://a.test",
        ),
        (
            "",
            UriOverride(host="b.test", path_override=PathOverride(path="run")),
            "https://b.test/run",
        ),
        (
            "http://a.test",
            UriOverride(
                host="b.test",
                path_override=PathOverride(path="/run"),
                uri_override_enforce_mode=EnforceMode.IF_NOT_EXISTS,
            ),
            "http://a.test/run",
        ),
    ],
)
def test_uri_overrides(url: str, override: UriOverride, result: str) -> None:
    assert apply_uri_override(url, override) == result


def test_a_url_is_encoded_where_it_must_be_and_a_bad_escape_stays() -> None:
    assert encode_url("http://a/ü b%zz%20?q=[1]") == "http://a/%C3%BC%20b%zz%20?q=[1]"


async def test_an_app_engine_task_goes_to_the_configured_address(
    engine: Engine, worker: Worker
) -> None:
    request = AppEngineHttpRequest(
        relative_uri="/work?x=1", body=b"b", headers={"User-Agent": "mine"}
    )
    await engine.create_task(QUEUE, Task(app_engine_http_request=request))
    (seen,) = await worker.received(1)
    assert (seen.path, seen.headers["X-AppEngine-QueueName"]) == ("/work?x=1", "jobs")
    assert (
        seen.headers["User-Agent"] == "mine AppEngine-Google; (+http://code.google.com/appengine)"
    )
    assert seen.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://host:99999/", "http:///nohost", "http://a b/", "http://\u2100/"]
)
async def test_a_url_that_leads_nowhere_fails_like_a_lost_connection(
    engine: Engine, url: str
) -> None:
    await engine.update_queue(Queue(name=QUEUE, retry_config=RetryConfig(max_attempts=1)))
    await send(engine, url)
    await engine.wait_idle()
    assert engine.history.events[-1].detail.startswith("UNAVAILABLE(14): ")


# ── the client ───────────────────────────────────────────────────────────────────────────────────


class Raw:
    """A server that answers each request with given bytes, and may then hang up."""

    def __init__(self, *answers: bytes, hang_up: bool = False) -> None:
        self.answers = list(answers)
        self.hang_up = hang_up
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while self.answers and await reader.readuntil(b"\r\n\r\n"):
            writer.write(self.answers.pop(0))
            await writer.drain()
            if self.hang_up:
                break
        writer.close()


async def exchange(raw: Raw, count: int = 1, method: str = "GET") -> list[tuple[int, bytes]]:
    server = await asyncio.start_server(raw, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = HttpClient()
    try:
        request = OutgoingRequest(method, f"http://127.0.0.1:{port}/", (), b"")
        replies = [await client.send(request) for _ in range(count)]
        return [(reply.status, reply.body) for reply in replies]
    finally:
        await client.close()
        server.close()
        await server.wait_closed()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_connection_stays_open_and_is_used_again() -> None:
    raw = Raw(OK, OK, OK)
    assert await exchange(raw, 3) == [(200, b"ok")] * 3
    assert raw.connections == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"ok")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            (200, b"ok"),
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", (200, b"until the end")),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000,
            (200, b"x" * 65_536),
        ),
    ],
)
async def test_every_framing_of_an_answer_is_understood(
    answer: bytes, expected: tuple[int, bytes]
) -> None:
    assert await exchange(Raw(answer, hang_up=True)) == [expected]


async def test_head_waits_for_no_body() -> None:
    assert await exchange(Raw(OK.removesuffix(b"ok")), method="HEAD") == [(200, b"")]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Len",
        b"SSH-2.0-OpenSSH\r\n",
        OK[:-1],
        b"HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n",
    ],
)
async def test_an_answer_cut_short_or_no_http_is_a_send_error(answer: bytes) -> None:
    with pytest.raises(SendError):
        await exchange(Raw(answer, hang_up=True))


async def test_headers_that_would_break_the_request_are_omitted(worker: Worker) -> None:
    client = HttpClient()
    headers = (("X-Bad", "a\r\nX-Injected: 1"), ("bad name", "x"), ("X-Good", "1"))
    await client.send(OutgoingRequest("POST", worker.url, headers, b""))
    await client.close()
    assert worker.seen[0].headers["X-Good"] == "1"
    assert not {"X-Bad", "X-Injected", "bad name"} & worker.seen[0].headers.keys()
