"""The price of a submission, checked as a submission is, with nothing created."""

from __future__ import annotations

from taskreel.app.caller import Caller
from taskreel.app.credits.balances import load_account
from taskreel.app.jobs.dependencies import load_dependencies
from taskreel.app.jobs.result_cache import look_up_result
from taskreel.app.jobs.submit import JobRequest, check_request, plan_request
from taskreel.app.pricing.job_plan import JobPlan
from taskreel.app.projects.rights import load_project, require_editor
from taskreel.app.projects.spend import check_payer
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.errors import SpendCapError, TooFewCreditsError
from taskreel.domain.grants import expire_grants
from taskreel.domain.project import Project
from taskreel.domain.record import Record


class JobQuote(Record):
    """The price of a submission, with nothing created."""

    cost: int
    account: Account
    plan: JobPlan
    #: The reason for which the account does not cover the cost.
    refusal: str | None


async def quote_job(services: Services, caller: Caller, request: JobRequest) -> JobQuote:
    """Check everything that `submit_job` checks, and return the price. Creates nothing."""
    request, payload, _ = check_request(services, caller, request)
    submission = request.submission
    await load_dependencies(services.store, caller.user_id, submission)
    plan = await plan_request(services, caller, request)
    project = await _load_project(services, caller, submission.project_id)
    payer = None if project is None else project.account_id
    account = await load_account(services, payer or caller.user_id)
    account, _ = expire_grants(account, services.clock.now())
    cost, refusal = request.credits_to_hold(plan), None
    if request.asks_for_cache:
        job_type = request.job_type.name
        found = await look_up_result(services, caller, job_type, submission, payload)
        cost = cost if found.hit is None else 0
    try:
        if project is not None:
            check_payer(project, caller.user_id, cost)
        account.hold(cost, services.clock.now())
        if project is not None and cost:
            project.hold(cost, services.clock.now())
    except (TooFewCreditsError, SpendCapError) as error:
        refusal = error.message
    return JobQuote(cost, account, plan, refusal)


async def _load_project(
    services: Services, caller: Caller, project_id: str | None
) -> Project | None:
    """The stored project of a request. Raises ForbiddenError for one who may not submit to it."""
    if project_id is None:
        return None
    project = await load_project(services.store, project_id)
    if project is not None:
        require_editor(caller, project, services.clock.now())
    return project
