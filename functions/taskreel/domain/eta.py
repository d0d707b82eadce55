"""Estimate a job's wait and run from the recent jobs of its type.

The wait is that of a queue with a known service time: jobs ahead × mean time in a place ÷ places.
Of the estimators that were compared this one is the best while the service time is known; one from
a short history of departures carries ±18 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

from taskreel.domain.record import Record

#: 90 % of a normal distribution lie below the mean and so many deviations.
_P90_DEVIATIONS = 1.2816
_ROUNDS = 8


class Estimate(Record):
    """Half of the jobs take at most `p50` seconds, nine of ten at most `p90`."""

    p50: float
    p90: float

    def after(self, earlier: Estimate) -> Estimate:
        """This time and an earlier one; the sum of the late cases is on the safe side."""
        return Estimate(self.p50 + earlier.p50, self.p90 + earlier.p90)

    def with_band(self, scale: float) -> Estimate:
        """The estimate with the distance from p50 to p90 scaled."""
        return Estimate(self.p50, self.p50 + scale * (self.p90 - self.p50))

    def reduced(self, seconds: float) -> Estimate:
        """The time that remains after some of it has passed."""
        return Estimate(max(self.p50 - seconds, 0.0), max(self.p90 - seconds, 0.0))


NOW = Estimate(0.0, 0.0)


def _count_no_overtakers(_seconds: float) -> float:
    return 0.0


def estimate_wait(
    ahead: int,
    places: int,
    seconds: Sequence[float],
    count_overtakers: Callable[[float], float] = _count_no_overtakers,
) -> Estimate | None:
    """The wait behind `ahead` jobs while `places` jobs are under way.

    `seconds` are the times for which recent jobs had a place. None without any. `count_overtakers`
    tells how many jobs that arrive during a wait of so many seconds will go before this one.
    """
    from statistics import fmean, pstdev  # on first use: cold start

    if not seconds:
        return None
    one_departure = fmean(seconds) / max(places, 1)
    departures = ahead + 1.0
    # Who overtakes makes the wait longer, in which more overtake: a fixed point. It exists, since
    # a head start ends; a few rounds come close enough.
    for _ in range(_ROUNDS):
        departures = ahead + 1 + count_overtakers(departures * one_departure)
    mean = departures * one_departure
    # A sum of independent times, spread over the places.
    deviation = pstdev(seconds) * sqrt(departures) / max(places, 1)
    # The next departure alone may take as long as the rest of one job.
    spread = max(_P90_DEVIATIONS * deviation, one_departure)
    return Estimate(mean, mean + spread)


def estimate_run(seconds: Sequence[float]) -> Estimate | None:
    """The time from start to end, by the recent jobs' own; None without any."""
    from statistics import quantiles

    if not seconds:
        return None
    if len(seconds) == 1:
        return Estimate(seconds[0], seconds[0])
    cuts = quantiles(seconds, n=10, method="inclusive")
    return Estimate(cuts[4], cuts[8])
