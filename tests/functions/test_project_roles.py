"""Members of a project: each route and each role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from functions.job_requests import NOOP, expect_problem, image_request, submit_job
from simulation.world import World
from taskreel.app.caller import Caller, ProjectRole
from taskreel.app.live.job_scope import Scope, ScopeKind, Source, open_scope

FAILING = image_request("fail-permanent")
IMAGE = "/api/jobs/image-generation"
#: The members of project film, and who has no part in it.
ROLES: Mapping[str, dict[str, Any]] = {
    "stranger": {},
    "other-project": {"projectRoles": {"another": "admin"}},
    "listed": {"projects": ["film"]},  # may submit to it: that alone shows nothing of others
    "viewer": {"projectRoles": {"film": "viewer"}},
    "editor": {"projectRoles": {"film": "editor"}},
    "manager": {"projectRoles": {"film": "admin"}},
    "owner": {},
    "root": {"role": "admin"},
}
OUTSIDE = {"stranger", "other-project", "listed"}
CHANGERS = {"editor", "manager", "owner", "root"}
DELETERS = {"manager", "owner", "root"}
READERS = CHANGERS | {"viewer"}


@pytest.fixture
def clients(world: World) -> Mapping[str, httpx.AsyncClient]:
    return {name: world.as_user(name, **claims) for name, claims in ROLES.items()}


def expect(answer: httpx.Response, role: str, allowed: set[str]) -> None:
    if role in allowed:
        assert answer.is_success, (role, answer.text)
    elif role in OUTSIDE:
        expect_problem(answer, 404, "not_found")
    else:
        expect_problem(answer, 403, "forbidden")


async def make_job(world: World, owner: httpx.AsyncClient, state: str) -> str:
    body = dict(FAILING if state == "failed" else NOOP)
    if state == "waiting":
        body["scheduleAt"] = (world.now().replace(microsecond=0)).isoformat()
    body["projectId"] = "film"
    if state == "waiting":
        world.cut_off = True
    job = await submit_job(owner, body)
    if state != "waiting":
        await world.advance(60)
    return str(job["jobId"])


READS = (
    "/api/jobs/{id}",
    "/api/jobs/image-generation/{id}",
    "/api/jobs/image-generation/{id}/progress",
    "/api/jobs/image-generation/{id}/result",
    "/api/jobs/image-generation/{id}/history",
    "/api/queue/{id}/position",
)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path", READS)
async def test_members_read_the_jobs_of_all_members(
    world: World, clients: Mapping[str, httpx.AsyncClient], path: str, role: str
) -> None:
    job = await make_job(world, clients["owner"], "done")
    expect(await clients[role].get(path.format(id=job)), role, READERS)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("state", "request_", "allowed"),
    [
        ("waiting", "POST /cancel", CHANGERS),
        ("waiting", "DELETE ", CHANGERS),
        ("failed", "POST /retry", CHANGERS),
        ("done", "POST /replay", CHANGERS),
        ("done", "DELETE ", DELETERS),
    ],
)
async def test_editors_change_and_admins_delete_the_jobs_of_all_members(
    world: World,
    clients: Mapping[str, httpx.AsyncClient],
    state: str,
    request_: str,
    allowed: set[str],
    role: str,
) -> None:
    job = await make_job(world, clients["owner"], state)
    method, action = request_.split(" ")
    answer = await clients[role].request(method, f"{IMAGE}/{job}{action}")
    expect(answer, role, allowed)


@pytest.mark.parametrize("role", ROLES)
async def test_a_project_is_listed_with_the_jobs_of_all_for_its_members(
    world: World, clients: Mapping[str, httpx.AsyncClient], role: str
) -> None:
    job = await make_job(world, clients["owner"], "done")
    private = (await submit_job(clients["owner"]))["jobId"]
    await world.advance(60)
    listed = await clients[role].get("/api/jobs", params={"projectId": "film"})
    found = [one["jobId"] for one in listed.json()["jobs"]]
    assert found == ([job] if role in READERS else [])
    everything = await clients[role].get("/api/jobs")
    seen = {one["jobId"] for one in everything.json()["jobs"]}
    assert (private in seen) is (role in {"owner", "root"})
    answer = await clients[role].get(f"/api/jobs/{private}")
    assert answer.status_code == (200 if role in {"owner", "root"} else 404)


@pytest.mark.parametrize("role", ["stranger", "viewer", "root"])
async def test_a_project_is_followed_with_the_changes_of_all_for_its_members(
    world: World, clients: Mapping[str, httpx.AsyncClient], role: str
) -> None:
    """The scope of the socket gateway; an outsider gets the changes of their own jobs in it."""
    del clients
    roles = {"film": ProjectRole.VIEWER} if role == "viewer" else {}
    caller = Caller(user_id=role, admin=role == "root", roles=roles)
    opened = await open_scope(world.services, caller, Scope(ScopeKind.PROJECT, "film"))
    own = Source("userId", role)
    assert opened.source == (own if role == "stranger" else Source("projectId", "film"))


@pytest.mark.parametrize("role", ROLES)
async def test_a_bulk_operation_changes_what_its_starter_may_change(
    world: World, clients: Mapping[str, httpx.AsyncClient], role: str
) -> None:
    await make_job(world, clients["owner"], "failed")
    order = {"action": "delete", "filter": {"projectId": "film"}, "limit": 5}
    started = await clients[role].post("/api/operations", json=order)
    assert started.status_code == 202, started.text
    await world.advance(5)
    path = f"/api/operations/{started.json()['operationId']}"
    done = (await clients[role].get(path)).json()
    changed, refused = int(role in DELETERS), int(role in READERS - DELETERS)
    assert (done["changed"], done["refused"]) == (changed, refused)


@pytest.mark.parametrize("role", ["viewer", "editor"])
async def test_a_viewer_submits_nothing_to_the_project(
    clients: Mapping[str, httpx.AsyncClient], role: str
) -> None:
    answer = await clients[role].post(IMAGE, json={**NOOP, "projectId": "film"})
    if role == "viewer":
        expect_problem(answer, 403, "forbidden")
    else:
        assert answer.status_code == 202


@pytest.mark.parametrize("wrong", [["film"], {"film": "owner"}, "film", {"film": 3}])
async def test_a_role_that_there_is_not_makes_the_token_invalid(world: World, wrong: Any) -> None:
    answer = await world.as_user("ada", projectRoles=wrong).get("/api/jobs")
    expect_problem(answer, 401, "unauthenticated")


async def test_a_stream_token_carries_the_roles(
    world: World, clients: Mapping[str, httpx.AsyncClient]
) -> None:
    job = await make_job(world, clients["owner"], "done")
    token = (await clients["viewer"].post("/api/stream-tokens")).json()["token"]
    bare = world.as_user("viewer")
    del bare.headers["authorization"]
    path = f"/api/jobs/{job}/events"
    assert (await bare.get(path, params={"token": token})).status_code == 200


async def test_an_editor_may_replay_but_not_edit_what_runs_as_its_owner(
    world: World, clients: Mapping[str, httpx.AsyncClient]
) -> None:
    """An edit could read the owner's other jobs, sign as the owner, and leave the project."""
    job_id = await make_job(world, clients["owner"], "done")
    for edit in ({"projectId": None}, {"prompt": "of mine"}):
        answer = await clients["editor"].post(f"{IMAGE}/{job_id}/replay", json={"edit": edit})
        expect_problem(answer, 403, "forbidden")
    assert (await clients["editor"].post(f"{IMAGE}/{job_id}/replay", json={})).is_success
    edited = await clients["owner"].post(f"{IMAGE}/{job_id}/replay", json={"edit": {"prompt": "x"}})
    assert edited.is_success


@pytest.mark.parametrize("roles", [{"film": ["editor"]}, {"film": {}}, {"film": 1}])
async def test_a_role_that_is_no_name_is_an_invalid_token(world: World, roles: Any) -> None:
    answer = await world.as_user("ada", projectRoles=roles).get("/api/jobs")
    expect_problem(answer, 401, "unauthenticated")
