"""Bulk operations: judged, carried out in the background, aborted, continued after a crash."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    NOOP,
    expect_problem,
    image_request,
    read_balance,
    read_job,
    submit_job,
)
from simulation.world import World
from taskreel.app.operations import operation_tasks, steps
from taskreel.app.operations.job_actions import JobActions
from taskreel.domain.errors import StoreError
from taskreel.domain.job import Job
from taskreel.ports import Query
from taskreel.store_collections import AUDIT, JOBS, OPERATIONS

OPERATIONS_PATH = "/api/operations"
IMAGE = "/api/jobs/image-generation"
FAILING = image_request("fail-permanent")
LATER = {**NOOP, "scheduleAt": "2026-06-01T00:00:00Z"}


async def order(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post(OPERATIONS_PATH, json={"limit": 1000, **fields})
    assert answer.status_code in {200, 202}, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def follow(world: World, client: httpx.AsyncClient, operation: dict[str, Any]) -> Any:
    await world.advance(5)
    answer = await client.get(f"{OPERATIONS_PATH}/{operation['operationId']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def schedule_jobs(world: World, client: httpx.AsyncClient, count: int) -> list[str]:
    at = (world.now() + timedelta(days=1)).isoformat()
    made = [await client.post(IMAGE, json={**NOOP, "scheduleAt": at}) for _ in range(count)]
    assert {answer.status_code for answer in made} == {202}
    return [answer.json()["jobId"] for answer in made]


async def repeat_lost_step(world: World, operation_id: str) -> None:
    """Carry an operation on as it was before its only step was stored."""
    stored = await world.services.store.get(OPERATIONS, operation_id)
    assert stored is not None
    before = stored.model_copy(
        update={"state": "running", "cursor": None, "changed": 0, "seen": 0, "ended_at": None}
    )

    async def put_back(tx: Any) -> None:
        tx.set(OPERATIONS, operation_id, before)

    await world.services.store.transaction(put_back)
    await steps.process_operation_task(world.services, operation_id)


async def list_statuses(world: World, jobs: list[str]) -> list[str]:
    return [str((await world.job(job)).status) for job in jobs]


async def test_many_jobs_are_cancelled_in_the_background_and_their_credits_come_back(
    world: World, ada: httpx.AsyncClient
) -> None:
    jobs = await schedule_jobs(world, ada, 35)
    other = await submit_job(ada)
    assert (await read_balance(ada))["held"] >= 35
    wanted = {"action": "cancel", "filter": {"status": ["SCHEDULED"]}}
    forecast = await order(ada, **wanted, dryRun=True)
    assert (forecast["eligible"], forecast["complete"], forecast["cost"]) == (35, True, 0)
    assert set(await list_statuses(world, jobs)) == {"SCHEDULED"}

    started = await ada.post(OPERATIONS_PATH, json={**wanted, "limit": 1000})
    assert started.status_code == 202
    assert started.headers["location"] == f"{OPERATIONS_PATH}/{started.json()['operationId']}"
    done = await follow(world, ada, started.json())
    assert (done["state"], done["seen"], done["changed"], done["refused"]) == ("done", 35, 35, 0)
    assert set(await list_statuses(world, jobs)) == {"CANCELLED"}
    assert (await read_balance(ada))["held"] == 0
    assert (await read_job(ada, other))["status"] != "CANCELLED"
    listed = (await ada.get(OPERATIONS_PATH)).json()["operations"]
    assert [one["operationId"] for one in listed] == [done["operationId"]]


async def test_failed_jobs_are_replayed_with_an_edited_payload(
    world: World, ada: httpx.AsyncClient
) -> None:
    for _ in range(3):
        await submit_job(ada, FAILING)
    await submit_job(ada)
    await world.advance(60)
    wanted = {
        "action": "replay",
        "filter": {"status": ["FAILED"]},
        "edit": {"prompt": "a mended kite", "options": {"studio": {"mode": "noop"}}},
    }
    forecast = await order(ada, **wanted, dryRun=True)
    assert (forecast["eligible"], forecast["cost"]) == (3, 3)
    done = await follow(world, ada, await order(ada, **wanted))
    assert (done["changed"], done["cost"]) == (3, 3)
    await world.advance(60)
    found = (await ada.get("/api/jobs", params={"text": "mended"})).json()["jobs"]
    assert [job["status"] for job in found] == ["COMPLETED"] * 3


async def test_retry_and_delete_leave_out_what_they_cannot_change_and_say_why(
    world: World, ada: httpx.AsyncClient
) -> None:
    failed = await submit_job(ada, FAILING)
    await world.advance(60)
    waiting = await schedule_jobs(world, ada, 1)
    every = {"jobType": "image-generation"}
    forecast = await order(ada, action="retry", filter=every, dryRun=True)
    assert (forecast["eligible"], forecast["refused"]) == (1, 1)
    assert list(forecast["reasons"].values()) == [1]
    retried = await follow(world, ada, await order(ada, action="retry", filter=every))
    assert (retried["changed"], retried["refused"]) == (1, 1)
    assert retried["refusedJobs"][0]["jobId"] == waiting[0]
    await world.advance(60)
    deleted = await follow(world, ada, await order(ada, action="delete", filter=every))
    assert (deleted["changed"], deleted["refused"]) == (1, 1)
    assert await world.services.store.get(JOBS, failed["jobId"]) is None


async def test_an_operation_changes_no_more_jobs_than_its_limit(
    world: World, ada: httpx.AsyncClient
) -> None:
    jobs = await schedule_jobs(world, ada, 15)
    wanted = {"action": "cancel", "filter": {"status": ["SCHEDULED"]}}
    done = await follow(world, ada, await order(ada, **wanted, limit=12))
    assert (done["state"], done["changed"]) == ("done", 12)
    assert (await list_statuses(world, jobs)).count("SCHEDULED") == 3


async def test_an_aborted_operation_stops_and_what_it_changed_stays(
    world: World, ada: httpx.AsyncClient
) -> None:
    jobs = await schedule_jobs(world, ada, 30)
    started = await order(ada, action="cancel", filter={"status": ["SCHEDULED"]})
    path = f"{OPERATIONS_PATH}/{started['operationId']}/abort"
    first = await ada.post(path)
    assert (first.status_code, first.json()["state"]) == (200, "aborted")
    await world.advance(300)
    assert set(await list_statuses(world, jobs)) == {"SCHEDULED"}
    assert (await ada.post(path)).json()["endedAt"] == first.json()["endedAt"]


async def test_an_operation_goes_on_after_a_crash_where_it_was(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies in the middle of the second step; the sweep sends another task."""
    jobs = await schedule_jobs(world, ada, 25)
    acts = 0
    act = JobActions.act

    async def die_once(self: Any, job: Job) -> Any:
        nonlocal acts
        acts += 1
        if acts == 15:
            raise KeyboardInterrupt
        return await act(self, job)

    started = await order(ada, action="cancel", filter={"status": ["SCHEDULED"]})
    monkeypatch.setattr(JobActions, "act", die_once)
    with pytest.raises(KeyboardInterrupt):
        await steps.process_operation_task(world.services, started["operationId"])
    stored = await world.services.store.get(OPERATIONS, started["operationId"])
    assert stored is not None
    assert (stored.changed, stored.cursor is not None) == (10, True)
    # Another delivery waits for the lease of the dead one.
    assert not await steps.process_operation_task(world.services, started["operationId"])
    await world.advance(600)
    await world.sweep()
    done = await follow(world, ada, started)
    # The four of the lost step are cancelled, and do not match any more.
    assert (done["state"], done["changed"]) == ("done", 21)
    assert set(await list_statuses(world, jobs)) == {"CANCELLED"}


async def test_a_replay_that_is_repeated_after_a_crash_makes_no_second_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    await submit_job(ada, FAILING)
    await world.advance(60)
    edit = {"prompt": "once", "options": {"studio": {"mode": "noop"}}}
    wanted = {"action": "replay", "filter": {"status": ["FAILED"]}, "edit": edit}
    started = await order(ada, **wanted)
    await world.advance(5)
    await repeat_lost_step(world, started["operationId"])
    found = (await ada.get("/api/jobs", params={"text": "once"})).json()["jobs"]
    assert len(found) == 1


async def test_an_outage_of_the_store_loses_nothing(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = await schedule_jobs(world, ada, 5)
    started = await order(ada, action="cancel", filter={"status": ["SCHEDULED"]})
    act = JobActions.act

    async def be_away(_self: Any, _job: Job) -> Any:
        raise StoreError("the store is away")

    monkeypatch.setattr(JobActions, "act", be_away)
    with pytest.raises(StoreError):
        await steps.process_operation_task(world.services, started["operationId"])
    monkeypatch.setattr(JobActions, "act", act)
    await world.advance(600)
    await world.sweep()
    assert (await follow(world, ada, started))["changed"] == 5
    assert set(await list_statuses(world, jobs)) == {"CANCELLED"}


async def test_an_admins_operation_is_over_all_users_and_is_audited(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    bob = world.as_user("bob")
    jobs = [*await schedule_jobs(world, ada, 2), *await schedule_jobs(world, bob, 2)]
    wanted = {"action": "cancel", "filter": {"status": ["SCHEDULED"]}, "reason": "a wrong model"}
    of_bob = await follow(world, bob, await order(bob, **wanted))
    assert of_bob["changed"] == 2
    of_all = await follow(world, admin, await order(admin, **wanted))
    assert of_all["changed"] == 2
    assert set(await list_statuses(world, jobs)) == {"CANCELLED"}
    rows = await world.services.store.query(Query(collection=AUDIT))
    (entry,) = [row.value for row in rows if row.value.action == "bulk cancel started"]
    assert (entry.subject, entry.reason) == (of_all["operationId"], "a wrong model")
    expect_problem(await ada.get(f"{OPERATIONS_PATH}/{of_all['operationId']}"), 404, "not_found")
    expect_problem(
        await ada.post(f"{OPERATIONS_PATH}/{of_all['operationId']}/abort"), 404, "not_found"
    )


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({"action": "cancel", "filter": {}, "limit": 10}, 422, "filter"),
        ({"action": "cancel", "filter": {"status": ["QUEUED"]}}, 422, "limit"),
        ({"action": "cancel", "filter": {"status": ["QUEUED"]}, "limit": 0}, 422, "limit"),
        ({"action": "cancel", "filter": {"status": ["X"]}, "limit": 1}, 422, "filter.status[0]"),
        (
            {"action": "retry", "filter": {"status": ["FAILED"]}, "limit": 1, "edit": {"a": 1}},
            422,
            "edit",
        ),
    ],
)
async def test_an_order_over_everything_or_without_a_cap_is_refused(
    ada: httpx.AsyncClient, body: dict[str, Any], status: int, path: str
) -> None:
    answer = await ada.post(OPERATIONS_PATH, json=body)
    assert answer.status_code == status, answer.text
    assert path in [error["path"] for error in answer.json()["errors"]], answer.text


async def test_a_user_may_not_change_the_jobs_of_others(ada: httpx.AsyncClient) -> None:
    wanted = {"action": "cancel", "filter": {"userId": "bob"}, "limit": 5}
    expect_problem(await ada.post(OPERATIONS_PATH, json=wanted), 403, "forbidden")


async def test_an_order_of_many_jobs_goes_on_in_another_delivery(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_STEPS_OF_A_DELIVERY", 1)
    jobs = await schedule_jobs(world, ada, 25)
    started = await order(ada, action="cancel", filter={"status": ["SCHEDULED"]})
    await world.advance(60)
    assert (await follow(world, ada, started))["changed"] == 25
    assert set(await list_statuses(world, jobs)) == {"CANCELLED"}


async def test_the_sweep_sends_a_lost_task_again_and_one_odd_operation_stops_no_other(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = await schedule_jobs(world, ada, 3)
    world.cut_off = True
    lost = await order(ada, action="cancel", filter={"status": ["SCHEDULED"]})
    for error in (StoreError("the store is away"), RuntimeError("a bug")):
        rescue = operation_tasks._rescue

        async def fail(*_: Any, error: Exception = error) -> str:
            raise error

        await world.advance(600)
        monkeypatch.setattr(operation_tasks, "_rescue", fail)
        counts = await operation_tasks.rescue_operations(world.services)
        assert sum(counts.values()) == 1
        monkeypatch.setattr(operation_tasks, "_rescue", rescue)
    world.cut_off = False
    assert await operation_tasks.rescue_operations(world.services) == {"operation_rescued": 1}
    assert (await follow(world, ada, lost))["changed"] == 3
    assert set(await list_statuses(world, jobs)) == {"CANCELLED"}
    assert await operation_tasks._rescue(world.services, lost["operationId"]) == "operation_asleep"


async def test_a_step_that_was_lost_retries_no_job_twice(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, FAILING)
    await world.advance(60)
    started = await order(ada, action="retry", filter={"status": ["FAILED"]})
    await world.advance(60)
    await repeat_lost_step(world, started["operationId"])
    await world.advance(60)
    assert (await world.job(job["jobId"])).round == 2


async def test_an_edit_that_does_not_fit_is_refused_in_our_own_words(
    world: World, ada: httpx.AsyncClient
) -> None:
    await submit_job(ada, image_request("fail-permanent"))
    await world.advance(60)
    wanted = {"action": "replay", "filter": {"status": ["FAILED"]}, "limit": 1}
    forecast = await order(ada, **wanted, edit={"options": "large"}, dryRun=True)
    (reason,) = forecast["reasons"]
    assert reason == "the edited payload does not fit: options: must be an object"


async def test_an_edit_that_no_store_can_hold_is_refused(ada: httpx.AsyncClient) -> None:
    body = {"action": "replay", "filter": {"status": ["FAILED"]}, "limit": 1}
    for edit in ({"n": 2**70}, {"p": "\x07"}):
        answer = await ada.post(OPERATIONS_PATH, json={**body, "edit": edit})
        assert answer.status_code == 422, answer.text


async def test_a_dry_run_of_retries_knows_the_spend_cap_of_the_owner(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    for _ in range(2):
        await submit_job(ada, FAILING)
    await world.advance(60)
    capped = await admin.put("/api/credits/ada/caps", json={"daily": 1, "reason": "a trial"})
    assert capped.is_success, capped.text
    forecast = await order(ada, action="retry", filter={"status": ["FAILED"]}, dryRun=True)
    assert (forecast["eligible"], forecast["refused"]) == (1, 1)
    assert list(forecast["reasons"]) == ["its owner's daily spend cap is reached"]
