"""Latency of API calls with many jobs in the store, compared with few."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.indexes import INDEXES
from taskreel.domain.job import Job, JobCredits
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.ports import Transaction
from taskreel.store_collections import JOBS
from taskreel_local.bench.contenders import start_stack
from taskreel_local.bench.http_connection import Connection
from taskreel_local.bench.table import format_ratio, format_table, format_values
from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.dev_tokens import make_token

FEW, MANY = 100, 100_000
#: The owner of the jobs.
USER = "bench"
_CALLS = 200
_WARM_UP = 20
_BATCH = 1000
_STATUSES = (Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.CANCELLED)


def run_scale(many: int = MANY) -> None:
    """Make the same calls in turn to a stack with few jobs and one with `many`; print a table."""
    sizes = (FEW, many)
    with ExitStack() as exits:
        sides = [_SeededStack(exits, size) for size in sizes]
        figures = {
            name: _measure_in_turn(sides, paths) for name, paths in _list_calls(sides).items()
        }
    print(f"\nScale: {_CALLS} calls each over HTTP, in turn; median ms (min–max)")
    rows = [
        [
            name,
            format_values(few, ".2f"),
            format_values(lots, ".2f"),
            format_ratio([_median_of(lots)], [_median_of(few)]),
        ]
        for name, (few, lots) in figures.items()
    ]
    print(format_table(("", f"{FEW:,} jobs", f"{many:,} jobs", "ratio"), rows))


class _SeededStack:
    """A stack over a store with `size` finished jobs of one user."""

    def __init__(self, exits: ExitStack, size: int) -> None:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="taskreel-bench-")))
        numbers = random.Random(1).sample(range(16**12), size)  # noqa: S311 - same ids each time
        self.ids = [f"job_{number:026x}" for number in numbers]
        asyncio.run(seed_store(DataFolder(folder).store_file, self.ids))
        url, _ = exits.enter_context(start_stack(folder))
        token = make_token(DataFolder(folder), user=USER)
        self.http = exits.enter_context(Connection(url, token))


async def seed_store(path: Path, ids: list[str]) -> None:
    """Store a finished job of USER under each id, twenty seconds after the one before."""
    store = SqliteStore(path, INDEXES)
    began = datetime.now(UTC) - timedelta(days=30)
    for first in range(0, len(ids), _BATCH):
        jobs = [
            _build_job(id_, began, first + place)
            for place, id_ in enumerate(ids[first : first + _BATCH])
        ]

        async def write(tx: Transaction, jobs: list[Job] = jobs) -> None:
            for job in jobs:
                tx.create(JOBS, job.job_id, job)

        await store.transaction(write)
    await store.close()


def _build_job(job_id: str, began: datetime, number: int) -> Job:
    at = began + timedelta(seconds=number * 20)
    status = _STATUSES[number % len(_STATUSES)]
    return Job(
        job_id=job_id,
        job_type="image-generation",
        status=status,
        user_id=USER,
        project_id=f"project-{number % 4}",
        payload={"prompt": "A lighthouse in a storm", "options": {"width": 1024, "height": 1024}},
        created_at=at,
        updated_at=at,
        status_at={Status.QUEUED: at, Status.PROCESSING: at, status: at},
        credits=JobCredits(captured=1),
        served_by="studio",
        units=(UnitRun(state=UnitState.DONE, credits=1, provider="studio"),),
    )


def _list_calls(sides: list[_SeededStack]) -> Mapping[str, list[list[str]]]:
    """Return the paths to call on each stack, by name."""
    same = {
        "health": "/api/jobs/health",
        "list page": "/api/jobs?limit=20",
        "list page by status": "/api/jobs?limit=20&status=FAILED",
        "list page by project": "/api/jobs?limit=20&projectId=project-3",
    }
    draw = random.Random(2)  # noqa: S311 - the same jobs each time
    reads = [
        [f"/api/jobs/{draw.choice(side.ids)}" for _ in range(_CALLS + _WARM_UP)] for side in sides
    ]
    return {
        "status read": reads,
        **{name: [[path] * (_CALLS + _WARM_UP)] * 2 for name, path in same.items()},
    }


def _measure_in_turn(
    sides: list[_SeededStack], paths: list[list[str]]
) -> tuple[list[float], list[float]]:
    few, many = sides
    pairs = [
        (few.http.measure_get(one), many.http.measure_get(other))
        for one, other in zip(*paths, strict=True)
    ][_WARM_UP:]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _median_of(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
