"""A task, a message that points at a job or at a webhook's delivery, and the queues for tasks.

There is one queue a job type, one for polls, and one for webhooks.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from taskreel.app.request_trace import trace_id, trace_parent
from taskreel.ports import Task

#: The longest delivery of a pipeline's check, and of a job whose type is not deployed: it only ends
#: or cleans up.
SHORT_DEADLINE = timedelta(minutes=10)

#: Tasks that ask a provider about work under way, or cancel it: they never wait behind starts.
POLL_QUEUE = "provider-poll-queue"

#: Tasks that deliver client webhooks; the name is the documents'.
WEBHOOK_QUEUE = "webhook-processing"

_SUFFIX = "-queue"
#: Earlier releases had three queues a type, by priority: `image-generation-normal`.
_RETIRED_SUFFIXES = ("-high", "-normal", "-low")


def queue_of_type(job_type: str) -> str:
    """The queue of a job type."""
    return f"{job_type}{_SUFFIX}"


def type_of_queue(queue: str) -> str | None:
    """The job type that a queue belongs to, also one of an earlier release; else None."""
    for suffix in (_SUFFIX, *_RETIRED_SUFFIXES):
        if queue.endswith(suffix) and queue != POLL_QUEUE:
            return queue.removesuffix(suffix)
    return None


def current_name(queue: str) -> str:
    """The queue that has taken the place of a stored name."""
    job_type = type_of_queue(queue)
    return queue if job_type is None else queue_of_type(job_type)


def build_task(
    queue: str,
    job_id: str,
    delivery: int,
    *,
    task_number: str | None = None,
    at: datetime | None = None,
    deadline: timedelta = SHORT_DEADLINE,
) -> Task:
    """The task of a job's delivery.

    Its name is the same for the same job and delivery (or `task_number`), so that a task that is
    enqueued twice is one task.
    """
    return Task(
        queue=queue,
        job_id=job_id,
        delivery=delivery,
        name=f"{job_id}/{task_number or delivery}",
        at=at,
        deadline=deadline,
        trace_id=trace_id.get(),
        trace_parent=trace_parent.get(),
    )
