"""The action of an operation on one job, and its steps beside an abort or another delivery."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.job_requests import NOOP, image_request, submit_job
from simulation.world import World
from taskreel.app.caller import Caller, ProjectRole
from taskreel.app.operations import orders, steps
from taskreel.app.operations.job_actions import JobActions
from taskreel.app.operations.orders import BulkOrder
from taskreel.domain.errors import AMBIGUOUS, Category
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.operation import BulkAction, BulkOperation, JobFilter, OperationState
from taskreel.store_collections import OPERATIONS

ADA = Caller(user_id="ada")
FAILING = image_request("fail-permanent")


async def submit_scheduled(world: World, client: httpx.AsyncClient) -> Job:
    at = (world.now() + timedelta(days=1)).isoformat()
    submitted = await submit_job(client, {**NOOP, "scheduleAt": at})
    return await world.job(submitted["jobId"])


async def submit_failed(world: World, client: httpx.AsyncClient) -> Job:
    submitted = await submit_job(client, FAILING)
    await world.advance(60)
    return await world.job(submitted["jobId"])


async def list_reasons(
    world: World, job: Job, action: BulkAction, **fields: Any
) -> set[str | None]:
    """The reasons for which the action is judged to do nothing, and does nothing."""
    caller = fields.pop("caller", ADA)
    actions = JobActions(world.services, caller, action, **fields)
    return {(await actions.judge(job)).reason, (await actions.act(job)).reason}


@pytest.mark.parametrize(
    ("role", "action", "needed"),
    [
        (ProjectRole.VIEWER, BulkAction.CANCEL, "editor"),
        (ProjectRole.EDITOR, BulkAction.DELETE, "admin"),
    ],
)
async def test_a_member_s_operation_changes_no_job_that_the_role_may_not(
    role: ProjectRole, action: BulkAction, needed: str, world: World, ada: httpx.AsyncClient
) -> None:
    job = (await submit_scheduled(world, ada)).model_copy(update={"project_id": "films"})
    caller = Caller(user_id="bob", roles={"films": role})
    reasons = await list_reasons(world, job, action, caller=caller)
    assert reasons == {f"its project gives you no right to: it needs the role {needed}"}


async def test_a_job_that_has_ended_is_not_cancelled_and_one_that_goes_on_not_deleted(
    world: World, ada: httpx.AsyncClient
) -> None:
    failed = await submit_failed(world, ada)
    assert await list_reasons(world, failed, BulkAction.CANCEL) == {"it is FAILED already"}
    waiting = await submit_scheduled(world, ada)
    actions = JobActions(world.services, ADA, BulkAction.DELETE)
    assert (await actions.judge(waiting)).reason == "it is SCHEDULED: cancel it first"
    assert (await actions.act(waiting)).reason is not None
    assert await world.job(waiting.job_id) == waiting


@pytest.mark.parametrize("action", [BulkAction.RETRY, BulkAction.REPLAY])
async def test_work_that_may_have_been_bought_is_not_repeated_with_others(
    action: BulkAction, world: World, ada: httpx.AsyncClient
) -> None:
    failed = await submit_failed(world, ada)
    lost = JobError(code=AMBIGUOUS, category=Category.PERMANENT, message="The answer was lost.")
    unsure = failed.model_copy(update={"error": lost})
    reasons = await list_reasons(world, unsure, action)
    assert reasons == {"its work may have been bought: repeat it by itself"}


async def test_an_edit_that_does_not_fit_says_where(world: World, ada: httpx.AsyncClient) -> None:
    failed = await submit_failed(world, ada)
    edit = {"options": {"width": -1}}
    (reason,) = await list_reasons(world, failed, BulkAction.REPLAY, edit=edit)
    assert reason is not None
    assert "width" in reason
    waiting = await submit_scheduled(world, ada)
    (reason,) = await list_reasons(world, waiting, BulkAction.RETRY)
    assert reason is not None
    assert "Only a failed job can be retried" in reason


# ── Steps ────────────────────────────────────────────────────────────────────────────────────────


async def start_cancellation(world: World, count: int) -> tuple[BulkOperation, list[Job]]:
    """An operation that cancels, whose task is lost."""
    client = world.as_user("ada")
    jobs = [await submit_scheduled(world, client) for _ in range(count)]
    world.cut_off = True
    wanted = JobFilter(user_id="ada")
    order = BulkOrder(action=BulkAction.CANCEL, filter=wanted, limit=100)
    operation = await orders.start_operation(world.services, ADA, order)
    world.cut_off = False
    return operation, jobs


async def load_operation(world: World, operation: BulkOperation) -> BulkOperation:
    found = await world.services.store.get(OPERATIONS, operation.operation_id)
    assert found is not None
    return found


async def process_operation(world: World, operation: BulkOperation) -> bool:
    return await steps.process_operation_task(world.services, operation.operation_id)


async def change_during_act(
    world: World, monkeypatch: pytest.MonkeyPatch, operation: BulkOperation, **changes: Any
) -> None:
    """Change the stored operation while its first job is acted on."""
    act = JobActions.act

    async def act_later(self: Any, job: Job) -> Any:
        monkeypatch.setattr(JobActions, "act", act)
        now = await load_operation(world, operation)

        async def write(tx: Any) -> None:
            tx.set(OPERATIONS, operation.operation_id, now.model_copy(update=changes))

        await world.services.store.transaction(write)
        return await act(self, job)

    monkeypatch.setattr(JobActions, "act", act_later)


async def test_an_abort_during_a_step_stands_and_the_step_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation, _ = await start_cancellation(world, 12)
    at = world.now()
    await change_during_act(
        world, monkeypatch, operation, state=OperationState.ABORTED, ended_at=at
    )
    assert await process_operation(world, operation)
    stored = await load_operation(world, operation)
    assert (stored.state, stored.ended_at, stored.changed) == (OperationState.ABORTED, at, 10)
    assert (stored.lease_until, stored.wake_at) == (None, None)


async def test_a_delivery_that_lost_its_fence_stores_nothing_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation, _ = await start_cancellation(world, 12)
    await change_during_act(world, monkeypatch, operation, fence=99)
    assert await process_operation(world, operation)
    stored = await load_operation(world, operation)
    assert (stored.fence, stored.changed, stored.state) == (99, 0, OperationState.RUNNING)


async def test_a_delivery_of_an_operation_that_is_gone_or_over_does_nothing(world: World) -> None:
    assert await steps.process_operation_task(world.services, "op_unknown")
    operation, jobs = await start_cancellation(world, 1)
    aborted = await orders.abort_operation(world.services, ADA, operation.operation_id)
    assert await process_operation(world, operation)
    assert await load_operation(world, operation) == aborted
    assert await world.job(jobs[0].job_id) == jobs[0]


async def test_a_dry_run_stops_at_the_limit(world: World, ada: httpx.AsyncClient) -> None:
    for _ in range(3):
        await submit_scheduled(world, ada)
    wanted = JobFilter(user_id="ada")
    order = BulkOrder(action=BulkAction.CANCEL, filter=wanted, limit=2)
    forecast = await orders.forecast_operation(world.services, ADA, order)
    assert (forecast.seen, forecast.eligible, forecast.complete) == (2, 2, False)
