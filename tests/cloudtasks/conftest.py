from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cloudtasks.worker import Bench, Worker, make_bench, serving


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = await make_bench()
    yield made
    await made.engine.close(0)


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    async with serving() as made:
        yield made
