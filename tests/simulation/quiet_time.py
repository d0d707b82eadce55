"""The end of a simulation: faults stop, and everything must come to its end in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from simulation.file_rules import NO_FILE_OUTLIVES
from simulation.invariant_watch import ViolationError
from simulation.simulated_cloud import SimulatedCloud
from simulation.simulated_ports import EPOCH
from simulation.simulated_provider import Sale, SaleState
from taskreel.domain.client_webhook import DeliveryState
from taskreel.domain.credits import Account
from taskreel.domain.errors import AMBIGUOUS, UNSURE
from taskreel.domain.job import Job
from taskreel.domain.unit import UnitState

if TYPE_CHECKING:
    from simulation.customers import Customer

#: After the faults: a lease with its grace, a sweep, and the call that a frozen one still makes.
RECOVERY_SECONDS = 30 + 120 + 2 * 60
#: The longest that work takes without faults: a hung call, retries, webhooks' waits, late starts.
_LONGEST_END_SECONDS = 80 * 3600.0


async def check_quiet(
    cloud: SimulatedCloud, customers: list[Customer], *, with_webhooks: bool
) -> None:
    """Stop the faults, wait, and check what must hold then. Raises ViolationError.

    `with_webhooks` also waits for each delivery's end, which may take days after many failures.
    """
    _stop_faults(cloud)
    for customer in customers:
        while customer.recurring:
            await customer.end_recurring()
    await customers[0].resume_queue()
    await asyncio.sleep(RECOVERY_SECONDS)
    _check_recovery(cloud)
    await _wait_for_ends(cloud, with_webhooks=with_webhooks)
    await asyncio.sleep(120)  # live streams that are reconnecting
    found = [
        *_check_accounts(cloud),
        *_check_sales(cloud),
        *_check_ambiguity(cloud),
        *_check_files(cloud),
        *_check_webhooks(cloud),
        *_check_streams(cloud, customers),
    ]
    if found:
        raise ViolationError("\n".join(found))


def _stop_faults(cloud: SimulatedCloud) -> None:
    cloud.plan.is_calm = True
    cloud.store_outage.until = cloud.queue_outage.until = 0.0
    for instance in cloud.instances:
        instance.machine.frozen = False
        instance.machine.disk_full_until = 0.0
        instance.services.clock.skew = timedelta(0)  # type: ignore[attr-defined]  # SimulatedClock
    while not [one for one in cloud.instances if not one.draining]:
        cloud.start_instance()


def _check_recovery(cloud: SimulatedCloud) -> None:
    """Nothing that was due before the last two sweeps is left: the sweep has come to all of it."""
    before = EPOCH + timedelta(seconds=cloud.loop.time() - 2 * 60 - 1)
    overdue = cloud.watch.list_overdue(before)
    if overdue:
        raise ViolationError(f"bounded-recovery: {len(overdue)} are overdue: {overdue[0]}")


async def _wait_for_ends(cloud: SimulatedCloud, *, with_webhooks: bool) -> None:
    give_up_at = cloud.loop.time() + _LONGEST_END_SECONDS
    while True:
        open_jobs = [job for job in cloud.watch.jobs.values() if job.wake_at is not None]
        pending = [
            one
            for one in cloud.watch.deliveries.values()
            if with_webhooks and one.state is DeliveryState.PENDING
        ]
        if not open_jobs and not pending:
            return
        if cloud.loop.time() > give_up_at:
            first = open_jobs[0] if open_jobs else pending[0]
            raise ViolationError(f"everything-ends: it has not ended: {first!r}")
        await asyncio.sleep(60)
        _check_recovery(cloud)


def _check_accounts(cloud: SimulatedCloud) -> Iterator[str]:
    for account in cloud.watch.accounts.values():
        if account.held:
            yield f"holds: {account.user_id} holds {account.held} credits, and all jobs have ended"
        if account.waiting or (account.active and not _was_leaked(cloud, account)):
            yield f"slots: {account!r}"


def _was_leaked(cloud: SimulatedCloud, account: Account) -> bool:
    return cloud.watch.has_leaked(account.user_id)


def _check_sales(cloud: SimulatedCloud) -> Iterator[str]:
    """Work that was bought is delivered, or cancelled, or an operator has been told of it."""
    for sale in cloud.sales_book.sales:
        if sale.state not in {SaleState.RUNNING, SaleState.DONE} or sale.cancel_asked:
            continue
        job = cloud.watch.jobs.get(sale.job_id)
        if sale.job_removed:
            continue
        if job is None:
            if sale.job_id not in cloud.watch.removed:
                yield f"nothing-bought-and-dropped: {sale} is of no job"
            continue
        # What could not be cancelled for six hours, perhaps as no task came, is in the log.
        if not _is_accounted_for(sale, job) and job.job_id not in cloud.given_up:
            yield f"nothing-bought-and-dropped: {sale} of {job!r}"


def _check_ambiguity(cloud: SimulatedCloud) -> Iterator[str]:
    """No answer of a provider is missed, unless one was lost."""
    for job in cloud.watch.jobs.values() if cloud.plan.loses_no_answer else ():
        errors = [job.error, *(unit.error for unit in job.units)]
        # An answer that came after its job's end has the same code, and says so.
        unsure = {error.code for error in errors if error is not None and UNSURE in error.message}
        if AMBIGUOUS in unsure:
            yield f"no-answer-lost: job {job.job_id} misses an answer that it was given"


def _is_accounted_for(sale: Sale, job: Job) -> bool:
    unit = job.units[int(sale.unit.rpartition(".")[2])]
    if unit.state is UnitState.DONE:
        return True
    codes = {error.code for error in (job.error, unit.error) if error is not None}
    codes |= {attempt.code for attempt in job.failed_attempts}
    return AMBIGUOUS in codes or "result_unreachable" in codes or sale.maybe_unheard


def _check_files(cloud: SimulatedCloud) -> Iterator[str]:
    """Every file of an artifact exists, and something refers to every file.

    No job is half removed by now: the sweep has had the rest of each done.
    """
    for job in cloud.watch.jobs.values():
        for artifact in job.artifacts:
            if artifact.path not in cloud.files.paths:
                yield f"files: {artifact.path} of job {job.job_id} is missing"
    for path in cloud.files.list_left(cloud.watch.was_removed):
        yield f"{NO_FILE_OUTLIVES}: nothing refers to {path}"


def _check_webhooks(cloud: SimulatedCloud) -> Iterator[str]:
    for delivery in cloud.watch.deliveries.values():
        bodies = cloud.receiver.bodies.get(delivery.delivery_id, set())
        if len(bodies) > 1:
            yield f"stable-message: {delivery.delivery_id} came with {len(bodies)} bodies"
        if delivery.state is DeliveryState.SUCCEEDED and not bodies:
            yield f"webhooks: {delivery.delivery_id} is {delivery.state} and never came"


def _check_streams(cloud: SimulatedCloud, customers: list[Customer]) -> Iterator[str]:
    """Every user's live stream has shown the last state of each of their jobs."""
    for customer in customers:
        for job in cloud.watch.jobs.values():
            if job.user_id != customer.user:
                continue
            shown = customer.shown.get(job.job_id)
            if shown is None or shown.status != job.status:
                state = "nothing" if shown is None else shown.status
                yield f"events: {customer.user} was shown {state} of job {job.job_id} {job.status}"
