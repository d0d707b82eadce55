"""Server-sent events under a proxy that cuts: by a plain HTTP client, and in Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from browser.chromium import run_page
from nightly_tests import skip_by_day
from simulation.world import token
from taskreel import wiring
from taskreel.app.caller import Caller

from .conftest import Live
from .cutting_proxy import CuttingProxy, running_proxy, wait_for_reader
from .test_socket_client import CUTS, make_job

PAGE = Path(__file__).with_name("event_sources.html")
EVENTS = "/api/jobs/events"


@dataclass
class StreamClient:
    """A client that goes on behind the last event it has got, as an EventSource does."""

    url: str
    user: str = "ada"
    last_id: str | None = None
    connections: int = 0
    jobs: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    async def run(self) -> None:
        headers = {"Authorization": f"Bearer {token(self.user)}"}
        async with httpx.AsyncClient(headers=headers, timeout=30) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    await self._read(client)
                await asyncio.sleep(0.005)

    async def _read(self, client: httpx.AsyncClient) -> None:
        headers = {} if self.last_id is None else {"Last-Event-ID": self.last_id}
        async with client.stream("GET", self.url, headers=headers) as answer:
            assert answer.status_code == 200
            self.connections += 1
            event: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif event:
                    self._take(event)
                    event = {}

    def _take(self, event: dict[str, str]) -> None:
        """Only a whole event counts: one that was cut in the middle comes again."""
        if "event" not in event:
            return
        self.last_id = event.get("id", self.last_id)
        if event["event"] != "ready":
            self.kinds.append(event["event"])
            self.jobs.append(json.loads(event["data"])["jobId"])


async def cut_while_jobs_are_read(live: Live, proxy: CuttingProxy, cuts: int) -> StreamClient:
    """The client's events, after so many cuts and as many jobs as were stored meanwhile."""
    client = StreamClient(f"http://127.0.0.1:{proxy.port}{EVENTS}")
    reading = asyncio.create_task(client.run())
    async with asyncio.timeout(60):
        while client.last_id is None:  # noqa: ASYNC110 - as an outside client sees it
            await asyncio.sleep(0.01)
    number = 0
    while proxy.cuts < cuts:
        for _ in range(3):
            number += 1
            await live.put(make_job(live, number))
            await asyncio.sleep(0.002)
        if proxy.is_used:
            proxy.cut_one()
        await wait_for_reader(number, lambda: len(client.jobs))
    number += 1
    await live.put(make_job(live, number))
    async with asyncio.timeout(60):
        while f"job_ada{number}" not in client.jobs:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert len(client.jobs) == len(set(client.jobs)), "an event came twice"
    assert set(client.jobs) == {f"job_ada{n}" for n in range(1, number + 1)}
    return client


async def test_cuts_of_a_stream_lose_and_repeat_nothing(live: Live) -> None:
    async with running_proxy(live.port) as proxy:
        client = await cut_while_jobs_are_read(live, proxy, 40)
    assert client.connections > 10


@skip_by_day("minutes")
@pytest.mark.slow
async def test_hundreds_of_cuts_of_a_stream_lose_and_repeat_nothing(live: Live) -> None:
    async with running_proxy(live.port) as proxy:
        client = await cut_while_jobs_are_read(live, proxy, CUTS)
    assert client.connections > CUTS // 3


@pytest.mark.slow
@pytest.mark.browser
async def test_event_sources_in_chromium_go_on_behind_each_cut(live: Live, tmp_path: Path) -> None:
    number, rounds = 0, 5
    most = 10 * (rounds + 1)
    stream_token, _ = wiring._stream_tokens().issue(Caller(user_id="ada"))
    async with running_proxy(live.port) as proxy:
        values = {
            "api": f"http://127.0.0.1:{proxy.port}",
            "token": stream_token,
            "jwt": token("ada"),
            "last": f"job_ada{most}",
        }
        with ThreadPoolExecutor(1) as threads:  # the world's own executor has no threads
            page = asyncio.get_running_loop().run_in_executor(
                threads, run_page, PAGE.read_text(), values, tmp_path / "profile"
            )
            await live.wait_for_jobs("ada")
            for cut in range(rounds + 1):
                for _ in range(10):
                    number += 1
                    await live.put(make_job(live, number))
                    await asyncio.sleep(0.01)
                if cut < rounds:
                    before = proxy.opened
                    proxy.cut_all()
                    # Chromium waits three seconds. Half of the jobs come while it is away.
                    async with asyncio.timeout(60):
                        while cut % 2 and proxy.opened < before + 3:  # noqa: ASYNC110
                            await asyncio.sleep(0.05)
            found = await page
    wanted = [f"job_ada{one}" for one in range(1, most + 1)]
    for one in found:
        assert sorted(one["jobs"]) == sorted(wanted)
        assert set(one["kinds"]) == {"status"}
        assert one["opened"] >= 3
