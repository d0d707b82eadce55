"""The account of a project: from the first grant to it on it pays the jobs of its members."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import (
    IMAGE,
    NOOP,
    expect_problem,
    image_request,
    read_balance,
    refused_paths,
    submit_job,
)
from functions.test_audit import audit
from functions.test_operations import order
from functions.test_projects import PROJECTS, make_project
from simulation.world import World
from taskreel.app.audit.repairs import repair
from taskreel.domain.ids import project_account_id
from taskreel.ports import Query, Row
from taskreel.store_collections import ACCOUNTS, LEDGER

FAILING = image_request("fail-permanent")
SLOW = image_request("sleep", seconds=10)


@pytest.fixture
def eve(world: World) -> httpx.AsyncClient:
    return world.as_user("eve")


@pytest.fixture
async def film(ada: httpx.AsyncClient) -> str:
    """A project of ada's in which eve is an editor."""
    return await make_project(ada, eve="editor", vera="viewer")


async def grant(admin: httpx.AsyncClient, project: str, amount: int, **more: Any) -> dict[str, Any]:
    answer = await admin.post(f"{PROJECTS}/{project}/grants", json={"amount": amount, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def read_numbers(client: httpx.AsyncClient, project: str) -> tuple[int, int, int]:
    """The credits that are available, held and captured of the project's account."""
    found = (await client.get(f"{PROJECTS}/{project}/credits")).json()
    assert found["userId"] == f"project:{project}"
    expired = found.get("expired", 0)
    assert found["granted"] == found["available"] + found["held"] + found["captured"] + expired
    return found["available"], found["held"], found["captured"]


async def expect_sound_books(world: World) -> None:
    assert [str(one) for one in (await audit(world)).violations] == []


async def test_the_account_of_a_project_pays_its_members_jobs(
    world: World,
    ada: httpx.AsyncClient,
    eve: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    film: str,
) -> None:
    granted = await grant(admin, film, 10, reason="a pilot")
    assert (granted["userId"], granted["available"]) == (f"project:{film}", 10)
    assert (await ada.get(f"{PROJECTS}/{film}")).json()["hasAccount"] is True
    before = await read_balance(eve)
    done = await submit_job(eve, {**NOOP, "projectId": film})
    failed = await submit_job(eve, {**FAILING, "projectId": film})
    assert await read_numbers(eve, film) == (8, 2, 0)
    await expect_sound_books(world)
    await world.advance(60)
    assert await read_numbers(eve, film) == (9, 0, 1)
    assert await read_balance(eve) == before
    entries = (await eve.get(f"{PROJECTS}/{film}/ledger")).json()["entries"]
    assert {(one["kind"], one.get("jobId"), one["amount"]) for one in entries} == {
        ("grant", None, 10),
        ("capture", done["jobId"], 1),
        ("release", failed["jobId"], 1),
    }
    assert not [
        one for one in (await eve.get("/api/credits/ledger")).json()["entries"] if "jobId" in one
    ]
    # What is not of the project is still its user's.
    await submit_job(eve, NOOP)
    assert (await read_balance(eve))["held"] == 1
    await world.advance(60)
    await expect_sound_books(world)
    shown = (await ada.get(f"{PROJECTS}/{film}")).json()
    assert (shown["daily"]["spent"], shown["total"]["spent"]) == (1, 1)


async def test_a_member_pays_until_the_first_grant_and_settles_what_they_hold(
    world: World, eve: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    assert await read_numbers(eve, film) == (0, 0, 0)
    before = await read_balance(eve)
    await submit_job(eve, {**SLOW, "projectId": film})
    await grant(admin, film, 5)
    await submit_job(eve, {**SLOW, "projectId": film})
    assert (await read_balance(eve))["held"] == 1
    await world.advance(60)
    after = await read_balance(eve)
    assert (after["captured"], after["held"]) == (before["captured"] + 1, 0)
    assert await read_numbers(eve, film) == (4, 0, 1)
    await expect_sound_books(world)


async def test_members_pay_again_once_an_admin_says_so(
    world: World,
    ada: httpx.AsyncClient,
    eve: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    film: str,
) -> None:
    path = f"{PROJECTS}/{film}/payer"
    never = await admin.put(path, json={"payer": "project"})
    assert "grants" in expect_problem(never, 409, "conflict")["detail"]
    await grant(admin, film, 10)
    expect_problem(await ada.put(path, json={"payer": "members"}), 403, "forbidden")
    await submit_job(eve, {**SLOW, "projectId": film})
    failed = await submit_job(eve, {**FAILING, "projectId": film})
    answer = await admin.put(path, json={"payer": "members", "reason": "the pilot is over"})
    assert (answer.status_code, answer.json()["hasAccount"]) == (200, False)
    before = await read_balance(eve)
    await submit_job(eve, {**NOOP, "projectId": film})
    assert (await read_balance(eve))["held"] == before["held"] + 1
    await world.advance(60)
    # What the project held is settled there, and its credits stay its own.
    assert await read_numbers(eve, film) == (9, 0, 1)
    assert (await read_balance(eve))["captured"] == before["captured"] + 1
    # A new round of a job that the project paid is its owner's.
    assert (await eve.post(f"{IMAGE}/{failed['jobId']}/retry")).status_code == 202
    assert (await read_balance(eve))["held"] == 1
    await world.advance(60)
    assert await read_numbers(eve, film) == (9, 0, 1)
    assert (await admin.put(path, json={"payer": "project"})).json()["hasAccount"] is True
    await submit_job(eve, {**NOOP, "projectId": film})
    assert await read_numbers(eve, film) == (8, 1, 1)
    await world.advance(60)
    await expect_sound_books(world)
    entries = (await admin.get("/api/audit", params={"text": "project payer"})).json()["entries"]
    assert [(one["action"], one["reason"]) for one in entries] == [
        ("project payer set: project", ""),
        ("project payer set: members", "the pilot is over"),
    ]


async def test_a_repeated_grant_leaves_the_payer_as_it_is(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    path, key = f"{PROJECTS}/{film}", {"Idempotency-Key": "pilot"}
    for payer, pays in (("project", True), ("members", False)):
        first = await admin.post(f"{path}/grants", json={"amount": 10}, headers=key)
        assert first.status_code == 201, first.text
        assert (await admin.put(f"{path}/payer", json={"payer": payer})).status_code == 200
        again = await admin.post(f"{path}/grants", json={"amount": 10}, headers=key)
        assert (again.status_code, again.json()["available"]) == (201, 10)
        assert (await ada.get(path)).json()["hasAccount"] is pays
    await grant(admin, film, 1)
    assert (await ada.get(path)).json()["hasAccount"] is True


async def test_an_audit_reads_a_projects_ledger_once_for_all_members(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    ada: httpx.AsyncClient,
    eve: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    film: str,
) -> None:
    await grant(admin, film, 10)
    for member in (ada, eve):
        await submit_job(member, {**NOOP, "projectId": film})
    await world.advance(60)
    query, read = world.services.store.query, []

    async def counting(wanted: Query[Any], /) -> list[Row[Any]]:
        if wanted.collection is LEDGER and wanted.where[0][2] == project_account_id(film):
            read.append(wanted)
        return await query(wanted)

    monkeypatch.setattr(world.services.store, "query", counting)
    await expect_sound_books(world)
    # For the members together, and for the project's own books.
    assert len(read) == 2


async def test_an_empty_account_refuses_whatever_the_member_has(
    world: World, eve: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    await grant(admin, film, 1)
    body = {**NOOP, "projectId": film}
    quote = (await eve.post(f"{IMAGE}?validateOnly=true", json=body)).json()
    assert quote["credits"] == {"available": 1, "sufficient": True}
    await submit_job(eve, body)
    quote = (await eve.post(f"{IMAGE}?validateOnly=true", json=body)).json()
    assert (quote["credits"]["available"], quote["credits"]["sufficient"]) == (0, False)
    problem = expect_problem(await eve.post(IMAGE, json=body), 402, "insufficient_credits")
    assert f"the account of project {film}" in problem["detail"]
    assert (problem["available"], problem["cost"]) == (0, 1)
    await grant(admin, film, 1)
    await submit_job(eve, body)
    await world.advance(60)
    await expect_sound_books(world)


async def test_pipelines_retries_replays_and_cancellations_settle_in_the_project(
    world: World, eve: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    await grant(admin, film, 100)
    before = await read_balance(eve)
    step = {"type": "image-generation", "payload": NOOP}
    broken = {"type": "image-generation", "payload": FAILING}
    pipeline = await submit_job(
        eve, {"projectId": film, "steps": {"one": step, "two": broken}}, "/api/jobs/pipeline"
    )
    cancelled = await submit_job(eve, {**SLOW, "projectId": film})
    assert await read_numbers(eve, film) == (97, 3, 0)
    assert (await eve.delete(f"{IMAGE}/{cancelled['jobId']}")).is_success
    await world.advance(60)
    assert await read_numbers(eve, film) == (99, 0, 1)
    path = f"/api/jobs/pipeline/{pipeline['jobId']}"
    assert (await eve.post(f"{path}/retry")).status_code == 202
    assert await read_numbers(eve, film) == (98, 1, 1)
    await world.advance(60)
    assert (await eve.post(f"{path}/replay", json={})).status_code == 202
    assert await read_numbers(eve, film) == (98, 1, 1)
    await world.advance(60)
    assert await read_numbers(eve, film) == (99, 0, 1)
    assert await read_balance(eve) == before
    await expect_sound_books(world)


async def test_what_a_removed_member_has_submitted_settles_in_the_project(
    world: World,
    ada: httpx.AsyncClient,
    eve: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    film: str,
) -> None:
    await grant(admin, film, 5)
    jobs = [await submit_job(eve, {**one, "projectId": film}) for one in (SLOW, FAILING)]
    assert (await ada.delete(f"{PROJECTS}/{film}/members/eve")).status_code == 204
    await world.advance(60)
    statuses = [str((await world.job(job["jobId"])).status) for job in jobs]
    assert statuses == ["COMPLETED", "FAILED"]
    assert await read_numbers(ada, film) == (4, 0, 1)
    expect_problem(await eve.get(f"{PROJECTS}/{film}/credits"), 404, "not_found")
    await expect_sound_books(world)


async def test_the_caps_of_the_project_hold_and_those_of_the_member_do_not_count_it(
    ada: httpx.AsyncClient, eve: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    await grant(admin, film, 50)
    assert (await admin.put("/api/credits/eve/caps", json={"daily": 0})).is_success
    assert (await ada.put(f"{PROJECTS}/{film}/caps", json={"daily": 1})).is_success
    body = {**NOOP, "projectId": film}
    await submit_job(eve, body)
    problem = expect_problem(await eve.post(IMAGE, json=body), 402, "spend_cap_reached")
    assert film in problem["detail"]
    assert await read_numbers(eve, film) == (49, 1, 0)
    assert (await eve.get("/api/credits/caps")).json()["daily"]["spent"] == 0
    expect_problem(await eve.post(IMAGE, json=NOOP), 402, "spend_cap_reached")


async def test_grants_to_a_project_burn_in_their_order_and_expire(
    world: World, eve: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    now = world.services.clock.now()
    await grant(admin, film, 2, priority=1, expiresAt=now.replace(year=now.year + 1).isoformat())
    await grant(admin, film, 2)
    for _ in range(3):
        await submit_job(eve, {**NOOP, "projectId": film})
    [open_grant] = (await eve.get(f"{PROJECTS}/{film}/credits")).json()["grants"]
    assert (open_grant["left"], open_grant["held"]) == (0, 2)
    await world.advance(60)
    assert await read_numbers(eve, film) == (1, 0, 3)
    await expect_sound_books(world)


async def test_a_grant_is_an_admins_given_once_and_in_the_audit_log(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient, world: World, film: str
) -> None:
    path, key = f"{PROJECTS}/{film}/grants", {"Idempotency-Key": "pilot-1"}
    body = {"amount": 3, "reason": "a pilot"}
    expect_problem(await ada.post(path, json=body), 403, "forbidden")
    for _ in range(2):
        assert (await admin.post(path, json=body, headers=key)).json()["granted"] == 3
    other = await admin.post(path, json={"amount": 4}, headers=key)
    expect_problem(other, 422, "idempotency_key_reused")
    await grant(admin, film, 1)
    expect_problem(await admin.post(f"{PROJECTS}/nope/grants", json=body), 404, "not_found")
    entries = (await admin.get("/api/audit", params={"text": "account opened"})).json()["entries"]
    assert [(one["subject"], one["reason"]) for one in entries] == [(film, "a pilot")]
    for member in ("vera", "ada"):
        assert await read_numbers(world.as_user(member), film) == (4, 0, 0)
    expect_problem(await world.as_user("bob").get(f"{PROJECTS}/{film}/ledger"), 404, "not_found")


async def test_no_user_has_the_id_of_an_account_of_a_project(
    world: World, admin: httpx.AsyncClient, film: str
) -> None:
    impostor = world.as_user(project_account_id(film))
    expect_problem(await impostor.get("/api/credits"), 401, "unauthenticated")
    answer = await admin.post(f"/api/credits/{project_account_id(film)}/grants", json={"amount": 1})
    expect_problem(answer, 422, "invalid_request")
    assert refused_paths(answer) == {"userId"}


async def test_a_forecast_of_many_retries_asks_the_account_of_the_project(
    world: World, eve: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    await grant(admin, film, 2)
    for _ in range(2):
        await submit_job(eve, {**FAILING, "projectId": film})
    await world.advance(60)
    await submit_job(eve, {**SLOW, "projectId": film})
    found = await order(eve, action="retry", filter={"status": ["FAILED"]}, dryRun=True)
    assert (found["eligible"], found["refused"]) == (1, 1)
    assert list(found["reasons"]) == ["its project has too few credits"]
    await world.advance(60)


async def test_a_hold_that_no_job_of_the_project_has_is_found_and_released(
    world: World, eve: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    await grant(admin, film, 9)
    await submit_job(eve, {**SLOW, "projectId": film})
    account_id = project_account_id(film)
    account = await world.services.store.get(ACCOUNTS, account_id)
    assert account is not None
    wrong = account.model_copy(update={"held": 4, "available": 5})

    async def write(tx: Any) -> None:
        tx.set(ACCOUNTS, account_id, wrong)

    await world.services.store.transaction(write)
    [violation] = (await audit(world)).violations
    assert (violation.user_id, str(violation.rule)) == (account_id, "holds")
    assert await repair(world.services, violation)
    assert await read_numbers(eve, film) == (8, 1, 0)
    await world.advance(60)
    await expect_sound_books(world)


async def test_the_books_are_sound_after_a_member_was_erased(
    world: World, eve: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    await grant(admin, film, 5)
    for body in (NOOP, SLOW):
        await submit_job(eve, {**body, "projectId": film})
    await world.advance(5)
    path, report = "/api/accounts/eve/erasure", {"phase": "begins"}
    while report["phase"] != "done":
        await world.advance(60)
        answer = await admin.post(path, json={"reason": "asked"})
        assert answer.is_success, answer.text
        report = answer.json()
    numbers = await read_numbers(admin, film)
    assert (numbers[1], sum(numbers)) == (0, 5)
    await expect_sound_books(world)


@pytest.mark.parametrize("role", [None, "viewer"])
async def test_who_may_not_submit_to_a_project_has_it_pay_no_retry(
    world: World,
    ada: httpx.AsyncClient,
    eve: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    film: str,
    role: str | None,
) -> None:
    await grant(admin, film, 5)
    failed = await submit_job(eve, {**FAILING, "projectId": film})
    await world.advance(60)
    member = f"{PROJECTS}/{film}/members/eve"
    changed = await (ada.put(member, json={"role": role}) if role else ada.delete(member))
    assert changed.is_success
    path = f"{IMAGE}/{failed['jobId']}"
    expect_problem(await eve.post(f"{path}/retry"), 403, "forbidden")
    expect_problem(await eve.post(f"{path}/replay", json={}), 403, "forbidden")
    assert await read_numbers(ada, film) == (5, 0, 0)
    # An editor of the project may have it done again.
    assert (await ada.post(f"{path}/retry")).status_code == 202
    assert await read_numbers(ada, film) == (4, 1, 0)
    await world.advance(60)
    await expect_sound_books(world)


@pytest.mark.parametrize("limit", [1, 2, 3, 20])
async def test_the_list_of_users_passes_over_the_accounts_of_projects(
    admin: httpx.AsyncClient, ada: httpx.AsyncClient, film: str, limit: int
) -> None:
    other = await make_project(ada)
    await grant(admin, other, 5)
    await grant(admin, film, 5)
    for user in ("ada", "zoe"):
        assert (await admin.post(f"/api/credits/{user}/grants", json={"amount": 1})).is_success
    names: list[str] = []
    params: dict[str, Any] = {"limit": limit}
    pages = 0
    while params.get("cursor") is not None or not names:
        answer = await admin.get("/api/accounts", params=params)
        assert answer.is_success, answer.text
        names += [one["userId"] for one in answer.json()["accounts"]]
        params["cursor"] = answer.json()["nextCursor"]
        pages += 1
    assert names == ["ada", "zoe"]
    assert pages == max(1, 2 // limit)
    for prefix, found in (("a", ["ada"]), ("pro", []), ("z", ["zoe"])):
        answer = await admin.get("/api/accounts", params={"prefix": prefix, "limit": limit})
        assert [one["userId"] for one in answer.json()["accounts"]] == found
    # By their prefix they are listed, from page to page.
    first = (await admin.get("/api/accounts?prefix=project:&limit=1")).json()
    cursor = first["nextCursor"]
    second = (await admin.get(f"/api/accounts?prefix=project:&limit=1&cursor={cursor}")).json()
    listed = [one["userId"] for one in (*first["accounts"], *second["accounts"])]
    assert listed == sorted([project_account_id(film), project_account_id(other)])
    behind = (await admin.get(f"/api/accounts?cursor={cursor}")).json()
    assert [one["userId"] for one in behind["accounts"]] == ["zoe"]
    for strange in ("project:", "project:a/b", "project:project:a"):
        refused = await admin.get("/api/accounts", params={"cursor": strange})
        expect_problem(refused, 422, "invalid_request")


async def test_a_project_has_no_limit_of_a_user(admin: httpx.AsyncClient, film: str) -> None:
    await grant(admin, film, 5)
    path = f"/api/limits/{project_account_id(film)}"
    expect_problem(await admin.get(path), 422, "invalid_request")
    expect_problem(await admin.put(path, json={"activeJobs": 2}), 422, "invalid_request")
