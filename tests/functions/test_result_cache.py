"""`cacheSeconds`: an equal job of the caller's answers, at no cost."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, expect_problem, refused_paths
from providers.fake_provider import build_png
from simulation.world import World
from taskreel.app.audit.store_audit import audit_store
from taskreel.domain.ids import keyed_job_id

PICTURE: dict[str, Any] = {
    "prompt": "a kite",
    "options": {"width": 64, "height": 64, "seed": 7},
    "cacheSeconds": 3600,
}


async def ask(user: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await user.post(IMAGE, json={**PICTURE, **changes})
    assert answer.is_success, answer.text
    job: dict[str, Any] = answer.json()
    return {**job, "httpStatus": answer.status_code}


async def available(user: httpx.AsyncClient) -> int:
    found: int = (await user.get("/api/credits")).json()["available"]
    return found


async def test_a_completed_equal_job_answers_at_once_and_free(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await ask(ada)
    assert "cachedSeconds" not in first
    await world.advance(60)
    before = await available(ada)
    second = await ask(ada)
    assert second["httpStatus"] == 200
    assert (second["jobId"], second["status"]) == (first["jobId"], "COMPLETED")
    assert 50 <= second["cachedSeconds"] <= 60
    assert second["result"]["artifacts"][0]["url"]
    assert await available(ada) == before
    assert len((await ada.get("/api/jobs")).json()["jobs"]) == 1


async def test_equal_requests_at_the_same_time_make_one_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    before = await available(ada)
    made = await asyncio.gather(*(ask(ada) for _ in range(10)))
    assert len({one["jobId"] for one in made}) == 1
    assert sum("cachedSeconds" not in one for one in made) == 1
    await world.advance(60)
    assert await available(ada) == before - 1


async def test_an_idempotency_key_that_made_a_job_answers_before_the_cache(
    world: World, ada: httpx.AsyncClient
) -> None:
    key = {"Idempotency-Key": "order-17"}
    made = (await ada.post(IMAGE, json={**PICTURE, "prompt": "a boat"}, headers=key)).json()
    await ask(ada)
    await world.advance(60)
    other = await ada.post(IMAGE, json=PICTURE, headers=key)
    expect_problem(other, 422, "idempotency_key_reused")
    repeated = await ada.post(IMAGE, json={**PICTURE, "prompt": "a boat"}, headers=key)
    assert repeated.json()["jobId"] == made["jobId"]


KEY = {"Idempotency-Key": "order-18"}


async def test_a_key_remembers_the_job_that_answered_from_the_cache(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await ask(ada)
    await world.advance(60)
    hit = await ada.post(IMAGE, json=PICTURE, headers=KEY)
    assert (hit.json()["jobId"], "Idempotency-Replayed" in hit.headers) == (first["jobId"], False)
    # Also when a new result has replaced it in the cache, and when it is too old for one.
    await ask(ada, skipCache=True)
    await world.advance(7200)
    before = await available(ada)
    again = await ada.post(IMAGE, json=PICTURE, headers=KEY)
    assert again.json()["jobId"] == first["jobId"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["cachedSeconds"] >= 7200
    assert await available(ada) == before
    assert len((await ada.get("/api/jobs")).json()["jobs"]) == 2


@pytest.mark.parametrize("kept", [("cacheSeconds",), ()], ids=["asking", "plain"])
async def test_another_body_under_the_key_of_a_cached_answer_is_refused(
    world: World, ada: httpx.AsyncClient, kept: tuple[str, ...]
) -> None:
    await ask(ada)
    await world.advance(60)
    assert (await ada.post(IMAGE, json=PICTURE, headers=KEY)).is_success
    other = {name: PICTURE[name] for name in ("options", *kept)} | {"prompt": "a boat"}
    before = await available(ada)
    expect_problem(await ada.post(IMAGE, json=other, headers=KEY), 422, "idempotency_key_reused")
    upscale = {"imageUrl": "https://example.com/a.png", "scale": 2}
    answer = await ada.post(UPSCALE_PATH, json=upscale, headers=KEY)
    expect_problem(answer, 422, "idempotency_key_reused")
    assert await available(ada) == before
    # It is a key of its user alone.
    assert (await world.as_user("bob").post(IMAGE, json=other, headers=KEY)).is_success


async def test_equal_keyed_requests_at_the_same_time_get_one_cached_answer(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await ask(ada)
    await world.advance(60)
    answers = await asyncio.gather(*(ada.post(IMAGE, json=PICTURE, headers=KEY) for _ in range(5)))
    assert {answer.json()["jobId"] for answer in answers} == {first["jobId"]}
    assert len((await ada.get("/api/jobs")).json()["jobs"]) == 1


@pytest.mark.parametrize("kept", [("cacheSeconds",), ()], ids=["asking", "plain"])
async def test_a_key_whose_cached_answer_was_removed_may_be_used_again(
    world: World, ada: httpx.AsyncClient, kept: tuple[str, ...]
) -> None:
    first = await ask(ada)
    await world.advance(60)
    assert (await ada.post(IMAGE, json=PICTURE, headers=KEY)).is_success
    assert (await ada.delete(f"{IMAGE}/{first['jobId']}")).status_code == 204
    body = {name: PICTURE[name] for name in ("options", *kept)} | {"prompt": "a boat"}
    made = await ada.post(IMAGE, json=body, headers=KEY)
    assert made.status_code == 202, made.text
    again = await ada.post(IMAGE, json=body, headers=KEY)
    assert again.json()["jobId"] == made.json()["jobId"] != first["jobId"]
    await world.advance(60)


async def test_what_remembers_a_cached_answer_is_no_job(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await ask(ada)
    await world.advance(60)
    assert (await ada.post(IMAGE, json=PICTURE, headers=KEY)).is_success
    for client, params in ((ada, {}), (admin, {"userId": "ada"}), (admin, {})):
        listed = (await client.get("/api/jobs", params=params)).json()["jobs"]
        assert len(listed) == 1
    assert not (await audit_store(world.services)).violations
    id_ = keyed_job_id("ada", KEY["Idempotency-Key"])
    for client in (ada, world.as_user("bob"), admin):
        for path in (f"/api/jobs/{id_}", f"{IMAGE}/{id_}", f"/replicate/v1/predictions/{id_}"):
            expect_problem(await client.get(path), 404, "not_found")
        expect_problem(await client.delete(f"{IMAGE}/{id_}"), 404, "not_found")
        waiting = {"prompt": "a boat", "dependsOn": [{"jobId": id_}]}
        answer = await client.post(IMAGE, json=waiting)
        assert refused_paths(answer) == {"dependsOn[0].jobId"}
    # The key still means its request.
    assert (await ada.post(IMAGE, json=PICTURE, headers=KEY)).headers["Idempotency-Replayed"]


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a kite!"},
        {"options": {"width": 64, "height": 64, "seed": 8}},
        {"model": "flux-1.1-pro", "provider": "bfl"},
        {"projectId": "films"},
        {"skipCache": True},
    ],
    ids=str,
)
async def test_another_request_is_made_anew(
    world: World, ada: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    first = await ask(ada)
    await world.advance(60)
    assert (await ask(ada, **change))["jobId"] != first["jobId"]


async def test_times_and_tries_are_not_compared(world: World, ada: httpx.AsyncClient) -> None:
    first = await ask(ada)
    await world.advance(60)
    again = await ask(
        ada, priority="high", timeoutSeconds=60, retry={"maxAttempts": 1}, cacheSeconds=600
    )
    assert again["jobId"] == first["jobId"]


async def test_an_older_result_and_a_request_that_does_not_ask_are_made_anew(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await ask(ada)
    await world.advance(120)
    assert (await ask(ada, cacheSeconds=60))["jobId"] != first["jobId"]
    plain = {name: value for name, value in PICTURE.items() if name != "cacheSeconds"}
    made = (await ada.post(IMAGE, json=plain)).json()
    assert made["jobId"] != first["jobId"]


async def test_a_newer_result_replaces_the_older(world: World, ada: httpx.AsyncClient) -> None:
    await ask(ada)
    await world.advance(60)
    newer = await ask(ada, skipCache=True)
    await world.advance(60)
    assert (await ask(ada))["jobId"] == newer["jobId"]


async def test_a_failed_job_answers_no_request(world: World, ada: httpx.AsyncClient) -> None:
    broken = {"options": {"studio": {"mode": "fail-permanent"}}}
    first = await ask(ada, **broken)
    await world.advance(60)
    assert (await ada.get(f"/api/jobs/{first['jobId']}")).json()["status"] == "FAILED"
    assert (await ask(ada, **broken))["jobId"] != first["jobId"]


async def test_a_result_is_of_its_owner_alone(world: World, ada: httpx.AsyncClient) -> None:
    first = await ask(ada)
    await world.advance(60)
    assert (await ask(world.as_user("bob")))["jobId"] != first["jobId"]


async def test_a_removed_job_answers_no_request_and_an_equal_one_is_charged_again(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await ask(ada)
    await world.advance(60)
    removed = await ada.delete(f"{IMAGE}/{first['jobId']}")
    assert removed.status_code == 204, removed.text
    before = await available(ada)
    again = await ask(ada)
    assert "cachedSeconds" not in again
    await world.advance(60)
    # It has the removed job's id, and a task of another name: no sweep was needed.
    assert again["jobId"] == first["jobId"]
    assert (await ada.get(f"/api/jobs/{again['jobId']}")).json()["status"] == "COMPLETED"
    assert await available(ada) == before - 1


async def test_a_quote_says_that_it_is_free(world: World, ada: httpx.AsyncClient) -> None:
    params = {"validateOnly": "true"}
    assert (await ada.post(IMAGE, json=PICTURE, params=params)).json()["cost"] == 1
    await ask(ada)
    await world.advance(60)
    assert (await ada.post(IMAGE, json=PICTURE, params=params)).json()["cost"] == 0


async def test_a_replay_does_its_work_again(world: World, ada: httpx.AsyncClient) -> None:
    first = await ask(ada)
    await world.advance(60)
    replay = await ada.post(f"{IMAGE}/{first['jobId']}/replay", json={})
    assert replay.json()["jobId"] != first["jobId"]


@pytest.mark.parametrize(
    "extra",
    [
        {"scheduleAt": "2030-01-01T00:00:00Z"},
        {"webhookUrl": "https://93.184.216.34/hooks"},
        {"dependsOn": [{"jobId": "job_1"}]},
    ],
    ids=str,
)
async def test_what_an_earlier_job_cannot_do_is_refused(
    ada: httpx.AsyncClient, extra: dict[str, Any]
) -> None:
    answer = await ada.post(IMAGE, json={**PICTURE, **extra})
    expect_problem(answer, 422, "invalid_request")
    assert refused_paths(answer) == set(extra)


async def test_a_recurring_job_skips_the_cache_where_it_says_so(
    world: World, ada: httpx.AsyncClient
) -> None:
    for skip in (False, True):
        order = {
            "jobType": "image-generation",
            "data": {**PICTURE, "prompt": f"a kite {skip}"},
            "cronExpression": "* * * * *",
            "options": {"skipCache": skip},
        }
        assert (await ada.post("/api/jobs/recurring", json=order)).is_success
    for _ in range(4):
        await world.advance(60)
        await world.sweep()
    made = {}
    for skip in (False, True):
        found = await ada.get("/api/jobs", params={"text": f"kite {skip}"})
        made[skip] = len(found.json()["jobs"])
    assert made[False] == 1
    assert made[True] >= 3  # one a minute


UPSCALE_PATH = "/api/jobs/image-upscale"


async def upload_picture(user: httpx.AsyncClient, data: bytes, *, hashed: bool = True) -> str:
    """A reference to an uploaded picture."""
    digest = {"sha256": hashlib.sha256(data).hexdigest()} if hashed else {}
    wanted = {"name": "kite.png", "contentType": "image/png", "bytes": len(data), **digest}
    made = (await user.post("/api/uploads", json=wanted)).json()
    return f"upload:{made['uploadId']}"


async def enlarge_picture(user: httpx.AsyncClient, source: str) -> tuple[str, bool]:
    """The job of a larger picture, and if an earlier one answered."""
    body = {"imageUrl": source, "scale": 2, "cacheSeconds": 3600}
    answer = await user.post(UPSCALE_PATH, json=body)
    assert answer.is_success, answer.text
    return answer.json()["jobId"], "cachedSeconds" in answer.json()


async def test_equal_results_of_two_jobs_are_the_same_input(
    world: World, ada: httpx.AsyncClient
) -> None:
    first, second, other = [
        await ask(ada, skipCache=True, options={"width": 64, "height": 64, "seed": seed})
        for seed in (7, 7, 8)
    ]
    await world.advance(30)
    made, cached = await enlarge_picture(ada, f"job:{first['jobId']}/image.png")
    assert not cached
    await world.advance(30)
    assert await enlarge_picture(ada, f"job:{second['jobId']}/image.png") == (made, True)
    assert await enlarge_picture(ada, f"job:{second['jobId']}") == (made, True)
    assert (await enlarge_picture(ada, f"job:{other['jobId']}/image.png"))[1] is False


async def test_a_file_is_the_same_input_as_upload_and_as_data(
    world: World, ada: httpx.AsyncClient
) -> None:
    picture, another = build_png(16, 16), build_png(16, 17)
    made, cached = await enlarge_picture(ada, await upload_picture(ada, picture))
    assert not cached
    as_data = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    for source in (await upload_picture(ada, picture), as_data):
        assert await enlarge_picture(ada, source) == (made, True)
    assert (await enlarge_picture(ada, await upload_picture(ada, another)))[1] is False
    # Nothing says what an upload without its hash contains.
    unhashed = await upload_picture(ada, picture, hashed=False)
    assert (await enlarge_picture(ada, unhashed))[1] is False
    await world.advance(30)


async def test_what_is_behind_a_web_address_is_not_compared(ada: httpx.AsyncClient) -> None:
    made, _ = await enlarge_picture(ada, "https://example.com/a.png")
    assert await enlarge_picture(ada, "https://example.com/a.png") == (made, True)
    assert (await enlarge_picture(ada, "https://example.com/b.png"))[1] is False


async def test_a_file_that_does_not_exist_fails_in_the_run(
    world: World, ada: httpx.AsyncClient
) -> None:
    job, cached = await enlarge_picture(ada, "job:job_none/image.png")
    assert not cached
    await world.advance(30)
    assert (await ada.get(f"/api/jobs/{job}")).json()["error"]["code"] == "input_not_found"


async def test_a_prompt_in_the_form_of_a_file_is_a_text(
    world: World, ada: httpx.AsyncClient
) -> None:
    plain = await ask(ada, prompt="data:,a cat")
    digest = hashlib.sha256(b"a cat").hexdigest()
    for prompt in ("data:text/x;base64,YSBjYXQ=", f"sha256:{digest}"):
        other = await ask(ada, prompt=prompt)
        assert other["jobId"] != plain["jobId"]
    await world.advance(30)


async def test_a_file_in_a_list_is_known_by_its_content(
    world: World, ada: httpx.AsyncClient
) -> None:
    picture = build_png(16, 16)
    as_data = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    made = await ask(ada, imageUrls=[await upload_picture(ada, picture)])
    assert (await ask(ada, imageUrls=[as_data]))["jobId"] == made["jobId"]
    as_prompt = await ask(ada, prompt=as_data, imageUrls=[as_data])
    assert as_prompt["jobId"] != made["jobId"]
    await world.advance(30)


async def test_the_units_of_a_first_round_are_as_old_as_the_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await ask(ada)
    await world.advance(30)
    await world.put((await world.job(made["jobId"])).with_changes(world.now(), round=2))
    await world.advance(3550)
    assert (await ask(world.as_user("ada")))["jobId"] == made["jobId"]
    await world.advance(40)
    # An hour after its completion has not passed yet, but since it was created.
    assert (await ask(world.as_user("ada")))["jobId"] != made["jobId"]
    await world.advance(30)


@pytest.mark.parametrize(
    ("seconds", "changes"),
    [
        pytest.param(4000, {}, id="both too old"),
        pytest.param(60, {"skipCache": True}, id="both not wanted"),
    ],
)
async def test_a_job_by_a_clock_that_was_behind_answers_no_longer_than_others(
    seconds: float, changes: dict[str, Any], world: World, ada: httpx.AsyncClient
) -> None:
    """Its id follows from the job before it, which stays the newest by its time."""
    before = await ask(ada)
    await world.advance(5)
    behind = await world.job((await ask(ada, skipCache=True))["jobId"])
    earlier = behind.created_at - timedelta(seconds=12)
    await world.put(behind.model_copy(update={"created_at": earlier}))
    await world.advance(seconds)
    made = await ask(ada, **changes)
    assert made["jobId"] not in {before["jobId"], behind.job_id}
    assert "cachedSeconds" not in made
    await world.advance(60)
    assert (await ask(ada))["jobId"] == made["jobId"]


async def test_a_job_made_again_by_its_key_brings_back_no_answer_from_before(
    world: World, ada: httpx.AsyncClient
) -> None:
    keyed = (await ada.post(IMAGE, json=PICTURE, headers=KEY)).json()["jobId"]
    await world.advance(4000)
    after = (await ask(ada))["jobId"]
    await world.advance(4000)
    assert (await ada.delete(f"{IMAGE}/{keyed}")).status_code == 204
    assert (await ada.post(IMAGE, json=PICTURE, headers=KEY)).json()["jobId"] == keyed
    await world.advance(4000)
    made = await ask(ada)
    assert made["jobId"] not in {keyed, after}
    assert "cachedSeconds" not in made
