"""Lists of jobs: their filters, their order, and pages that end where they should."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, NOOP, image_request, refused_paths, submit_job
from simulation.world import World
from taskreel.app.jobs import queries
from taskreel.app.jobs.enqueue import find_queue

LIST = "/api/jobs"
PIPELINE = {
    "steps": {
        "one": {"type": "image-generation", "payload": NOOP},
        "two": {"type": "image-generation", "payload": NOOP},
    }
}


async def list_ids(client: httpx.AsyncClient, query: str = "") -> list[str]:
    answer = await client.get(f"{LIST}?{query}")
    assert answer.status_code == 200, answer.text
    return [row["jobId"] for row in answer.json()["jobs"]]


async def read_pages(client: httpx.AsyncClient, query: str) -> list[list[str]]:
    """The ids of each page, following `nextCursor`."""
    pages, cursor = [], ""
    while True:
        page = (await client.get(f"{LIST}?{query}{cursor}")).json()
        pages.append([row["jobId"] for row in page["jobs"]])
        if page["nextCursor"] is None:
            return pages
        cursor = f"&cursor={page['nextCursor']}"


async def make_jobs(world: World, client: httpx.AsyncClient, count: int) -> list[str]:
    """The ids of new jobs, a second apart, the newest first."""
    made = []
    for _ in range(count):
        made.append((await submit_job(client))["jobId"])
        await world.advance(1)
    return made[::-1]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6])
async def test_no_page_but_of_an_empty_list_is_empty(
    world: World, ada: httpx.AsyncClient, count: int
) -> None:
    jobs = await make_jobs(world, ada, count)
    pages = await read_pages(ada, "limit=2")
    assert [one for page in pages for one in page] == jobs
    assert all(pages) or (count == 0 and pages == [[]])


async def test_the_id_of_a_job_is_a_cursor_too(world: World, ada: httpx.AsyncClient) -> None:
    jobs = await make_jobs(world, ada, 4)
    assert await list_ids(ada, f"limit=2&cursor={jobs[0]}") == jobs[1:3]
    assert await list_ids(ada, f"limit=20&cursor={jobs[2]}") == jobs[3:]
    assert await list_ids(ada, f"cursor={jobs[3]}") == []
    oldest = await list_ids(ada, f"order=oldest&cursor={jobs[2]}")
    assert oldest == [jobs[1], jobs[0]]


async def test_another_users_job_and_one_that_does_not_exist_are_no_cursors(
    world: World, ada: httpx.AsyncClient
) -> None:
    (job,) = await make_jobs(world, ada, 1)
    for cursor in (job, "job_none"):
        answer = await world.as_user("bob").get(f"{LIST}?cursor={cursor}")
        assert refused_paths(answer) == {"cursor"}


async def test_several_statuses_are_alternatives(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    done = (await submit_job(ada))["jobId"]
    failed = (await submit_job(ada, image_request("fail-permanent")))["jobId"]
    await world.settle()
    await world.services.tasks.pause(find_queue(await world.job(done)))
    waiting = (await submit_job(ada))["jobId"]
    assert await list_ids(ada, "status=QUEUED") == [waiting]
    for words in ("status=COMPLETED&status=FAILED", "status=COMPLETED,failed"):
        assert set(await list_ids(ada, words)) == {done, failed}
        # Of an admin Firestore could not serve it: types times statuses are too many.
        assert set(await list_ids(admin, words)) == {done, failed}
    assert refused_paths(await ada.get(f"{LIST}?status=COMPLETED,DONE")) == {"status"}


async def test_oldest_first_takes_every_filter(world: World, ada: httpx.AsyncClient) -> None:
    jobs = await make_jobs(world, ada, 3)
    await submit_job(ada, {**NOOP, "projectId": "p1"})
    other = (await ada.get(LIST)).json()["jobs"][0]["jobId"]
    await world.settle()
    assert await list_ids(ada, "order=oldest") == [*jobs[::-1], other]
    assert await list_ids(ada, "order=oldest&projectId=p1&status=COMPLETED") == [other]
    assert await list_ids(ada, "order=oldest&jobType=pipeline") == []
    assert (await read_pages(ada, "order=oldest&limit=2")) == [jobs[:0:-1], [jobs[0], other]]


async def test_an_admin_names_the_user_whose_oldest_jobs_are_wanted(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    assert refused_paths(await admin.get(f"{LIST}?order=oldest")) == {"order"}
    assert await list_ids(admin, "order=oldest&userId=ada") == [job["jobId"]]


async def test_a_time_between_two_others(world: World, ada: httpx.AsyncClient) -> None:
    jobs = await make_jobs(world, ada, 4)
    times = [
        row["createdAt"].replace("+00:00", "Z") for row in (await ada.get(LIST)).json()["jobs"]
    ]
    between = f"createdAfter={times[2]}&createdBefore={times[0]}"
    assert await list_ids(ada, between) == [jobs[1], jobs[2]]
    assert await list_ids(ada, f"{between}&order=oldest") == [jobs[2], jobs[1]]
    assert refused_paths(await ada.get(f"{LIST}?createdAfter=2026-01-01T00:00:00")) == {
        "createdAfter"
    }


async def test_the_provider_and_a_part_of_the_prompt(world: World, ada: httpx.AsyncClient) -> None:
    kite = (await submit_job(ada, {**NOOP, "prompt": "A red KITE"}))["jobId"]
    boat = (await submit_job(ada, {**NOOP, "prompt": "a boat"}))["jobId"]
    await world.settle()
    assert await list_ids(ada, "text=kite") == [kite]
    assert await list_ids(ada, "text=Boat&provider=studio") == [boat]
    assert await list_ids(ada, "provider=bfl") == []
    assert refused_paths(await ada.get(f"{LIST}?text=")) == {"text"}


async def test_the_jobs_of_a_pipeline_are_shown_when_they_are_asked_for(
    world: World, ada: httpx.AsyncClient
) -> None:
    pipeline = (await submit_job(ada, PIPELINE, "/api/jobs/pipeline"))["jobId"]
    await world.advance(30)
    assert await list_ids(ada) == [pipeline]
    assert len(await list_ids(ada, "includeChildren=true")) == 3
    children = await list_ids(ada, f"parentId={pipeline}")
    assert len(children) == 2
    assert pipeline not in children


async def test_a_rare_text_is_searched_page_by_page(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_CHUNK", 2)
    monkeypatch.setattr(queries, "MAX_SCANNED", 4)
    rare = (await submit_job(ada, {**NOOP, "prompt": "a zeppelin"}))["jobId"]
    await world.advance(1)
    await make_jobs(world, ada, 9)
    assert await read_pages(ada, "text=zeppelin") == [[], [], [rare]]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("statuss=FAILED", "statuss"),
        ("order=random", "order"),
        ("includeChildren=2x", "includeChildren"),
    ],
)
async def test_what_is_not_known_is_refused_by_name(
    ada: httpx.AsyncClient, query: str, path: str
) -> None:
    answer: Any = await ada.get(f"{LIST}?{query}")
    assert refused_paths(answer) == {path}


async def test_paths_of_jobs_in_a_list_are_those_of_their_type(ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada)
    (row,) = (await ada.get(LIST)).json()["jobs"]
    assert row["urls"]["self"].endswith(f"{IMAGE}/{job['jobId']}")


@pytest.mark.parametrize("name", ["createdAfter", "createdBefore"])
@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
async def test_a_time_without_a_time_in_utc_is_refused(
    ada: httpx.AsyncClient, name: str, at: str
) -> None:
    answer = await ada.get("/api/jobs", params={name: at})
    assert answer.status_code == 422, answer.text


async def test_a_summary_gives_each_row_its_title_and_a_preview(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, {"prompt": "a kite", "options": {"width": 64, "height": 64}})
    await world.settle()
    [plain] = (await ada.get(LIST)).json()["jobs"]
    [told] = (await ada.get(f"{LIST}?summary=true")).json()["jobs"]
    summary = told.pop("summary")
    assert told == plain
    assert "summary" not in plain
    assert "payload" not in told
    assert summary["title"] == "a kite"
    whole = (await ada.get(f"{LIST}/{job['jobId']}")).json()
    assert summary["preview"]["sha256"] == whole["result"]["artifacts"][0]["sha256"]
    assert summary["preview"]["url"].startswith(("http://", "https://"))
