"""The waiting tasks of a queue, in the order in which they are due."""

from __future__ import annotations

import heapq

from taskreel_cloud_tasks.stored_task import StoredTask


class TaskSchedule:
    """A heap of tasks by time and number.

    An entry whose task is gone or scheduled again is stale: it stays until it comes first, or until
    half of a large heap is stale.
    """

    __slots__ = ("_heap", "_stale_count")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, StoredTask]] = []
        self._stale_count = 0

    def add(self, stored: StoredTask, when: int) -> None:
        """Schedule a task; an earlier entry of it becomes stale."""
        stored.schedule_version += 1
        heapq.heappush(self._heap, (when, stored.number, stored.schedule_version, stored))
        if self._stale_count > 1000 and self._stale_count * 2 > len(self._heap):
            self._compact()

    def count_removed(self) -> None:
        """Count the entry of a task that was removed."""
        self._stale_count += 1

    def clear(self) -> None:
        """Remove all entries."""
        self._heap.clear()
        self._stale_count = 0

    def next_due(self) -> int | None:
        """Return the time at which the first task is due; None if no task waits."""
        while self._heap and (
            self._heap[0][3].removed or self._heap[0][2] != self._heap[0][3].schedule_version
        ):
            heapq.heappop(self._heap)
            self._stale_count -= 1
        return self._heap[0][0] if self._heap else None

    def take_first(self) -> StoredTask:
        """Remove and return the task whose time `next_due` returned."""
        return heapq.heappop(self._heap)[3]

    def _compact(self) -> None:
        self._heap = [
            item
            for item in self._heap
            if item[2] == item[3].schedule_version and not item[3].removed
        ]
        heapq.heapify(self._heap)
        self._stale_count = 0
