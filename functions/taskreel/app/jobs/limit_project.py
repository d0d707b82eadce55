"""Set a project's limits, and start the jobs for which a higher one makes room."""

from __future__ import annotations

from taskreel.app.caller import Caller
from taskreel.app.flow.admission import UNLIMITED, admit_jobs_to_room
from taskreel.app.flow.project_limits import note_project
from taskreel.app.flow.slots import RoomLimit
from taskreel.app.jobs.enqueue import enqueue_jobs
from taskreel.app.projects.members import set_project_limits
from taskreel.app.services import Services
from taskreel.domain.job_fields import WaitsFor
from taskreel.domain.project import Project

#: Waiting jobs that start with the answer; their ends, or the sweep, start the others.
_MOST_STARTED = 20


async def limit_project(
    services: Services,
    caller: Caller,
    project_id: str,
    *,
    active_jobs: int | None,
    total: int | None,
    reason: str,
) -> Project:
    """Limit the jobs of a project under way at a time, and the credits of all its jobs in total.

    Recorded in the audit log. Jobs that run are not stopped. Raises ForbiddenError for a caller who
    is no admin of the project, and NotFoundError.
    """
    project = await set_project_limits(
        services, caller, project_id, active_jobs=active_jobs, total=total, reason=reason
    )
    note_project(services, project_id, project)
    limits, counts = services.rules.limits, services.counts
    if limits is None or project_id in limits.projects:
        return project
    places = active_jobs or UNLIMITED
    room = RoomLimit(WaitsFor.PROJECT, ("projectSlot", project_id), places)
    if await counts.may_wait(services.store, room.key, room.places, services.clock.now()):
        started = await admit_jobs_to_room(services, room, most=_MOST_STARTED)
        await enqueue_jobs(services, *started)
    return project
