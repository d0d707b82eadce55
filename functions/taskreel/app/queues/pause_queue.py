"""Pause and resume the queue of a job type, in the store and at the queue service."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.caller import Caller
from taskreel.app.messages.job_task import queue_of_type
from taskreel.app.services import Services
from taskreel.domain.audit_log import AuditEntry
from taskreel.domain.queue_control import QueueControl
from taskreel.ports import Query, QueueStats, Transaction
from taskreel.store_collections import AUDIT, QUEUE_CONTROLS

log = logging.getLogger(__name__)

#: An order for a location is stored like one for a queue; `paused` says that it gets no tasks.
LOCATION_PREFIX = "location."


@dataclass(frozen=True, slots=True)
class ControlledQueue:
    """A queue: its state at the queue service, and the newest order for it, if there is one."""

    stats: QueueStats
    control: QueueControl | None


async def set_pause(
    services: Services, caller: Caller, job_type: str, *, paused: bool, reason: str
) -> ControlledQueue:
    """Pause or resume the queue of a job type. Repeating it changes nothing.

    The order is stored first, with its audit entry: if the queue service cannot be reached, the
    caller gets QueueError and repeats the request. Queues in memory read the order at their next
    start. Jobs are accepted meanwhile; polls of running jobs have a queue of their own and go on.
    """
    queue = queue_of_type(job_type)
    action = "queue paused" if paused else "queue resumed"
    entry = build_audit_entry(services, caller.user_id, action, subject=queue, reason=reason)
    wanted = QueueControl(
        queue=queue, paused=paused, user_id=caller.user_id, at=entry.at, reason=reason
    )
    control = await services.store.transaction(lambda tx: _store_order(tx, wanted, entry))
    # Also if the stored order was the same: the call after an earlier one may have failed.
    await (services.tasks.pause(queue) if paused else services.tasks.resume(queue))
    log.info(
        "a queue is %s by an administrator",
        "paused" if paused else "resumed",
        extra={"action": "queue_ordered", "queue": queue, "user_id": caller.user_id},
    )
    return ControlledQueue(await services.tasks.stats(queue), control)


async def restore_pauses(services: Services) -> list[str]:
    """Pause the queues whose stored order says so; return their names.

    For a process that has its queues in memory, which forget it with the process.
    """
    query = Query(collection=QUEUE_CONTROLS, where=(("paused", "==", True),))
    rows = await services.store.query(query)
    queues = [row.id for row in rows if not row.id.startswith(LOCATION_PREFIX)]
    for queue in queues:
        await services.tasks.pause(queue)
    return queues


async def _store_order(tx: Transaction, wanted: QueueControl, entry: AuditEntry) -> QueueControl:
    """Store the order with its audit entry; the stored one, unchanged, if it says the same."""
    stored = await tx.get(QUEUE_CONTROLS, wanted.queue)
    if (stored.paused if stored else False) is wanted.paused:
        return stored or wanted
    if stored is not None:
        wanted = stored.with_fields_of(wanted)
    tx.set(QUEUE_CONTROLS, wanted.queue, wanted)
    tx.create(AUDIT, entry.entry_id, entry)
    return wanted
