"""Steps that ask for the result cache: their jobs take over the work of equal steps before them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from taskreel.app.jobs.done_work import find_done_units
from taskreel.app.jobs.result_cache import look_up_step
from taskreel.app.pipelines.child_jobs import StepPlace
from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.jobtypes.fields import ProviderWish
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import Submission

_AT_ONCE = 20


async def take_over_cached(
    services: Services,
    parent: Job,
    job_type: JobType[Any],
    wanted: Mapping[int, Submission],
    places: Mapping[int, StepPlace],
    provider: ProviderWish | None,
) -> dict[int, StepPlace]:
    """The places of a step's jobs, with the done work of an equal step for those that ask for it.

    An inner pipeline has none: its own steps may ask.
    """
    found = dict(places)
    asking = [place for place, one in wanted.items() if one.cache_seconds is not None]
    if job_type.pipeline is not None:
        return found

    async def look_up(index: int) -> StepPlace:
        return await _take_over(services, parent, job_type, wanted[index], places[index], provider)

    for start in range(0, len(asking), _AT_ONCE):
        some = asking[start : start + _AT_ONCE]
        found.update(zip(some, await asyncio.gather(*map(look_up, some)), strict=True))
    return found


async def _take_over(
    services: Services,
    parent: Job,
    job_type: JobType[Any],
    submission: Submission,
    place: StepPlace,
    provider: ProviderWish | None,
) -> StepPlace:
    if place.is_stored or place.done_units:
        # The work of an earlier round, or of the job that is replayed, comes first.
        return place
    key, hit = await look_up_step(services, parent, job_type.name, submission, provider)
    done = find_done_units(job_type, submission, hit) if hit and not place.lineage else {}
    if hit is None or not done:
        return replace(place, cache_key=key)
    # Without a key: it would give work of that age for new, again and again.
    return replace(place, lineage=(hit.job_id, *hit.lineage), done_units=done)
