"""A task: a message on a queue that points at a job, or at a webhook's delivery."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from pydantic_core import to_json

from taskreel.app.request_trace import trace_id
from taskreel.ports import Task

#: The longest delivery of a pipeline's check, and of a job whose type is not deployed: it only ends
#: or cleans up.
SHORT_DEADLINE = timedelta(minutes=10)


def build_task(
    queue: str,
    job_id: str,
    delivery: int,
    *,
    task_number: str | None = None,
    at: datetime | None = None,
    deadline: timedelta = SHORT_DEADLINE,
) -> Task:
    """The task of a job's delivery: it carries ids only, since the payload is in the store.

    Its id is the same for the same job and delivery (or `task_number`), so that a task that is
    enqueued twice is one task. It is a hash, because Cloud Tasks becomes slow when the ids of a
    queue are in sequence.
    """
    number = task_number or str(delivery)
    return Task(
        queue=queue,
        job_id=job_id,
        id=hashlib.blake2b(f"{job_id}/{number}".encode(), digest_size=16).hexdigest(),
        body=to_json({"jobId": job_id, "delivery": delivery}),
        at=at,
        deadline=deadline,
        trace_id=trace_id.get(),
    )
