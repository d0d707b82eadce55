"""The tasks of bulk operations; the sweep sends a lost one again."""

from __future__ import annotations

import logging
from collections import Counter

from taskreel.app.jobs.enqueue import enqueue_tasks
from taskreel.app.messages.job_task import POLL_QUEUE, build_task
from taskreel.app.query_pages import build_due_query, read_pages
from taskreel.app.services import Services
from taskreel.domain.errors import StoreError
from taskreel.domain.operation import BulkOperation
from taskreel.ports import Task, Transaction
from taskreel.store_collections import OPERATIONS

log = logging.getLogger(__name__)

_PAGE = 100


def build_operation_task(operation: BulkOperation) -> Task:
    """The task that carries the operation on."""
    return build_task(POLL_QUEUE, operation.operation_id, operation.sends)


async def rescue_operations(services: Services) -> dict[str, int]:
    """Send another task for each operation whose task is overdue; their number, by action.

    No operation stops the others.
    """
    counts: Counter[str] = Counter()
    now = services.clock.now()
    due = build_due_query(OPERATIONS, now, page=_PAGE, shards=services.rules.wake_shards)
    async for rows in read_pages(services.store, due):
        for row in rows:
            try:
                counts[await _rescue(services, row.id)] += 1
            except StoreError as error:
                counts["operation_unwritten"] += 1
                log.warning(
                    "an operation could not be sent again; the next sweep tries again",
                    extra={"action": "operation_unwritten", "error": error.message},
                )
            except Exception:
                counts["operation_crashed"] += 1
                log.exception(
                    "an operation cannot be carried on: it needs an operator",
                    extra={"action": "operation_crashed", "operation_id": row.id},
                )
    return dict(counts)


async def _rescue(services: Services, operation_id: str) -> str:
    async def write(tx: Transaction) -> BulkOperation | None:
        found = await tx.get(OPERATIONS, operation_id)
        now = services.clock.now()
        if found is None or found.wake_at is None or found.wake_at > now:
            return None
        sent = found.with_changes(
            now, sends=found.sends + 1, wake_at=now + services.rules.rescue_after
        )
        tx.set(OPERATIONS, operation_id, sent)
        return sent

    sent = await services.store.transaction(write)
    if sent is None:
        return "operation_asleep"
    await enqueue_tasks(services, [build_operation_task(sent)])
    return "operation_rescued"
