"""Faults that services of this kind are blamed for, one test each: money and late answers.

Refunds while the provider bills, a clean-up of old holds that races a late refund, a success that
comes after the time-out, and a refusal by the provider that is charged for.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.fake_providers import KITE, ProviderSetup, StartProviders
from functions.job_requests import read_balance, read_job, submit_job
from providers.fake_provider import Fault
from simulation.world import World
from taskreel.app.jobs.enqueue import LONGEST_DELIVERY
from taskreel.app.jobs.finish_job import finish_job
from taskreel.app.jobs.job_store import load_job
from taskreel.app.services import Rules
from taskreel.domain.errors import StoreConflictError
from taskreel.domain.job_status import Status
from taskreel.ports import Transaction

#: Of a type with half an hour: one delivery.
TIMEOUT = LONGEST_DELIVERY.total_seconds()


def delay_answer(setup: ProviderSetup, patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Make the provider accept at once, and answer only after that many seconds."""
    provider = setup.world.services.providers.get("bfl")
    start = provider.start

    async def slow(request: Any, **more: Any) -> Any:
        answer = await start(request, **more)
        await setup.world.services.clock.sleep(seconds)
        return answer

    patch.setattr(provider, "start", slow)


async def list_settlements(client: httpx.AsyncClient) -> list[tuple[str, int]]:
    entries = (await client.get("/api/credits/ledger")).json()["entries"]
    return [(entry["kind"], entry["amount"]) for entry in entries if entry.get("jobId")]


async def test_a_time_out_is_no_verdict_the_hold_stays_while_the_provider_may_bill(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that times out in a purchase waits for the answer: no refund, no second one."""
    setup = await start_providers("bfl")
    delay_answer(setup, monkeypatch, TIMEOUT + 100)
    ada = setup.user()
    job = await submit_job(ada, KITE)
    await setup.world.advance(TIMEOUT + 50)
    assert (await read_job(ada, job))["status"] == "PROCESSING"
    assert (await read_balance(ada))["held"] == job["credits"]["held"] > 0
    await setup.world.advance(120)
    done = await read_job(ada, job)
    assert (done["status"], setup.fakes["bfl"].creates) == ("COMPLETED", 1)
    assert await list_settlements(ada) == [("capture", done["credits"]["captured"])]


async def test_two_settlements_of_one_hold_cannot_both_be_written(
    world: World, ada: httpx.AsyncClient
) -> None:
    """A clean-up of stale holds and a late refund: the second moves nothing, and fails."""
    world.cut_off = True
    job = await submit_job(ada)
    stale = await world.job(job["jobId"])

    async def settle(tx: Transaction) -> None:
        # From what was read earlier, as a careless clean-up would; it does not read the job again.
        finish_job(Rules(), tx, stale, Status.CANCELLED, world.now())

    async def settle_again(tx: Transaction) -> None:
        assert await load_job(tx, stale.job_id) is not None
        await settle(tx)

    await world.services.store.transaction(settle)
    for late in (settle, settle_again):
        with pytest.raises(StoreConflictError):
            await world.services.store.transaction(late)
    assert await list_settlements(ada) == [("release", 1)]
    assert await read_balance(ada) == {
        "userId": "ada",
        "available": 100,
        "held": 0,
        "captured": 0,
        "granted": 100,
    }


async def test_a_success_after_the_job_was_cancelled_is_neither_delivered_nor_charged(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The late answer meets a fence, and what still runs at the provider is cancelled there."""
    setup = await start_providers("bfl")
    delay_answer(setup, monkeypatch, 10)
    cancelled: list[Any] = []
    provider = setup.world.services.providers.get("bfl")

    async def cancel(operation: Any, /) -> None:
        cancelled.append(operation)

    monkeypatch.setattr(provider, "cancel", cancel)
    ada = setup.user()
    job = await submit_job(ada, KITE)
    await setup.world.advance(3)
    ended = (await ada.delete(job["urls"]["cancel"])).json()
    assert ended["credits"] == {"held": 0, "captured": 0, "released": job["credits"]["held"]}
    await setup.world.advance(60)
    late = await read_job(ada, job)
    assert (late["status"], late["result"], late["credits"]) == (
        "CANCELLED",
        None,
        ended["credits"],
    )
    assert (setup.fakes["bfl"].creates, len(cancelled)) == (1, 1)
    assert await list_settlements(ada) == [("release", job["credits"]["held"])]


@pytest.mark.parametrize("accepted", [False, True], ids=["at-once", "after-rendering"])
async def test_a_refusal_by_the_provider_is_not_charged_and_not_tried_again(
    start_providers: StartProviders,
    accepted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Moderation of a finished picture costs the operator, and never the user."""
    setup = await start_providers("bfl", "fal")
    ada = setup.user()
    if not accepted:
        setup.fakes["bfl"].fault = Fault.MODERATION
    job = await submit_job(ada, KITE)
    await setup.world.advance(1)
    setup.fakes["bfl"].fault = Fault.MODERATION
    await setup.world.advance(3600)
    failed = await read_job(ada, job)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "moderation")
    assert failed["attempt"] == 1
    assert failed["credits"] == {"held": 0, "captured": 0, "released": job["credits"]["held"]}
    assert setup.fakes["bfl"].creates <= 1
    assert setup.fakes["fal"].creates == 0
    assert await list_settlements(ada) == [("release", job["credits"]["held"])]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.FAILED,
        Fault.NO_RESULT,
        Fault.EXPIRED,
        Fault.LOST_ANSWER,
        Fault.GATEWAY_TIMEOUT,
        Fault.SERVER_ERROR,
        Fault.NO_CREDIT,
    ],
    ids=lambda fault: str(fault.name).lower(),
)
async def test_a_failure_without_a_result_costs_nothing_and_the_job_says_what_was_moved(
    start_providers: StartProviders, fault: Fault
) -> None:
    """image-router#39, pollinations#12201, sub2api#4837: charged for nothing; civitai/cli#278: the
    message told another story than the money."""
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = fault
    ada = setup.user()
    job = await submit_job(ada, {**KITE, "retry": {"maxAttempts": 2}})
    for _ in range(30):
        await setup.world.advance(600)
        await setup.world.sweep()
    ended = await read_job(ada, job)
    assert ended["status"] == "FAILED"
    assert ended["error"]["message"]
    assert ended["credits"] == {"held": 0, "captured": 0, "released": job["credits"]["held"]}
    assert await list_settlements(ada) == [("release", job["credits"]["held"])]
    balance = await read_balance(ada)
    assert (balance["available"], balance["captured"]) == (balance["granted"], 0)
    history = (await ada.get(f"/api/jobs/{job['jobId']}/history")).json()
    assert history["changes"][-1]["credits"] == 0
    assert history["failedAttempts"], "the attempts that failed are there to be shown"
