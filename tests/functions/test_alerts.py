"""Alerts for operators: found by the sweep, announced once, and sent past the task processor."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest
from msgspec.structs import replace

from functions.job_requests import expect_problem, image_request, submit_job
from functions.webhook_receiver import Receiver
from simulation.world import World, running, settings
from streamed_answers import StreamedAnswers
from taskreel import service_building, wiring
from taskreel.adapters.local.files import FileBlobs
from taskreel.adapters.webhook_sender import WebhookSender
from taskreel.app.alerts import announce_alerts
from taskreel.config import ConfigurationError, Settings
from taskreel.domain import health
from taskreel.domain.breaker import Breaker, BreakerState
from taskreel.domain.errors import StoreError
from taskreel.domain.job_metrics import AMBIGUOUS_PURCHASES, PROJECT_SPEND_CAPS, SPEND_CAPS, SWEPT
from taskreel.log import _JsonFormatter
from taskreel.ports import Query
from taskreel.store_collections import ACCOUNTS, ALERTS, BREAKERS, METRICS, WEBHOOK_DELIVERIES

SECRET = "T012/B345/a-secret-path"
URL = f"https://93.184.216.34/services/{SECRET}"


@dataclass
class Watched:
    """A world whose alerts arrive at a receiver."""

    world: World
    receiver: Receiver

    @property
    def texts(self) -> list[str]:
        return [json.loads(one.content)["text"] for one in self.receiver.received]

    async def sweep_after(self, seconds: float) -> None:
        """Let the time pass without sweeps, then sweep."""
        await self.world.advance(seconds)
        await self.world.sweep()

    async def fail_jobs(self, count: int) -> None:
        for _ in range(count):
            await submit_job(self.world.as_user("ada"), image_request("fail-permanent"))
        await self.world.advance(5)

    async def list_active(self) -> list[dict[str, Any]]:
        answer = await self.world.as_user("root", role="admin").get("/api/alerts")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["alerts"]
        return found

    async def write(self, change: Any) -> None:
        async def run(tx: Any) -> None:
            change(tx)

        await self.world.services.store.transaction(run)


@asynccontextmanager
async def watching(
    folder: Path, patch: pytest.MonkeyPatch, **options: Any
) -> AsyncIterator[Watched]:
    receiver = Receiver()
    sender = partial(WebhookSender, transport=StreamedAnswers(receiver))
    patch.setattr(service_building, "WebhookSender", sender)
    async with running(folder, patch, **{"alert_webhook_url": URL, **options}) as world:
        yield Watched(world, receiver)


@pytest.fixture
async def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    async with watching(tmp_path, monkeypatch) as made:
        yield made


async def test_failing_jobs_are_announced_once_and_their_end_too(watched: Watched) -> None:
    await watched.fail_jobs(12)
    await watched.sweep_after(60)
    (text,) = watched.texts
    assert "ERROR: Many jobs fail (image-generation)" in text
    assert "12 of 12 jobs of the last hour failed" in text
    for _ in range(5):
        await watched.sweep_after(60)
    assert len(watched.texts) == 1
    (alert,) = await watched.list_active()
    assert (alert["kind"], alert["subject"]) == ("error-rate", "image-generation")

    await watched.sweep_after(70 * 60)  # beyond the hour that counts
    await watched.sweep_after(400)
    assert any("✅ Resolved: Many jobs fail (image-generation)" in one for one in watched.texts[1:])
    assert await watched.list_active() == []


async def test_failures_that_their_requests_explain_are_no_alert(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "REQUEST_FAULTS", {"studio_failed"})
    await watched.fail_jobs(12)
    await watched.sweep_after(60)
    assert watched.texts == []


async def test_two_sweeps_at_once_announce_an_alert_once(watched: Watched) -> None:
    await watched.fail_jobs(12)
    # Each as of a process of its own, which does not know of the other's check.
    alerts = watched.world.services.alerts
    assert alerts is not None
    from taskreel.app.worker.sweep import sweep_jobs

    others = [replace(watched.world.services, alerts=replace(alerts)) for _ in range(3)]
    await watched.world.services.flush_records()
    await asyncio.gather(*(sweep_jobs(one) for one in others))
    await watched.world.settle()
    assert len(watched.texts) == 1


async def test_a_message_that_was_refused_comes_again_under_the_same_id(watched: Watched) -> None:
    watched.receiver.answer = lambda _request: httpx.Response(500)
    await watched.fail_jobs(12)
    await watched.sweep_after(60)
    watched.receiver.answer = lambda _request: httpx.Response(200)
    await watched.world.advance(10)
    first, second = watched.receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.content == second.content


async def test_the_address_is_in_no_document_and_no_log_line(watched: Watched) -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(_JsonFormatter(None))
    logging.getLogger().addHandler(handler)
    try:
        watched.receiver.answer = lambda _request: httpx.Response(500)
        await watched.fail_jobs(12)
        await watched.sweep_after(60)
        answer = await watched.world.as_user("root", role="admin").post("/api/alerts/test")
        assert answer.json()["delivered"] is False
    finally:
        logging.getLogger().removeHandler(handler)
    store = watched.world.services.store
    messages = await store.query(Query(collection=WEBHOOK_DELIVERIES))
    states = await store.query(Query(collection=ALERTS))
    stored = repr([row.data for row in messages] + [row.data for row in states])
    assert "93.184.216.34" in stored  # the tries name the host
    for text in (stored, lines.getvalue(), repr(watched.world.services.alerts), answer.text):
        assert SECRET not in text


async def test_an_open_breaker_and_wrong_credits_are_named(watched: Watched) -> None:
    await submit_job(watched.world.as_user("ada"))
    await watched.world.advance(40)
    account = await watched.world.services.store.get(ACCOUNTS, "ada")
    assert account is not None
    wrong = account.model_copy(update={"available": account.available + 5})
    opened = Breaker().force(BreakerState.OPEN, watched.world.now())
    await watched.write(lambda tx: tx.set(ACCOUNTS, "ada", wrong))
    await watched.write(lambda tx: tx.set(BREAKERS, "bfl.flux-2-pro", opened))
    await watched.sweep_after(60)
    (text,) = watched.texts
    assert "CRITICAL: Credits do not add up" in text
    # No user's id leaves for a chat.
    assert "Of one account." in text
    assert "ada" not in text
    assert "A provider's model is paused after failures (bfl flux-2-pro)" in text
    assert [one["kind"] for one in await watched.list_active()] == ["credits", "breaker-open"]

    await watched.write(lambda tx: tx.set(ACCOUNTS, "ada", account))
    for _ in range(7):
        await watched.sweep_after(60)
    assert "✅ Resolved: Credits do not add up" in watched.texts[-1]


async def test_jobs_that_were_repaired_and_a_paused_queue_are_announced(watched: Watched) -> None:
    world = watched.world
    await world.tasks.pause("image-generation-queue")
    await submit_job(world.as_user("ada"), image_request("noop"))
    await watched.sweep_after(700)
    assert "A job has waited long in its queue (image-generation)" in watched.texts[0]


async def test_a_late_sweep_is_announced_when_the_health_is_read(watched: Watched) -> None:
    world = watched.world
    await world.sweep()
    await world.advance(1200)
    for _ in range(3):
        await world.api.get("/api/jobs/health")
        await world.advance(60)
    (text,) = watched.texts
    assert "CRITICAL: The sweep is late" in text
    assert re.search(r"The last sweep ended at \d\d:\d\d UTC, 20 minutes ago\.", text)
    assert [one["kind"] for one in await watched.list_active()] == ["sweep-late"]
    for _ in range(8):
        await watched.sweep_after(60)
    assert "✅ Resolved: The sweep is late" in watched.texts[-1]
    assert len(watched.texts) == 2


async def test_counts_beyond_their_thresholds_are_alerts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"deadLetters": 1, "spendUsd": 2, "ambiguousPurchases": 1}
    async with watching(tmp_path, monkeypatch, alert_thresholds=limits) as watched:
        services = watched.world.services
        await watched.fail_jobs(2)
        twice = (AMBIGUOUS_PURCHASES, PROJECT_SPEND_CAPS)
        for event in (*twice, *twice, SPEND_CAPS, f"{SWEPT}.rescued.X"):
            services.count_event("image-generation", event, watched.world.now())
        await services.flush_records()
        (metrics,) = await services.store.query(Query(collection=METRICS))
        spent = metrics.value.model_copy(update={"sums": {"costUsd": 2.5}})
        await watched.write(lambda tx: tx.set(METRICS, metrics.id, spent))
        await watched.sweep_after(60)
        active = await watched.list_active()
        texts = {f"{one['kind']} {one['subject']}".strip(): one["text"] for one in active}
        assert texts == {
            "dead-letters": "2 jobs failed for good.",
            "ambiguous-purchase": "2 purchases without an answer in the last 20 minutes.",
            "spend-cap users": "1 cap in the last 20 minutes.",
            "spend-cap projects": "2 caps in the last 20 minutes.",
            "repairs": "1 in the last 20 minutes.",
            "spend": "$2.50 since midnight (UTC); the threshold is $2.00.",
        }


async def test_a_bucket_that_refuses_is_an_alert(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise OSError("no such folder")

    with monkeypatch.context() as patch:
        patch.setattr(FileBlobs, "info", refuse)
        await watched.sweep_after(60)
        assert [one["kind"] for one in await watched.list_active()] == ["bucket-unreachable"]
    await watched.sweep_after(400)
    assert await watched.list_active() == []


async def test_a_check_that_fails_or_crashes_ends_no_sweep(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for error, action in (
        (StoreError("the store is away"), "alerts_unchecked"),
        (ZeroDivisionError(), "alerts_crashed"),
    ):
        monkeypatch.setattr(announce_alerts, "find_conditions", AsyncMock(side_effect=error))
        await watched.sweep_after(60)
        assert action in [vars(record).get("action") for record in caplog.records]


class LostStore:
    """A store that can be lost."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.is_lost = False

    def __getattr__(self, name: str) -> Any:
        if self.is_lost and name in {"get", "query", "transaction", "durable"}:
            raise StoreError("the disk is full")
        return getattr(self.inner, name)


@asynccontextmanager
async def watching_store(
    folder: Path, patch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Watched, LostStore]]:
    """A world whose store can be lost, and that store."""
    stores: list[LostStore] = []

    def wrap(inner: Any) -> Any:
        stores.append(LostStore(inner))
        return stores[0]

    async with watching(folder, patch, wrap=wrap) as watched:
        yield watched, stores[0]


async def test_a_lost_store_is_announced_past_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching_store(tmp_path, monkeypatch) as (watched, store):
        from taskreel.app.worker.sweep import sweep_jobs

        store.is_lost = True
        for _ in range(3):
            with pytest.raises(StoreError):
                await sweep_jobs(watched.world.services)
            await watched.world.advance(60)
        (text,) = watched.texts
        assert "CRITICAL: The store cannot be used" in text
        assert "the disk is full" in text
        store.is_lost = False
        await watched.sweep_after(60)
        assert "✅ Resolved: The store cannot be used" in watched.texts[-1]


async def test_a_test_alert_says_what_the_receiver_answered(watched: Watched) -> None:
    admin = watched.world.as_user("root", role="admin")
    watched.receiver.answer = lambda _request: httpx.Response(200, text="ok")
    answer = await admin.post("/api/alerts/test")
    assert answer.status_code == 200
    assert (answer.json()["delivered"], answer.json()["status"]) == (True, 200)
    body = json.loads(watched.receiver.received[0].content)
    assert body["text"].startswith("Taskreel: a test alert\n")
    assert [block["type"] for block in body["blocks"]] == ["header", "section", "context"]
    # Nothing signs it: the receiver of Slack's form asks for no signature.
    assert "webhook-signature" not in watched.receiver.received[0].headers


async def test_without_a_receiver_alerts_are_listed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(tmp_path, monkeypatch, alert_webhook_url=None) as watched:
        await watched.fail_jobs(12)
        await watched.sweep_after(60)
        assert [one["kind"] for one in await watched.list_active()] == ["error-rate"]
        assert watched.receiver.received == []
        admin = watched.world.as_user("root", role="admin")
        problem = expect_problem(await admin.post("/api/alerts/test"), 409, "conflict")
        assert "ALERT_WEBHOOK_URL is not set" in problem["detail"]


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example.com/x", "hooks.example.com/x", "https://", "https://u:p@example.com/x"],
)
def test_an_address_that_cannot_get_alerts_stops_the_start_and_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ALERT_WEBHOOK_URL: must be a complete") as raised:
        Settings.from_environment({"ALERT_WEBHOOK_URL": url}, {})
    assert url not in str(raised.value).replace("https://", "", 1) or url == "https://"


def test_a_wrong_threshold_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ALERT_THRESHOLDS: errorRate"):
        wiring.build(settings(tmp_path, alert_thresholds={"errorRate": 3}), wiring.SystemClock())
