"""The jobs at a time that a stored project allows.

Its document says so, and is read again after some seconds: a process takes a changed limit up then,
the one that changed it at once. What the deployment's own limits say of a project comes first.
"""

from __future__ import annotations

from datetime import timedelta

from taskreel.app.job_counts import ProjectPlaces
from taskreel.app.services import Services
from taskreel.domain.project import Project, is_project_id
from taskreel.store_collections import PROJECTS

_AGE = timedelta(seconds=10)
#: In memory; an unknown project is read.
_MOST_PROJECTS = 10_000


async def find_project_slot(services: Services, project_id: str) -> str | None:
    """The project, if it limits its jobs at a time: a new one counts against that limit."""
    limits = services.rules.limits
    if limits is None:
        return None
    if project_id in limits.projects:
        return project_id
    return None if await read_places(services, project_id) is None else project_id


async def read_places(services: Services, project_id: str) -> int | None:
    """The jobs at a time that a stored project allows, read at most some seconds ago."""
    known, now = services.counts.places_of_project.get(project_id), services.clock.now()
    if known is not None and timedelta(0) <= now - known.read_at < _AGE:
        return known.places
    project = None
    if is_project_id(project_id):
        project = await services.store.get(PROJECTS, project_id)
    return note_project(services, project_id, project)


def note_project(services: Services, project_id: str, project: Project | None) -> int | None:
    """Take up what a project's document says."""
    known = services.counts.places_of_project
    if len(known) >= _MOST_PROJECTS:
        known.clear()
    places = None if project is None else project.active_jobs
    known[project_id] = ProjectPlaces(places, services.clock.now())
    return places
