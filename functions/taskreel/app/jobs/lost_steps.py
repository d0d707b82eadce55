"""Finished steps of a pipeline whose child jobs are not stored any more, in part or all.

The store removes child jobs by their age, those that the pipeline had adopted from an earlier one
before itself. Their work cannot be taken over, so that it has to be paid for again.
"""

from __future__ import annotations

from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import MOST_IN, Query
from taskreel.store_collections import JOBS


async def find_lost_steps(services: Services, pipeline: Job) -> frozenset[str]:
    """The finished steps of which a child job is gone; nothing is read where none can be."""
    steps = pipeline.steps
    is_old = services.clock.now() >= pipeline.created_at + services.rules.retention
    at_risk = [name for name in pipeline.finished_steps if is_old or steps[name].adopted]
    lost: set[str] = set()
    for name in at_risk:
        if len(await _find_places(services, pipeline, name)) < (steps[name].width or 0):
            lost.add(name)
    return frozenset(lost)


async def _find_places(services: Services, pipeline: Job, step: str) -> set[int | None]:
    """The places of the step that have a completed job: its own, or one that it had adopted."""
    own = [pipeline.job_id]
    parents = own if step in pipeline.redo else [*own, *pipeline.lineage]
    places: set[int | None] = set()
    for start in range(0, len(parents), MOST_IN):
        some = parents[start : start + MOST_IN]
        query = Query(collection=JOBS, where=(("parentId", "in", some), ("step", "==", step)))
        for row in await services.store.query(query):
            if row.value.status is Status.COMPLETED:
                places.add(row.value.index)
    return places
