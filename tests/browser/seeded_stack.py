"""A running stack whose store has many finished jobs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.processes import Stack, stack
from taskreel_local.bench.scale import seed_store
from taskreel_local.stack.data_folder import DataFolder


@contextmanager
def seeded_stack(data: Path, number: int) -> Iterator[Stack]:
    """A stack on a new folder with so many jobs of the benchmark's user."""
    data.mkdir()
    ids = [f"job_{index:026x}" for index in range(number)]
    # Playwright runs an event loop in this thread.
    seeding = threading.Thread(
        target=lambda: asyncio.run(seed_store(DataFolder(data).store_file, ids))
    )
    seeding.start()
    seeding.join()
    with stack(data) as started:
        yield started
