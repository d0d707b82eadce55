"""The rights of every route, for every kind of caller.

The routes come from the OpenAPI document and from the applications of the other APIs: a new route
fails here until RIGHTS of `route_rights` has its row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from functions.job_requests import NOOP, image_request, submit_job
from functions.route_rights import (
    BODIES,
    IMAGE,
    OTHER_RIGHTS,
    REASON,
    RIGHTS,
    SIGNED_LINKS,
    TEMPLATE,
    Right,
)
from simulation.world import KEY, World, token
from taskreel.domain.job_status import Status
from taskreel.ports import Query
from taskreel.store_collections import AUDIT, JOBS
from taskreel.web.other_apis import fal_api, openai_api, replicate_api

_TYPE = "image-generation"
#: Queues in memory have none.
_LOCATIONS = ("europe-central2", "europe-west1")


class Tenants:
    """The owner ada, with one of each thing; another user; an admin; and callers without rights."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ada = world.as_user("ada")
        self.bob = world.as_user("bob")
        self.admin = world.as_user("root", role="admin")
        self.stranger = world.as_user("ada", key="another-secret-that-signs-for-no-one-here")

    async def _open_account(self, user_id: str) -> None:
        """Only a user whom a document names can be erased."""
        body = {"amount": 1, **REASON}
        assert (await self.admin.post(f"/api/credits/{user_id}/grants", json=body)).is_success

    async def make(self, name: str) -> str:
        """A new thing of ada's for a path's parameter."""
        fixed = {
            "job_type": "image-generation",
            "provider": "bfl",
            "model": "flux-2-pro",
            "model:path": "taskreel/image-generation",
            "owner": "taskreel",
            "alias": "image-generation",
            "version": "1",
            "location": _LOCATIONS[0],
        }
        if name in fixed:
            return fixed[name]
        if name == "user_id":
            await self._open_account("ada")
            return "ada"
        if name == "erasure_id":
            await self._open_account("gone")
            answer = await self.admin.post("/api/accounts/gone/erasure", json=REASON)
            return str(answer.json()["erasureId"])
        path, body, key = {
            "job_id": (IMAGE, image_request("pending", times=1, seconds=60), "jobId"),
            "movie_id": ("/api/movies", {"prompt": "a kite", "num_sequences": 2}, "movieId"),
            "recurring_job_id": (
                "/api/jobs/recurring",
                {"jobType": "image-generation", "data": NOOP, "cronExpression": "0 * * * *"},
                "recurringJobId",
            ),
            "endpoint_id": (
                "/api/webhook-endpoints",
                {"url": "https://example.com/hooks"},
                "endpointId",
            ),
            "upload_id": ("/api/uploads", _order_upload(), "uploadId"),
            "file_id": ("/api/uploads", _order_upload(), "uploadId"),
            "operation_id": (
                "/api/operations",
                {"action": "cancel", "filter": {"status": ["QUEUED"]}, "limit": 1},
                "operationId",
            ),
            "name": ("/api/templates", TEMPLATE, "name"),
            "project_id": ("/api/projects", {"name": "The film"}, "projectId"),
            "delivery_id": ("", None, ""),
        }[name]
        if name == "delivery_id":
            endpoint = await self.make("endpoint_id")
            answer = await self.ada.post(f"/api/webhook-endpoints/{endpoint}/test")
            found = await self.ada.get(f"/api/webhook-endpoints/{endpoint}/deliveries")
            return str(found.json()["deliveries"][0]["deliveryId"])
        answer = await self.ada.post(path, json=body)
        if name == "name" and answer.status_code == 409:
            return "poster"
        assert answer.is_success, f"{path}: {answer.text}"
        found = answer.json()
        return str(found.get(key) or found["template"][key])

    async def fill(self, path: str) -> str:
        """The path with things of ada's for its parameters."""
        if "{key_id}" in path:
            project = await self.make("project_id")
            keys = f"/api/projects/{project}/keys"
            made = (await self.ada.post(keys, json={"name": "server"})).json()
            return path.format(project_id=project, key_id=made["keyId"])
        parts = path.split("{")
        filled = parts[0]
        for part in parts[1:]:
            name, _, rest = part.partition("}")
            if path.startswith("/replicate/") and name == "name":
                filled += "image-generation" + rest
            else:
                filled += await self.make(name) + rest
        return filled


def _order_upload() -> dict[str, Any]:
    return {"name": "a.png", "contentType": "image/png", "bytes": 1}


async def send(client: httpx.AsyncClient, route: str, path: str) -> int:
    """The status of the answer; event streams are closed after their head."""
    method = route.partition(" ")[0]
    body = BODIES.get(route)
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if value is not None or name == "state"}
    async with client.stream(method, path, json=body) as answer:
        return answer.status_code


@pytest.fixture
def tenants(world: World, monkeypatch: pytest.MonkeyPatch) -> Tenants:
    monkeypatch.setattr(world.tasks, "list_locations", lambda: _LOCATIONS)
    return Tenants(world)


async def test_every_route_has_a_row(world: World) -> None:
    document = (await world.api.get("/api/openapi.json")).json()
    routes = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert routes == RIGHTS.keys()


def test_every_route_of_the_other_apis_has_a_row() -> None:
    found = set()
    for api in (fal_api, openai_api, replicate_api):
        app: Any = api.build_app()
        for route in (app if hasattr(app, "routes") else app._app).routes:
            found |= {f"{method} {route.path}" for method in route.methods - {"HEAD"}}
    signed = {route for route in found if route.startswith(SIGNED_LINKS)}
    assert len(signed) == len(SIGNED_LINKS)
    assert found - signed == OTHER_RIGHTS.keys()


#: The answer holds until a job changes: a status tells nothing before that.
_ENDLESS = ("/events", "/status/stream")


@pytest.mark.parametrize("route", [*RIGHTS, *OTHER_RIGHTS])
async def test_a_route_serves_those_who_have_the_right(tenants: Tenants, route: str) -> None:
    right = {**RIGHTS, **OTHER_RIGHTS}[route]
    is_endless = route.endswith(_ENDLESS)
    path = await tenants.fill(route.partition(" ")[2])
    anonymous = tenants.world.api
    if right is Right.OPEN:
        # A webhook without its provider's signature is refused by itself.
        assert await send(anonymous, route, path) < 500
        return
    for client in (anonymous, tenants.stranger):
        assert await send(client, route, path) == 401
    other = await send(tenants.bob, route, path) if right is not Right.USER else None
    match right:
        case Right.ADMIN | Right.SELF:
            assert other == 403
        case Right.OWNER | Right.ONLY_OWNER:
            assert other == 404
        case _:
            assert other is None
    if is_endless:
        return  # tests/live and the released clients follow them to their ends
    allowed = {
        Right.ADMIN: [tenants.admin],
        Right.USER: [tenants.ada, tenants.admin],
        Right.ONLY_OWNER: [tenants.ada],
    }.get(right, [tenants.ada, tenants.admin])
    for client in allowed:
        # What an owner has deleted or changed is made again for the admin.
        path = await tenants.fill(route.partition(" ")[2])
        status = await send(client, route, path)
        # A user without a body is told what is missing; a state may forbid what the right allows.
        refused = {401, 403} if right is Right.USER else {401, 403, 404, 422}
        assert status not in refused, f"{status} for one who may"
        assert status < 500
    if right is Right.ADMIN:
        assert await send(tenants.ada, route, path) == 403  # even for what is about oneself


#: The roles of a job's project by their claim, and the methods that each may use on the job.
#: A DELETE of a job that goes on cancels it.
MEMBERS: Mapping[str | None, frozenset[str]] = {
    None: frozenset(),
    "viewer": frozenset({"GET"}),
    "editor": frozenset({"GET", "POST", "PUT", "DELETE"}),
    "admin": frozenset({"GET", "POST", "PUT", "DELETE"}),
}
_ROUTES_OF_JOBS = [
    route
    for route, right in {**RIGHTS, **OTHER_RIGHTS}.items()
    if right is Right.OWNER and "{job_id}" in route and not route.endswith(_ENDLESS)
]


@pytest.mark.parametrize("role", MEMBERS)
async def test_a_member_uses_the_routes_of_a_projects_job_by_the_role(
    world: World, role: str | None
) -> None:
    claims = {"projectRoles": {"film": role}} if role else {}
    owner, member = world.as_user("ada"), world.as_user("bob", **claims)
    body = {**image_request("pending", times=1, seconds=60), "projectId": "film"}
    for route in _ROUTES_OF_JOBS:
        method, _, path = route.partition(" ")
        job = await submit_job(owner, body)
        parts = {"owner": "taskreel", "alias": _TYPE, "job_type": _TYPE}
        filled = path.format(job_id=job["jobId"], **parts)
        status = await send(member, route, filled)
        if method in MEMBERS[role]:
            assert status < 500, route
            assert status not in {401, 403, 404}, route
        else:
            assert status == (403 if role else 404), route


#: Of what an admin may change of others', what cannot be done to a new thing of ada's.
_NEEDS_A_STATE = frozenset(
    {
        "POST /api/jobs/{job_type}/{job_id}/retry",
        "POST /api/jobs/{job_type}/{job_id}/replay",
        "POST /api/jobs/{job_type}/{job_id}/reschedule",
        "POST /api/jobs/recurring/{recurring_job_id}/take-over",
        "POST /api/alerts/test",
        # Nothing is paused, drained or waiting, and ada is the project's owner.
        "POST /api/jobs/recurring/{recurring_job_id}/resume",
        "POST /api/jobs/queues/{job_type}/resume",
        "POST /api/jobs/queues/locations/{location}/resume",
        "DELETE /api/jobs/queues/{job_type}/clear",
        "DELETE /api/projects/{project_id}/members/{user_id}",
    }
)
_CHANGES = [
    route
    for route, right in {**RIGHTS, **OTHER_RIGHTS}.items()
    if right in {Right.ADMIN, Right.OWNER, Right.SELF} and not route.startswith("GET ")
]


async def count_entries(tenants: Tenants) -> int:
    rows = await tenants.world.services.store.query(Query(collection=AUDIT))
    return sum(row.value.user_id == "root" for row in rows)


@pytest.mark.parametrize("route", _CHANGES)
async def test_what_an_admin_changes_of_others_is_in_the_audit_log(
    tenants: Tenants, route: str
) -> None:
    path = await tenants.fill(route.partition(" ")[2])
    before = await count_entries(tenants)
    status = await send(tenants.admin, route, path)
    if route in _NEEDS_A_STATE:
        assert await count_entries(tenants) == before, "nothing was changed"
        return
    assert status < 300
    assert await count_entries(tenants) > before


async def test_what_a_user_does_to_their_own_things_is_not_there(tenants: Tenants) -> None:
    for route in _CHANGES:
        if {**RIGHTS, **OTHER_RIGHTS}[route] is Right.OWNER and "/projects/" not in route:
            await send(tenants.ada, route, await tenants.fill(route.partition(" ")[2]))
    assert await count_entries(tenants) == 0
    rows = await tenants.world.services.store.query(Query(collection=AUDIT))
    assert {row.value.user_id for row in rows} <= {"ada"}
    assert {row.value.action.partition(" ")[0] for row in rows} <= {"project"}


async def test_what_an_admin_does_to_jobs_and_schedules_in_other_states_is_recorded_too(
    tenants: Tenants,
) -> None:
    world, admin = tenants.world, tenants.admin
    failed = (await submit_job(tenants.ada, image_request("fail-permanent")))["jobId"]
    later = {"jobType": "image-generation", "data": NOOP, "delay": 3_600_000}
    waiting = (await tenants.ada.post("/api/jobs/delayed", json=later)).json()["jobId"]
    await world.settle()
    project = {"projectId": (await tenants.make("project_id"))}
    weekly = {
        "jobType": "image-generation",
        "data": {**NOOP, **project},
        "cronExpression": "0 0 * * 1",
    }
    recurring = (await tenants.ada.post("/api/jobs/recurring", json=weekly)).json()
    schedule = f"/api/jobs/recurring/{recurring['recurringJobId']}"
    members = f"/api/projects/{project['projectId']}/members"
    location = f"/api/jobs/queues/locations/{_LOCATIONS[0]}"
    delivery = await tenants.make("delivery_id")
    await world.advance(5)
    for method, path, body in (
        ("PUT", f"{members}/root", {"role": "admin"}),
        ("DELETE", f"{members}/root", None),
        ("PUT", f"{members}/root", {"role": "admin"}),
        ("POST", f"{IMAGE}/{waiting}/reschedule", {"delay": 60_000}),
        ("POST", f"{IMAGE}/{failed}/retry", None),
        ("POST", f"{schedule}/pause", None),
        ("POST", f"{schedule}/resume", None),
        ("POST", f"{schedule}/take-over", None),
        ("POST", f"/api/jobs/queues/{_TYPE}/pause", REASON),
        ("POST", f"/api/jobs/queues/{_TYPE}/resume", REASON),
        ("POST", f"{location}/drain", REASON),
        ("POST", f"{location}/resume", REASON),
        ("POST", "/api/providers/bfl/flux-2-pro/breaker", {"state": "open", **REASON}),
        ("POST", f"/api/webhook-deliveries/{delivery}/redeliver", None),
    ):
        before = await count_entries(tenants)
        answer = await admin.request(method, path, json=body)
        assert answer.is_success, answer.text
        assert await count_entries(tenants) == before + 1, path
    await world.settle()
    replayed = await admin.post(f"{IMAGE}/{failed}/replay", json={})
    assert replayed.is_success, replayed.text
    await world.settle()
    gone = replayed.json()["jobId"]
    assert (await admin.delete(f"{IMAGE}/{gone}")).status_code == 204
    rows = await world.services.store.query(Query(collection=AUDIT))
    recorded = {(row.value.action, row.value.subject) for row in rows}
    assert recorded >= {
        ("job moved", waiting),
        ("job retried", failed),
        ("recurring job taken over", recurring["recurringJobId"]),
        ("webhook sent again", delivery),
        ("job replayed", failed),
        ("job removed", gone),
    }


async def test_a_bulk_operation_of_an_admin_is_one_entry(tenants: Tenants) -> None:
    for _ in range(3):
        await submit_job(tenants.ada, image_request("pending", times=1, seconds=600))
    order = {"action": "cancel", "filter": {"userId": "ada"}, "limit": 3, **REASON}
    assert (await tenants.admin.post("/api/operations", json=order)).is_success
    await tenants.world.advance(10)
    jobs = await tenants.world.services.store.query(Query(collection=JOBS))
    assert {row.value.status for row in jobs} == {Status.CANCELLED}
    assert await count_entries(tenants) == 1


async def test_the_processor_and_the_sweep_take_the_internal_key_and_no_token(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    tokens = (token("ada"), token("root", role="admin"), KEY)
    for app, path in await list_internal_routes(world):
        for headers in (
            {},
            *({"Authorization": f"Bearer {one}"} for one in tokens),
            *({"X-Internal-Api-Key": one} for one in ("", "wrong", f"{KEY}x", KEY[:-1], tokens[0])),
        ):
            answer = await app.post(path, json={"jobId": job["jobId"]}, headers=headers)
            assert answer.status_code in {401, 403}, answer.text
    # Nor does the key open the API.
    headers = {"X-Internal-Api-Key": KEY, "Authorization": f"Bearer {KEY}"}
    assert (await world.api.get("/api/jobs", headers=headers)).status_code == 401


async def list_internal_routes(world: World) -> list[tuple[httpx.AsyncClient, str]]:
    """Each internal application with each of its routes, which its refusal of another names."""
    found = []
    for app in (world.processor, world.maintenance):
        refused = await app.post("/tasks/other", headers={"X-Internal-Api-Key": KEY})
        assert refused.status_code == 404
        found += [(app, path) for path in re.findall(r"/tasks/\w+", refused.json()["detail"])]
    assert [path for _, path in found] == ["/tasks/process", "/tasks/sweep", "/tasks/audit"]
    return found


async def test_the_dashboard_is_a_page_without_data(world: World) -> None:
    for path in ("/dashboard", "/dashboard/jobs/job_1"):
        answer = await world.api.get(path, follow_redirects=True)
        assert answer.headers["content-type"].startswith("text/html")
        assert "job_1" not in answer.text
