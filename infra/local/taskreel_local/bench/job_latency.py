"""The time of a lone job from its POST to COMPLETED: nothing else is under way."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from taskreel_local.bench.contenders import SUBMIT, Running
from taskreel_local.bench.http_connection import Connection
from taskreel_local.bench.process_tree import BenchmarkError

LONE_JOBS = 200
_WARM_UP = 20
_POLL_SECONDS = 0.0005
_STUCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds of lone jobs, one after another."""

    post_p50: float
    completed_p50: float
    completed_p99: float
    #: With `Prefer: wait`: one request, which answers when the job has ended. None: not understood.
    waited_p50: float | None = None
    waited_p99: float | None = None


def measure_latency(running: Running, jobs: int = LONE_JOBS) -> Latency:
    """Submit lone jobs, and poll each of them until it is completed. Raises BenchmarkError."""
    with Connection(running.url, running.token) as http:
        polled = [_time_polled_job(http, running) for _ in range(_WARM_UP + jobs)][_WARM_UP:]
        waited = (
            [_time_waited_job(http, running) for _ in range(_WARM_UP + jobs)][_WARM_UP:]
            if running.can_wait
            else []
        )
    posts, totals = [post for post, _ in polled], [total for _, total in polled]
    return Latency(
        post_p50=statistics.median(posts),
        completed_p50=statistics.median(totals),
        completed_p99=find_percentile(totals, 99),
        waited_p50=statistics.median(waited) if waited else None,
        waited_p99=find_percentile(waited, 99) if waited else None,
    )


def find_percentile(values: list[float], percent: int) -> float:
    """Return the smallest value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _time_polled_job(http: Connection, running: Running) -> tuple[float, float]:
    """Return the milliseconds of the POST, and those until the job was seen completed."""
    clock = _start_clock()
    job_id = http.call("POST", SUBMIT, running.body)["jobId"]
    posted = clock()
    while http.call("GET", f"/api/jobs/{job_id}")["status"] != running.done:
        if clock() > _STUCK_SECONDS * 1000:
            raise BenchmarkError(f"a lone job was not completed in {_STUCK_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    return posted, clock()


def _time_waited_job(http: Connection, running: Running) -> float:
    clock = _start_clock()
    job = http.call("POST", SUBMIT, running.body, headers={"Prefer": "wait=10"})
    if job["status"] != running.done:
        raise BenchmarkError(f"a job that was waited for is {job['status']}")
    return clock()


def _start_clock() -> Callable[[], float]:
    began = time.perf_counter()
    return lambda: (time.perf_counter() - began) * 1000
