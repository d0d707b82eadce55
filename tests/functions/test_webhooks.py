"""Client webhooks over HTTP and the virtual clock; the public library verifies what arrives."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import WebhookVerificationError

from functions.job_requests import (
    IMAGE,
    NOOP,
    expect_problem,
    image_request,
    submit_job,
)
from functions.webhook_receiver import (
    ENDPOINTS,
    PICTURE,
    URL,
    Hooked,
    verify,
)
from taskreel.app.webhooks import sending
from taskreel.domain.errors import StoreError
from taskreel.ports import Query
from taskreel.store_collections import WEBHOOK_DELIVERIES

# ── What arrives ─────────────────────────────────────────────────────────────────────────────────


async def test_the_end_of_a_job_arrives_and_the_public_library_verifies_it(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await hooked.create()
    job = await submit_job(hooked.ada, PICTURE)
    await hooked.world.advance(5)

    (request,) = hooked.receiver.received
    message = verify(request, endpoint["keys"][0]["secret"], monkeypatch)
    assert message["type"] == "job.completed"
    assert message["data"]["jobId"] == job["jobId"]
    assert message["data"]["status"] == "COMPLETED"
    assert message["data"]["artifacts"][0]["url"].startswith("http")
    self_url = message["data"]["urls"]["self"]
    assert (await hooked.ada.get(self_url)).json()["jobId"] == job["jobId"]
    with pytest.raises(WebhookVerificationError):
        verify(request, "whsec_" + base64.b64encode(b"x" * 32).decode(), monkeypatch)

    (delivery,) = await hooked.deliveries(endpoint["endpointId"])
    assert delivery["state"] == "succeeded"
    assert delivery["deliveryId"] == request.headers["webhook-id"]
    assert delivery["body"] == request.content.decode()
    assert [one["status"] for one in delivery["tries"]] == [204]


async def test_an_endpoint_gets_the_events_of_its_filter_alone(hooked: Hooked) -> None:
    await hooked.create(events=["job.*"])
    await hooked.run_job()
    assert sorted(hooked.receiver.events) == ["job.completed", "job.processing", "job.queued"]
    hooked.receiver.received.clear()
    other = (await hooked.read(ENDPOINTS))["endpoints"][0]["endpointId"]
    await hooked.ada.patch(f"{ENDPOINTS}/{other}", json={"events": ["job.cancelled"]})
    await hooked.run_job()
    assert hooked.receiver.events == []


async def test_failed_and_cancelled_jobs_are_told(hooked: Hooked) -> None:
    await hooked.create()
    failing = image_request("fail-permanent")
    await submit_job(hooked.ada, failing)
    await hooked.world.advance(5)
    later = {**NOOP, "scheduleAt": (hooked.world.now() + timedelta(days=1)).isoformat()}
    job = await submit_job(hooked.ada, later)
    await hooked.ada.delete(f"{IMAGE}/{job['jobId']}")
    await hooked.world.settle()
    assert hooked.receiver.events == ["job.failed", "job.cancelled"]
    assert json.loads(hooked.receiver.received[0].content)["data"]["error"]["message"]


async def test_only_the_jobs_of_its_project_and_of_its_user(hooked: Hooked) -> None:
    await hooked.create(projectId="spring")
    await hooked.run_job()
    bob = hooked.world.as_user("bob")
    await submit_job(bob, {**NOOP, "projectId": "spring"})
    await hooked.world.advance(5)
    assert hooked.receiver.events == []
    await hooked.run_job(projectId="spring")
    assert hooked.receiver.events == ["job.completed"]


async def test_a_job_names_its_own_webhook_and_the_default_key_signs(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hooked.run_job(webhookUrl=f"{URL}/job")
    (request,) = hooked.receiver.received
    assert request.url.path == "/hooks/job"
    keys = (await hooked.read(f"{ENDPOINTS}/default/keys"))["keys"]
    assert verify(request, keys[0]["secret"], monkeypatch)["type"] == "job.completed"
    assert len(await hooked.deliveries("default")) == 1
    assert (await hooked.read(ENDPOINTS))["endpoints"] == []


async def test_ed25519_signatures_verify_with_the_public_key(hooked: Hooked) -> None:
    endpoint = await hooked.create(signature="v1a")
    key = endpoint["keys"][0]
    assert "secret" not in key
    await hooked.run_job()
    (request,) = hooked.receiver.received
    version, _, signature = request.headers["webhook-signature"].partition(",")
    assert version == "v1a"
    signed = b".".join(
        [
            request.headers["webhook-id"].encode(),
            request.headers["webhook-timestamp"].encode(),
            request.content,
        ]
    )
    raw = base64.b64decode(key["publicKey"].removeprefix("whpk_"))
    Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(signature), signed)


async def test_both_keys_sign_while_one_is_replaced(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await hooked.create()
    old = endpoint["keys"][0]["secret"]
    path = f"{ENDPOINTS}/{endpoint['endpointId']}/keys"
    answer = await hooked.ada.post(path, json={"overlapSeconds": 3600})
    assert answer.status_code == 201
    new = answer.json()["keys"][0]["secret"]
    assert new != old
    await hooked.run_job()
    for secret in (old, new):
        assert verify(hooked.receiver.received[-1], secret, monkeypatch)
    await hooked.world.advance(3700)
    await hooked.run_job()
    assert verify(hooked.receiver.received[-1], new, monkeypatch)
    with pytest.raises(WebhookVerificationError):
        verify(hooked.receiver.received[-1], old, monkeypatch)


# ── Tries ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_failed_try_is_repeated_with_the_same_id_and_body_and_a_new_time(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await hooked.create()
    hooked.receiver.answer = lambda _request: httpx.Response(500, text="broken")
    await hooked.run_job()
    await hooked.world.advance(40)
    received = hooked.receiver.received
    # At once, and after 1, 2, 4, 8 and 16 seconds.
    assert len(received) == 6
    assert len({one.headers["webhook-id"] for one in received}) == 1
    assert len({one.content for one in received}) == 1
    times = [int(one.headers["webhook-timestamp"]) for one in received]
    assert len(set(times)) == 6
    for one in received:
        assert verify(one, endpoint["keys"][0]["secret"], monkeypatch)

    hooked.receiver.answer = lambda _request: httpx.Response(200)
    await hooked.world.advance(301)
    (delivery,) = await hooked.deliveries(endpoint["endpointId"])
    assert delivery["state"] == "succeeded"
    assert [one["status"] for one in delivery["tries"]] == [500] * 6 + [200]
    assert delivery["tries"][0]["body"] == "broken"


async def test_a_redirect_is_a_failure_and_is_not_followed(hooked: Hooked) -> None:
    endpoint = await hooked.create()
    hooked.receiver.answer = lambda _request: httpx.Response(
        302, headers={"location": "https://169.254.169.254/"}
    )
    await hooked.run_job()
    assert {one.url.host for one in hooked.receiver.received} == {"93.184.216.34"}
    (delivery,) = await hooked.deliveries(endpoint["endpointId"], state="pending")
    assert delivery["tries"][0]["status"] == 302


async def test_gone_disables_the_endpoint_at_once(hooked: Hooked) -> None:
    endpoint = await hooked.create()
    hooked.receiver.answer = lambda _request: httpx.Response(410)
    await hooked.run_job()
    found = await hooked.read(f"{ENDPOINTS}/{endpoint['endpointId']}")
    assert (found["state"], found["disabledReason"]) == ("disabled", "It answered 410 Gone.")
    await hooked.run_job()
    assert len(hooked.receiver.received) == 1

    hooked.receiver.answer = lambda _request: httpx.Response(204)
    path = f"{ENDPOINTS}/{endpoint['endpointId']}"
    enabled = await hooked.ada.patch(path, json={"enabled": True})
    assert enabled.json()["state"] == "enabled"
    await hooked.run_job()
    assert len(hooked.receiver.received) == 2


@pytest.mark.parametrize("status", [429, 502, 504])
async def test_an_endpoint_that_asks_for_fewer_requests_gets_none_for_a_while(
    hooked: Hooked, status: int
) -> None:
    await hooked.create()
    hooked.receiver.answer = lambda _request: httpx.Response(status)
    await hooked.run_job()
    await hooked.run_job()
    assert len(hooked.receiver.received) == 1
    hooked.receiver.answer = lambda _request: httpx.Response(204)
    await hooked.world.advance(80)
    assert len(hooked.receiver.received) == 3


async def test_retry_after_is_honoured(hooked: Hooked) -> None:
    await hooked.create()
    hooked.receiver.answer = lambda _request: httpx.Response(503, headers={"retry-after": "1000"})
    await hooked.run_job()
    await hooked.world.advance(900)
    assert len(hooked.receiver.received) == 1
    await hooked.world.advance(200)
    assert len(hooked.receiver.received) == 2


async def test_an_endpoint_that_only_fails_is_disabled_and_the_others_are_told(
    hooked: Hooked,
) -> None:
    bad = await hooked.create(url=f"{URL}/bad")
    good = await hooked.create(url=f"{URL}/good", events=["job.expired"])
    hooked.receiver.answer = lambda request: httpx.Response(
        500 if request.url.path.endswith("bad") else 204
    )
    await hooked.run_job()
    for _ in range(4):
        await hooked.world.advance(86_400)
    found = await hooked.read(f"{ENDPOINTS}/{bad['endpointId']}")
    assert found["state"] == "disabled"
    assert "3 days" in found["disabledReason"]
    (delivery,) = await hooked.deliveries(bad["endpointId"])
    assert delivery["state"] == "failed"
    (notice,) = await hooked.deliveries(good["endpointId"])
    assert notice["event"] == "webhook.disabled"
    assert bad["endpointId"] in notice["body"]


async def test_a_lost_task_is_made_up_for_by_the_sweep(hooked: Hooked) -> None:
    await hooked.create()
    await hooked.world.tasks.pause("webhook-processing")
    await hooked.run_job()
    await hooked.world.tasks.purge("webhook-processing")
    await hooked.world.tasks.resume("webhook-processing")
    await hooked.world.advance(130)
    assert hooked.receiver.received == []
    assert (await hooked.world.sweep())["webhook_rescued"] == 1
    await hooked.world.settle()
    assert hooked.receiver.events == ["job.completed"]


async def test_a_delivery_that_cannot_be_rescued_stops_no_other(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = hooked.world
    await hooked.create()
    await world.tasks.pause("webhook-processing")
    await hooked.run_job()
    await world.tasks.purge("webhook-processing")
    await world.advance(600)
    (row,) = await world.services.store.query(Query(collection=WEBHOOK_DELIVERIES))
    rescue = sending._rescue
    for error, action in (
        (StoreError("the store is away"), "webhook_unwritten"),
        (ZeroDivisionError("a bug"), "webhook_crashed"),
    ):

        async def fail(*_: Any, error: Exception = error) -> str:
            raise error

        monkeypatch.setattr(sending, "_rescue", fail)
        assert await sending.rescue_deliveries(world.services) == {action: 1}
    monkeypatch.setattr(sending, "_rescue", rescue)
    assert await sending.rescue_deliveries(world.services) == {"webhook_rescued": 1}
    # Another sweep that read it as overdue finds that it is not.
    assert await rescue(world.services, row.id) == "webhook_asleep"


async def test_a_delivery_of_the_task_that_comes_twice_sends_once(hooked: Hooked) -> None:
    endpoint = await hooked.create()
    await hooked.run_job()
    (delivery,) = await hooked.deliveries(endpoint["endpointId"])
    for _ in range(3):
        assert (await hooked.world.process(delivery["deliveryId"])).status_code == 200
    assert len(hooked.receiver.received) == 1


# ── By hand ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_message_is_sent_again_by_hand_with_the_same_id_and_body(hooked: Hooked) -> None:
    endpoint = await hooked.create()
    await hooked.run_job()
    (delivery,) = await hooked.deliveries(endpoint["endpointId"])
    path = f"/api/webhook-deliveries/{delivery['deliveryId']}"
    assert (await hooked.ada.post(f"{path}/redeliver")).status_code == 202
    await hooked.world.settle()
    first, second = hooked.receiver.received
    assert first.content == second.content
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert len((await hooked.read(path))["tries"]) == 2


async def test_the_failed_ones_of_a_range_are_sent_again(hooked: Hooked) -> None:
    endpoint = await hooked.create()
    path = f"{ENDPOINTS}/{endpoint['endpointId']}"
    since = hooked.world.now().isoformat()
    hooked.receiver.answer = lambda _request: httpx.Response(410)
    await hooked.run_job()
    hooked.receiver.answer = lambda _request: httpx.Response(204)
    await hooked.ada.patch(path, json={"enabled": True})
    await hooked.run_job()
    answer = await hooked.ada.post(f"{path}/redeliver", json={"since": since})
    assert answer.json() == {"sent": 1, "skipped": 0, "more": False}
    await hooked.world.settle()
    assert [one["state"] for one in await hooked.deliveries(endpoint["endpointId"])] == [
        "succeeded"
    ] * 2


async def test_a_test_event_is_sent_whatever_the_events_are(hooked: Hooked) -> None:
    endpoint = await hooked.create(events=["job.expired"])
    answer = await hooked.ada.post(f"{ENDPOINTS}/{endpoint['endpointId']}/test")
    assert answer.status_code == 202
    await hooked.world.settle()
    assert hooked.receiver.events == ["webhook.test"]
    expect_problem(await hooked.ada.post(f"{ENDPOINTS}/default/test"), 409, "conflict")


async def test_a_deleted_endpoint_gets_nothing_more(hooked: Hooked) -> None:
    endpoint = await hooked.create()
    hooked.receiver.answer = lambda _request: httpx.Response(500)
    job = await hooked.run_job()
    seen = len(hooked.receiver.received)
    path = f"{ENDPOINTS}/{endpoint['endpointId']}"
    assert (await hooked.ada.delete(path)).status_code == 200
    await hooked.run_job()
    await hooked.world.advance(3600)
    assert len(hooked.receiver.received) == seen
    expect_problem(await hooked.ada.get(path), 404, "not_found")
    assert (await hooked.read(f"/api/jobs/{job['jobId']}"))["status"] == "COMPLETED"
