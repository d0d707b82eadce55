"""Carry an operation on: a few jobs a step, its progress stored after each step.

At least once: after a crash the jobs of the last step are met again, which changes nothing that was
done. The lease and the fence let one delivery act at a time; the sweep sends a lost task again.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from taskreel.app.caller import Caller, ProjectRole
from taskreel.app.jobs.enqueue import enqueue_tasks
from taskreel.app.operations.job_actions import JobActions, Outcome
from taskreel.app.operations.operation_tasks import build_operation_task
from taskreel.app.operations.orders import read_page
from taskreel.app.projects.rights import add_stored_role
from taskreel.app.services import Services
from taskreel.domain.errors import UnauthenticatedError
from taskreel.domain.job import Job
from taskreel.domain.operation import MOST_NAMED, BulkOperation, OperationState, RefusedJob
from taskreel.ports import Transaction
from taskreel.store_collections import OPERATIONS

log = logging.getLogger(__name__)

#: The jobs of a step, and the steps of one delivery: then another task goes on.
_JOBS_OF_A_STEP = 10
_STEPS_OF_A_DELIVERY = 10
#: Longer than a step takes; its end lets another delivery take over.
_LEASE = timedelta(minutes=2)


async def process_operation_task(services: Services, operation_id: str) -> bool:
    """Carry the operation on; False while another delivery does.

    Raises StoreError when the store cannot be reached: the queue delivers again.
    """
    claimed = await services.store.transaction(lambda tx: _claim(services, tx, operation_id))
    if isinstance(claimed, bool):
        return claimed
    operation: BulkOperation | None = claimed
    for _ in range(_STEPS_OF_A_DELIVERY):
        if operation is None or operation.state is not OperationState.RUNNING:
            return True
        operation = await _make_step(services, operation)
    if operation is not None and operation.state is OperationState.RUNNING:
        await _go_on_later(services, operation)
    return True


async def _claim(services: Services, tx: Transaction, operation_id: str) -> BulkOperation | bool:
    operation = await tx.get(OPERATIONS, operation_id)
    if operation is None or operation.state is not OperationState.RUNNING:
        return True
    if not operation.is_understood:
        return True  # the sweep sends it again, until an instance of the newer revision gets it
    now = services.clock.now()
    if operation.lease_until is not None and operation.lease_until > now:
        return False
    claimed = operation.with_changes(
        now,
        fence=operation.fence + 1,
        lease_until=now + _LEASE,
        wake_at=now + _LEASE + services.rules.rescue_after,
    )
    tx.set(OPERATIONS, operation_id, claimed)
    return claimed


async def _make_step(services: Services, operation: BulkOperation) -> BulkOperation | None:
    """Act on the next jobs and store the progress; None if another delivery has taken over."""
    caller = Caller(
        user_id=operation.user_id,
        tier=operation.tier,
        admin=operation.admin,
        projects=None if operation.projects is None else frozenset(operation.projects),
        roles={project: ProjectRole(role) for project, role in operation.roles.items()},
        in_bulk=True,
    )
    # Read again for each step: a member who has left changes nothing more, and a key that was
    # revoked nothing at all. Its role is no claim of a token, which would end by itself.
    if caller.key_project is not None:
        from taskreel.app.projects.key_callers import check_key  # of few orders: cold start

        try:
            await check_key(services, caller)
        except UnauthenticatedError:
            return await _abort_operation(services, operation)
    caller = await add_stored_role(services, caller, operation.filter.project_id)
    left = operation.limit - operation.changed
    page = await read_page(
        services, caller, operation.filter, operation.cursor, min(_JOBS_OF_A_STEP, left)
    )
    actions = JobActions(
        services,
        caller,
        operation.action,
        operation.edit,
        key=operation.operation_id,
        since=operation.created_at,
    )
    outcomes = [(job, await actions.act(job)) for job in page.rows]
    progressed = _count(operation, outcomes)
    now = services.clock.now()
    if page.cursor is None or progressed.changed >= operation.limit:
        progressed = progressed.finish(OperationState.DONE, now)
        log.info(
            "a bulk operation has ended",
            extra={
                "action": "operation_done",
                "operation_id": operation.operation_id,
                "changed": progressed.changed,
                "refused": progressed.refused,
            },
        )
    else:
        progressed = progressed.with_changes(
            now,
            cursor=page.cursor,
            lease_until=now + _LEASE,
            wake_at=now + _LEASE + services.rules.rescue_after,
        )
    return await services.store.transaction(lambda tx: _store(tx, operation, progressed))


async def _abort_operation(services: Services, operation: BulkOperation) -> BulkOperation | None:
    """End the operation of a key that was revoked, or has expired, before its next jobs."""
    log.warning(
        "a bulk operation ends early: the API key that ordered it was revoked or has expired",
        extra={
            "action": "operation_aborted",
            "operation_id": operation.operation_id,
            "user_id": operation.user_id,
        },
    )
    aborted = operation.finish(OperationState.ABORTED, services.clock.now())
    return await services.store.transaction(lambda tx: _store(tx, operation, aborted))


async def _store(
    tx: Transaction, before: BulkOperation, progressed: BulkOperation
) -> BulkOperation | None:
    """Store the progress, unless the operation was aborted or another delivery has the fence."""
    found = await tx.get(OPERATIONS, before.operation_id)
    if found is None or found.fence != before.fence:
        return None
    if found.state is not OperationState.RUNNING:
        # Aborted meanwhile: the jobs of this step are counted all the same.
        progressed = progressed.model_copy(
            update={
                "state": found.state,
                "ended_at": found.ended_at,
                "lease_until": None,
                "wake_at": None,
            }
        )
    tx.set(OPERATIONS, before.operation_id, progressed)
    return progressed


def _count(operation: BulkOperation, outcomes: list[tuple[Job, Outcome]]) -> BulkOperation:
    refused = [
        RefusedJob(job_id=job.job_id, reason=outcome.reason)
        for job, outcome in outcomes
        if outcome.reason is not None
    ]
    changed = [outcome for _, outcome in outcomes if outcome.reason is None]
    return operation.model_copy(
        update={
            "seen": operation.seen + len(outcomes),
            "changed": operation.changed + len(changed),
            "refused": operation.refused + len(refused),
            "cost": operation.cost + sum(outcome.cost for outcome in changed),
            "refused_jobs": (*operation.refused_jobs, *refused)[:MOST_NAMED],
        }
    )


async def _go_on_later(services: Services, operation: BulkOperation) -> None:
    """Release the lease and enqueue the next task, so that no delivery takes long."""

    async def release(tx: Transaction) -> BulkOperation | None:
        found = await tx.get(OPERATIONS, operation.operation_id)
        if found is None or found.fence != operation.fence:
            return None
        now = services.clock.now()
        released = found.with_changes(
            now, lease_until=None, sends=found.sends + 1, wake_at=now + services.rules.rescue_after
        )
        tx.set(OPERATIONS, operation.operation_id, released)
        return released

    released = await services.store.transaction(release)
    if released is not None:
        await enqueue_tasks(services, [build_operation_task(released)])
