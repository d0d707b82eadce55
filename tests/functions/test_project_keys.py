"""API keys of a project: their callers, what those may do, and how a key ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    IMAGE,
    NOOP,
    expect_problem,
    image_request,
    read_balance,
    submit_job,
)
from functions.test_project_account import expect_sound_books, grant, read_numbers
from functions.test_projects import PROJECTS, make_project
from simulation.world import World
from taskreel.app.projects.key_callers import KEY_AGE
from taskreel.store_collections import PROJECTS as STORED_PROJECTS

LATER = "2100-01-01T00:00:00Z"


async def make_key(admin: httpx.AsyncClient, project: str, **order: Any) -> dict[str, Any]:
    answer = await admin.post(f"{PROJECTS}/{project}/keys", json={"name": "server", **order})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def use_key(world: World, token: str) -> httpx.AsyncClient:
    client = world.as_user("stranger")
    client.headers["authorization"] = f"Bearer {token}"
    return client


def count_reads(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The collections of the documents that are read from now on, one for each read."""
    read: list[str] = []
    store = world.services.store
    get = store.get

    async def counting(collection: Any, id_: str, /) -> Any:
        read.append(collection.name)
        return await get(collection, id_)

    monkeypatch.setattr(store, "get", counting)
    return read


@pytest.fixture
async def film(ada: httpx.AsyncClient) -> str:
    return await make_project(ada, eve="editor", vera="viewer")


async def test_a_keys_jobs_are_its_projects_and_paid_by_it(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    await grant(admin, film, 10)
    made = await make_key(ada, film)
    assert made["token"].startswith(f"tk_{film}_")
    assert made["userId"] == f"key:{film}:{made['keyId']}"
    server = use_key(world, made["token"])
    quote = (await server.post(f"{IMAGE}?validateOnly=true", json=NOOP)).json()
    assert quote["credits"] == {"available": 10, "sufficient": True}
    job = await submit_job(server, NOOP)
    await world.advance(60)
    shown = (await ada.get(f"/api/jobs/{job['jobId']}")).json()
    assert (shown["status"], shown["projectId"]) == ("COMPLETED", film)
    assert (await world.job(job["jobId"])).user_id == made["userId"]
    assert await read_numbers(server, film) == (9, 0, 1)
    assert [one["projectId"] for one in (await server.get(PROJECTS)).json()["projects"]] == [film]
    elsewhere = await server.post(IMAGE, json={**NOOP, "projectId": "another"})
    expect_problem(elsewhere, 403, "forbidden")
    await expect_sound_books(world)


async def test_the_refusal_of_a_key_whose_project_does_not_pay_names_the_way_out(
    world: World, ada: httpx.AsyncClient, film: str
) -> None:
    server = use_key(world, (await make_key(ada, film))["token"])
    problem = expect_problem(await server.post(IMAGE, json=NOOP), 402, "insufficient_credits")
    assert "costs 1 credit," in problem["detail"]
    assert f"POST /api/projects/{film}/grants" in problem["detail"]
    quote = (await server.post(f"{IMAGE}?validateOnly=true", json=NOOP)).json()
    assert quote["credits"]["sufficient"] is False
    # No account of its own is a source of credits, however many keys there are.
    assert (await server.get("/api/credits")).json()["granted"] == 0
    await expect_sound_books(world)


async def test_a_key_has_the_role_it_was_given_and_manages_no_project(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    await grant(admin, film, 10)
    bodies = [{**NOOP, "projectId": film}] * 6
    jobs = [str((await submit_job(ada, body))["jobId"]) for body in bodies]
    await world.advance(60)
    other = str((await submit_job(ada, NOOP))["jobId"])
    expected = {"viewer": (200, 403, 403), "editor": (200, 202, 403), "admin": (200, 202, 204)}
    for place, (role, (reads, replays, deletes)) in enumerate(expected.items()):
        job, removable = jobs[place], jobs[place + 3]
        made = await make_key(ada, film, role=role)
        server = use_key(world, made["token"])
        assert (await server.get(f"/api/jobs/{job}")).status_code == reads, role
        assert (await server.get(f"/api/jobs/{other}")).status_code == 404, role
        assert (await server.post(f"{IMAGE}/{job}/replay")).status_code == replays, role
        assert (await server.delete(f"{IMAGE}/{removable}")).status_code == deletes, role
        path = f"{PROJECTS}/{film}"
        for answer in (
            await server.post(PROJECTS, json={"name": "another"}),
            await server.put(f"{path}/members/mallory", json={"role": "admin"}),
            await server.put(f"{path}/caps", json={"daily": None}),
            await server.post(f"{path}/keys", json={"name": "another"}),
            await server.get(f"{path}/keys"),
            await server.post(f"{path}/keys/{made['keyId']}/rotate"),
            await server.delete(f"{path}/keys/{made['keyId']}"),
            await server.post(f"{path}/grants", json={"amount": 1}),
            await server.get("/api/accounts"),
        ):
            expect_problem(answer, 403, "forbidden")


async def test_only_admins_of_the_project_create_list_and_revoke_keys(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    path = f"{PROJECTS}/{film}/keys"
    made = await make_key(ada, film, name="render server", expiresAt=LATER)
    for user, status, code in (
        ("vera", 403, "forbidden"),
        ("eve", 403, "forbidden"),
        ("bob", 404, "not_found"),
    ):
        client = world.as_user(user)
        expect_problem(await client.get(path), status, code)
        expect_problem(await client.post(path, json={"name": "mine"}), status, code)
        expect_problem(await client.post(f"{path}/{made['keyId']}/rotate"), status, code)
        expect_problem(await client.delete(f"{path}/{made['keyId']}"), status, code)
    # Neither a list nor the store has the token.
    listed = (await admin.get(path)).json()["keys"]
    assert listed == [{name: value for name, value in made.items() if name != "token"}]
    stored = await world.services.store.get(STORED_PROJECTS, film)
    assert stored is not None
    assert made["token"].rpartition("_")[2] not in stored.model_dump_json()
    expect_problem(await ada.post(path, json={"name": "x", "tier": "pro"}), 403, "forbidden")
    assert (await make_key(admin, film, tier="enterprise"))["tier"] == "enterprise"
    past = await ada.post(path, json={"name": "x", "expiresAt": "2020-01-01T00:00:00Z"})
    assert expect_problem(past, 422, "invalid_request")["errors"][0]["path"] == "expiresAt"
    assert (await ada.delete(f"{path}/{made['keyId']}")).status_code == 204
    expect_problem(await ada.delete(f"{path}/{made['keyId']}"), 404, "not_found")
    entries = (await admin.get("/api/audit", params={"text": "project key"})).json()["entries"]
    assert [one["action"].rpartition(": ")[0] for one in entries][::-1] == [
        "project key created",
        "project key created",
        "project key revoked",
    ]


async def test_a_revoked_key_spends_nothing_from_then_on_at_any_process(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    await grant(admin, film, 10)
    made = await make_key(ada, film)
    server = use_key(world, made["token"])
    job = await submit_job(server, NOOP)
    known = dict(world.services.counts.keys_of_project)
    assert (await ada.delete(f"{PROJECTS}/{film}/keys/{made['keyId']}")).status_code == 204
    expect_problem(await server.get(f"/api/jobs/{job['jobId']}"), 401, "unauthenticated")
    # Another process still has the key in memory: it may read for some seconds, and spend nothing.
    world.services.counts.keys_of_project.update(known)
    assert (await server.get(f"/api/jobs/{job['jobId']}")).status_code == 200
    expect_problem(await server.post(IMAGE, json=NOOP), 403, "forbidden")
    expect_problem(await server.get("/api/jobs/events"), 401, "unauthenticated")
    await world.advance(KEY_AGE.total_seconds())
    expect_problem(await server.get(f"/api/jobs/{job['jobId']}"), 401, "unauthenticated")
    assert (await ada.get(f"/api/jobs/{job['jobId']}")).status_code == 200


async def test_a_key_ends_at_its_expiry(world: World, ada: httpx.AsyncClient, film: str) -> None:
    at = world.now() + timedelta(seconds=90)
    server = use_key(world, (await make_key(ada, film, expiresAt=at.isoformat()))["token"])
    assert (await server.get("/api/jobs")).status_code == 200
    await world.advance(91)
    problem = expect_problem(await server.get("/api/jobs"), 401, "unauthenticated")
    assert "expired" in problem["detail"]


async def test_a_rotated_key_is_the_same_user_and_its_old_token_ends(
    world: World, ada: httpx.AsyncClient, film: str
) -> None:
    made = await make_key(ada, film)
    path = f"{PROJECTS}/{film}/keys/{made['keyId']}/rotate"
    rotated = (await ada.post(path, json={"overlapSeconds": 60})).json()
    assert (rotated["userId"], rotated["token"] != made["token"]) == (made["userId"], True)
    old, new = use_key(world, made["token"]), use_key(world, rotated["token"])
    assert [(await one.get("/api/jobs")).status_code for one in (old, new)] == [200, 200]
    await world.advance(60)
    assert [(await one.get("/api/jobs")).status_code for one in (old, new)] == [401, 200]
    again = (await ada.post(path)).json()
    latest = use_key(world, again["token"])
    found = [(await one.get("/api/jobs")).status_code for one in (old, new, latest)]
    assert found == [401, 401, 200]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-1],
        lambda token: token[:-1] + ("a" if token[-1] != "a" else "b"),
        lambda token: token.replace("tk_prj_", "tk_prj_x"),
        lambda token: token.upper(),
        lambda token: f"{token}\u0000",
        lambda _: "tk_",
    ],
    ids=["shorter", "another secret", "another project", "in capitals", "with a NUL", "empty"],
)
async def test_no_other_text_is_taken_for_a_key(
    world: World, ada: httpx.AsyncClient, film: str, spoil: Any
) -> None:
    spoiled = spoil((await make_key(ada, film))["token"]).encode()
    client = world.as_user("stranger")
    client.headers = httpx.Headers([(b"authorization", b"Bearer " + spoiled)])
    problem = expect_problem(await client.get("/api/jobs"), 401, "unauthenticated")
    assert spoiled.decode()[3:] not in problem["detail"] or spoiled == b"tk_"


async def test_a_flood_of_invented_keys_reads_the_store_a_bounded_number_of_times(
    world: World, monkeypatch: pytest.MonkeyPatch, ada: httpx.AsyncClient, film: str
) -> None:
    made = await make_key(ada, film)
    secret = made["token"].rpartition("_")[2]
    reads = count_reads(world, monkeypatch)
    statuses = set()
    for number in range(60):
        client = use_key(world, f"tk_guess{number}_{secret}")
        client.headers["x-forwarded-for"] = f"10.0.0.{number}"
        statuses.add((await client.get("/api/jobs")).status_code)
    assert statuses == {401, 429}
    assert len(reads) <= 50
    # Whose project is known is not kept out by it.
    assert (await use_key(world, made["token"]).get("/api/jobs")).status_code == 200


async def test_a_key_is_accepted_by_the_apis_of_other_services(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    await grant(admin, film, 10)
    token = (await make_key(ada, film))["token"]
    client = world.as_user("stranger")
    for scheme, path, body in (
        ("Key", "/fal/taskreel/image-generation", {"prompt": "a kite"}),
        (
            "Token",
            "/replicate/v1/models/taskreel/image-generation/predictions",
            {"input": {"prompt": "a kite"}},
        ),
        (
            "Bearer",
            "/replicate/v1/models/taskreel/image-generation/predictions",
            {"input": {"prompt": "a kite"}},
        ),
    ):
        client.headers["authorization"] = f"{scheme} {token}"
        answer = await client.post(path, json=body)
        assert answer.is_success, f"{path}: {answer.text}"
    client.headers["authorization"] = f"Bearer {token}"
    assert (await client.get("/v1/models")).is_success
    assert (await read_numbers(client, film))[1] == 3
    # What is the user's own is the key's: webhooks, uploads, templates, schedules, stream tokens.
    hook = {"url": "https://example.com/hooks"}
    assert (await client.post("/api/webhook-endpoints", json=hook)).status_code == 201
    assert (await client.post("/api/stream-tokens")).status_code == 201


async def test_a_revoked_key_spends_nothing_of_its_projects_members(
    world: World, ada: httpx.AsyncClient, film: str
) -> None:
    made = await make_key(ada, film)
    server = use_key(world, made["token"])
    done = await submit_job(ada, {**NOOP, "projectId": film})
    failed = await submit_job(ada, {**image_request("fail-permanent"), "projectId": film})
    await world.advance(60)
    assert (await server.get("/api/jobs")).status_code == 200
    known = dict(world.services.counts.keys_of_project)
    assert (await ada.delete(f"{PROJECTS}/{film}/keys/{made['keyId']}")).status_code == 204
    # As at another process, which has it in memory still.
    world.services.counts.keys_of_project.update(known)
    before = await read_balance(ada)
    replayed = await server.post(f"{IMAGE}/{done['jobId']}/replay")
    expect_problem(replayed, 401, "unauthenticated")
    retried = await server.post(f"{IMAGE}/{failed['jobId']}/retry")
    expect_problem(retried, 403, "forbidden")
    assert await read_balance(ada) == before


async def test_a_key_that_was_just_verified_costs_no_read(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    ada: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    film: str,
) -> None:
    await grant(admin, film, 10)
    server = use_key(world, (await make_key(ada, film))["token"])
    job = str((await submit_job(server, NOOP))["jobId"])
    reads = count_reads(world, monkeypatch)
    member = world.as_user("vera")
    for client, read in ((member, ["jobs", "projects"]), (server, ["jobs"])):
        reads.clear()
        assert (await client.get(f"/api/jobs/{job}")).is_success
        # A member's role is read; a key has its own in the token that was verified.
        assert reads == read


async def test_the_roles_of_an_erased_creator_go_and_their_keys_stay(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    await grant(admin, film, 10)
    made = await make_key(ada, film)
    answer = await admin.post("/api/accounts/ada/erasure", json={"reason": "asked"})
    assert answer.is_success, answer.text
    await world.advance(120)
    assert (await use_key(world, made["token"]).get("/api/jobs")).status_code == 200
    key = (await admin.get(f"{PROJECTS}/{film}/keys")).json()["keys"][0]
    assert key["createdBy"].startswith("erased-")


async def test_operators_limit_a_keys_jobs_and_no_token_signs_in_as_one(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    await grant(admin, film, 10)
    made = await make_key(ada, film)
    limit = await admin.put(f"/api/limits/{made['userId']}", json={"activeJobs": 7, "reason": "r"})
    assert limit.status_code == 200, limit.text
    expect_problem(await world.as_user(made["userId"]).get("/api/jobs"), 401, "unauthenticated")
    granted = await admin.post(f"/api/credits/{made['userId']}/grants", json={"amount": 1})
    expect_problem(granted, 422, "invalid_request")
    server = use_key(world, made["token"])
    await submit_job(server, image_request("sleep", seconds=10))
    listed = (await admin.get("/api/accounts")).json()["accounts"]
    assert not [one for one in listed if one["userId"].startswith(("key:", "project:"))]
    found = (await admin.get("/api/accounts", params={"prefix": "key:"})).json()["accounts"]
    assert [one["userId"] for one in found] == [f"key:{film}"]
    sums = (await admin.get("/api/accounts/sums")).json()
    assert sums["users"] == len(listed)
