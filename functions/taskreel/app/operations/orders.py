"""Bulk operations for their owners: judge without a change, start, read, list and abort."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.caller import Caller
from taskreel.app.jobs.enqueue import enqueue_tasks
from taskreel.app.jobs.job_lists import Filters, list_jobs
from taskreel.app.jobs.queries import Page, decode_cursor, query_page
from taskreel.app.operations.job_actions import JobActions
from taskreel.app.operations.operation_tasks import build_operation_task
from taskreel.app.projects.rights import add_stored_role
from taskreel.app.services import Services
from taskreel.domain.errors import ForbiddenError, InvalidError, NotFoundError
from taskreel.domain.ids import random_operation_id
from taskreel.domain.job import Job
from taskreel.domain.operation import (
    MOST_NAMED,
    OPERATION_RETENTION,
    BulkAction,
    BulkOperation,
    JobFilter,
    OperationState,
    RefusedJob,
)
from taskreel.ports import Query, Transaction
from taskreel.store_collections import AUDIT, OPERATIONS

#: A dry run judges so many jobs at most, in one request.
MOST_JUDGED = 500
_JUDGED_AT_ONCE = 50
#: A filter on a text may match few of the rows that are read for a page.
_MOST_PAGES_JUDGED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOrder:
    """An order: an action on the jobs of a filter, up to a limit."""

    action: BulkAction
    filter: JobFilter
    limit: int
    edit: dict[str, object] | None = None
    reason: str = ""


@dataclass(slots=True)
class Forecast:
    """The outcome of a dry run; `complete` if it has seen every job that the filter means."""

    seen: int = 0
    eligible: int = 0
    cost: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    refused_jobs: list[RefusedJob] = field(default_factory=list)
    complete: bool = False


async def forecast_operation(services: Services, caller: Caller, order: BulkOrder) -> Forecast:
    """Tell what an operation would do now: how many jobs, at what cost, and why not the others."""
    _check(await add_stored_role(services, caller, order.filter.project_id), order)
    actions = JobActions(services, caller, order.action, order.edit)
    found, cursor = Forecast(), None
    for _ in range(_MOST_PAGES_JUDGED):
        if found.seen >= MOST_JUDGED or found.eligible >= order.limit:
            break
        page = await read_page(services, caller, order.filter, cursor, _JUDGED_AT_ONCE)
        for job in page.rows:
            if found.eligible == order.limit:
                return found  # this job, and perhaps more, it has not seen
            outcome = await actions.judge(job)
            found.seen += 1
            if outcome.reason is None:
                found.eligible += 1
                found.cost += outcome.cost
            else:
                found.refused += 1
                found.reasons[outcome.reason] += 1
                if len(found.refused_jobs) < MOST_NAMED:
                    found.refused_jobs.append(RefusedJob(job_id=job.job_id, reason=outcome.reason))
        cursor = page.cursor
        if cursor is None:
            found.complete = True
            break
    return found


async def start_operation(services: Services, caller: Caller, order: BulkOrder) -> BulkOperation:
    """Store the operation and enqueue its first task; an admin's is recorded in the audit log.

    Jobs that are created later are not meant.
    """
    _check(await add_stored_role(services, caller, order.filter.project_id), order)
    now = services.clock.now()
    # What was created up to now, this moment included.
    until, bound = now + timedelta(microseconds=1), order.filter.created_before
    operation = BulkOperation(
        operation_id=random_operation_id(services.random),
        user_id=caller.user_id,
        tier=caller.tier,
        admin=caller.admin,
        projects=None if caller.projects is None else tuple(sorted(caller.projects)),
        roles={project: int(role) for project, role in (caller.roles or {}).items()},
        action=order.action,
        filter=order.filter.model_copy(
            update={"created_before": until if bound is None else min(bound, until)}
        ),
        edit=order.edit,
        limit=order.limit,
        reason=order.reason,
        wake_at=now + services.rules.rescue_after,
        wake_shard=services.random.randrange(services.rules.wake_shards),
        created_at=now,
        updated_at=now,
        expire_at=now + OPERATION_RETENTION,
    )

    async def store(tx: Transaction) -> None:
        tx.create(OPERATIONS, operation.operation_id, operation)
        if caller.admin:
            write_audit_entry(services, tx, caller, operation, "started")

    await services.store.transaction(store)
    await enqueue_tasks(services, [build_operation_task(operation)])
    return operation


async def find_operation(services: Services, caller: Caller, operation_id: str) -> BulkOperation:
    """The operation, if the caller may see it. Raises NotFoundError."""
    found = None
    if len(operation_id) <= 100:
        found = await services.store.get(OPERATIONS, operation_id)
    if found is None or not (caller.admin or found.user_id == caller.user_id):
        raise NotFoundError(f"There is no operation {operation_id} that you may see.")
    return found


async def list_operations(
    services: Services, caller: Caller, *, limit: int, cursor: str | None
) -> Page[BulkOperation]:
    """The caller's operations, newest first."""
    query = Query(
        collection=OPERATIONS,
        where=(("userId", "==", caller.user_id),),
        order=(("createdAt", "desc"),),
        after=decode_cursor(cursor) if cursor else None,
    )
    return await query_page(services, query, limit=limit)


async def abort_operation(services: Services, caller: Caller, operation_id: str) -> BulkOperation:
    """End it after the jobs that it is at; what it has changed stays. Safe to repeat."""
    await find_operation(services, caller, operation_id)

    async def abort(tx: Transaction) -> BulkOperation:
        operation = await tx.get(OPERATIONS, operation_id)
        if operation is None:
            raise NotFoundError(f"There is no operation {operation_id} that you may see.")
        if operation.state is not OperationState.RUNNING:
            return operation
        aborted = operation.finish(OperationState.ABORTED, services.clock.now())
        tx.set(OPERATIONS, operation_id, aborted)
        if caller.admin:
            write_audit_entry(services, tx, caller, aborted, "aborted")
        return aborted

    return await services.store.transaction(abort)


async def read_page(
    services: Services, caller: Caller, wanted: JobFilter, cursor: str | None, limit: int
) -> Page[Job]:
    """The next jobs that the filter means, newest first."""
    filters = Filters(**dict(wanted))
    return await list_jobs(services, caller, filters, limit=limit, cursor=cursor)


def write_audit_entry(
    services: Services, tx: Transaction, caller: Caller, operation: BulkOperation, change: str
) -> None:
    """Record an administrator's operation."""
    action = f"bulk {operation.action} {change}"
    subject, reason = operation.operation_id, operation.reason
    entry = build_audit_entry(services, caller.user_id, action, subject=subject, reason=reason)
    tx.create(AUDIT, entry.entry_id, entry)


def _check(caller: Caller, order: BulkOrder) -> None:
    """Raise InvalidError for an order over everything, and ForbiddenError for others' jobs."""
    wanted = order.filter
    if wanted == JobFilter():
        raise InvalidError.at(
            "filter", "name at least a status, jobType, userId or time: not every job there is"
        )
    sees_all = caller.admin or caller.is_member(wanted.project_id)
    if wanted.user_id not in {None, caller.user_id} and not sees_all:
        raise ForbiddenError("Only an admin may change the jobs of other users.")
    if order.edit is not None and order.action is not BulkAction.REPLAY:
        raise InvalidError.at("edit", "is for the action replay: others leave payloads as they are")
