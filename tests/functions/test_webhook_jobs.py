"""Jobs of the type `webhook`: a message of the caller's own, signed, sent and sent again."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from functions.job_requests import refused_paths
from functions.webhook_receiver import URL, Hooked, verify

MESSAGE = {"event": "film.published", "film": {"id": 17, "title": "A kite"}}


async def send(hooked: Hooked, **fields: Any) -> dict[str, Any]:
    body = {"webhookUrl": URL, "payload": MESSAGE, **fields}
    answer = await hooked.ada.post("/api/jobs/webhook", json=body)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def read(hooked: Hooked, job: dict[str, Any]) -> dict[str, Any]:
    return await hooked.read(f"/api/jobs/{job['jobId']}")


async def test_a_message_arrives_as_it_is_and_verifies(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked.receiver.answer = lambda _request: httpx.Response(200, text="thanks")
    job = await send(hooked)
    await hooked.world.advance(5)
    (request,) = hooked.receiver.received  # and no event of the job besides
    assert json.loads(request.content) == MESSAGE
    keys = await hooked.read("/api/webhook-endpoints/default/keys")
    assert verify(request, keys["keys"][0]["secret"], monkeypatch) == MESSAGE

    done = await read(hooked, job)
    assert done["status"] == "COMPLETED"
    assert done["servedBy"] == "webhooks"
    assert done["result"]["status"] == 200
    assert done["result"]["answer"] == "thanks"
    assert done["credits"] == {"held": 0, "captured": 0, "released": 0}


async def test_a_message_is_tried_six_times_with_the_same_id(hooked: Hooked) -> None:
    hooked.receiver.answer = lambda _request: httpx.Response(500, text="broken")
    job = await send(hooked)
    await hooked.world.advance(120)
    failed = await read(hooked, job)
    assert failed["status"] == "FAILED"
    assert failed["error"]["code"] == "webhook_failed"
    assert "500" in failed["error"]["message"]
    assert len(hooked.receiver.received) == 6
    assert len({one.headers["webhook-id"] for one in hooked.receiver.received}) == 1


async def test_an_address_that_is_gone_is_not_tried_again(hooked: Hooked) -> None:
    hooked.receiver.answer = lambda _request: httpx.Response(410)
    job = await send(hooked)
    await hooked.world.advance(120)
    assert (await read(hooked, job))["error"]["code"] == "webhook_gone"
    assert len(hooked.receiver.received) == 1


async def test_retry_after_is_honoured_and_counts_no_attempt(hooked: Hooked) -> None:
    busy = httpx.Response(503, headers={"Retry-After": "40"})
    hooked.receiver.answer = lambda _request: busy
    job = await send(hooked)
    await hooked.world.advance(30)
    assert len(hooked.receiver.received) == 1
    hooked.receiver.answer = lambda _request: httpx.Response(204)
    await hooked.world.advance(30)
    done = await read(hooked, job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)


@pytest.mark.parametrize("url", ["http://example.com/", "https://127.0.0.1/", "https://10.0.0.1/"])
async def test_a_private_or_plain_address_is_refused_before_anything_is_sent(
    hooked: Hooked, url: str
) -> None:
    answer = await hooked.ada.post("/api/jobs/webhook", json={"webhookUrl": url, "payload": {}})
    assert refused_paths(answer) == {"webhookUrl"}
    missing = await hooked.ada.post("/api/jobs/webhook", json={"webhookUrl": URL})
    assert refused_paths(missing) == {"payload"}
    assert hooked.receiver.received == []


async def test_a_message_waits_for_another_job_and_carries_its_result(hooked: Hooked) -> None:
    picture = (
        await hooked.ada.post("/api/jobs/image-generation", json={"prompt": "a kite"})
    ).json()
    await send(
        hooked,
        payload={"picture": f"{{{{jobs.{picture['jobId']}.result.artifacts[0].name}}}}"},
        dependsOn=[{"jobId": picture["jobId"]}],
    )
    await hooked.world.advance(20)
    assert [json.loads(one.content) for one in hooked.receiver.received] == [
        {"picture": "image.png"}
    ]


async def test_a_message_of_a_pipeline_follows_its_steps(hooked: Hooked) -> None:
    steps = {
        "picture": {"type": "image-generation", "payload": {"prompt": "a kite"}},
        "tell": {
            "type": "webhook",
            "payload": {
                "webhookUrl": URL,
                "payload": {"done": "{{steps.picture.result.artifacts[0].name}}"},
            },
        },
    }
    answer = await hooked.ada.post("/api/jobs/pipeline", json={"steps": steps})
    assert answer.status_code == 202, answer.text
    await hooked.world.advance(60)
    assert (await read(hooked, answer.json()))["status"] == "COMPLETED"
    assert [json.loads(one.content) for one in hooked.receiver.received] == [{"done": "image.png"}]


async def test_an_address_that_always_asks_for_a_second_is_given_up(hooked: Hooked) -> None:
    busy = httpx.Response(429, headers={"Retry-After": "1"})
    hooked.receiver.answer = lambda _request: busy
    job = await send(hooked)
    await hooked.world.advance(4 * 3600)
    failed = await read(hooked, job)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "webhook_failed")
    assert len(hooked.receiver.received) == 20 + 6
