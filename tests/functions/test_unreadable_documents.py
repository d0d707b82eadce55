"""A stored document that cannot be read stops no sweep, no list and no count of others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from functions.job_requests import BATCH, batch_request, image_request, submit_job
from functions.stored_documents import store_documents
from functions.webhook_receiver import Hooked, Receiver
from simulation.world import World, running
from streamed_answers import StreamedAnswers
from taskreel.adapters.webhook_sender import WebhookSender
from taskreel.app.query_pages import WAKE_SHARDS, build_due_query
from taskreel.app.queues.pause_queue import restore_pauses
from taskreel.app.records.dead_letters import list_groups
from taskreel.app.records.history import load_answers
from taskreel.app.records.statistics import sum_all_jobs
from taskreel.app.services import Services
from taskreel.domain.run_answers import ProviderAnswer, RunAnswers
from taskreel.ports import Collection, Query
from taskreel.store_collections import WEBHOOK_DELIVERIES


@pytest.fixture
async def hooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hooked]:
    receiver = Receiver()

    def change(services: Services) -> Services:
        return replace(services, webhooks=WebhookSender(transport=StreamedAnswers(receiver)))

    async with running(tmp_path, monkeypatch, change=change) as made:
        yield Hooked(made, receiver, made.as_user("ada"))


async def damage(world: World, collection: str, id_: str, **fields: Any) -> None:
    """Make a stored document unreadable: some fields have values of another type."""
    data = await world.services.store.get(_raw(collection), id_)
    assert data is not None
    await store_documents(world, {collection: {id_: {**data, **fields}}})


async def list_ids(world: World, collection: str) -> list[str]:
    return [row.id for row in await world.services.store.query(Query(collection=_raw(collection)))]


def _raw(collection: str) -> Collection[Mapping[str, Any]]:
    return Collection(collection, dict, dict)


async def lose_tasks(hooked: Hooked, jobs: int) -> list[str]:
    """Run jobs whose webhooks' tasks are lost; the ids of the deliveries, in order of being due."""
    await hooked.create()
    await hooked.world.tasks.pause("webhook-processing")
    for _ in range(jobs):
        await hooked.run_job()
    await hooked.world.tasks.purge("webhook-processing")
    await hooked.world.tasks.resume("webhook-processing")
    await hooked.world.advance(130)
    due = build_due_query(WEBHOOK_DELIVERIES, hooked.world.now(), page=10, shards=WAKE_SHARDS)
    rows = await hooked.world.services.store.query(due)
    return [row.id for row in rows]


async def test_an_unreadable_delivery_does_not_end_the_sweep_of_the_others(
    hooked: Hooked, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = await lose_tasks(hooked, 2)
    await damage(hooked.world, "webhook_deliveries", first, attempt="many")
    swept = await hooked.world.sweep()
    assert (swept["webhook_rescued"], swept["webhook_crashed"]) == (1, 1)
    await hooked.world.settle()
    assert hooked.receiver.events == ["job.completed"]
    named = {getattr(row, "delivery_id", None) for row in caplog.records if row.exc_info}
    assert first in named


async def test_an_unreadable_delivery_is_skipped_when_a_range_is_sent_again(
    hooked: Hooked,
) -> None:
    since = hooked.world.now().isoformat()
    endpoint = await hooked.create()
    await hooked.run_job()
    await hooked.run_job()
    first, _ = await list_ids(hooked.world, "webhook_deliveries")
    await damage(hooked.world, "webhook_deliveries", first, attempt="many")
    path = f"/api/webhook-endpoints/{endpoint['endpointId']}/redeliver"
    answer = await hooked.ada.post(path, json={"since": since, "state": "succeeded"})
    assert answer.json() == {"sent": 1, "skipped": 1, "more": False}


async def test_an_unreadable_upload_does_not_refuse_its_owner_another(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {"name": "a.png", "contentType": "image/png", "bytes": 10}
    made = (await ada.post("/api/uploads", json=body)).json()
    await damage(world, "uploads", made["uploadId"], bytes="ten")
    assert (await ada.post("/api/uploads", json=body)).status_code == 201


async def test_failures_and_statistics_are_listed_without_those_that_cannot_be_read(
    world: World, ada: httpx.AsyncClient
) -> None:
    await submit_job(ada, image_request("fail-permanent"))
    await submit_job(ada, {**image_request("fail-temporary"), "retry": {"maxAttempts": 1}})
    await world.advance(5)
    await world.services.flush_records()
    groups = await list_ids(world, "dead_letters")
    (metrics,) = await list_ids(world, "job_performance_metrics")
    assert len(groups) == 2
    await damage(world, "dead_letters", groups[0], seen="often")
    listed = await list_groups(world.services, None, 10)
    assert [one.group.fingerprint for one in listed] == [groups[1]]

    await damage(world, "job_performance_metrics", metrics, counts="all")
    since = world.now() - timedelta(hours=1)
    assert not (await sum_all_jobs(world.services, since)).by_type


async def test_the_answers_of_a_job_are_listed_without_those_that_cannot_be_read(
    world: World,
) -> None:
    now = world.now()
    answer = ProviderAnswer(at=now, code="refused", text="no")
    run = RunAnswers(job_id="j", user_id="ada", at=now, answers=(answer,), expire_at=now)
    readable, odd = run.document(), {**run.document(), "answers": "none"}
    await store_documents(world, {"run_answers": {"j.1.1": odd, "j.1.2": readable}})
    assert await load_answers(world.services, "j") == [answer]


async def test_a_metric_that_cannot_be_read_takes_no_others_with_it(
    world: World, ada: httpx.AsyncClient
) -> None:
    await submit_job(ada, image_request("noop"))
    await world.advance(5)
    await world.services.flush_records()
    (images,) = await list_ids(world, "job_performance_metrics")
    await damage(world, "job_performance_metrics", images, counts="all")
    await submit_job(ada, image_request("noop"))
    await submit_job(ada, batch_request(), BATCH)
    await world.advance(5)
    await world.services.flush_records()
    found = await sum_all_jobs(world.services, world.now() - timedelta(hours=1))
    assert found.by_type == {"batch-generation": 1}


async def test_a_pause_whose_order_cannot_be_read_is_restored(
    world: World, admin: httpx.AsyncClient
) -> None:
    answer = await admin.post(
        "/api/jobs/queues/image-generation/pause", json={"reason": "maintenance"}
    )
    assert answer.status_code == 200, answer.text
    await damage(world, "queue_controls", "image-generation-queue", at="yesterday")
    assert await restore_pauses(world.services) == ["image-generation-queue"]
