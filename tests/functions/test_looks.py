"""A look at a provider claims the job with its first write: looks may overlap, and still each thing happens once."""

from __future__ import annotations

import asyncio
from typing import Any

from functions.asking import balance, read, submitted
from functions.market import KITE, Market, Stalls
from providers.fakes.fake import Mischief
from taskreel.domain.job import Status


async def due(shop: Market, body: dict[str, Any]) -> dict[str, Any]:
    """A job whose provider is to be asked now, by whoever comes: its task is lost."""
    job = await submitted(shop.user(), body)
    await shop.world.settle()
    shop.world.cut_off = True
    await shop.world.advance(3)
    return job


async def test_two_looks_at_once_end_the_job_once(stalls: Stalls) -> None:
    shop = await stalls("bfl")
    shop.fakes["bfl"].polls = 0
    job = await due(shop, KITE)
    answers = await asyncio.gather(*(shop.world.process(job["jobId"]) for _ in range(2)))
    assert [answer.status_code for answer in answers] == [200, 200]
    done = await read(shop.user(), job)
    assert (done["status"], done["attempt"], shop.fakes["bfl"].creates) == ("COMPLETED", 1, 1)
    assert (await balance(shop.user()))["captured"] == done["credits"]["captured"]
    assert shop.fakes["bfl"].cancelled == set()


async def test_two_looks_at_once_at_work_that_failed_buy_it_again_once(stalls: Stalls) -> None:
    shop = await stalls("bfl")
    shop.fakes["bfl"].polls = 0
    job = await due(shop, KITE)
    shop.fakes["bfl"].mischief = Mischief.FAILED
    await asyncio.gather(*(shop.world.process(job["jobId"]) for _ in range(2)))
    shop.fakes["bfl"].mischief = None
    shop.world.cut_off = False
    await shop.world.advance(60)
    done = await read(shop.user(), job)
    assert (done["status"], done["attempt"], shop.fakes["bfl"].creates) == ("COMPLETED", 2, 2), done["error"]


async def test_a_look_that_takes_long_holds_the_job(stalls: Stalls) -> None:
    shop = await stalls("bfl")
    job = await due(shop, KITE)
    asked = asyncio.Event()

    async def slow(*_: Any) -> Any:
        await asked.wait()

    provider = shop.world.services.providers.get("bfl")
    provider.poll = slow  # type: ignore[method-assign]
    look = asyncio.create_task(shop.world.process(job["jobId"]))
    await shop.world.advance(6)
    held = await shop.world.job(job["jobId"])
    assert (held.status, held.attempt) == (Status.PROCESSING, 1)
    assert held.lease_until is not None
    assert (await shop.world.process(job["jobId"])).status_code == 409
    look.cancel()
