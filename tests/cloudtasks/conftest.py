from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from cloudtasks.remote import Remote, connect, start, stop
from cloudtasks.worker import LOCATION, Bench, Worker, make_bench, serving
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.service import ServiceConfig


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = await make_bench()
    yield made
    await made.engine.close(0)


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    async with serving() as made:
        yield made


@pytest.fixture(scope="session")
def running() -> Iterator[Remote]:
    """Both servers on real ports, under virtual time, shared by the tests that call them."""
    engine = EngineConfig(projects=("demo",))
    remote = start(ServiceConfig(grpc_port=0, virtual_clock=True, engine=engine, grace_s=0))
    yield remote
    stop(remote)


@pytest.fixture
def remote(running: Remote) -> Remote:
    running.ask("POST", "reset")
    return running


@pytest.fixture(scope="session", params=["grpc", "grpc-async", "rest"])
def connected(request: pytest.FixtureRequest, running: Remote) -> Iterator[Any]:
    made = connect(request.param, running)
    yield made
    made.close()


@pytest.fixture
def client(connected: Any, remote: Remote) -> Any:
    """Google's newest client, once for each of its three transports, with an empty queue `jobs`."""
    connected.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/jobs"})
    assert remote.ask("GET", "time")["virtual"]
    return connected
