"""Projects in the store: members, roles beside those of a token, and caps on their spend."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import (
    NOOP,
    expect_problem,
    image_request,
    read_balance,
    submit_job,
)
from simulation.world import World

PROJECTS = "/api/projects"
IMAGE = "/api/jobs/image-generation"


async def make_project(owner: httpx.AsyncClient, **roles: str) -> str:
    """A project of the owner's, with these members."""
    made = await owner.post(PROJECTS, json={"name": "The film"})
    assert made.status_code == 201, made.text
    project: str = made.json()["projectId"]
    for user, role in roles.items():
        await set_role(owner, project, user, role)
    return project


async def set_role(admin: httpx.AsyncClient, project: str, user: str, role: str) -> None:
    answer = await admin.put(f"{PROJECTS}/{project}/members/{user}", json={"role": role})
    assert answer.status_code == 200, answer.text


async def make_job(world: World, user: httpx.AsyncClient, project: str, **more: Any) -> str:
    job = await submit_job(user, {**NOOP, "projectId": project, **more})
    await world.advance(60)
    return str(job["jobId"])


async def test_members_see_and_change_each_others_jobs_by_their_role(
    world: World, ada: httpx.AsyncClient
) -> None:
    project = await make_project(ada, vera="viewer", eve="editor", alma="admin")
    job, other = await make_job(world, ada, project), await make_job(world, ada, project)
    expected = {
        "vera": (200, 403, 403),
        "eve": (200, 202, 403),
        "bob": (404, 404, 404),
        "alma": (200, 202, 204),
    }
    for user, (reads, replays, deletes) in expected.items():
        client = world.as_user(user)
        assert (await client.get(f"/api/jobs/{job}")).status_code == reads, user
        found = (await client.get("/api/jobs", params={"projectId": project})).json()["jobs"]
        assert bool(found) is (reads == 200), user
        assert (await client.post(f"{IMAGE}/{job}/replay")).status_code == replays, user
        assert (await client.delete(f"{IMAGE}/{other}")).status_code == deletes, user


async def test_only_editors_of_a_stored_project_submit_to_it(
    world: World, ada: httpx.AsyncClient
) -> None:
    project = await make_project(ada, vera="viewer", eve="editor")
    body = {**NOOP, "projectId": project}
    for user, status in (("eve", 202), ("vera", 403), ("bob", 403)):
        client = world.as_user(user)
        assert (await client.post(IMAGE, json=body)).status_code == status, user
        quoted = await client.post(f"{IMAGE}?validateOnly=true", json=body)
        assert quoted.status_code == (200 if status == 202 else 403), user
    # A name that nobody has created is a label, as before.
    assert (await ada.post(IMAGE, json={**NOOP, "projectId": "label"})).status_code == 202


async def test_a_role_of_the_token_wins_over_that_of_the_store(
    world: World, ada: httpx.AsyncClient
) -> None:
    project = await make_project(ada, eve="editor")
    body = {**NOOP, "projectId": project}
    lowered = world.as_user("eve", projectRoles={project: "viewer"})
    expect_problem(await lowered.post(IMAGE, json=body), 403, "forbidden")
    raised = world.as_user("bob", projectRoles={project: "editor"})
    assert (await raised.post(IMAGE, json=body)).status_code == 202
    elsewhere = world.as_user("eve", projects=["another"])
    expect_problem(await elsewhere.post(IMAGE, json=body), 403, "forbidden")
    expect_problem(await elsewhere.get(f"{PROJECTS}/{project}"), 404, "not_found")


async def test_who_leaves_or_is_removed_sees_only_their_own_jobs(
    world: World, ada: httpx.AsyncClient
) -> None:
    project = await make_project(ada, eve="editor", vera="viewer")
    eve, vera = world.as_user("eve"), world.as_user("vera")
    job, own = await make_job(world, ada, project), await make_job(world, eve, project)
    members = f"{PROJECTS}/{project}/members"
    expect_problem(await vera.delete(f"{members}/eve"), 403, "forbidden")
    assert (await ada.delete(f"{members}/eve")).status_code == 204
    assert (await vera.delete(f"{members}/vera")).status_code == 204
    for client in (eve, vera):
        assert (await client.get(f"/api/jobs/{job}")).status_code == 404
        assert (await client.get(PROJECTS)).json() == {"projects": []}
    assert (await eve.get(f"/api/jobs/{own}")).status_code == 200
    assert (await ada.get(f"/api/jobs/{own}")).status_code == 200


async def test_the_owner_stays_until_another_member_is_made_owner(
    world: World, ada: httpx.AsyncClient
) -> None:
    project = await make_project(ada, eve="admin")
    eve, path = world.as_user("eve"), f"{PROJECTS}/{project}"
    expect_problem(await eve.delete(f"{path}/members/ada"), 409, "conflict")
    lower = {"role": "viewer"}
    expect_problem(await eve.put(f"{path}/members/ada", json=lower), 409, "conflict")
    expect_problem(await eve.put(f"{path}/owner", json={"ownerId": "eve"}), 403, "forbidden")
    strange = await ada.put(f"{path}/owner", json={"ownerId": "bob"})
    expect_problem(strange, 422, "invalid_request")
    changed = (await ada.put(f"{path}/owner", json={"ownerId": "eve"})).json()
    assert (changed["ownerId"], changed["role"]) == ("eve", "admin")
    assert (await eve.delete(f"{path}/members/ada")).status_code == 204


async def test_only_an_admin_of_the_deployment_chooses_the_id(
    world: World, ada: httpx.AsyncClient
) -> None:
    """Else a user could read all jobs that carry a name, by creating a project of it."""
    body = {"name": "Film", "projectId": "film"}
    expect_problem(await ada.post(PROJECTS, json=body), 403, "forbidden")
    root = world.as_user("root", role="admin")
    made = await root.post(PROJECTS, json={**body, "ownerId": "ada"})
    assert (made.json()["projectId"], made.json()["ownerId"]) == ("film", "ada")
    expect_problem(await root.post(PROJECTS, json=body), 409, "conflict")
    wrong = await root.post(PROJECTS, json={"name": "x", "projectId": "a/b"})
    expect_problem(wrong, 422, "invalid_request")
    recorded = [one["action"] for one in (await root.get("/api/audit")).json()["entries"]]
    assert "project created for ada" in recorded


async def test_a_project_spends_no_more_than_its_cap_and_gets_back_what_is_released(
    world: World, ada: httpx.AsyncClient
) -> None:
    project = await make_project(ada, eve="editor")
    path, eve = f"{PROJECTS}/{project}", world.as_user("eve")
    capped = await ada.put(f"{path}/caps", json={"daily": 2, "monthly": 10})
    assert (capped.json()["daily"]["limit"], capped.json()["daily"]["spent"]) == (2, 0)
    failed = image_request("fail-permanent")
    for client in (ada, eve):
        await submit_job(client, {**failed, "projectId": project})
    problem = expect_problem(
        await eve.post(IMAGE, json={**NOOP, "projectId": project}), 402, "spend_cap_reached"
    )
    assert f"the project {project}'s daily cap" in problem["detail"]
    assert (await read_balance(eve))["held"] == 1
    await world.advance(60)  # both fail, and their holds are released
    assert (await ada.get(path)).json()["daily"]["spent"] == 0
    await make_job(world, eve, project)
    found = (await ada.get(path)).json()
    assert (found["daily"]["spent"], found["monthly"]["spent"]) == (1, 1)
    # What names no project, or another, is no spend of this one.
    await submit_job(eve)
    assert (await ada.get(path)).json()["daily"]["spent"] == 1


async def test_a_retry_counts_again_in_its_project(world: World, ada: httpx.AsyncClient) -> None:
    project = await make_project(ada)
    job = await submit_job(ada, {**image_request("fail-permanent"), "projectId": project})
    await world.advance(60)
    await ada.put(f"{PROJECTS}/{project}/caps", json={"daily": 0})
    refused = await ada.post(f"{IMAGE}/{job['jobId']}/retry")
    expect_problem(refused, 402, "spend_cap_reached")
    await ada.put(f"{PROJECTS}/{project}/caps", json={"daily": 1})
    assert (await ada.post(f"{IMAGE}/{job['jobId']}/retry")).status_code == 202
    assert (await ada.get(f"{PROJECTS}/{project}")).json()["daily"]["spent"] == 1


async def test_the_owner_is_told_once_that_most_of_a_cap_is_spent(
    world: World, ada: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    project = await make_project(ada, eve="editor")
    await ada.put(f"{PROJECTS}/{project}/caps", json={"monthly": 5})
    endpoint = await ada.post(
        "/api/webhook-endpoints",
        json={"url": "https://example.com/hook", "events": ["credits.*"]},
    )
    for _ in range(5):
        await submit_job(world.as_user("eve"), {**NOOP, "projectId": project})
    path = f"/api/webhook-endpoints/{endpoint.json()['endpointId']}/deliveries"
    (delivery,) = (await ada.get(path)).json()["deliveries"]
    assert delivery["event"] == "credits.spend_alert"
    told = [one for one in caplog.records if getattr(one, "action", "") == "spend_alert"]
    assert [(one.__dict__["project_id"], one.__dict__["spent"]) for one in told] == [(project, 4)]
    await world.advance(60)
    await world.sweep()
    alerts = (await world.as_user("root", role="admin").get("/api/alerts")).json()["alerts"]
    assert [(one["kind"], one["subject"]) for one in alerts] == [("spend-cap", "projects")]


async def test_an_admin_lists_everybodys_projects_in_pages(
    world: World, ada: httpx.AsyncClient
) -> None:
    root = world.as_user("root", role="admin")
    made = {await make_project(client) for client in (ada, world.as_user("bob"), ada)}
    path = f"{PROJECTS}?allUsers=true&limit=2"
    first = (await root.get(path)).json()
    second = (await root.get(f"{path}&cursor={first['nextCursor']}")).json()
    assert [len(page["projects"]) for page in (first, second)] == [2, 1]
    assert {one["projectId"] for page in (first, second) for one in page["projects"]} == made
    assert "nextCursor" not in second
    assert (await root.get(PROJECTS)).json() == {"projects": []}  # of which root is a member
    expect_problem(await root.get(f"{path}&cursor=a/b"), 422, "invalid_request")
