"""Starts of a stack with few and with many unfinished jobs, which it puts back on their queues."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from taskreel.app.query_pages import WAKE_SHARDS
from taskreel.domain.ids import find_wake_shard
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Transaction
from taskreel.store_collections import JOBS
from taskreel_local.bench.contenders import start_stack
from taskreel_local.bench.process_tree import wait_for
from taskreel_local.bench.scale import FEW, MANY, store_in_batches
from taskreel_local.bench.table import format_table, format_values
from taskreel_local.stack.data_folder import DataFolder

_RUNS = 5
_SECONDS = 120.0
#: In the line that the server logs when all of them are back.
_RECOVERED = b'"recovered"'


@dataclass(frozen=True, slots=True)
class _Start:
    """The processor time of a stack from the command to its last recovered job, and its memory."""

    cpu_seconds: float
    memory_mb: float


def run_open_jobs(many: int = MANY, *, quick: bool = False) -> None:
    """Start stacks with few and with `many` unfinished jobs in turn, and print a table."""
    sizes = (FEW, 1000 if quick else many)
    runs = 1 if quick else _RUNS
    with ExitStack() as exits:
        folders = {
            size: Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="taskreel-bench-")))
            for size in sizes
        }
        for size, folder in folders.items():
            asyncio.run(_store_open_jobs(DataFolder(folder).store_file, size))
        # The first start of each creates the other tables.
        rounds = [
            {size: _measure_start(folder) for size, folder in folders.items()}
            for _ in range(runs + 1)
        ][1:]
    print(f"\nStart with unfinished jobs, {runs} starts each, in turn; median (min–max)")
    rows = [
        [
            f"{size:,}",
            format_values([one[size].cpu_seconds for one in rounds], ".2f"),
            format_values([one[size].memory_mb for one in rounds]),
        ]
        for size in sizes
    ]
    print(format_table(("jobs", "CPU-s until all are queued", "MB"), rows))
    least, most = (statistics.median(one[size].cpu_seconds for one in rounds) for size in sizes)
    each = (most - least) / (sizes[1] - sizes[0])
    print(f"{each * 1e6:.1f} CPU-µs a job")


async def _store_open_jobs(path: Path, count: int) -> None:
    """Store jobs that are due tomorrow: all have a task, and none runs."""
    now = datetime.now(UTC)
    draw = random.Random(1)  # noqa: S311 - same ids each time

    def store_job(tx: Transaction, number: int) -> None:
        job = _build_job(f"job_{draw.getrandbits(128):032x}", now, number)
        tx.create(JOBS, job.job_id, job)

    await store_in_batches(path, count, store_job)


def _build_job(job_id: str, now: datetime, number: int) -> Job:
    due_at = now + timedelta(days=1, milliseconds=number)
    return Job(
        job_id=job_id,
        job_type="image-generation",
        status=Status.SCHEDULED,
        user_id=f"user{number % 1000}",
        payload={"prompt": "A lighthouse in a storm", "options": {"width": 1024, "height": 1024}},
        created_at=now,
        updated_at=now,
        status_at={Status.SCHEDULED: now},
        next_attempt_at=due_at,
        wake_at=due_at + timedelta(minutes=2),
        wake_shard=find_wake_shard(job_id, WAKE_SHARDS),
        finish_by=now + timedelta(days=2),
    )


def _measure_start(folder: Path) -> _Start:
    for left in ("url", "bench.log"):
        (folder / left).unlink(missing_ok=True)
    with start_stack(folder) as (_, tree):
        for _ in wait_for(_SECONDS, "queueing the unfinished jobs", tree):
            if _RECOVERED in tree.log.read_bytes():
                break
        return _Start(tree.cpu_seconds(), tree.memory_mb())
