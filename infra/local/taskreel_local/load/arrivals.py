"""Arrival processes: the times at which jobs are submitted, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

#: A burst brings the jobs of so many seconds at once.
BURST_SECONDS = 5.0

#: Yields the seconds of each arrival since the beginning, without an end, for a rate a second.
ArrivalProcess = Callable[[float, random.Random], Iterator[float]]


def arrive_constantly(rate: float, _draw: random.Random) -> Iterator[float]:
    """Yield times with the same distance between each two."""
    number = 0
    while True:
        yield number / rate
        number += 1


def arrive_at_random(rate: float, draw: random.Random) -> Iterator[float]:
    """Yield the times of a Poisson process: independent users."""
    now = 0.0
    while True:
        now += draw.expovariate(rate)
        yield now


def arrive_in_bursts(rate: float, _draw: random.Random) -> Iterator[float]:
    """Yield the same time for all jobs of BURST_SECONDS, then nothing for as long."""
    number = 0
    a_burst = max(1, round(rate * BURST_SECONDS))
    while True:
        yield number // a_burst * a_burst / rate
        number += 1


ARRIVALS: Mapping[str, ArrivalProcess] = {
    "constant": arrive_constantly,
    "poisson": arrive_at_random,
    "bursts": arrive_in_bursts,
}
