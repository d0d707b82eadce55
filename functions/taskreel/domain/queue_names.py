"""The names of the Cloud Tasks queues: one a job type, one for polls, one for webhooks."""

from __future__ import annotations

#: Tasks that ask a provider about work under way, or cancel it: they never wait behind starts.
POLL_QUEUE = "provider-poll-queue"

#: Tasks that deliver client webhooks; the name is the documents'.
WEBHOOK_QUEUE = "webhook-processing"

_SUFFIX = "-queue"
#: Earlier releases had three queues a type, by priority: `image-generation-normal`.
RETIRED_SUFFIXES = ("-high", "-normal", "-low")


def queue_of_type(job_type: str) -> str:
    """The queue of a job type."""
    return f"{job_type}{_SUFFIX}"


def type_of_queue(queue: str) -> str | None:
    """The job type that a queue belongs to, also one of an earlier release; else None."""
    for suffix in (_SUFFIX, *RETIRED_SUFFIXES):
        if queue.endswith(suffix) and queue != POLL_QUEUE:
            return queue.removesuffix(suffix)
    return None


def is_retired(queue: str) -> bool:
    """True for the name of a queue of an earlier release."""
    return queue.endswith(RETIRED_SUFFIXES)


def current_name(queue: str) -> str:
    """The queue that has taken the place of a stored name."""
    job_type = type_of_queue(queue)
    return queue if job_type is None else queue_of_type(job_type)
