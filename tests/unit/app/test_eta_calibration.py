"""The band of estimated starts, widened and narrowed by what came of earlier estimates."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.eta_calibration import EtaCalibration
from taskreel.app.indexes import INDEXES
from taskreel.app.records.recorder import Recorder
from taskreel.domain.eta import Estimate
from taskreel.domain.job import Job
from taskreel.domain.job_metrics import EtaOutcome
from taskreel.domain.job_status import Status
from taskreel_cloud_tasks.clock import VirtualClock
from unit.domain.samples import job as make_job
from virtual_time import VirtualTime

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def waiting_job(job_id: str) -> Job:
    return make_job(job_id=job_id, status=Status.THROTTLED)


def started(job: Job, seconds: float) -> Job:
    at = NOW + timedelta(seconds=seconds)
    return job.enter_status(Status.QUEUED, at).enter_status(Status.PROCESSING, at)


@pytest.mark.parametrize("spread", [1.0, 10.0])
async def test_nine_of_ten_start_before_their_p90_whatever_the_spread(spread: float) -> None:
    outcomes: list[EtaOutcome] = []
    calibration = EtaCalibration(lambda _type, outcome, _at: outcomes.append(outcome))
    store, draw = SqliteStore(":memory:", INDEXES), random.Random(5)
    for number in range(3000):
        job = waiting_job(f"job_{number}")
        scale = await calibration.read_scale(store, job.job_type, NOW)
        calibration.note_prediction(job, Estimate(60, 64).with_band(scale), NOW)
        calibration.note_change(None, started(job, max(60 + draw.gauss(0, spread), 0)))
    within = sum(one.within_p90 for one in outcomes[500:]) / len(outcomes[500:])
    assert 0.87 <= within <= 0.95
    await store.close()


async def test_a_process_begins_with_the_band_of_the_one_before() -> None:
    store, clock = SqliteStore(":memory:", INDEXES), VirtualTime(VirtualClock())
    recorder = Recorder(store, clock, shard=2)
    first = EtaCalibration(recorder.count_eta)
    now = clock.now()
    await first.read_scale(store, "batch-generation", now)
    for number in range(5):
        job = waiting_job(f"job_{number}")
        first.note_prediction(job, Estimate(5, 6), now)
        late = job.enter_status(Status.QUEUED, now + timedelta(seconds=60))
        first.note_change(None, late.enter_status(Status.PROCESSING, now + timedelta(seconds=60)))
    await recorder.flush()
    second = EtaCalibration(recorder.count_eta)
    scale = await second.read_scale(store, "batch-generation", now)
    assert scale == pytest.approx(first.scales["batch-generation"])
    assert scale > 1.4
    await store.close()


def test_a_job_that_ends_without_a_start_says_nothing_about_estimates() -> None:
    outcomes: list[EtaOutcome] = []
    calibration = EtaCalibration(lambda _type, outcome, _at: outcomes.append(outcome))
    job = waiting_job("job_1")
    calibration.note_prediction(job, Estimate(5, 6), NOW)
    calibration.note_change(job, job.enter_status(Status.CANCELLED, NOW))
    assert outcomes == []
