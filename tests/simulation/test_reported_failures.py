"""The failures that users of other systems report, each as a scenario under the issue's name.

They run in the simulated cloud, with its invariants checked after every step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from simulation.customers import Customer
from simulation.fault_plan import Fault
from simulation.simulate import simulate
from simulation.simulated_cloud import SimulatedCloud
from simulation.simulated_provider import SaleState
from taskreel.domain.credits import EntryKind
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Increment, Query
from taskreel.store_collections import ACCOUNTS, LEDGER

PICTURE = {"prompt": "a kite", "model": "flux-1.1-pro", "provider": "bfl"}


def play(scenario: Callable[[SimulatedCloud, Customer], Awaitable[None]]) -> None:
    """Play a scenario in a cloud without other faults, with the sweep each minute."""

    async def life(cloud: SimulatedCloud) -> None:
        cloud.spawn(cloud.sweep_for_ever())
        await scenario(cloud, Customer(cloud, "bob", think_seconds=0))

    outcome = simulate(0, 0, choices=[], life=life)
    assert outcome.violation is None, outcome.violation


async def submit(customer: Customer, **fields: Any) -> Job:
    before = set(customer.jobs)
    await customer.submit("image-generation", {**PICTURE, **fields})
    (job_id,) = set(customer.jobs) - before
    return customer.cloud.watch.jobs[job_id]


async def list_settlements(cloud: SimulatedCloud, job: Job) -> list[tuple[EntryKind, int]]:
    rows = await cloud.store.query(Query(collection=LEDGER))
    return [(row.value.kind, row.value.amount) for row in rows if row.value.job_id == job.job_id]


def test_eliza_11920_a_time_out_is_no_verdict_and_refunds_nothing_while_the_provider_works() -> (
    None
):
    async def scenario(cloud: SimulatedCloud, customer: Customer) -> None:
        cloud.sales_book.answers_at_once = False
        cloud.plan.ordered[Fault.PROVIDER_POLL_FAILS] = 4
        job = await submit(customer)
        await asyncio.sleep(20)
        waiting = cloud.watch.jobs[job.job_id]
        assert cloud.plan.happened[Fault.PROVIDER_POLL_FAILS] > 0
        assert (waiting.status, waiting.credits.held) == (Status.PROCESSING, job.credits.held)
        assert await list_settlements(cloud, job) == []
        await asyncio.sleep(1800)
        ended = cloud.watch.jobs[job.job_id]
        assert ended.status is Status.COMPLETED
        assert await list_settlements(cloud, job) == [(EntryKind.CAPTURE, job.credits.held)]
        assert len(cloud.sales_book.sales) == 1

    play(scenario)


def test_eliza_11963_the_sweep_settles_first_and_a_late_result_moves_nothing() -> None:
    async def scenario(cloud: SimulatedCloud, customer: Customer) -> None:
        cloud.plan.ordered[Fault.PROVIDER_SLOW] = 1
        job = await submit(customer, deadlineSeconds=10)
        # The run hangs in the provider's call while its deadline passes: the sweep ends the job.
        await asyncio.sleep(2)
        assert cloud.watch.jobs[job.job_id].maybe_bought
        frozen = list(cloud.instances)
        for instance in frozen:
            instance.machine.frozen = instance.draining = True
        cloud.start_instance()
        await asyncio.sleep(300)
        for instance in frozen:
            instance.machine.frozen = False
        await asyncio.sleep(3600)
        ended = cloud.watch.jobs[job.job_id]
        assert ended.status is Status.FAILED
        assert await list_settlements(cloud, job) == [(EntryKind.RELEASE, job.credits.held)]
        account = cloud.watch.accounts["bob"]
        assert (account.held, account.available) == (0, account.granted)
        assert all(
            sale.cancel_asked or sale.state is SaleState.DONE for sale in cloud.sales_book.sales
        )

    play(scenario)


def test_bottube_1535_what_fails_is_not_charged_though_the_provider_bills_it() -> None:
    async def scenario(cloud: SimulatedCloud, customer: Customer) -> None:
        cloud.sales_book.answers_at_once = False
        cloud.plan.ordered[Fault.PROVIDER_BILLS_AND_FAILS] = 1
        job = await submit(customer)
        await asyncio.sleep(600)
        ended = cloud.watch.jobs[job.job_id]
        assert (ended.status, ended.credits.captured) == (Status.FAILED, 0)
        assert await list_settlements(cloud, job) == [(EntryKind.RELEASE, job.credits.held)]
        assert len(cloud.sales_book.sales) == 1

    play(scenario)


def test_varghq_sdk_92_a_client_that_timed_out_finds_its_result_by_the_same_key() -> None:
    async def scenario(cloud: SimulatedCloud, customer: Customer) -> None:
        key = {"idempotency-key": "order-17"}
        first = await customer.request("POST", "/api/jobs/image-generation", PICTURE, key)
        assert first is not None  # and the client never saw it
        await asyncio.sleep(300)
        again = await customer.request("POST", "/api/jobs/image-generation", PICTURE, key)
        assert again is not None
        assert again[1]["jobId"] == first[1]["jobId"]
        result = await customer.request("GET", f"/api/jobs/{again[1]['jobId']}/result")
        assert result is not None
        assert result[0] == 200
        assert len(cloud.sales_book.sales) == 1

    play(scenario)


def test_openstory_828_a_waiting_job_tells_its_position() -> None:
    async def scenario(cloud: SimulatedCloud, customer: Customer) -> None:
        cloud.sales_book.answers_at_once = False
        jobs = []
        for _ in range(4):
            jobs.append(await submit(customer))
            await asyncio.sleep(0.5)
        assert cloud.watch.jobs[jobs[-1].job_id].status is Status.THROTTLED
        places = []
        for job in jobs[1:]:
            answer = await customer.request("GET", f"/api/queue/{job.job_id}/position")
            assert answer is not None
            places.append(answer[1]["ahead"])
        assert places == sorted(places)
        assert places[-1] > places[0] >= 0
        shown = await customer.request("GET", f"/api/jobs/{jobs[-1].job_id}")
        assert shown is not None
        assert shown[1]["queue"]["ahead"] == places[-1]

    play(scenario)


def test_trigger_dev_4540_a_leaked_slot_is_found_and_its_owner_goes_on() -> None:
    async def scenario(cloud: SimulatedCloud, customer: Customer) -> None:
        await submit(customer)
        await asyncio.sleep(60)

        async def leak(tx: Any) -> None:
            tx.update(ACCOUNTS, "bob", {"active": Increment(1)})

        cloud.watch.leak_slot("bob")
        await cloud.store.transaction(leak)
        job = await submit(customer)
        assert cloud.watch.jobs[job.job_id].status is Status.THROTTLED
        await asyncio.sleep(600)
        assert cloud.watch.jobs[job.job_id].status is Status.COMPLETED
        assert cloud.watch.accounts["bob"].active == 0
        assert cloud.plan.happened["log slots_corrected"] == 1

    play(scenario)


def test_a_disk_that_is_full_at_every_poll_for_minutes_drops_no_result() -> None:
    """Found by the simulator: the second failure dropped an operation that was paid for."""

    async def scenario(cloud: SimulatedCloud, customer: Customer) -> None:
        cloud.sales_book.answers_at_once = False
        for instance in cloud.instances:
            instance.machine.disk_full_until = 900
        job = await submit(customer)
        await asyncio.sleep(900)
        assert cloud.plan.happened[Fault.DISK_FULL] > 2
        await asyncio.sleep(1200)
        assert cloud.watch.jobs[job.job_id].status is Status.COMPLETED
        assert len(cloud.sales_book.sales) == 1

    play(scenario)


def test_a_bucket_that_is_away_for_a_minute_costs_no_answer_that_is_given_once() -> None:
    """Found by the simulator: a provider that answers at once has no operation to ask again."""

    async def scenario(cloud: SimulatedCloud, customer: Customer) -> None:
        cloud.sales_book.answers_at_once = True
        cloud.plan.ordered[Fault.BLOB_HALF_WRITTEN] = 5
        job = await submit(customer)
        await asyncio.sleep(600)
        assert cloud.plan.happened[Fault.BLOB_HALF_WRITTEN] == 5
        assert cloud.watch.jobs[job.job_id].status is Status.COMPLETED
        assert len(cloud.sales_book.sales) == 1

    play(scenario)


def test_a_job_that_failed_at_its_deadline_while_it_was_buying_is_not_retried_by_its_user() -> None:
    """Found by the simulator: the retry bought again what the provider was making."""

    async def scenario(cloud: SimulatedCloud, customer: Customer) -> None:
        cloud.plan.ordered[Fault.PROVIDER_HANGS] = 1
        job = await submit(customer, deadlineSeconds=60)
        await asyncio.sleep(10)
        for instance in list(cloud.instances):
            cloud.kill(instance)
        cloud.start_instance()
        await asyncio.sleep(600)
        ended = cloud.watch.jobs[job.job_id]
        assert ended.status is Status.FAILED
        assert ended.maybe_bought
        path = f"/api/jobs/image-generation/{job.job_id}/retry"
        answer = await customer.request("POST", path)
        assert answer is not None
        assert answer[0] == 403
        assert len(cloud.sales_book.sales) == 1

    play(scenario)
