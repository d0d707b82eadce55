"""A task's OIDC token opens the processor without the internal key, judged by the emulator's."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import AsyncIterator
from http import HTTPStatus

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from taskreel.config import Settings
from taskreel.domain.task_signature import sign_task
from taskreel.web.http import read_body
from taskreel.web.task_tokens import TaskTokenRules
from taskreel.web.tasks import InternalApp, InternalKeys
from taskreel_cloud_tasks.delivery_history import HandlerResponse, OutgoingRequest
from taskreel_cloud_tasks.messages import HttpRequest, OidcToken, Queue, Task
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

KEY = "the-internal-key-of-these-tests"
QUEUE = "projects/demo/locations/us-central1/queues/emails"
ACCOUNT = "taskreel-invoker@demo.iam.gserviceaccount.com"
PROCESSOR, MEDIA = "https://task-processor.example.com", "https://media.example.com"


class Recorder:
    """Receives what Cloud Tasks sends."""

    def __init__(self) -> None:
        self.requests: list[OutgoingRequest] = []

    async def send(self, request: OutgoingRequest) -> HandlerResponse:
        self.requests.append(request)
        return HandlerResponse(200, {})


class Tokens:
    """The emulator as the issuer: its tokens come from deliveries, its keys over HTTP."""

    def __init__(self, service: LocalCloudTasks, recorder: Recorder) -> None:
        self._service = service
        self._recorder = recorder
        self.rules = TaskTokenRules(
            account=ACCOUNT,
            audiences=(PROCESSOR, MEDIA),
            keys_url=f"{service.rest_url}/oauth2/v3/certs",
            issuer=service.rest_url,
        )

    async def deliver(self, account: str = ACCOUNT, audience: str = PROCESSOR) -> str:
        """Deliver a task with a token; return its Authorization header."""
        token = OidcToken(service_account_email=account, audience=audience)
        request = HttpRequest(url=f"{PROCESSOR}/tasks/process", oidc_token=token)
        await self._service.engine.create_task(QUEUE, Task(http_request=request))
        await self._service.engine.wait_idle()
        return dict(self._recorder.requests[-1].headers)["Authorization"]


@pytest.fixture
async def tokens() -> AsyncIterator[Tokens]:
    recorder = Recorder()
    config = ServiceConfig(queues=[Queue(name=QUEUE)], sender=recorder)
    async with LocalCloudTasks(config) as service:
        yield Tokens(service, recorder)


async def call(rules: TaskTokenRules | None, **headers: str) -> httpx.Response:
    async def handle(_request: Request) -> Response:
        return Response()

    app = InternalApp({"/tasks/process": handle}, InternalKeys([KEY]), rules)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=PROCESSOR) as client:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.post("/tasks/process", headers=names)


@pytest.mark.parametrize("audience", [PROCESSOR, MEDIA])
async def test_a_token_of_our_account_for_our_url_needs_no_key(
    tokens: Tokens, audience: str
) -> None:
    answer = await call(tokens.rules, authorization=await tokens.deliver(audience=audience))
    assert answer.status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    ("account", "audience", "said"),
    [
        ("somebody@demo.iam.gserviceaccount.com", PROCESSOR, f"`email` must be {ACCOUNT}"),
        (ACCOUNT, "https://elsewhere.example.com", f"`aud` must be {PROCESSOR} or {MEDIA}"),
    ],
)
async def test_a_token_of_another_account_or_for_another_url_is_refused(
    tokens: Tokens, account: str, audience: str, said: str
) -> None:
    answer = await call(tokens.rules, authorization=await tokens.deliver(account, audience))
    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert said in answer.json()["detail"]


async def test_a_token_of_another_issuer_is_refused(tokens: Tokens) -> None:
    rules = dataclasses.replace(tokens.rules, issuer="https://accounts.google.com")
    answer = await call(rules, authorization=await tokens.deliver())
    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert "`iss` must be https://accounts.google.com" in answer.json()["detail"]


async def test_a_changed_token_is_refused(tokens: Tokens) -> None:
    header, claims, signature = (await tokens.deliver(account="other@example.com")).split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**told, "email": ACCOUNT}).encode())
    token = f"{header}.{forged.rstrip(b'=').decode()}.{signature}"
    answer = await call(tokens.rules, authorization=token)
    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert "signature" in answer.json()["detail"]


async def test_a_token_whose_signature_cloud_run_removed_needs_the_key(tokens: Tokens) -> None:
    """Anybody could write such a token, wherever Cloud Run lets everybody in."""
    header, claims, _ = (await tokens.deliver()).split(".")
    removed = f"{header}.{claims}.SIGNATURE_REMOVED_BY_GOOGLE"
    answer = await call(tokens.rules, authorization=removed)
    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert "X-Internal-Api-Key is missing or wrong" in answer.json()["detail"]
    opened = await call(tokens.rules, authorization=removed, x_internal_api_key=KEY)
    assert opened.status_code == HTTPStatus.OK


async def test_a_task_with_a_key_that_was_dropped_passes_by_its_token(tokens: Tokens) -> None:
    """Tasks wait for a month at most, and carry the key that they were created with."""
    authorization = await tokens.deliver()
    answer = await call(tokens.rules, authorization=authorization, x_internal_api_key="dropped")
    assert answer.status_code == HTTPStatus.OK
    answer = await call(tokens.rules, authorization="Bearer x", x_internal_api_key="dropped")
    assert answer.status_code == HTTPStatus.UNAUTHORIZED


async def test_a_task_that_a_dropped_key_has_signed_passes_with_its_body(tokens: Tokens) -> None:
    """Its signature is checked by the body, which the handler reads after that."""
    received = []

    async def handle(request: Request) -> Response:
        received.append(await read_body(request))
        return Response()

    app = InternalApp({"/tasks/process": handle}, InternalKeys([KEY]), tokens.rules)
    body = b'{"jobId": "job_1"}'
    headers = {
        "Authorization": await tokens.deliver(),
        "X-Internal-Api-Key": sign_task("dropped", "/tasks/process", body),
    }
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=PROCESSOR) as client:
        answer = await client.post("/tasks/process", content=body, headers=headers)
    assert answer.status_code == HTTPStatus.OK
    assert received == [body]


async def test_without_an_account_only_the_key_opens(tokens: Tokens) -> None:
    answer = await call(None, authorization=await tokens.deliver())
    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert "X-Internal-Api-Key" in answer.json()["detail"]


def test_the_audiences_are_the_urls_that_tasks_are_sent_to() -> None:
    one = Settings(processor_url=f"{PROCESSOR}/")
    assert one.processor_urls == [PROCESSOR]
    assert Settings(processor_url=PROCESSOR, media_processor_url=MEDIA).processor_urls == [
        PROCESSOR,
        MEDIA,
    ]
