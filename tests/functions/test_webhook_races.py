"""Webhooks whose delivery, endpoint, job or account changes while a try is under way."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, expect_problem, submit_job
from functions.stored_documents import store_documents
from functions.test_recovery import kill_and_start
from functions.webhook_receiver import ENDPOINTS, PICTURE, URL, Hooked
from taskreel.adapters.webhook_sender import WebhookSender
from taskreel.app.caller import Caller
from taskreel.app.services import Services
from taskreel.app.webhooks import deliveries, endpoints, sending
from taskreel.app.worker.recovery import recover_deliveries
from taskreel.domain.client_webhook import EndpointState, WebhookDelivery
from taskreel.domain.errors import NotFoundError
from taskreel.store_collections import ACCOUNTS, WEBHOOK_DELIVERIES, WEBHOOK_ENDPOINTS

QUEUE = "webhook-processing"
Meanwhile = Callable[[], Awaitable[Any]]


def do_while_sending(patch: pytest.MonkeyPatch, meanwhile: Meanwhile) -> None:
    """Let something happen after each endpoint has answered, before its answer is recorded."""
    send = WebhookSender.send

    async def sent(self: WebhookSender, *args: Any, **options: Any) -> Any:
        answer = await send(self, *args, **options)
        await meanwhile()
        return answer

    patch.setattr(WebhookSender, "send", sent)


async def find_only(hooked: Hooked, endpoint: dict[str, Any]) -> dict[str, Any]:
    (delivery,) = await hooked.deliveries(endpoint["endpointId"])
    return delivery


async def change_delivery(hooked: Hooked, id_: str, **changes: Any) -> WebhookDelivery:
    """Store the delivery with other fields, past every rule."""

    async def write(tx: Any) -> WebhookDelivery:
        stored: WebhookDelivery = await tx.get(WEBHOOK_DELIVERIES, id_)
        changed = stored.model_copy(update=changes)
        tx.set(WEBHOOK_DELIVERIES, id_, changed)
        return changed

    return await hooked.world.services.store.transaction(write)


# ── While a try begins ───────────────────────────────────────────────────────────────────────────


async def test_a_try_that_another_has_finished_meanwhile_sends_nothing(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await hooked.create()
    await hooked.world.tasks.pause(QUEUE)
    await hooked.run_job()
    id_ = (await find_only(hooked, endpoint))["deliveryId"]
    render = sending._render_body

    async def render_late(services: Services, delivery: WebhookDelivery) -> str:
        monkeypatch.setattr(sending, "_render_body", render)
        assert await sending.process_delivery_task(services, id_)
        return await render(services, delivery)

    monkeypatch.setattr(sending, "_render_body", render_late)
    assert await sending.process_delivery_task(hooked.world.services, id_)
    assert len(hooked.receiver.received) == 1


async def test_a_task_that_comes_during_a_try_waits_for_its_end(hooked: Hooked) -> None:
    endpoint = await hooked.create()
    await hooked.world.tasks.pause(QUEUE)
    await hooked.run_job()
    id_ = (await find_only(hooked, endpoint))["deliveryId"]
    await change_delivery(hooked, id_, lease_until=hooked.world.now() + timedelta(seconds=20))
    assert not await sending.process_delivery_task(hooked.world.services, id_)
    assert hooked.receiver.received == []
    await hooked.world.advance(21)
    assert await sending.process_delivery_task(hooked.world.services, id_)
    assert len(hooked.receiver.received) == 1


async def test_an_old_task_makes_no_try_before_its_time(hooked: Hooked) -> None:
    endpoint = await hooked.create()
    hooked.receiver.answer = lambda _request: httpx.Response(500)
    await hooked.run_job()
    await hooked.world.advance(40)
    seen = len(hooked.receiver.received)
    id_ = (await find_only(hooked, endpoint))["deliveryId"]
    assert await sending.process_delivery_task(hooked.world.services, id_)
    assert len(hooked.receiver.received) == seen


async def test_what_waits_for_an_endpoint_that_its_owner_disables_fails_unsent(
    hooked: Hooked,
) -> None:
    endpoint = await hooked.create()
    await hooked.world.tasks.pause(QUEUE)
    await hooked.run_job()
    path = f"{ENDPOINTS}/{endpoint['endpointId']}"
    changed = (await hooked.ada.patch(path, json={"enabled": False})).json()
    assert changed["disabledReason"] == "Its owner has disabled it."
    await hooked.world.tasks.resume(QUEUE)
    await hooked.world.settle()
    assert hooked.receiver.received == []
    delivery = await find_only(hooked, endpoint)
    assert (delivery["state"], delivery["reason"]) == ("failed", "The endpoint is disabled.")


async def test_the_message_of_a_job_that_has_been_removed_has_no_links_to_its_files(
    hooked: Hooked,
) -> None:
    await hooked.create()
    await hooked.world.tasks.pause(QUEUE)
    job = await submit_job(hooked.ada, PICTURE)
    await hooked.world.advance(5)
    assert (await hooked.ada.delete(f"{IMAGE}/{job['jobId']}")).status_code == 204
    await hooked.world.tasks.resume(QUEUE)
    await hooked.world.settle()
    (request,) = hooked.receiver.received
    data = json.loads(request.content)["data"]
    assert (data["jobId"], data["status"]) == (job["jobId"], "COMPLETED")
    assert "artifacts" not in data


# ── While a try is recorded ──────────────────────────────────────────────────────────────────────


async def test_an_answer_that_comes_after_the_lease_was_lost_is_not_recorded(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await hooked.create()
    taken_until = hooked.world.now() + timedelta(hours=1)

    async def take_lease() -> None:
        id_ = hooked.receiver.received[0].headers["webhook-id"]
        await change_delivery(hooked, id_, lease_until=taken_until)

    do_while_sending(monkeypatch, take_lease)
    await hooked.run_job()
    delivery = await find_only(hooked, endpoint)
    assert (delivery["state"], delivery["tries"]) == ("pending", [])


async def test_a_failure_of_an_endpoint_that_was_deleted_meanwhile_brings_nothing_back(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await hooked.create()
    path = f"{ENDPOINTS}/{endpoint['endpointId']}"
    hooked.receiver.answer = lambda _request: httpx.Response(410)

    async def delete() -> None:
        assert (await hooked.ada.delete(path)).status_code == 200

    do_while_sending(monkeypatch, delete)
    await hooked.run_job()
    id_ = hooked.receiver.received[0].headers["webhook-id"]
    assert (await hooked.read(f"/api/webhook-deliveries/{id_}"))["state"] == "failed"
    expect_problem(await hooked.ada.get(path), 404, "not_found")


async def test_an_endpoint_of_a_user_without_an_account_is_disabled_too(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await hooked.create()
    hooked.receiver.answer = lambda _request: httpx.Response(410)

    async def remove_account() -> None:
        async def write(tx: Any) -> None:
            tx.delete(ACCOUNTS, "ada")

        await hooked.world.services.store.transaction(write)

    do_while_sending(monkeypatch, remove_account)
    await hooked.run_job()
    found = await hooked.read(f"{ENDPOINTS}/{endpoint['endpointId']}")
    assert found["state"] == "disabled"
    assert len(hooked.receiver.received) == 1


async def test_only_enabled_endpoints_are_notified_of_one_that_is_disabled(hooked: Hooked) -> None:
    gone = await hooked.create(url=f"{URL}/gone")
    quiet = await hooked.create(url=f"{URL}/quiet", events=["job.expired"])
    good = await hooked.create(url=f"{URL}/good", events=["job.expired"])

    async def disable(tx: Any) -> None:
        # As an old revision left it: disabled, and listed in the account.
        stored = await tx.get(WEBHOOK_ENDPOINTS, quiet["endpointId"])
        changed = stored.model_copy(update={"state": EndpointState.DISABLED})
        tx.set(WEBHOOK_ENDPOINTS, quiet["endpointId"], changed)

    await hooked.world.services.store.transaction(disable)
    hooked.receiver.answer = lambda request: httpx.Response(
        410 if request.url.path.endswith("gone") else 204
    )
    await hooked.run_job()
    assert (await find_only(hooked, good))["event"] == "webhook.disabled"
    assert await hooked.deliveries(quiet["endpointId"]) == []
    assert (await find_only(hooked, gone))["state"] == "failed"


# ── By hand ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_delivery_that_is_being_sent_or_was_removed_is_not_sent_again(
    hooked: Hooked,
) -> None:
    endpoint = await hooked.create()
    await hooked.run_job()
    id_ = (await find_only(hooked, endpoint))["deliveryId"]
    await change_delivery(hooked, id_, lease_until=hooked.world.now() + timedelta(seconds=20))
    refused = await hooked.ada.post(f"/api/webhook-deliveries/{id_}/redeliver")
    expect_problem(refused, 409, "conflict")
    with pytest.raises(NotFoundError, match="any more"):
        await deliveries.send_again(
            hooked.world.services, Caller(user_id="ada"), "removed-meanwhile"
        )
    assert len(hooked.receiver.received) == 1


@pytest.mark.parametrize(("most", "sent", "more"), [(1000, 4, False), (3, 3, True)])
async def test_a_range_is_sent_again_page_by_page_up_to_a_limit(
    hooked: Hooked,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    sent: int,
    more: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    monkeypatch.setattr(deliveries, "_PAGE", 2)
    monkeypatch.setattr(deliveries, "MOST_SENT_AGAIN", most)
    endpoint = await hooked.create()
    since = hooked.world.now().isoformat()
    for _ in range(4):
        await hooked.run_job()
    until = hooked.world.now().isoformat()
    await hooked.world.advance(1)
    await hooked.run_job()  # after the range
    path = f"{ENDPOINTS}/{endpoint['endpointId']}/redeliver"
    wanted = {"since": since, "until": until, "state": "succeeded"}
    answer = await hooked.ada.post(path, json=wanted)
    assert answer.json() == {"sent": sent, "skipped": 0, "more": more}
    await hooked.world.settle()
    assert len(hooked.receiver.received) == 5 + sent


async def test_a_range_leaves_pending_deliveries_to_their_own_tries(hooked: Hooked) -> None:
    endpoint = await hooked.create()
    since = hooked.world.now().isoformat()
    hooked.receiver.answer = lambda _request: httpx.Response(500)
    await hooked.run_job()
    before = await find_only(hooked, endpoint)
    path = f"{ENDPOINTS}/{endpoint['endpointId']}/redeliver"
    answer = await hooked.ada.post(path, json={"since": since, "state": "pending"})
    assert answer.json() == {"sent": 0, "skipped": 1, "more": False}
    assert await find_only(hooked, endpoint) == before


# ── Refusals ─────────────────────────────────────────────────────────────────────────────────────


async def test_an_id_that_is_longer_than_any_names_nothing(hooked: Hooked) -> None:
    long = "x" * 101
    expect_problem(await hooked.ada.get(f"{ENDPOINTS}/{long}"), 404, "not_found")
    expect_problem(await hooked.ada.get(f"/api/webhook-deliveries/{long}"), 404, "not_found")


async def test_an_endpoint_for_a_project_outside_the_token_is_refused(hooked: Hooked) -> None:
    client = hooked.world.as_user("ada", projects=["autumn"])
    refused = await client.post(ENDPOINTS, json={"url": URL, "projectId": "spring"})
    expect_problem(refused, 403, "forbidden")
    allowed = await client.post(ENDPOINTS, json={"url": URL, "projectId": "autumn"})
    assert allowed.status_code == 201


async def test_of_the_default_endpoint_only_the_keys_can_be_changed(hooked: Hooked) -> None:
    before = (await hooked.read(f"{ENDPOINTS}/default/keys"))["keys"]
    refused = await hooked.ada.patch(f"{ENDPOINTS}/default", json={"url": URL})
    expect_problem(refused, 409, "conflict")
    rotated = await hooked.ada.post(f"{ENDPOINTS}/default/keys", json={})
    assert rotated.status_code == 201
    after = (await hooked.read(f"{ENDPOINTS}/default/keys"))["keys"]
    assert {one["secret"] for one in before} < {one["secret"] for one in after}


async def test_three_keys_are_valid_at_most_until_an_old_one_expires(hooked: Hooked) -> None:
    endpoint = await hooked.create()
    path = f"{ENDPOINTS}/{endpoint['endpointId']}/keys"
    for _ in range(2):
        assert (await hooked.ada.post(path, json={"overlapSeconds": 3600})).status_code == 201
    expect_problem(await hooked.ada.post(path, json={}), 409, "conflict")
    await hooked.world.advance(3601)
    assert (await hooked.ada.post(path, json={})).status_code == 201


async def test_a_change_of_an_endpoint_that_was_deleted_meanwhile_is_refused(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{ENDPOINTS}/{(await hooked.create())['endpointId']}"
    find = endpoints.find_endpoint

    async def find_and_lose(*args: Any) -> Any:
        monkeypatch.setattr(endpoints, "find_endpoint", find)
        found = await find(*args)
        assert (await hooked.ada.delete(path)).status_code == 200
        return found

    monkeypatch.setattr(endpoints, "find_endpoint", find_and_lose)
    refused = await hooked.ada.patch(path, json={"description": "late"})
    expect_problem(refused, 404, "not_found")
    expect_problem(await hooked.ada.get(path), 404, "not_found")


# ── The start of a process, after another one was killed ─────────────────────────────────────────


async def test_a_webhook_whose_task_was_in_memory_is_delivered_at_once(hooked: Hooked) -> None:
    world = hooked.world
    await hooked.create()
    await world.tasks.pause("webhook-processing")
    await hooked.run_job()
    await kill_and_start(world)
    assert await recover_deliveries(world.services, world.now()) == 1
    await world.tasks.resume("webhook-processing")
    await world.advance(1)
    assert hooked.receiver.events == ["job.completed"]
    assert await recover_deliveries(world.services, world.now()) == 0


async def test_a_try_that_died_with_its_process_is_made_again(hooked: Hooked) -> None:
    world = hooked.world
    endpoint = await hooked.create()
    await world.tasks.pause("webhook-processing")
    await hooked.run_job()
    (listed,) = await hooked.deliveries(endpoint["endpointId"])
    found = await world.services.store.get(WEBHOOK_DELIVERIES, listed["deliveryId"])
    assert found is not None
    held = found.with_changes(world.now(), lease_until=world.now() + timedelta(seconds=50))
    await store_documents(
        world, {"webhook_deliveries": {listed["deliveryId"]: dict(held.document())}}
    )
    await kill_and_start(world)
    await world.tasks.resume("webhook-processing")
    assert await recover_deliveries(world.services, world.now()) == 1
    await world.advance(1)
    assert hooked.receiver.events == ["job.completed"]
