"""Several Cloud Tasks queues in the place of one, which dispatches at most 500 tasks a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from taskreel.ports import QueueStats


def list_shard_names(queue: str, count: int) -> Sequence[str]:
    """The names of a queue's shards, such as `image-upscale-queue` and `image-upscale-queue-2`.

    The first has the queue's own name, so that its tasks stay where they are.
    """
    return (queue, *(f"{queue}-{number}" for number in range(2, count + 1)))


def choose_shard(queue: str, task_id: str, count: int) -> str:
    """The shard of a task, always the same one: it is there that Cloud Tasks finds a repetition.

    A task that is created again after `count` has changed may exist twice. That is harmless, as
    every delivery may be repeated.
    """
    return list_shard_names(queue, count)[int(task_id, 16) % count] if count > 1 else queue


def parse_shards(text: str | None) -> Mapping[str, int]:
    """Parse `image-generation-queue:2,provider-poll-queue:4`. Raises ValueError."""
    found = {}
    for part in (text or "").split(","):
        if not part:
            continue
        queue, _, count = part.partition(":")
        if not queue or not count.isdecimal() or int(count) < 1:
            raise ValueError(
                f"shards={text!r} must be QUEUE:NUMBER,…, such as shards=image-generation-queue:2"
            )
        found[queue] = int(count)
    return found


def add_stats(queue: str, shards: Sequence[QueueStats]) -> QueueStats:
    """The state of a queue from those of its shards; it is paused if any of them is."""
    times = [shard.oldest_at for shard in shards if shard.oldest_at is not None]
    return QueueStats(
        queue=queue,
        paused=any(shard.paused for shard in shards),
        depth=sum(shard.depth for shard in shards),
        oldest_at=min(times, default=None),
    )
