"""The released socket.io client, unmodified, in Node, against the gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from functions.job_requests import image_request, submit_job
from nightly_tests import skip_by_day
from simulation.world import token
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status

from .conftest import Client, Live, restarted
from .cutting_proxy import running_proxy, wait_for_reader

Connect = Callable[..., Awaitable[Client]]

#: At night (.ci/nightly), a minute each; forty are made by day too.
CUTS = 300
FIELDS = ["jobId", "status", "progress", "resultUrl", "error"]


def as_user(user: str = "ada", **claims: Any) -> dict[str, Any]:
    return {"auth": {"token": token(user, **claims)}}


def make_job(live: Live, number: int, user: str = "ada") -> Job:
    now = live.world.now()
    return Job(
        job_id=f"job_{user}{number}",
        job_type="image-generation",
        status=Status.QUEUED,
        user_id=user,
        payload={},
        created_at=now,
        updated_at=now,
        status_at={Status.QUEUED: now},
    )


async def test_the_documented_fields_come_with_each_change_and_the_file_at_the_end(
    live: Live, connect: Connect
) -> None:
    client = await connect(f"ws://127.0.0.1:{live.port}", **as_user())
    await client.wait_until_printed("connect")
    await submit_job(live.world.as_user("ada"), {"prompt": "a kite", "options": {"width": 64}})
    await live.world.settle()
    await client.wait_for(lambda: any(one["status"] == "COMPLETED" for one in client.updates))
    assert all(list(one) == FIELDS for one in client.updates)
    last = client.updates[-1]
    assert last["resultUrl"].startswith("http://api.test/files/")
    assert "signature=" in last["resultUrl"]
    assert last["progress"] == 100
    assert {one["status"] for one in client.updates} <= {"QUEUED", "PROCESSING", "COMPLETED"}


async def test_a_failed_job_comes_with_its_error(live: Live, connect: Connect) -> None:
    client = await connect(f"ws://127.0.0.1:{live.port}", **as_user())
    await client.wait_until_printed("connect")
    await submit_job(live.world.as_user("ada"), image_request("fail-permanent"))
    await live.world.settle()
    await client.wait_for(lambda: any(one["status"] == "FAILED" for one in client.updates))
    assert client.updates[-1]["error"]["message"]
    assert client.updates[-1]["resultUrl"] is None


@pytest.mark.parametrize("auth", [{}, {"auth": {"token": "x"}}, as_user(exp=1)])
async def test_without_a_valid_token_the_client_is_refused_with_a_reason(
    live: Live, connect: Connect, auth: dict[str, Any]
) -> None:
    client = await connect(f"ws://127.0.0.1:{live.port}", **auth)
    refusal = await client.wait_until_printed("refused")
    assert refusal["data"] == {"code": "unauthenticated"}
    assert "oken" in refusal["refused"]


async def test_jobs_of_others_are_not_shown(live: Live, connect: Connect) -> None:
    await live.put(make_job(live, 1, "bob"))
    wishes = [
        ["subscribe", {"jobId": "job_bob1"}],
        ["subscribe", {"queue": "image-generation-queue"}],
        ["subscribe", {"projectId": "p"}],
        ["subscribe", {"everything": True}],
    ]
    client = await connect(f"ws://127.0.0.1:{live.port}", emit=wishes, **as_user())
    await client.wait_for(lambda: len(client.acks) == len(wishes))
    codes = [ack.get("error", {}).get("code") for ack in client.acks]
    assert codes == ["not_found", "forbidden", None, "invalid_request"]

    of_bob = make_job(live, 2, "bob")
    await live.put(of_bob.model_copy(update={"project_id": "p"}))
    await live.put(make_job(live, 1, "ada"))
    await client.wait_for(lambda: len(client.updates) > 0)
    assert [one["jobId"] for one in client.updates] == ["job_ada1"]


async def test_an_admin_follows_a_queue_and_another_users_job(live: Live, connect: Connect) -> None:
    job = make_job(live, 1, "bob")
    await live.put(job)
    wishes = [{"jobId": "job_bob1"}, {"queue": "image-generation-queue"}]
    auth = {"token": token("root", role="admin"), "subscribe": wishes}
    client = await connect(f"ws://127.0.0.1:{live.port}", auth=auth)
    await client.wait_for(lambda: len(client.updates) == 1)  # the job as it is
    await live.put(make_job(live, 2, "eve"))
    now = live.world.now()
    await live.put(job.enter_status(Status.PROCESSING, now))
    await client.wait_for(lambda: len(client.updates) == 3)
    seen = [(one["jobId"], one["status"]) for one in client.updates]
    assert seen == [("job_bob1", "QUEUED"), ("job_eve2", "QUEUED"), ("job_bob1", "PROCESSING")]


async def test_what_happens_while_the_gateway_is_gone_comes_once_afterwards(
    live: Live, connect: Connect
) -> None:
    fast = {"reconnectionDelay": 20, "reconnectionDelayMax": 50}
    client = await connect(f"ws://127.0.0.1:{live.port}", **as_user(), **fast)
    await client.wait_until_printed("connect")
    await live.put(make_job(live, 1))
    await client.wait_for(lambda: len(client.updates) == 1)
    async with restarted(live):
        await live.put(make_job(live, 2))
        await live.put(make_job(live, 3))
    await client.wait_for(lambda: len(client.updates) >= 3)
    await live.put(make_job(live, 4))
    await client.wait_for(lambda: len(client.updates) >= 4)
    names = [one["jobId"] for one in client.updates]
    assert names == ["job_ada1", "job_ada2", "job_ada3", "job_ada4"]
    # It may have met the old gateway once more, as that one stopped.
    first, *others = [one["recovered"] for one in client.printed if "connect" in one]
    assert (first, set(others)) == (False, {True})


async def test_a_client_that_was_away_for_long_gets_a_snapshot_that_says_so(
    live: Live, connect: Connect
) -> None:
    await live.put(make_job(live, 1))
    ago = live.world.now() - timedelta(days=3)
    cursor = f"own@5.{int(ago.timestamp() * 1000)}"
    auth = {"token": token(), "pid": cursor}
    client = await connect(f"ws://127.0.0.1:{live.port}", auth=auth)
    await client.wait_for(lambda: len(client.updates) == 1)
    assert client.updates[0]["snapshot"] is True
    assert client.printed[0] == {"connect": True, "recovered": False}


async def test_an_expired_token_ends_the_connection_and_the_client_is_refused(
    live: Live, connect: Connect
) -> None:
    # The start of Node takes a fraction of a second, and beside other work many seconds.
    for lifetime in (4, 12, 36, 108):
        # Tokens are accepted for 30 s more, for clocks that differ.
        auth = as_user(exp=int(time.time()) - 30 + lifetime)
        client = await connect(f"ws://127.0.0.1:{live.port}", **auth, reconnectionDelay=10)
        await client.wait_until_any(120)
        if "connect" in client.printed[0]:
            break
    assert "connect" in client.printed[0]
    await client.wait_for(lambda: any("disconnect" in one for one in client.printed), lifetime + 60)
    assert (await client.wait_until_printed("refused"))["data"] == {"code": "unauthenticated"}


async def cut_while_jobs_are_stored(
    live: Live, connect: Connect, *, cuts: int, transports: list[str]
) -> None:
    """Each job is stored once; each must be reported once."""
    fast = {"reconnectionDelay": 5, "reconnectionDelayMax": 20, "transports": transports}
    async with running_proxy(live.port) as proxy:
        client = await connect(f"ws://127.0.0.1:{proxy.port}", **as_user(), **fast)
        await client.wait_until_printed("connect")
        number = 0
        while proxy.cuts < cuts:
            if proxy.is_used:
                for _ in range(3):
                    number += 1
                    await live.put(make_job(live, number))
                    await asyncio.sleep(0.004)
                proxy.cut_one()
                await wait_for_reader(number, lambda: len(client.updates))
            await asyncio.sleep(0.02)  # the client connects again in real time
        number += 1
        await live.put(make_job(live, number))
        last = f"job_ada{number}"
        await client.wait_for(lambda: last in {one["jobId"] for one in client.updates}, 60)
    names = [one["jobId"] for one in client.updates]
    assert len(names) == len(set(names)), "an update came twice"
    assert set(names) == {f"job_ada{n}" for n in range(1, number + 1)}
    assert sum("connect" in one for one in client.printed) > 3


@pytest.mark.parametrize(
    ("transports", "cuts"),
    [
        (["websocket"], 40),
        (["polling"], 40),
        # It begins by polling, and upgrades. Cut in the middle of that, the client waits until the
        # server's ping is overdue.
        (["polling", "websocket"], 15),
    ],
)
async def test_cuts_lose_and_repeat_nothing(
    live: Live, connect: Connect, transports: list[str], cuts: int
) -> None:
    await cut_while_jobs_are_stored(live, connect, cuts=cuts, transports=transports)


@skip_by_day("minutes")
@pytest.mark.slow
@pytest.mark.parametrize("transports", [["websocket"], ["polling"]])
async def test_hundreds_of_cuts_lose_and_repeat_nothing(
    live: Live, connect: Connect, transports: list[str]
) -> None:
    await cut_while_jobs_are_stored(live, connect, cuts=CUTS, transports=transports)
