from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from functions.job_requests import (
    BATCH,
    IMAGE,
    NOOP,
    UPSCALE,
    batch_request,
    expect_problem,
    image_request,
    read_job,
    refused_paths,
    submit_job,
)
from simulation.world import World
from taskreel.domain.errors import ForbiddenError

FIELDS = {
    *("jobId", "jobType", "status", "progress", "priority", "userId", "projectId", "payload"),
    *("createdAt", "updatedAt", "statusAt", "attempt", "maxAttempts", "nextAttemptAt"),
    *("error", "credits", "result", "resultUrl", "servedBy", "urls"),
}


async def test_a_job_has_all_its_fields_at_every_time(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, {"prompt": "a kite"})
    assert set(job) >= FIELDS
    await world.settle()
    assert set(await read_job(ada, job)) >= FIELDS


def without_event_ids(text: str) -> str:
    """The text without the ids of events: each states the time at which its stream began."""
    return re.sub(r"^id: .*\n", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("suffix", ["", "/progress", "/result", "/events"])
async def test_a_job_is_read_by_id_and_by_type_and_id(
    world: World, ada: httpx.AsyncClient, suffix: str
) -> None:
    job = await submit_job(ada)
    await world.settle()
    by_id = await ada.get(f"/api/jobs/{job['jobId']}{suffix}")
    by_type = await ada.get(f"{IMAGE}/{job['jobId']}{suffix}")
    assert (by_id.status_code, by_type.status_code) == (200, 200)
    assert without_event_ids(by_id.text) == without_event_ids(by_type.text)


async def test_under_another_type_there_is_no_such_job(ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada)
    expect_problem(await ada.get(f"{BATCH}/{job['jobId']}"), 404, "not_found")


CALLS: list[Callable[[str], tuple[str, str]]] = [
    lambda job: ("GET", f"/api/jobs/{job}"),
    lambda job: ("GET", f"{IMAGE}/{job}/progress"),
    lambda job: ("GET", f"{IMAGE}/{job}/result"),
    lambda job: ("GET", f"/api/jobs/{job}/events"),
    lambda job: ("DELETE", f"{IMAGE}/{job}"),
    lambda job: ("POST", f"{IMAGE}/{job}/retry"),
]


@pytest.mark.parametrize("call", range(len(CALLS)))
async def test_to_another_user_the_job_does_not_exist(
    world: World, ada: httpx.AsyncClient, call: int
) -> None:
    job = await submit_job(ada)
    method, path = CALLS[call](job["jobId"])
    theirs = expect_problem(await world.as_user("bob").request(method, path), 404, "not_found")
    method, path = CALLS[call]("job_none")
    nobodys = expect_problem(await world.as_user("bob").request(method, path), 404, "not_found")
    assert theirs["detail"].replace(job["jobId"], "job_none") == nobodys["detail"]
    assert (await read_job(ada, job))["status"] == "QUEUED"


async def test_an_admin_reads_and_cancels_everybodys_jobs(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    assert (await read_job(admin, job))["userId"] == "ada"
    assert (await admin.delete(f"{IMAGE}/{job['jobId']}")).json()["status"] == "CANCELLED"


async def test_progress_is_the_few_facts_of_a_bar(ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada)
    progress = (await ada.get(job["urls"]["progress"])).json()
    assert progress == {
        **{
            name: job[name]
            for name in ("jobId", "status", "progress", "attempt", "nextAttemptAt", "error")
        },
        "updatedAt": job["updatedAt"],
    }


async def test_a_result_that_is_not_there_yet_says_how_to_wait(ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada)
    refused = expect_problem(await ada.get(job["urls"]["result"]), 409, "no_result")
    assert "Prefer: wait" in refused["detail"]
    assert refused["jobStatus"] == "QUEUED"


async def test_a_result_that_will_never_be_says_why(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, image_request("fail-permanent"))
    await world.settle()
    refused = expect_problem(await ada.get(job["urls"]["result"]), 409, "no_result")
    assert refused["error"]["code"] == "studio_failed"


async def test_reading_may_wait_for_the_end(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada)
    asking = asyncio.create_task(ada.get(job["urls"]["result"], headers={"Prefer": "wait=20"}))
    await world.rest()
    await world.settle()
    assert (await asking).status_code == 200


def check(world: World, url: str) -> None:
    """Check a URL as the server of the files does."""
    query = dict(parse_qsl(urlsplit(url).query))
    path = urlsplit(url).path.removeprefix("/files/")
    world.files.check_url(path, expires=query["expires"], signature=query["signature"])


async def test_result_urls_are_fresh_at_each_read_and_expire(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, image_request("slow", seconds=0))
    await world.settle()
    first = (await ada.get(job["urls"]["result"])).json()["artifacts"][0]["url"]
    check(world, first)
    await world.advance(3601)
    with pytest.raises(ForbiddenError, match="expired"):
        check(world, first)
    again = (await read_job(ada, job))["result"]["artifacts"][0]["url"]
    assert again != first
    check(world, again)


async def test_the_result_url_is_the_first_files_and_only_where_there_is_one(
    world: World, ada: httpx.AsyncClient
) -> None:
    picture = await submit_job(ada, image_request("slow", seconds=0))
    empty = await submit_job(ada, NOOP)
    assert picture["resultUrl"] is None
    await world.settle()
    done = await read_job(ada, picture)
    assert done["resultUrl"] == done["result"]["artifacts"][0]["url"]
    check(world, done["resultUrl"])
    assert (await read_job(ada, empty))["result"]["artifacts"] == []
    assert (await read_job(ada, empty))["resultUrl"] is None
    rows = (await ada.get("/api/jobs")).json()["jobs"]
    assert [row["resultUrl"] for row in rows] == [None, None]


async def test_a_batch_tells_of_each_item(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, batch_request(3), BATCH)
    await world.settle()
    items = (await ada.get(job["urls"]["result"])).json()["items"]
    assert [(item["index"], item["status"]) for item in items] == [
        (0, "done"),
        (1, "done"),
        (2, "done"),
    ]


async def test_a_list_has_the_newest_first_and_no_signed_urls(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = []
    for _ in range(3):
        made.append((await submit_job(ada, image_request("slow", seconds=0)))["jobId"])
        await world.advance(1)
    listed = (await ada.get("/api/jobs")).json()
    assert [job["jobId"] for job in listed["jobs"]] == made[::-1]
    assert listed["nextCursor"] is None
    assert "url" not in listed["jobs"][0]["result"]["artifacts"][0]


async def pages(
    client: httpx.AsyncClient, query: str, between: Callable[[], Any] | None = None
) -> list[list[str]]:
    """The ids of every page."""
    found: list[list[str]] = []
    cursor = ""
    while True:
        page = (await client.get(f"/api/jobs?{query}{cursor}")).json()
        found.append([job["jobId"] for job in page["jobs"]])
        if page["nextCursor"] is None:
            return found
        cursor = f"&cursor={page['nextCursor']}"
        if between is not None:
            await between()


async def test_pages_meet_every_job_once_while_new_ones_are_made(
    world: World, ada: httpx.AsyncClient
) -> None:
    """Some in the same microsecond, some later, some between two pages."""
    made = [(await submit_job(ada))["jobId"] for _ in range(5)]
    await world.advance(1)
    made += [(await submit_job(ada))["jobId"] for _ in range(4)]

    async def one_more() -> None:
        await world.advance(1)
        await submit_job(ada)

    found = await pages(ada, "limit=2", one_more)
    assert [len(page) for page in found] == [2, 2, 2, 2, 1]
    assert sorted(job for page in found for job in page) == sorted(made)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("status=COMPLETED", 2),
        ("status=QUEUED", 1),
        ("jobType=batch-generation", 1),
        ("projectId=p1", 2),
        ("status=COMPLETED&jobType=image-generation&projectId=p1", 1),
        ("status=FAILED", 0),
    ],
)
async def test_lists_are_narrowed(
    world: World, ada: httpx.AsyncClient, query: str, count: int
) -> None:
    await submit_job(ada, {**NOOP, "projectId": "p1"})
    await submit_job(ada, batch_request(1, projectId="p1"), BATCH)
    await world.settle()
    await submit_job(ada)
    assert len((await ada.get(f"/api/jobs?{query}")).json()["jobs"]) == count


@pytest.mark.parametrize("query", ["jobType=nope", "status=nope"])
async def test_a_list_of_what_there_is_not_says_what_there_is(
    ada: httpx.AsyncClient, query: str
) -> None:
    refused = expect_problem(await ada.get(f"/api/jobs?{query}"), 422, "invalid_request")
    assert [error["path"] for error in refused["errors"]] == [query.partition("=")[0]]
    assert ("image-generation" if "Type" in query else "COMPLETED") in refused["detail"]


async def test_a_user_lists_only_their_own_jobs(world: World, ada: httpx.AsyncClient) -> None:
    await submit_job(ada)
    bob = world.as_user("bob")
    assert (await bob.get("/api/jobs")).json()["jobs"] == []
    expect_problem(await bob.get("/api/jobs?userId=ada"), 403, "forbidden")


async def test_an_admin_lists_everybodys_or_one_users(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    mine = await submit_job(ada)
    await submit_job(world.as_user("bob"), batch_request(1), BATCH)
    assert len((await admin.get("/api/jobs")).json()["jobs"]) == 2
    listed = (await admin.get("/api/jobs?userId=ada")).json()["jobs"]
    assert [job["jobId"] for job in listed] == [mine["jobId"]]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=few", "limit"),
        ("status=DONE", "status"),
        ("cursor=nonsense", "cursor"),
        ("cursor=WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwgIngiXQ", "cursor"),
        ("cursor=" + "W1tb" * 3000, "cursor"),
        ("colour=red", "colour"),
    ],
)
async def test_a_query_that_is_wrong_names_its_parameter(
    ada: httpx.AsyncClient, query: str, path: str
) -> None:
    assert refused_paths(await ada.get(f"/api/jobs?{query}")) == {path}


async def test_the_types_say_what_can_be_asked_for(world: World) -> None:
    types = (await world.api.get("/api/jobs/types")).json()["jobTypes"]
    by_name = {one["jobType"]: one for one in types}
    assert {"image-generation", "video-generation", "image-upscale", "batch-generation"} <= set(
        by_name
    )
    assert by_name["image-upscale"]["price"] == "2 credits"
    assert "imageUrl" in by_name["image-upscale"]["schema"]["properties"]


def texts(node: Any, name: str) -> list[str]:
    """Every text under that name in a JSON document, but for those of examples and defaults."""
    if isinstance(node, list):
        return [text for value in node for text in texts(value, name)]
    if not isinstance(node, dict):
        return []
    data = {"example", "examples", "default", "info"}
    own = [node[name]] if isinstance(node.get(name), str) else []
    return own + [
        text for key, value in node.items() if key not in data for text in texts(value, name)
    ]


async def test_the_schemas_of_all_job_types_are_made_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take so long that anyone could occupy the API by asking for them."""
    first = (await world.api.get("/api/jobs/types")).json()
    monkeypatch.delattr("taskreel.web.job_reads.build_type_view")
    assert (await world.api.get("/api/jobs/types")).json() == first


@pytest.mark.parametrize("path", ["/api/jobs/types", "/api/openapi.json"])
async def test_descriptions_have_no_hard_line_breaks_and_fields_no_made_up_titles(
    world: World, path: str
) -> None:
    found = (await world.api.get(path)).json()
    described = texts(found, "description")
    assert [text for text in described if re.search(r"[^\n]\n[^\n]|  ", text)] == []
    assert texts(found, "title") == []
    assert len(described) > 20


async def test_a_field_called_title_is_described(world: World) -> None:
    types = {
        one["jobType"]: one for one in (await world.api.get("/api/jobs/types")).json()["jobTypes"]
    }
    assert "title" in types["video-composition"]["schema"]["properties"]
    assert types["video-composition"]["example"]["title"] == "The Message"


async def test_health_needs_no_token(world: World) -> None:
    answer = await world.api.get("/api/jobs/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")


def references(node: Any) -> set[str]:
    """Every `$ref` in a JSON document, but for those in examples, which are data."""
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        inner = [value for name, value in node.items() if name not in {"example", "examples"}]
        return own.union(*map(references, inner))
    return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()


async def test_openapi_describes_every_route_and_refers_to_nothing_that_is_not_there(
    world: World,
) -> None:
    document = (await world.api.get("/api/openapi.json")).json()
    assert {
        IMAGE,
        UPSCALE,
        "/api/jobs/{job_id}",
        "/api/credits/ledger",
        "/api/jobs/{job_type}/{job_id}/retry",
    } <= set(document["paths"])
    for reference in references(document):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            assert step in place, reference
            place = place[step]


async def test_there_is_a_page_of_documentation(world: World) -> None:
    assert re.search("swagger", (await world.api.get("/api/docs")).text, re.IGNORECASE)
