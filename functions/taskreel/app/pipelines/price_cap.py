"""The price cap of a pipeline: each child job gets its part of it before any is stored."""

from __future__ import annotations

from typing import Any

from taskreel.app.pipelines.child_jobs import StepPlace, build_child_job
from taskreel.app.pricing.credit_cost import compute_credits
from taskreel.app.pricing.job_plan import plan_units
from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError, PermanentError
from taskreel.domain.job import Job
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import Submission


class PriceCap:
    """Builds the child jobs of a step within the price cap of the pipeline.

    `remaining_usd` is for this step and all that have not started (None: no cap). A plain job may
    take its estimated cost, so no dearer provider takes over from its own. An inner pipeline gets
    its part of the rest by credits: `waiting_credits` is the cost of all that has not started.
    """

    def __init__(
        self, services: Services, parent: Job, remaining_usd: float | None, waiting_credits: int
    ) -> None:
        self._services = services
        self._parent = parent
        self._remaining_usd = remaining_usd
        self._waiting_credits = waiting_credits

    async def build_job(
        self, place: StepPlace, job_type: JobType[Any], submission: Submission
    ) -> Job:
        """The child job, not yet stored.

        Raises PermanentError (price_cap_exceeded) when it would cost more than remains.
        """
        if self._remaining_usd is None:
            return await build_child_job(
                self._services, self._parent, place, job_type, submission, None
            )
        most = self._remaining_usd
        if job_type.pipeline is not None:
            own = compute_credits(job_type, submission)
            most = round(most * own / max(self._waiting_credits, own, 1), 6)
            self._waiting_credits -= own
        try:
            job = await build_child_job(
                self._services, self._parent, place, job_type, submission, most
            )
        except InvalidError as error:
            # Raises first what would be wrong at any price.
            await plan_units(self._services, job_type, submission)
            message = (
                f"Step {place.step}: ${most:.3f} of the pipeline's maxUsd remain "
                f"for job {place.index}. {error.message}"
            )
            raise PermanentError(message, code="price_cap_exceeded") from None
        self._remaining_usd = max(0.0, round(self._remaining_usd - usd_taken(job), 6))
        return job


def usd_taken(job: Job) -> float:
    """The US dollars of the cap that an ended job has taken, or another may take."""
    return (job.cost_usd if job.status.final else job.payload.get("maxUsd")) or 0.0
