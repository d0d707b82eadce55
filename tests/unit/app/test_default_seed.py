"""The seed of a unit for which the caller gives none."""

from __future__ import annotations

from taskreel.app.jobs.unit_runner import default_seed
from unit.domain.samples import job


def test_every_unit_of_every_job_has_a_seed_of_its_own() -> None:
    """20,000 of 2**32 values have 0.05 pairs of equal ones on average: two would be a fault."""
    jobs = [job(job_id=f"job_{number:05}") for number in range(200)]
    seeds = {default_seed(one, index) for one in jobs for index in range(100)}
    assert len(seeds) >= 200 * 100 - 2


def test_every_attempt_of_a_unit_has_the_same_seed() -> None:
    assert default_seed(job(attempt=1), 7) == default_seed(job(attempt=2), 7)
    assert default_seed(job(), 100) != default_seed(job(job_id="job_2"), 100)
