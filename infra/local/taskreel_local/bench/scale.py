"""Latency of API calls, and the time to start, with few jobs in the store and with ever more."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.indexes import LOCAL_INDEXES
from taskreel.domain.credits import EntryKind, LedgerEntry
from taskreel.domain.job import Job
from taskreel.domain.job_fields import JobCredits
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.ports import Transaction
from taskreel.store_collections import JOBS, LEDGER
from taskreel_local.bench.contenders import start_stack
from taskreel_local.bench.http_connection import Connection
from taskreel_local.bench.process_tree import BenchmarkError
from taskreel_local.bench.table import format_ratio, format_table
from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.dev_tokens import make_token

FEW, MANY = 100, 100_000
#: The owner of the jobs.
USER = "bench"
_CALLS, _QUICK_CALLS = 200, 20
_WARM_UP = 10
_STARTS, _QUICK_STARTS = 5, 1
_BATCH = 1000
_STATUSES = (Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.CANCELLED)
_CREDITS = {"INITIAL_CREDITS": "1000000"}
_IMAGE = "/api/jobs/image-generation"
_NOOP = {"prompt": "A lighthouse in a storm", "options": {"studio": {"mode": "noop"}}}


def run_scale(many: int = MANY, *, quick: bool = False) -> None:
    """Make the same calls in turn to stacks with 100, 1,000, … and `many` jobs; print a table."""
    sizes = [FEW, 1000] if quick else _list_sizes(many)
    starts, calls = (_QUICK_STARTS, _QUICK_CALLS) if quick else (_STARTS, _CALLS)
    with ExitStack() as exits:
        stores = [_SeededStore(exits, size) for size in sizes]
        figures = {"start": _measure_starts(stores, starts)}
        sides = [_SeededStack(exits, store) for store in stores]
        figures |= {
            name: _measure_in_turn(sides, call, calls) for name, call in _CALL_KINDS.items()
        }
    print(f"\nScale: {calls} calls each over HTTP and {starts} starts, in turn; median ms")
    rows = [
        [
            name,
            *(format(statistics.median(values), ".2f") for values in by_size),
            format_ratio([statistics.median(by_size[-1])], [statistics.median(by_size[0])]),
        ]
        for name, by_size in figures.items()
    ]
    sizes_of_files = [f"{store.bytes_a_job:,.0f}" for store in stores]
    rows.append(["bytes a job", *sizes_of_files, ""])
    print(format_table(("", *(f"{size:,} jobs" for size in sizes), "ratio"), rows))


def _list_sizes(many: int) -> list[int]:
    sizes = [FEW]
    while sizes[-1] * 10 < many:
        sizes.append(sizes[-1] * 10)
    return [*sizes, many]


class _SeededStore:
    """The folder of a stack with `size` finished jobs of one user."""

    def __init__(self, exits: ExitStack, size: int) -> None:
        self.folder = Path(
            exits.enter_context(tempfile.TemporaryDirectory(prefix="taskreel-bench-"))
        )
        numbers = random.Random(1).sample(range(16**12), size)  # noqa: S311 - same ids each time
        self.ids = [f"job_{number:026x}" for number in numbers]
        path = DataFolder(self.folder).store_file
        asyncio.run(seed_store(path, self.ids))
        self.bytes_a_job = path.stat().st_size / size

    def forget_url(self) -> None:
        """Remove the address of the stack that ran before, which the next one would write over."""
        (self.folder / "url").unlink(missing_ok=True)

    def measure_start(self) -> float:
        """The milliseconds from the command to the first answer of a stack on it."""
        self.forget_url()
        began = time.perf_counter()
        with start_stack(self.folder) as (url, _), Connection(url) as http:
            http.call("GET", "/api/jobs/health")
            return (time.perf_counter() - began) * 1000


class _SeededStack:
    """A running stack over a seeded store."""

    def __init__(self, exits: ExitStack, store: _SeededStore) -> None:
        self.ids = store.ids
        store.forget_url()
        self.draw = random.Random(2)  # noqa: S311 - the same jobs each time
        url, _ = exits.enter_context(start_stack(store.folder, environ=_CREDITS))
        token = make_token(DataFolder(store.folder), user=USER)
        self.http = exits.enter_context(Connection(url, token))
        self.http.call("GET", "/api/jobs/health")


async def seed_store(path: Path, ids: list[str]) -> None:
    """Store a finished job of USER under each id, each two seconds after the one before."""
    # A million are over a week ago: failures of today would make the stack degraded.
    began = datetime.now(UTC) - timedelta(days=30)

    def store_job(tx: Transaction, number: int) -> None:
        job = _build_job(ids[number], began, number)
        tx.create(JOBS, job.job_id, job)
        entry = _build_entry(job)
        tx.create(LEDGER, entry.entry_id, entry)

    await store_in_batches(path, len(ids), store_job)


async def store_in_batches(
    path: Path, count: int, store_job: Callable[[Transaction, int], None]
) -> None:
    """Call `store_job` with each number below `count`, a thousand in a transaction."""
    store = SqliteStore(path, LOCAL_INDEXES)
    for first in range(0, count, _BATCH):

        async def write(tx: Transaction, first: int = first) -> None:
            for number in range(first, min(first + _BATCH, count)):
                store_job(tx, number)

        await store.transaction(write)
    await store.close()


def _build_job(job_id: str, began: datetime, number: int) -> Job:
    at = began + timedelta(seconds=number * 2)
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


def _build_entry(job: Job) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"{job.job_id}.1",
        user_id=job.user_id,
        kind=EntryKind.CAPTURE,
        amount=1,
        held=1,
        job_id=job.job_id,
        created_at=job.updated_at,
    )


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────


def _get(path: str) -> Callable[[_SeededStack], None]:
    def call(side: _SeededStack) -> None:
        side.http.call("GET", path)

    return call


def _read_status(side: _SeededStack) -> None:
    side.http.call("GET", f"/api/jobs/{side.draw.choice(side.ids)}")


def _submit(side: _SeededStack) -> None:
    side.http.call("POST", _IMAGE, _NOOP)


def _submit_and_wait(side: _SeededStack) -> None:
    """The claim, the run and the settlement of a job: it is answered when it has ended."""
    job = side.http.call("POST", _IMAGE, _NOOP, {"Prefer": "wait=10"})
    if job["status"] != "COMPLETED":
        raise BenchmarkError(f"job {job['jobId']} is {job['status']} after ten seconds")


_CALL_KINDS: Mapping[str, Callable[[_SeededStack], None]] = {
    "submit": _submit,
    "submit to COMPLETED": _submit_and_wait,
    "status read": _read_status,
    "list page": _get("/api/jobs?limit=20"),
    "list page by status": _get("/api/jobs?limit=20&status=FAILED"),
    "list page by project": _get("/api/jobs?limit=20&projectId=project-3"),
    "health": _get("/api/jobs/health"),
}


def _measure_starts(stores: Sequence[_SeededStore], starts: int) -> list[list[float]]:
    rounds = [[store.measure_start() for store in stores] for _ in range(starts)]
    return [list(values) for values in zip(*rounds, strict=True)]


def _measure_in_turn(
    sides: Sequence[_SeededStack], call: Callable[[_SeededStack], None], calls: int
) -> list[list[float]]:
    """The milliseconds of each call, by side."""

    def measure(side: _SeededStack) -> float:
        began = time.perf_counter()
        call(side)
        return (time.perf_counter() - began) * 1000

    rounds = [[measure(side) for side in sides] for _ in range(calls + _WARM_UP)][_WARM_UP:]
    return [list(values) for values in zip(*rounds, strict=True)]
