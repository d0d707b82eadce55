"""Alerts in the failures that they announce: a message is not lost, and no alert is a false one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import image_request, submit_job
from functions.stored_documents import store_documents
from functions.test_alerts import Watched, watching, watching_store
from simulation.world import KEY
from taskreel.app.alerts import announce_alerts
from taskreel.app.services import OperatorAlerts
from taskreel.domain.breaker import Breaker
from taskreel.domain.errors import StoreError
from taskreel.domain.ids import is_user_id
from taskreel.ports import Query
from taskreel.store_collections import ACCOUNTS, ALERTS, BREAKERS, METRICS

HOUR = 3600


@pytest.fixture
async def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    async with watching(tmp_path, monkeypatch) as made:
        yield made


async def sweep_without_store(watched: Watched) -> None:
    """Sweep as Cloud Scheduler does; the answer comes when the message has been sent."""
    answer = await watched.world.maintenance.post(
        "/tasks/sweep", headers={"X-Internal-Api-Key": KEY}
    )
    assert answer.status_code == 500
    alerts = watched.world.services.alerts
    assert alerts is not None
    # After the answer the instance may have no processor until the next request.
    assert not alerts.sends


async def test_that_the_store_is_lost_is_announced_until_the_receiver_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching_store(tmp_path, monkeypatch) as (watched, store):
        store.is_lost = True
        watched.receiver.answer = lambda _request: httpx.Response(500)
        await sweep_without_store(watched)
        await sweep_without_store(watched)  # at once: a sweep every few seconds repeats nothing
        assert len(watched.texts) == 1
        await watched.world.advance(60)
        watched.receiver.answer = lambda _request: httpx.Response(200)
        for _ in range(3):
            await sweep_without_store(watched)
            await watched.world.advance(60)
        assert ["The store cannot be used" in text for text in watched.texts] == [True, True]

        # Its end is stored, and comes again as any message that is refused.
        store.is_lost = False
        watched.receiver.answer = lambda _request: httpx.Response(500)
        await watched.world.sweep()
        watched.receiver.answer = lambda _request: httpx.Response(200)
        await watched.world.advance(10)
        ended = [text for text in watched.texts if "✅ Resolved: The store" in text]
        assert len(ended) == 2


async def test_a_sweep_that_is_late_for_hours_is_announced_again(watched: Watched) -> None:
    await watched.world.sweep()
    for hours in (1, 2, 5, 6):
        await watched.world.advance(hours * HOUR - 60)
        for _ in range(2):
            await watched.world.api.get("/api/jobs/health")
            await watched.world.advance(60)
    first, *others = watched.texts
    assert "1 new" in first
    assert len(others) == 2
    assert all("still active" in text and "The sweep is late" in text for text in others)


async def test_a_late_sweep_is_announced_though_its_finder_ends_before_it_sends(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce_alerts, "_start_send", lambda *_given: None)
    await watched.world.sweep()
    await watched.world.advance(HOUR)
    await watched.world.api.get("/api/jobs/health")
    assert watched.texts == []
    await watched.world.advance(150)
    (text,) = watched.texts
    assert "The sweep is late" in text


async def test_a_check_that_fails_makes_no_sweep_late(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_given: Any, **_options: Any) -> Any:
        raise errors[0]

    errors: list[Exception] = [ZeroDivisionError()]
    await watched.world.sweep()
    monkeypatch.setattr(announce_alerts, "find_conditions", fail)
    for _ in range(10):
        await watched.sweep_after(60)
        await watched.world.api.get("/api/jobs/health")
    errors[0] = StoreError("the query has no index")
    for _ in range(10):
        await watched.sweep_after(60)
        await watched.world.api.get("/api/jobs/health")
    assert watched.texts == []


async def test_a_state_that_cannot_be_read_is_replaced(watched: Watched) -> None:
    await store_documents(watched.world, {"alerts": {"state": {"active": "none"}}})
    assert await watched.list_active() == []
    await watched.fail_jobs(12)
    await watched.sweep_after(60)
    assert [one["kind"] for one in await watched.list_active()] == ["error-rate"]
    (row,) = await watched.world.services.store.query(Query(collection=ALERTS))
    assert row.value.swept_at == watched.world.now()


async def test_a_job_that_waits_on_a_day_without_others_is_no_ended_alert(
    watched: Watched,
) -> None:
    world = watched.world
    await world.tasks.pause("image-generation-queue")
    await submit_job(world.as_user("ada"), image_request("noop"))
    await watched.sweep_after(700)
    rollups = await world.services.store.query(Query(collection=METRICS))
    # As those of yesterday are no longer read.
    for row in rollups:
        await watched.write(lambda tx, id_=row.id: tx.delete(METRICS, id_))
    for _ in range(7):
        await watched.sweep_after(60)
    assert [one["kind"] for one in await watched.list_active()] == ["oldest-waiting"]


def test_no_token_names_the_user_of_the_alerts() -> None:
    assert not is_user_id(announce_alerts._RECEIVER)


async def test_a_balance_that_is_repaired_on_a_day_without_jobs_ends_its_alert(
    watched: Watched,
) -> None:
    store = watched.world.services.store
    await submit_job(watched.world.as_user("ada"))
    await watched.world.advance(40)
    account = await store.get(ACCOUNTS, "ada")
    assert account is not None
    wrong = account.model_copy(update={"granted": account.granted + 5})
    await watched.write(lambda tx: tx.set(ACCOUNTS, "ada", wrong))
    await watched.sweep_after(60)
    assert [one["kind"] for one in await watched.list_active()] == ["credits"]
    await watched.world.advance(25 * HOUR)
    await watched.sweep_after(60)
    assert "credits" in {one["kind"] for one in await watched.list_active()}
    await watched.write(lambda tx: tx.set(ACCOUNTS, "ada", account))
    for _ in range(7):
        await watched.sweep_after(60)
    assert await watched.list_active() == []


async def test_a_stack_of_one_process_that_did_not_run_was_not_late(watched: Watched) -> None:
    world, alerts = watched.world, watched.world.services.alerts
    assert alerts is not None
    await world.sweep()
    await world.advance(10 * HOUR)
    # As the next process: it knows nothing of the one before.
    alerts.checked_at, alerts.runs_since = None, world.now()
    await world.api.get("/api/jobs/health")
    assert await watched.list_active() == []
    await watched.sweep_after(10)
    assert watched.texts == []
    # It is late by the time for which it runs.
    await world.advance(HOUR)
    await world.api.get("/api/jobs/health")
    await world.advance(1)
    (text,) = watched.texts
    assert "60 minutes ago" in text


async def test_a_model_that_was_not_tried_again_is_not_resolved(watched: Watched) -> None:
    now = watched.world.now()
    opened = Breaker(probe_at=now + timedelta(seconds=90), openings=1, since=now)
    await watched.write(lambda tx: tx.set(BREAKERS, "bfl.flux-2-pro", opened))
    for _ in range(15):
        await watched.sweep_after(60)
    (text,) = watched.texts
    assert "A provider's model is paused after failures (bfl flux-2-pro)" in text
    (alert,) = await watched.list_active()
    assert alert["text"] == "It failed too often, and has not been tried since."

    await watched.write(lambda tx: tx.set(BREAKERS, "bfl.flux-2-pro", Breaker()))
    for _ in range(7):
        await watched.sweep_after(60)
    assert "✅ Resolved: A provider's model" in watched.texts[-1]
    assert len(watched.texts) == 2


def test_no_text_of_the_settings_has_the_secret_url() -> None:
    assert "hooks" not in str(OperatorAlerts(url="https://hooks.example/secret"))


async def test_a_receiver_that_hangs_holds_up_no_stop() -> None:
    alerts = OperatorAlerts()
    hanging = asyncio.create_task(asyncio.Event().wait())
    alerts.sends.add(hanging)
    await alerts.finish_sends(within=0.01)
    with pytest.raises(asyncio.CancelledError):
        await hanging
