"""`GET /metrics`, read by Prometheus' own parser."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from functions.job_requests import NOOP, expect_problem, image_request, submit_job
from functions.test_costs import Counting
from simulation.world import World, running
from taskreel.app.records.store_metrics import READING_AGE
from taskreel.domain.breaker import Breaker, BreakerState
from taskreel.jobtypes import JOB_TYPES
from taskreel.store_collections import BREAKERS

KEY = "the-key-of-the-prometheus-server"
Sample = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with running(tmp_path, monkeypatch, wrap=Counting, metrics_key=KEY) as made:
        yield made


async def read_samples(client: httpx.AsyncClient) -> dict[Sample, float]:
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples: dict[Sample, float] = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        assert family.type != "unknown", family
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, f"two samples of {key}"
            samples[key] = sample.value
    return samples


def find(samples: Mapping[Sample, float], name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


async def test_jobs_times_and_credits_are_those_of_the_jobs(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    image = {"job_type": "image-generation"}
    for _ in range(3):
        await submit_job(ada)
    await submit_job(ada, image_request("fail-permanent"))
    await world.advance(20)
    await submit_job(ada, image_request("pending", times=1, seconds=3600))
    await world.advance(40)
    found = await read_samples(admin)
    expected: dict[tuple[str, str, str], float] = {
        ("taskreel_jobs_submitted_total", "", ""): 5,
        ("taskreel_jobs_started_total", "", ""): 5,
        ("taskreel_attempts_total", "", ""): 5,
        ("taskreel_jobs_ended_total", "status", "COMPLETED"): 3,
        ("taskreel_jobs_ended_total", "status", "FAILED"): 1,
        ("taskreel_jobs_ended_total", "status", "EXPIRED"): 0,
        ("taskreel_jobs", "state", "PROCESSING"): 1,
        ("taskreel_jobs", "state", "QUEUED"): 0,
        ("taskreel_job_wait_seconds_count", "", ""): 5,
        ("taskreel_job_run_seconds_count", "", ""): 4,
        ("taskreel_job_run_seconds_bucket", "le", "+Inf"): 4,
        ("taskreel_credits_captured_total", "", ""): 3,
    }
    for (name, label, value), number in expected.items():
        labels = {**image, label: value} if label else image
        assert find(found, name, **labels) == number, name
    assert find(found, "taskreel_credits", kind="captured") == 3
    assert find(found, "taskreel_credits", kind="held") == 1
    assert find(found, "taskreel_dead_letter_groups") == 1
    for quantile in ("0.5", "0.95", "0.99"):
        waited = find(found, "taskreel_job_wait_quantile_seconds", **image, share=quantile)
        assert waited is not None
        assert waited < 1
    assert find(found, "taskreel_provider_calls_total", provider="studio", model="") in {None, 3}
    assert find(found, "taskreel_oldest_overdue_jobs_seconds") == 0


async def test_a_histograms_buckets_grow_to_its_count(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    for seconds in (0, 0, 7, 45):
        await submit_job(ada, image_request("pending", times=1, seconds=seconds))
    await world.advance(600)
    found = await read_samples(admin)
    name = "taskreel_job_run_seconds"
    buckets = [
        (float(dict(labels)["le"]), value)
        for (sample, labels), value in found.items()
        if sample == f"{name}_bucket"
    ]
    assert buckets == sorted(buckets)
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)
    assert buckets[-1][1] == 4
    total = find(found, f"{name}_sum", job_type="image-generation")
    assert total is not None
    assert total >= 52


async def test_the_age_of_the_oldest_is_that_of_the_longest_wait(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    world.cut_off = True
    # Created first, and due last: it has not waited since its creation.
    await submit_job(
        ada, {**NOOP, "scheduleAt": (world.now() + timedelta(seconds=200)).isoformat()}
    )
    await world.advance(10)
    await submit_job(ada)
    await world.advance(240)
    await world.sweep()
    found = await read_samples(admin)
    age = find(found, "taskreel_oldest_waiting_seconds", job_type="image-generation")
    assert age == pytest.approx(240, abs=1)


async def test_what_the_sweep_repaired_is_counted_by_the_status_it_found(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    world.cut_off = True
    await submit_job(ada)
    world.tasks._queues.clear()  # its task is lost
    await world.advance(200)
    assert (await world.sweep())["rescued"] == 1
    labels = {"job_type": "image-generation", "action": "rescued", "status": "QUEUED"}
    assert find(await read_samples(admin), "taskreel_sweep_actions_total", **labels) == 1


async def test_a_breaker_has_one_present_state(world: World, admin: httpx.AsyncClient) -> None:
    breaker = Breaker().force(BreakerState.OPEN, world.now())

    async def store(tx: Any) -> None:
        tx.set(BREAKERS, "fal.fal-ai%2Fflux%22pro", breaker)

    await world.services.store.transaction(store)
    found = await read_samples(admin)
    states = {
        dict(labels)["state"]: (dict(labels)["model"], value)
        for (name, labels), value in found.items()
        if name == "taskreel_breaker_state"
    }
    model = 'fal-ai/flux"pro'
    assert states == {"open": (model, 1), "closed": (model, 0), "half_open": (model, 0)}


async def test_counters_outlive_every_process_and_begin_again_at_midnight(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await submit_job(ada)
    await world.advance(60)
    # A reading of another process: nothing but the store is shared.
    from taskreel import wiring

    wiring._store_metrics.cache_clear()
    wiring.api.cache_clear()
    name, labels = "taskreel_jobs_submitted_total", {"job_type": "image-generation"}
    assert find(await read_samples(admin), name, **labels) == 1
    await world.advance(86_400)
    assert find(await read_samples(admin), name, **labels) == 0


async def test_a_reading_is_shared_for_seconds_and_costs_the_same_for_many_jobs(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    store = world.services.store
    assert isinstance(store, Counting)
    reads = []
    for jobs in (1, 30):
        for _ in range(jobs):
            await submit_job(ada, image_request("pending", times=1, seconds=3600))
        await world.advance(60)
        await world.services.flush_records()
        before = store.reads
        for _ in range(5):
            await read_samples(admin)
        reads.append(store.reads - before)
        await world.advance(READING_AGE.total_seconds())
    # The accounts are read with the first alone, and two metrics may be stored by then.
    assert reads[1] <= reads[0] + 2
    # A count a type, five more for one with open jobs, and a dozen for all else.
    assert max(reads) <= len(JOB_TYPES) + 6 + 14


async def test_only_admins_and_the_metrics_key_read_them(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    expect_problem(await world.api.get("/metrics"), 401, "unauthenticated")
    expect_problem(await ada.get("/metrics"), 403, "forbidden")
    wrong = {"authorization": f"Bearer {KEY}x"}
    expect_problem(await world.api.get("/metrics", headers=wrong), 401, "unauthenticated")
    right = {"authorization": f"Bearer {KEY}"}
    assert (await world.api.get("/metrics", headers=right)).status_code == 200
    # It is no token: it reads nothing else.
    expect_problem(await world.api.get("/api/jobs", headers=right), 401, "unauthenticated")
    assert (await admin.get("/metrics")).status_code == 200


async def test_promtool_finds_nothing_to_say(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    """Prometheus' own parser and its rules for names, help texts and labels."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: run .ci/promtool")
    breaker = Breaker().force(BreakerState.OPEN, world.now())

    async def store(tx: Any) -> None:
        tx.set(BREAKERS, 'odd."name"\\%0A', breaker)

    await world.services.store.transaction(store)
    await submit_job(ada)
    await submit_job(ada, image_request("fail-permanent"))
    await world.advance(20)
    await submit_job(ada, image_request("pending", times=1, seconds=3600))
    await world.advance(40)
    await world.sweep()
    answer = await admin.get("/metrics")
    read = subprocess.PIPE
    check = await asyncio.create_subprocess_exec(
        promtool, "check", "metrics", stdin=read, stdout=read, stderr=read
    )
    _, complaints = await check.communicate(answer.content)
    assert (check.returncode, complaints.decode()) == (0, "")
