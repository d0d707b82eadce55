"""Limits of socket.io connections, several instances, and a client that does not read."""

from __future__ import annotations

import asyncio
import json
import socket

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket

from simulation.world import token
from taskreel import wiring
from taskreel.app.live.job_reader import MOST_WAITING
from taskreel.domain.job_status import Status
from taskreel.web.live.socket_gateway import MOST_SUBSCRIPTIONS
from taskreel.web.live_context import MOST_CONNECTIONS

from .conftest import Live, running_gateway
from .cutting_proxy import running_proxy
from .test_socket_client import Connect, as_user, make_job


async def test_the_token_may_come_in_the_authorization_header(live: Live, connect: Connect) -> None:
    headers = {"Authorization": f"Bearer {token('ada')}"}
    client = await connect(f"ws://127.0.0.1:{live.port}", extraHeaders=headers)
    await client.wait_until_printed("connect")
    await live.put(make_job(live, 1), make_job(live, 2, "bob"), make_job(live, 3))
    await client.wait_for(lambda: len(client.updates) == 2)
    assert [one["jobId"] for one in client.updates] == ["job_ada1", "job_ada3"]


async def test_a_connection_has_a_limit_of_subscriptions(live: Live, connect: Connect) -> None:
    jobs = [make_job(live, number) for number in range(MOST_SUBSCRIPTIONS + 1)]
    await live.put(*jobs)
    wishes = [["subscribe", {"jobId": one.job_id}] for one in jobs]
    client = await connect(f"ws://127.0.0.1:{live.port}", emit=wishes, **as_user())
    await client.wait_for(lambda: len(client.acks) == len(wishes))
    # All of the user's jobs are the first subscription.
    refused = [ack["error"]["code"] for ack in client.acks if not ack["ok"]]
    assert refused == ["too_many_connections"] * 2

    every = {"token": token(), "subscribe": [{"jobId": one.job_id} for one in jobs]}
    client = await connect(f"ws://127.0.0.1:{live.port}", auth=every)
    refusal = await client.wait_until_printed("refused")
    assert refusal["data"] == {"code": "too_many_connections"}


async def test_a_subscription_to_thousands_of_names_ends_its_own_connection_alone(
    live: Live, connect: Connect
) -> None:
    others = await connect(f"ws://127.0.0.1:{live.port}", **as_user())
    await others.wait_until_printed("connect")
    names = [{"jobId": f"job_{number:032}"} for number in range(1500)]
    client = await connect(
        f"ws://127.0.0.1:{live.port}",
        emit=[["subscribe", names]],
        transports=["websocket"],
        reconnection=False,
        **as_user("bob"),
    )
    await client.wait_until_printed("disconnect")
    assert client.acks == []
    await live.put(make_job(live, 1))
    await others.wait_for(lambda: len(others.updates) == 1)


async def test_a_user_has_a_limit_of_sockets(live: Live, connect: Connect) -> None:
    limits = wiring.live().limits
    held = [limits.hold("ada") for _ in range(MOST_CONNECTIONS)]
    for one in held:
        one.__enter__()
    client = await connect(f"ws://127.0.0.1:{live.port}", **as_user())
    refusal = await client.wait_until_printed("refused")
    assert refusal["data"] == {"code": "too_many_connections"}
    for one in held:
        one.__exit__(None, None, None)


async def test_each_connection_may_reach_another_instance(live: Live, connect: Connect) -> None:
    """Nothing is remembered by an instance: the client brings its place."""
    async with running_gateway(live.world.services) as other, running_proxy(live.port) as proxy:
        client = await connect(
            f"ws://127.0.0.1:{proxy.port}",
            transports=["websocket"],
            reconnectionDelay=5,
            reconnectionDelayMax=20,
            **as_user(),
        )
        await client.wait_until_printed("connect")
        number = 0
        for cut in range(6):
            number += 1
            await live.put(make_job(live, number))
            await client.wait_for(lambda: len(client.updates) >= number)  # noqa: B023
            proxy.target = live.port if cut % 2 else other
            proxy.cut_all()
            number += 1
            await live.put(make_job(live, number))
            connected = cut + 2
            await client.wait_for(
                lambda: sum("connect" in one for one in client.printed) >= connected  # noqa: B023
            )
        await client.wait_for(lambda: len(client.updates) >= number)
    assert [one["jobId"] for one in client.updates] == [f"job_ada{n + 1}" for n in range(number)]
    recovered = [one["recovered"] for one in client.printed if "connect" in one]
    assert recovered == [False] + [True] * 6


async def open_slow_client(port: int) -> ClientConnection:
    """A connection whose buffers hold a few messages."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
    opened = await open_websocket(url, sock=raw, compression=None, max_queue=(8, 4))
    await opened.recv()
    await opened.send("40" + json.dumps({"token": token("ada")}))
    await opened.recv()
    return opened


async def test_a_client_that_does_not_read_gets_the_newest_states_later(live: Live) -> None:
    """The states that wait for it are bounded; others get theirs at once."""
    # Long ids: a message has a kilobyte, and no buffer on the way has hundreds of them.
    jobs = [
        make_job(live, number).model_copy(update={"job_id": f"job_{number}_{'x' * 400}"})
        for number in range(20)
    ]
    assert len(jobs) < MOST_WAITING
    changes = 40
    async with running_gateway(live.world.services, send_buffer=4096) as port:
        opened = await open_slow_client(port)
        for percent in range(1, changes + 1):
            now = live.world.now()
            changed = [
                job.enter_status(Status.PROCESSING, now).model_copy(update={"progress": percent})
                for job in jobs
            ]
            await live.put(*changed)
            await asyncio.sleep(0.02)
        newest: dict[str, int] = {}
        kinds: set[bool] = set()
        count = 0
        async with asyncio.timeout(60):
            while set(newest.values()) != {changes} or len(newest) < len(jobs):
                text = str(await opened.recv())
                if not text.startswith("42"):
                    continue
                update = json.loads(text[2:])[1]
                newest[update["jobId"]] = update["progress"]
                kinds.add(update.get("snapshot", False))
                count += 1
        assert kinds == {False, True}
        assert count < changes * len(jobs) // 2, "every change has waited for it"
        await opened.close()
