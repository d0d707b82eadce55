"""Cloud Tasks limits of a job type's queues, from which infra/queues.yaml is written."""

from __future__ import annotations

from dataclasses import dataclass

from taskreel.domain.job import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Limits of one queue: tasks dispatched per second, and tasks that run at a time."""

    dispatches_per_second: float = 10
    #: The sum over all queues of a service is at most what its instances take at a time
    #: (infra/services.yaml): Cloud Run refuses more with 429, and Cloud Tasks then slows the queue.
    concurrent_dispatches: int = 12

    def for_priority(self, priority: Priority) -> QueueLimits:
        """The limits of the queue of a priority, where `self` are those of the normal one.

        The high queue dispatches at double the rate. The low queue has half of rate and
        concurrency, so that a flood of it leaves room for the others.
        """
        match priority:
            case Priority.HIGH:
                return QueueLimits(
                    dispatches_per_second=self.dispatches_per_second * 2,
                    concurrent_dispatches=self.concurrent_dispatches,
                )
            case Priority.NORMAL:
                return self
            case Priority.LOW:
                return QueueLimits(
                    dispatches_per_second=self.dispatches_per_second / 2,
                    concurrent_dispatches=max(1, self.concurrent_dispatches // 2),
                )
