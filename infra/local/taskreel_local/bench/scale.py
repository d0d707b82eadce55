"""Whether what a caller does costs the same with many jobs in the store as with few."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.indexes import INDEXES
from taskreel.domain.job import Job, JobCredits
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.ports import Transaction
from taskreel_local.bench.contenders import start_stack
from taskreel_local.bench.http_connection import Connection
from taskreel_local.bench.table import table, told, told_ratio
from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.dev_tokens import make_token

FEW, MANY = 100, 100_000
_USER = "bench"
_CALLS = 200
_WARM_UP = 20
_BATCH = 1000
_STATUSES = (Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.CANCELLED)


def run_scale(many: int = MANY) -> None:
    """Two stacks, one store with few jobs and one with `many`; the same calls to both in turn."""
    sizes = (FEW, many)
    with ExitStack() as exits:
        sides = [_Side(exits, size) for size in sizes]
        figures = {name: _interleaved(sides, paths) for name, paths in _calls(sides).items()}
    print(f"\nScale: {_CALLS} calls each over HTTP, in turn; median ms (least–most)")
    rows = [
        [name, told(few, ".2f"), told(lots, ".2f"), told_ratio([_median(lots)], [_median(few)])]
        for name, (few, lots) in figures.items()
    ]
    print(table(("", f"{FEW:,} jobs", f"{many:,} jobs", "ratio"), rows))


class _Side:
    """A stack over a store with `size` finished jobs of one user."""

    def __init__(self, exits: ExitStack, size: int) -> None:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="taskreel-bench-")))
        self.ids = [f"job_{number:026x}" for number in random.Random(1).sample(range(16**12), size)]  # noqa: S311
        asyncio.run(_seed(DataFolder(folder).store_file, self.ids))
        url, _ = exits.enter_context(start_stack(folder, "--servers", "1"))
        token = make_token(DataFolder(folder), user=_USER)
        self.http = exits.enter_context(Connection(url, token))


async def _seed(path: Path, ids: list[str]) -> None:
    store = SqliteStore(path, INDEXES)
    began = datetime.now(UTC) - timedelta(days=30)
    for first in range(0, len(ids), _BATCH):
        documents = [
            _document(id_, began, first + place)
            for place, id_ in enumerate(ids[first : first + _BATCH])
        ]

        async def write(tx: Transaction, documents: list[dict[str, Any]] = documents) -> None:
            for document in documents:
                tx.create("jobs", document["jobId"], document)

        await store.transaction(write)
    await store.close()


def _document(job_id: str, began: datetime, number: int) -> dict[str, Any]:
    at = began + timedelta(seconds=number * 20)
    status = _STATUSES[number % len(_STATUSES)]
    job = Job(
        job_id=job_id,
        job_type="image-generation",
        status=status,
        user_id=_USER,
        project_id=f"project-{number % 4}",
        payload={"prompt": "A lighthouse in a storm", "options": {"width": 1024, "height": 1024}},
        created_at=at,
        updated_at=at,
        status_at={Status.QUEUED: at, Status.PROCESSING: at, status: at},
        credits=JobCredits(captured=1),
        served_by="studio",
        units=(UnitRun(state=UnitState.DONE, credits=1, provider="studio"),),
    )
    return job.document()


def _calls(sides: list[_Side]) -> Mapping[str, list[list[str]]]:
    """By name, the paths for each side."""
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


def _interleaved(sides: list[_Side], paths: list[list[str]]) -> tuple[list[float], list[float]]:
    few, many = sides
    pairs = [
        (few.http.milliseconds(one), many.http.milliseconds(other))
        for one, other in zip(*paths, strict=True)
    ][_WARM_UP:]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
