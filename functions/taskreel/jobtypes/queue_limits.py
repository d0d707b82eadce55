"""Cloud Tasks limits of a job type's queue, from which infra/queues.yaml is written.

A type names its own by `queue=` in its declaration; `scripts/declare-queues` writes the file.
"""

from __future__ import annotations

from taskreel.domain.record import Record


class QueueLimits(Record, kw_only=True):
    """Limits of one queue: tasks dispatched per second, and tasks that run at a time."""

    dispatches_per_second: float = 10
    #: The sum over all queues of a service is at most what its instances take at a time
    #: (infra/services.yaml): Cloud Run refuses more with 429, and Cloud Tasks then slows the queue.
    concurrent_dispatches: int = 100


#: Job types that are asked for more seldom than pictures, clips and speech.
FEW_AT_A_TIME = QueueLimits(concurrent_dispatches=20)
#: Polls are short and many: a thousand operations that are polled every few seconds.
POLL_LIMITS = QueueLimits(dispatches_per_second=500, concurrent_dispatches=250)
#: A slow endpoint takes a place for 30 seconds.
WEBHOOK_LIMITS = QueueLimits(dispatches_per_second=100, concurrent_dispatches=50)
