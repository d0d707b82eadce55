"""Both kinds of live updates together, many clients, fifty changes a second, and random cuts."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping

import pytest

from nightly_tests import skip_by_day

from .conftest import Client, Live
from .cutting_proxy import CuttingProxy, running_proxy
from .test_cut_streams import EVENTS, StreamClient
from .test_socket_client import Connect, as_user, make_job

USERS = [f"user{number}" for number in range(8)]
CHANGES_PER_SECOND = 50
CUTS = 500


async def store_and_cut(live: Live, proxy: CuttingProxy) -> Mapping[str, list[str]]:
    """The ids of the jobs that were stored for each user, meanwhile CUTS cuts at any moment."""
    chance = random.Random(13)
    stored: dict[str, list[str]] = defaultdict(list)
    loop = asyncio.get_running_loop()
    begun, number = loop.time(), 0
    while proxy.cuts < CUTS:
        number += 1
        user = USERS[number % len(USERS)]
        job = make_job(live, number, user)
        await live.put(job)
        stored[user].append(job.job_id)
        if chance.random() < 0.5 and proxy.is_used:
            await asyncio.sleep(chance.random() / CHANGES_PER_SECOND)
            proxy.cut_one()
        await asyncio.sleep(begun + number / CHANGES_PER_SECOND - loop.time())
    return stored


async def wait_for_last(
    stored: Mapping[str, list[str]],
    streams: Mapping[str, StreamClient],
    sockets: Mapping[str, Client],
) -> None:
    """Wait until every client has reported its user's last job."""
    for user, stream in streams.items():
        async with asyncio.timeout(60):
            while stored[user][-1] not in stream.jobs:  # noqa: ASYNC110 - as a client sees it
                await asyncio.sleep(0.01)
    for user, client in sockets.items():
        last = stored[user][-1]
        await client.wait_for(
            lambda: any(one["jobId"] == last for one in client.updates),  # noqa: B023
            60,
        )


@skip_by_day("minutes")
@pytest.mark.slow
async def test_five_hundred_cuts_under_load_lose_and_repeat_nothing(
    live: Live, connect: Connect
) -> None:
    """Each job is stored once; each client of its user must report it once."""
    fast = {"reconnectionDelay": 5, "reconnectionDelayMax": 20, "transports": ["websocket"]}
    async with running_proxy(live.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}{EVENTS}"
        streams = {user: StreamClient(url, user=user) for user in USERS}
        reading = [asyncio.create_task(one.run()) for one in streams.values()]
        sockets = {
            user: await connect(f"ws://127.0.0.1:{proxy.port}", **as_user(user), **fast)
            for user in USERS[::2]
        }
        for client in sockets.values():
            await client.wait_until_printed("connect")
        async with asyncio.timeout(60):
            while not all(one.last_id for one in streams.values()):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        stored = await store_and_cut(live, proxy)
        await wait_for_last(stored, streams, sockets)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    for user, stream in streams.items():
        assert sorted(stream.jobs) == sorted(stored[user]), f"the stream of {user}"
    for user, client in sockets.items():
        seen = [one["jobId"] for one in client.updates]
        assert sorted(seen) == sorted(stored[user]), f"the socket of {user}"
        assert sum("connect" in one for one in client.printed) > 5, f"{user} was hardly cut"
    assert sum(one.connections for one in streams.values()) > CUTS // 4
