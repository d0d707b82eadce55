"""The rank of a waiting job: a time, and the lowest goes first.

It is the arrival time, moved back by the owner's fair share of the type and forward by priority.
The fair share is a virtual clock: each job of an owner stands a step behind the one before. Both
moves are bounded, so no job can be overtaken for ever: by priority by what arrives within the
head start, by the fair share by what arrives within one step for each unfinished job of its owner.
"""

from __future__ import annotations

from datetime import datetime, timedelta


def next_pass(stored: datetime | None, now: datetime, unfinished: int, step: timedelta) -> datetime:
    """The place of an owner's next job on their virtual clock.

    At least `now`: time without jobs earns nothing. At most one step for each of the owner's
    `unfinished` jobs ahead: what was served on idle machines is not held against them.
    """
    if stored is None:
        return now
    return max(now, min(stored, now + max(unfinished, 0) * step))


def compute_rank(place: datetime, head_start: timedelta) -> datetime:
    """The rank of a job at `place`, with the head start of its priority."""
    return place - head_start
