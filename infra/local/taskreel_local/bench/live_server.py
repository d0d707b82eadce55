"""The server of `bench live`: the gateway and, on request, changes of jobs, in one process.

Reads `changes COUNT PER_SECOND USERS` from standard input, one command a line.
"""

from __future__ import annotations

import asyncio
import sys

import uvicorn

from taskreel import wiring
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Transaction
from taskreel.store_collections import JOBS


async def _change_jobs(count: int, per_second: float, users: int) -> None:
    """Store one change after another, each of another user's job."""
    services = wiring.services()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number in range(count):
        await asyncio.sleep(begun + number / per_second - loop.time())
        now = services.clock.now()
        user = f"user{number % users}"
        job = Job(
            job_id=f"job_{user}",
            job_type="image-generation",
            status=Status.PROCESSING,
            user_id=user,
            payload={"prompt": "a lighthouse in a storm"},
            created_at=now,
            updated_at=now,
            status_at={Status.QUEUED: now, Status.PROCESSING: now},
            progress=number // users % 100,
        )

        async def write(tx: Transaction, job: Job = job) -> None:
            tx.set(JOBS, job.job_id, job)

        await services.store.transaction(write)


async def _obey(reader: asyncio.StreamReader) -> None:
    while line := await reader.readline():
        _, count, per_second, users = line.decode().split()
        await _change_jobs(int(count), float(per_second), int(users))
        print("done", flush=True)


async def _serve(port: int) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    config = uvicorn.Config(
        wiring.gateway(),
        port=port,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
        backlog=4096,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await _obey(reader)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
