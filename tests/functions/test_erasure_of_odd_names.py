"""An erasure changes what is the person's, whatever else has the same name as they."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import image_request, submit_job
from simulation.world import World
from taskreel.app.audit.store_audit import audit_store
from taskreel.app.erasure import erase_user as erase_module
from taskreel.app.erasure import move_account as account_module
from taskreel.domain.erasure import ErasurePhase, running_erasure_id
from taskreel.ports import Collection, Query
from taskreel.store_collections import ACCOUNTS, AUDIT, ERASURES, JOBS, PROJECTS, QUEUE_CONTROLS

PICTURE = image_request("slow", seconds=0)
_SLOW = image_request("pending", times=99, seconds=60)


async def erase(world: World, admin: httpx.AsyncClient, person: str) -> dict[str, Any]:
    for _ in range(60):
        answer = await admin.post(f"/api/accounts/{person}/erasure", json={"reason": "asked"})
        assert answer.is_success, answer.text
        report: dict[str, Any] = answer.json()
        if report["phase"] == "done":
            return report
        await world.advance(30)
    raise AssertionError(f"it did not end: {report}")


async def read_audit_log(world: World) -> dict[str, Any]:
    raw: Collection[Any] = Collection(AUDIT.name, dict, dict)
    return {
        row.id: dict(row.data) for row in await world.services.store.query(Query(collection=raw))
    }


async def test_a_project_with_the_id_of_the_person_stays_and_its_jobs_end(
    world: World, admin: httpx.AsyncClient
) -> None:
    made = await admin.post(
        "/api/projects", json={"name": "Film", "projectId": "alice", "ownerId": "bob"}
    )
    assert made.is_success, made.text
    bob = world.as_user("bob")
    assert (await bob.put("/api/projects/alice/members/alice", json={"role": "viewer"})).is_success
    caps = {"daily": 500, "monthly": None, "reason": "alice is the project"}
    assert (await bob.put("/api/projects/alice/caps", json=caps)).is_success
    job = await submit_job(bob, _SLOW | {"projectId": "alice"})
    await submit_job(world.as_user("alice"), PICTURE)
    await world.advance(5)

    report = await erase(world, admin, "alice")
    project = await world.services.store.get(PROJECTS, "alice")
    assert project is not None
    assert project.member_ids == ("bob", report["pseudonym"])
    assert (project.project_id, project.daily_cap) == ("alice", 500)
    entries = list((await read_audit_log(world)).values())
    assert {one["subject"] for one in entries if one["action"].startswith("project")} == {"alice"}
    assert report["proof"]["found"] == {}
    cancelled = await bob.post(f"/api/jobs/image-generation/{job['jobId']}/cancel")
    assert cancelled.is_success, cancelled.text
    assert (await audit_store(world.services)).violations == []


async def test_the_account_of_a_longer_name_stays(world: World, admin: httpx.AsyncClient) -> None:
    for user in ("alice", "alice.smith", "alice@example.com"):
        await submit_job(world.as_user(user), PICTURE)
    await world.advance(5)
    await erase(world, admin, "alice")
    assert await world.services.store.get(ACCOUNTS, "alice") is None
    for user in ("alice.smith", "alice@example.com"):
        assert await world.services.store.get(ACCOUNTS, user) is not None
    assert (await audit_store(world.services)).violations == []


@pytest.mark.parametrize("person", ["audit", "project", "daily", "slow", "jobs", "grant"])
async def test_records_of_others_stay_whatever_word_the_person_is_named(
    world: World, admin: httpx.AsyncClient, person: str
) -> None:
    own = world.as_user(person)
    await submit_job(own, PICTURE)
    await submit_job(world.as_user("bob"), PICTURE)
    await admin.post("/api/projects", json={"name": "A", "projectId": "film", "ownerId": "bob"})
    caps = {"daily": 5, "monthly": 9, "reason": "the daily audit of the project's jobs"}
    assert (await admin.put("/api/projects/film/caps", json=caps)).is_success
    assert (await admin.put("/api/credits/bob/caps", json=caps)).is_success
    await world.advance(5)
    before = await read_audit_log(world)
    assert len(before) == 3

    report = await erase(world, admin, person)
    after = await read_audit_log(world)
    assert {id_: after[id_] for id_ in before} == before
    assert report["proof"]["found"] == {}
    assert (await audit_store(world.services)).violations == []


async def test_records_about_the_person_name_the_pseudonym(
    world: World, admin: httpx.AsyncClient
) -> None:
    caps = {"daily": 5, "monthly": 9, "reason": "daily asked for it"}
    assert (await admin.put("/api/credits/daily/caps", json=caps)).is_success
    await admin.post("/api/projects", json={"name": "A", "projectId": "film", "ownerId": "daily"})
    before = await read_audit_log(world)

    pseudonym = (await erase(world, admin, "daily"))["pseudonym"]
    after = await read_audit_log(world)
    assert set(before) <= set(after)
    shown = {
        (one["action"], one["subject"], one["reason"]) for one in map(after.get, before) if one
    }
    assert shown == {
        ("spend caps set: daily 5, monthly 9", pseudonym, f"{pseudonym} asked for it"),
        (f"project created for {pseudonym}", "film", ""),
    }


async def test_a_queue_that_the_person_paused_stays_paused(
    world: World, admin: httpx.AsyncClient
) -> None:
    queue = "image-generation"
    boss = world.as_user("boss", role="admin")
    answer = await boss.post(f"/api/jobs/queues/{queue}/pause", json={"reason": "full"})
    assert answer.is_success, answer.text
    report = await erase(world, admin, "boss")
    controls = await world.services.store.query(Query(collection=QUEUE_CONTROLS))
    assert [(row.value.paused, row.value.user_id) for row in controls] == [
        (True, report["pseudonym"])
    ]


@pytest.mark.parametrize("request_body", [PICTURE, _SLOW], ids=["ends at once", "goes on"])
async def test_jobs_that_the_person_submits_meanwhile_are_settled_and_leave_nothing(
    world: World,
    admin: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    request_body: dict[str, Any],
) -> None:
    ada = world.as_user("ada")
    await submit_job(ada, PICTURE)
    await world.advance(5)
    monkeypatch.setattr(erase_module, "_PAGE", 4)
    # So many times: an endless row of submissions would be an endless erasure.
    submitted, late, calls = 0, 30, 0

    def submit_behind_each(module: Any, name: str) -> None:
        step = getattr(module, name)

        async def submit_behind(*args: Any) -> Any:
            nonlocal submitted, late, calls
            result = await step(*args)
            running = await world.services.store.get(ERASURES, running_erasure_id("ada"))
            calls += 1
            # While it waits for jobs to stop, more of them tell nothing new: now and then one.
            is_waiting = running is None or running.phase is ErasurePhase.JOBS
            if late and (calls % 5 == 0 or not is_waiting):
                late -= 1
                answer = await ada.post("/api/jobs/image-generation", json=request_body)
                # Refused where the account is gone and the ledger's entry of its opening is not.
                assert answer.status_code in {202, 503}, answer.text
                submitted += answer.status_code == 202
                if request_body is PICTURE:
                    await world.advance(3)
            return result

        monkeypatch.setattr(module, name, submit_behind)

    submit_behind_each(erase_module, "_make_step")
    submit_behind_each(erase_module, "read_page")
    submit_behind_each(account_module, "has_jobs")
    report = await erase(world, admin, "ada")
    assert submitted > 10
    assert report["rounds"] > 5
    assert report["removed"]["jobs"] == submitted + 1
    assert report["proof"]["found"] == {}
    assert await world.services.store.query(Query(collection=JOBS)) == []
    assert [path async for path in world.services.blobs.list_paths("")] == []
    assert (await audit_store(world.services)).violations == []
    moved = await world.services.store.get(ACCOUNTS, report["pseudonym"])
    assert moved is not None
    assert moved.held == 0
