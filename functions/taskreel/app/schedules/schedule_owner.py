"""The API key as whose user a recurring job is submitted: without it no run can be made."""

from __future__ import annotations

from taskreel.app.projects.rights import load_project
from taskreel.app.services import Services
from taskreel.domain.ids import key_of_user
from taskreel.domain.recurring_job import RecurringJob


async def explain_ended_key(services: Services, recurring: RecurringJob) -> str | None:
    """The reason why no run of it can be made any more, and what to do; None while one can be.

    That a member was removed is no such reason, as they may come back; a key does not.
    """
    key = key_of_user(recurring.user_id)
    if key is None:
        return None
    project = await load_project(services.store, key.project_id)
    now = services.clock.now()
    if project is not None and project.find_role(recurring.user_id, now) is not None:
        return None
    return (
        "Its API key was revoked or has expired, so that it makes no more runs. An admin of "
        f"project {key.project_id} may take it over, by POST /api/jobs/recurring/"
        f"{recurring.recurring_job_id}/take-over, or delete it."
    )
