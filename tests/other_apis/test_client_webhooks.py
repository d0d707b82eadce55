"""Webhooks that fal's and Replicate's clients name, in those services' forms."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from functions.job_requests import expect_problem
from other_apis.conftest import OtherApis, serve_apis
from simulation.world import World, running, token
from streamed_answers import StreamedAnswers
from taskreel import service_building
from taskreel.adapters.providers.fal.webhook import verify_webhook
from taskreel.adapters.webhook_sender import WebhookSender
from taskreel.app.messages.job_task import WEBHOOK_QUEUE
from taskreel.web.fal_webhook_keys import FalWebhookKeys

FAL = "/fal/taskreel/image-generation?fal_webhook=https://93.184.216.34/hooks"
PREDICTIONS = "/replicate/v1/predictions"
HOOK = "https://93.184.216.34/hooks"
PREDICTION = {
    "version": "taskreel/image-generation",
    "input": {"prompt": "a kite", "options": {"width": 64, "height": 64}},
    "webhook": HOOK,
}


@pytest.fixture
def receiver_port() -> int:
    """A port on which only the client's own server listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
async def apis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver_port: int
) -> AsyncIterator[OtherApis]:
    origin = f"http://127.0.0.1:{receiver_port}"
    async with serve_apis(tmp_path, monkeypatch, webhook_private_origins=origin) as made:
        yield made


async def test_the_python_clients_get_and_verify_their_webhooks(
    apis: OtherApis, receiver_port: int
) -> None:
    host = apis.url.removeprefix("https://")
    found = await apis.run_python(
        "webhook_client.py",
        FAL_QUEUE_RUN_HOST=f"{host}/fal",
        FAL_KEY=token("ada"),
        REPLICATE_BASE_URL=f"{apis.url}/replicate",
        REPLICATE_API_TOKEN=token("ada"),
        RECEIVER_PORT=str(receiver_port),
    )

    done, failed = found["fal"]
    for one in (done, failed):
        assert (one["named"], one["user"]) == (one["id"], "ada")
        assert (one["valid"], one["forged"]) == (True, False)
    assert done["path"] == "/fal"
    assert done["message"]["request_id"] == done["message"]["gateway_request_id"] == done["id"]
    assert done["message"]["status"] == "OK"
    assert done["message"]["payload"]["images"][0]["width"] == 64
    assert failed["message"]["status"] == "ERROR"
    assert "fails permanently" in failed["message"]["error"]
    assert failed["message"]["payload"]["detail"] == failed["message"]["error"]

    begun, ended = sorted(found["replicate"], key=lambda one: one["message"]["status"])
    assert begun["message"]["id"] == ended["message"]["id"] == begun["id"]
    assert [begun["message"]["status"], ended["message"]["status"]] == ["processing", "succeeded"]
    assert begun["message"]["output"] is None
    assert ended["message"]["output"].startswith(f"{apis.url}/replicate/v1/outputs/")
    assert begun["sent"] != ended["sent"]
    assert found["forged"] == "Webhook signature is invalid"


async def test_the_javascript_clients_get_and_verify_their_webhooks(
    apis: OtherApis, node_project: Path, receiver_port: int
) -> None:
    variables = {"RECEIVER_PORT": str(receiver_port)}
    found = await apis.run_client(["node", "webhook_clients.mjs"], variables, node_project)

    assert found["fal"]["message"]["request_id"] == found["fal"]["id"]
    assert found["fal"]["message"]["status"] == "OK"
    assert found["fal"]["valid"] is True
    assert found["fal"]["forged"] is False
    assert found["replicate"]["message"]["id"] == found["replicate"]["id"]
    assert found["replicate"]["message"]["status"] == "succeeded"
    assert found["replicate"]["valid"] is True
    assert found["replicate"]["forged"] is False


async def test_each_try_of_fals_webhook_is_signed_for_its_own_time(
    world: World, ada: httpx.AsyncClient, requests: list[httpx.Request]
) -> None:
    url = FAL.replace("/hooks", "/broken")
    await ada.post(url, json={"prompt": "a kite", "options": {"width": 64, "height": 64}})
    await world.advance(20)
    jwks = (await world.api.get("/fal/rest/.well-known/jwks.json")).text
    found = [
        verify_webhook(
            one.headers,
            one.content,
            jwks,
            datetime.fromtimestamp(int(one.headers["x-fal-webhook-timestamp"]), UTC),
        )
        for one in requests
    ]
    assert len(found) >= 4
    assert len({one.headers["x-fal-webhook-timestamp"] for one in requests}) == len(found)
    assert len({one.headers["x-fal-webhook-signature"] for one in requests}) == len(found)
    assert set(found) == {requests[0].headers["x-fal-webhook-request-id"]}


async def test_messages_in_other_forms_have_no_signature_of_fal(
    world: World, ada: httpx.AsyncClient, requests: list[httpx.Request]
) -> None:
    await ada.post(PREDICTIONS, json=PREDICTION)
    await world.advance(20)
    [request] = requests
    assert "webhook-signature" in request.headers
    assert not [name for name in request.headers if name.startswith("x-fal-")]


@pytest.mark.parametrize("user", ["ada@example.com|7", "Käthe\r\nX-Evil: 1", " a b "])
async def test_any_users_id_is_one_line_of_a_header_that_verifies(
    world: World, requests: list[httpx.Request], user: str
) -> None:
    client = world.as_user(user)
    made = await client.post(FAL, json={"prompt": "a kite", "options": {"width": 64, "height": 64}})
    await world.advance(20)
    [request] = requests
    assert unquote(request.headers["x-fal-webhook-user-id"]) == user
    assert "x-evil" not in request.headers
    jwks = (await world.api.get("/fal/rest/.well-known/jwks.json")).text
    request_id = verify_webhook(request.headers, request.content, jwks, world.now())
    assert request_id == made.json()["request_id"]


def test_both_keys_are_published_while_they_are_rotated() -> None:
    old, new = FalWebhookKeys(["the-old-key-of-links"]), FalWebhookKeys(["the-new-key-of-links"])
    both = FalWebhookKeys(["the-new-key-of-links", "the-old-key-of-links"]).build_jwks()["keys"]
    assert both == [*new.build_jwks()["keys"], *old.build_jwks()["keys"]]
    assert both[0]["kid"] != both[1]["kid"]


# ── What is refused, and odd cases ───────────────────────────────────────────────────────────────


@pytest.fixture
def requests() -> list[httpx.Request]:
    """The requests that have arrived."""
    return []


def read_messages(requests: list[httpx.Request]) -> list[dict[str, Any]]:
    return [json.loads(one.content) for one in requests]


@pytest.fixture
async def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requests: list[httpx.Request]
) -> AsyncIterator[World]:
    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(500 if request.url.path == "/broken" else 204)

    sender = partial(WebhookSender, transport=StreamedAnswers(answer))
    monkeypatch.setattr(service_building, "WebhookSender", sender)
    async with running(tmp_path, monkeypatch) as made:
        yield made


async def test_without_a_filter_replicates_webhook_gets_the_end_alone(
    world: World, ada: httpx.AsyncClient, requests: list[httpx.Request]
) -> None:
    made = (await ada.post(PREDICTIONS, json=PREDICTION)).json()
    assert made["webhook"] == HOOK
    await world.advance(20)
    (message,) = read_messages(requests)
    assert (message["status"], message["webhook"]) == ("succeeded", HOOK)


async def test_a_cancelled_prediction_is_told_to_the_older_parameter_too(
    world: World, ada: httpx.AsyncClient, requests: list[httpx.Request]
) -> None:
    slow = {"prompt": "a kite", "options": {"studio": {"mode": "sleep", "seconds": 3600}}}
    body = {"version": PREDICTION["version"], "input": slow, "webhook_completed": HOOK}
    made = (await ada.post(PREDICTIONS, json=body)).json()
    await world.advance(1)
    await ada.post(f"{PREDICTIONS}/{made['id']}/cancel")
    await world.advance(5)
    assert [one["status"] for one in read_messages(requests)] == ["canceled"]


async def test_a_job_that_was_removed_since_is_named_without_its_result(
    world: World, ada: httpx.AsyncClient, requests: list[httpx.Request]
) -> None:
    await world.tasks.pause(WEBHOOK_QUEUE)
    given = {"prompt": "a kite", "options": {"width": 64, "height": 64}}
    request_id = (await ada.post(FAL, json=given)).json()["request_id"]
    prediction = (await ada.post(PREDICTIONS, json=PREDICTION)).json()
    await world.advance(20)
    assert requests == []
    for id_ in (request_id, prediction["id"]):
        answer = await ada.delete(f"/api/jobs/image-generation/{id_}")
        assert answer.status_code == 204, answer.text
    await world.tasks.resume(WEBHOOK_QUEUE)
    await world.advance(300)
    of_fal, of_replicate = sorted(read_messages(requests), key=lambda one: "id" in one)
    assert of_fal["request_id"] == request_id
    assert (of_fal["status"], of_fal["payload"]) == ("OK", None)
    assert "removed" in of_fal["payload_error"]
    assert of_replicate["id"] == prediction["id"]
    assert (of_replicate["status"], of_replicate["data_removed"]) == ("succeeded", True)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"webhook": "http://example.com"}, "webhook"),
        ({"webhook": "https://127.0.0.1/x"}, "webhook"),
        ({"webhook": 7}, "webhook"),
        ({"webhook_events_filter": ["started"]}, "webhook_events_filter"),
        ({"webhook_events_filter": "completed"}, "webhook_events_filter"),
        ({"webhook_events_filter": ["logs"]}, "webhook_events_filter"),
        ({"input": {"prompt": "a", "webhookUrl": HOOK}}, "webhook"),
        ({"version": "taskreel/webhook", "input": {"webhookUrl": HOOK}}, "webhook"),
    ],
)
async def test_a_webhook_that_is_wrong_is_refused(
    ada: httpx.AsyncClient, changes: dict[str, Any], path: str
) -> None:
    answer = await ada.post(PREDICTIONS, json={**PREDICTION, **changes})
    body = expect_problem(answer, 422, "invalid_request")
    assert body["errors"][0]["path"] == path


async def test_fals_webhook_to_a_private_address_is_refused(ada: httpx.AsyncClient) -> None:
    url = FAL.replace("93.184.216.34", "10.0.0.1")
    answer = await ada.post(url, json={"prompt": "a kite"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "fal_webhook"]


async def test_a_secret_that_replicates_client_cannot_use_is_explained(
    ada: httpx.AsyncClient,
) -> None:
    keys = "/api/webhook-endpoints/default/keys"
    first = await ada.get("/replicate/v1/webhooks/default/secret")
    assert first.json()["key"].startswith("whsec_")
    await ada.post(keys, json={"signature": "v1a", "overlapSeconds": 0})
    answer = await ada.get("/replicate/v1/webhooks/default/secret")
    assert "Ed25519" in expect_problem(answer, 409, "conflict")["detail"]
