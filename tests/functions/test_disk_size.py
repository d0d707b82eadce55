"""The bytes that an ended job takes on the disk: its document, ledger entry and index entries."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from functions.job_requests import IMAGE, NOOP
from simulation.world import running
from taskreel.ports import Query
from taskreel.store_collections import JOBS

BATCH = 50


async def test_a_plain_job_takes_less_than_two_kilobytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "store.db"
    async with running(
        tmp_path, monkeypatch, store_url=f"sqlite:////{file}", initial_credits=1000
    ) as world:
        ada = world.as_user()

        async def run_jobs(batches: int) -> int:
            for _ in range(batches):
                answers = await asyncio.gather(*(ada.post(IMAGE, json=NOOP) for _ in range(BATCH)))
                assert {answer.status_code for answer in answers} == {202}
                await world.advance(60)
            await world.services.store.durable()
            ended = Query(collection=JOBS, where=(("status", "==", "COMPLETED"),))
            counted = await world.services.store.aggregate(ended)
            assert int(counted["count"]) >= BATCH * batches
            (pages,) = world.sqlite.file.fetch_all("PRAGMA page_count", ())[0]
            return int(pages) * 4096

        # The first have the pages of tables and indexes to themselves.
        before = await run_jobs(2)
        added = await run_jobs(6) - before
    assert added / (6 * BATCH) <= 2000
