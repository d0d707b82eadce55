"""What a pipeline's provider calls may cost together: each job gets its part of it before any is made."""

from __future__ import annotations

from typing import Any

from taskreel.app.pipelines.child_jobs import Place, child
from taskreel.app.pricing.credit_cost import compute_credits
from taskreel.app.pricing.job_plan import plan_units
from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError, PermanentError
from taskreel.domain.job import Job
from taskreel.jobtypes.job_type import JobType, Submission


class PriceCap:
    """Makes the jobs of a step that starts; `left` US dollars (None: any number) are for it and what is to follow.

    A job of provider calls may take what they are reckoned at, so nobody dearer takes over from its provider; a
    pipeline within gets its part of what is left by credits: `credits_left` are what all that has not started comes to.
    """

    def __init__(
        self, services: Services, parent: Job, left: float | None, credits_left: int
    ) -> None:
        self._services = services
        self._parent = parent
        self._left = left
        self._credits_left = credits_left

    async def job(self, place: Place, job_type: JobType[Any], submission: Submission) -> Job:
        """The job, not yet stored. PermanentError (price_cap_exceeded) when it would cost more than is left."""
        if self._left is None:
            return await child(self._services, self._parent, place, job_type, submission, None)
        most = self._left
        if job_type.pipeline is not None:
            own = compute_credits(job_type, submission)
            most = round(most * own / max(self._credits_left, own, 1), 6)
            self._credits_left -= own
        try:
            job = await child(self._services, self._parent, place, job_type, submission, most)
        except InvalidError as error:
            await plan_units(
                self._services, job_type, submission
            )  # says what is wrong whatever it costs
            message = f"Step {place.step}: ${most:.3f} of the pipeline's maxUsd are left for job {place.index}"
            raise PermanentError(f"{message}. {error.message}", code="price_cap_exceeded") from None
        self._left = max(0.0, round(self._left - usd_of(job), 6))
        return job


def usd_of(job: Job) -> float:
    """What of the pipeline's cap the job has taken, or while it has not ended may take."""
    return (job.cost_usd if job.status.final else job.payload.get("maxUsd")) or 0.0
