"""The spend of a project: each hold of a job that names it counts, and its caps refuse.

It is counted by the transaction that stores the hold, so a cap is exact; what a settlement releases
goes back by increments (`finish_job.settle_hold`). A project with an account of its own pays, too:
then the hold is made there, and its member's account has only the slot.
"""

from __future__ import annotations

from datetime import datetime

from taskreel.app.caller import Caller
from taskreel.app.credits.balances import open_account, read_account
from taskreel.app.messages.spend_alerts import SpendAlerts, create_project_alerts
from taskreel.app.projects.rights import load_project, require_editor
from taskreel.app.services import Services
from taskreel.domain.credits import GrantShare, format_credits
from taskreel.domain.errors import TooFewCreditsError
from taskreel.domain.grants import split_hold
from taskreel.domain.ids import key_of_user
from taskreel.domain.job import Job
from taskreel.domain.project import Project
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS, PROJECTS


async def hold_in_project(
    services: Services, tx: Transaction, job: Job, cost: int, at: datetime, caller: Caller
) -> tuple[Job, SpendAlerts | None]:
    """Count a hold of the job in its project, where one is stored; the job that says so.

    A project that pays its jobs holds `cost` in its own account: `paid_by` of the job is set.
    `caller` must be an editor of it. A later round of a job is its owner's right, who may be no
    member any more: there the caller must be one only where the project pays, and a key always, for
    its role was read some seconds ago. Raises ForbiddenError, SpendCapError and
    TooFewCreditsError. The owner of the project gets its alerts.
    """
    project = await load_project(tx, job.project_id)
    if project is None:
        return job, None
    if job.round == 1 or project.has_account or caller.key_project is not None:
        require_editor(caller, project, at)
    check_payer(project, job.user_id, cost)
    if project.account_id is not None:
        job = await _hold_in_account(services, tx, project.account_id, job, cost, at)
    if not cost:
        return job.with_changes(job.updated_at, in_project=False, in_total=False), None
    project, alerts = project.hold(cost, at), None
    if project.has_caps and project.find_alerts(at):
        owner = await read_account(services, tx, project.owner_id)
        project, alerts = create_project_alerts(tx, project, owner, at)
    tx.set(PROJECTS, project.project_id, project)
    return job.with_changes(job.updated_at, in_project=True, in_total=True), alerts


async def _hold_in_account(
    services: Services, tx: Transaction, account_id: str, job: Job, cost: int, at: datetime
) -> Job:
    """Hold the cost in the project's account, in the transaction that stores the job."""
    burned: tuple[GrantShare, ...] = ()
    if cost:
        account = await open_account(services, tx, account_id, at)
        burned = split_hold(account, cost)
        tx.set(ACCOUNTS, account_id, account.hold(cost, at, burned))
    return job.with_changes(job.updated_at, paid_by=account_id, burned=burned)


def check_payer(project: Project, user_id: str, cost: int) -> None:
    """Raise TooFewCreditsError for a key's job in a project whose members pay.

    A key has no credits, and no grant reaches it.
    """
    if not cost or project.account_id is not None or key_of_user(user_id) is None:
        return
    raise TooFewCreditsError(
        f"The job costs {format_credits(cost)}, and an API key has no credits: project "
        f"{project.project_id} must pay from credits of its own. An admin of the deployment "
        f"grants them by POST /api/projects/{project.project_id}/grants.",
        available=0,
        cost=cost,
    )
