"""The spend of a project: each hold of a job that names it counts, and its caps refuse.

It is counted by the transaction that stores the hold, so a cap is exact; what a settlement releases
goes back by increments (`finish_job.settle_hold`).
"""

from __future__ import annotations

from datetime import datetime

from taskreel.app.caller import Caller
from taskreel.app.credits.balances import load_account
from taskreel.app.messages.spend_alerts import SpendAlerts, create_project_alerts
from taskreel.app.projects.rights import load_project, require_editor
from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.ports import Transaction
from taskreel.store_collections import PROJECTS


async def hold_in_project(
    services: Services, tx: Transaction, job: Job, cost: int, at: datetime, caller: Caller | None
) -> tuple[Job, SpendAlerts | None]:
    """Count a hold of the job in its project, where one is stored; the job that says so.

    `caller` must be an editor of it; None where their right has been checked. Raises ForbiddenError
    and SpendCapError. The owner of the project gets its alerts.
    """
    project = await load_project(tx, job.project_id)
    if project is None:
        return job, None
    if caller is not None:
        require_editor(caller, project)
    if not cost:
        return job.with_changes(job.updated_at, in_project=False, in_total=False), None
    project, alerts = project.hold(cost, at), None
    if project.has_caps and project.find_alerts(at):
        owner = await load_account(services, tx, project.owner_id)
        project, alerts = create_project_alerts(tx, project, owner, at)
    tx.set(PROJECTS, project.project_id, project)
    return job.with_changes(job.updated_at, in_project=True, in_total=True), alerts
