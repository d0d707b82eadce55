"""Whatever is wrong with a request, the answer is a problem (RFC 9457) that says what and where."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import to_json

from functions.job_requests import (
    BATCH,
    IMAGE,
    NOOP,
    UPSCALE,
    VIDEO,
    expect_problem,
    refused_paths,
    submit_job,
)
from simulation.world import World
from taskreel.domain.validation_messages import invalid_model
from taskreel.jobtypes import JOB_TYPES


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        (IMAGE, {}, {"prompt"}),
        (IMAGE, {"prompt": ""}, {"prompt"}),
        (IMAGE, {"prompt": "   "}, {"prompt"}),
        (IMAGE, {"prompt": "x" * 10_001}, {"prompt"}),
        (IMAGE, {"prompt": "x", "colour": "red"}, {"colour"}),
        (
            IMAGE,
            {"prompt": "x", "options": {"width": 5000, "height": 1}},
            {"options.width", "options.height"},
        ),
        (IMAGE, {"prompt": "x", "options": {"studio": {"mode": "sing"}}}, {"options.studio.mode"}),
        (IMAGE, {"prompt": "x", "priority": "urgent"}, {"priority"}),
        (IMAGE, {"prompt": "x", "scheduleAt": "2026-01-01T00:00:00"}, {"scheduleAt"}),
        (IMAGE, {"prompt": "x", "retry": {"maxAttempts": 0}}, {"retry.maxAttempts"}),
        (IMAGE, {"prompt": "x", "retry": {"minBackoffSeconds": 400}}, {"retry"}),
        (BATCH, {"prompts": []}, {"prompts"}),
        (BATCH, {"prompts": ["x"] * 101}, {"prompts"}),
        (BATCH, {"prompts": ["x", ""]}, {"prompts[1]"}),
        (UPSCALE, {"imageUrl": "ftp://example.com/a.png"}, {"imageUrl"}),
        (UPSCALE, {"imageUrl": "https://example.com/a.png", "scale": 1}, {"scale"}),
        (VIDEO, {"options": {"duration": 5}}, {""}),
        (VIDEO, {"prompt": "x", "imageUrls": ["https://a.b/c.png", "nope"]}, {"imageUrls[1]"}),
        (IMAGE, ["x"], {""}),
    ],
)
async def test_what_is_wrong_is_named_by_its_path(
    ada: httpx.AsyncClient, path: str, body: Any, wrong: set[str]
) -> None:
    assert refused_paths(await ada.post(path, json=body)) == wrong
    assert (await ada.get("/api/jobs")).json()["jobs"] == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{'a': 1}", b"\xff", b'{"prompt": "\\ud800"}', b"[" * 5000]
)
async def test_what_is_not_json_is_malformed(ada: httpx.AsyncClient, body: bytes) -> None:
    expect_problem(await ada.post(IMAGE, content=body), 400, "malformed_json")


@pytest.mark.parametrize("body", [b"[1]", b"null", b'"x"'])
async def test_a_body_that_is_no_object_is_called_the_body(
    ada: httpx.AsyncClient, body: bytes
) -> None:
    refused = expect_problem(await ada.post(IMAGE, content=body), 422, "invalid_request")
    assert refused["errors"] == [{"path": "", "message": "the body must be a JSON object"}]
    assert refused["detail"] == "The body must be a JSON object."


async def test_an_empty_body_is_called_empty(ada: httpx.AsyncClient) -> None:
    refused = expect_problem(await ada.post(IMAGE, content=b" "), 400, "malformed_json")
    assert refused["detail"] == "The body is empty; send a JSON object."


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", f"{IMAGE}?validateonly=true", {"prompt": "x"}, "(did you mean validateOnly?)"),
        (
            "POST",
            f"{IMAGE}?foo=1",
            {"prompt": "x"},
            "known query parameter (allowed: validateOnly)",
        ),
        ("GET", "/api/jobs?foo=1", None, "is not a known query parameter (allowed: limit, "),
        ("GET", "/api/jobs?jobTyp=pipeline", None, "(did you mean jobType?)"),
        (
            "GET",
            "/api/jobs?jobType=pipelin",
            None,
            "'pipelin' (did you mean pipeline?); use one of",
        ),
        ("POST", IMAGE, {"prompt": "x", "provider": "opnai"}, "(did you mean openai?)"),
        ("POST", IMAGE, {"prompt": "x", "dependsOn": [5]}, "must be an object"),
    ],
)
async def test_the_nearest_valid_name_is_named(
    ada: httpx.AsyncClient, method: str, path: str, body: Any, message: str
) -> None:
    refused = expect_problem(await ada.request(method, path, json=body), 422, "invalid_request")
    (error,) = refused["errors"]
    assert message in error["message"]
    assert message in refused["detail"]


async def test_an_unknown_job_type_names_the_nearest(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/api/jobs/imagegeneration", json={})
    refused = expect_problem(answer, 404, "not_found")
    assert "(did you mean image-generation?). There are: image-generation" in refused["detail"]


async def test_wrong_types_and_wrong_references_are_in_one_answer(ada: httpx.AsyncClient) -> None:
    steps = {
        "picture": {"type": "imge-generation", "payload": {"prompt": "x"}},
        "video": {
            "type": "video-generation",
            "after": ["pictures"],
            "payload": {"prompt": "{{steps.sound.result.text}}"},
        },
    }
    answer = await ada.post("/api/jobs/pipeline", json={"steps": steps})
    refused = expect_problem(answer, 422, "invalid_request")
    found = {error["path"]: error["message"] for error in refused["errors"]}
    assert found.keys() == {
        "steps.picture.type",
        "steps.video.after[0]",
        "steps.video.payload.prompt",
    }
    assert "(did you mean image-generation?)" in found["steps.picture.type"]
    assert found["steps.video.after[0]"] == "there is no step 'pictures' (did you mean picture?)"
    assert "there is no step 'sound'" in found["steps.video.payload.prompt"]


async def test_a_webhook_of_a_provider_without_a_secret_names_the_setting(
    ada: httpx.AsyncClient,
) -> None:
    refused = expect_problem(await ada.post("/api/webhooks/bfl", json={}), 404, "not_found")
    assert "WEBHOOK_SECRETS" in refused["detail"]


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ('{"__time__": "boo"}', ""),
        ('{"deep": [{"__time__": 1}]}', ".deep[0]"),
        ('{"__name__": "x"}', ""),
        ('{"": 1}', ""),
        (f'{{"{"n" * 1001}": 1}}', ""),
        ('{"a": NaN}', ".a"),
        ('{"a": [1e999]}', ".a[0]"),
        ('{"a": 99999999999999999999999999}', ".a"),
        (f'{{"a": {"[" * 9}{"]" * 9}}}', f".a{'[0]' * 8}"),
    ],
)
async def test_what_no_store_can_hold_is_refused(
    ada: httpx.AsyncClient, options: str, where: str
) -> None:
    body = f'{{"prompt": "x", "options": {{"providerOptions": {options}}}}}'
    assert refused_paths(await ada.post(IMAGE, content=body)) == {f"options.providerOptions{where}"}
    assert (await ada.get("/api/jobs")).status_code == 200


@pytest.mark.parametrize(
    ("job_type", "body", "wrong"),
    [
        (
            "pipeline",
            {"steps": {"a": {"type": "image-upscale"}}, "input": {"y": 10**23}},
            {"input.y"},
        ),
        ("pipeline", {"steps": {"a": {"type": "x", "payload": {"": 1}}}}, {"steps.a.payload"}),
        (
            "ai-processing",
            {"task": "text", "input": "x", "parameters": {"x": 10**23}},
            {"parameters.x"},
        ),
        (
            "ai-processing",
            {"task": "text", "input": "x", "parameters": {"schema": {"a": 2**63}}},
            {"parameters.schema.a"},
        ),
        (
            "video-composition",
            {"scenes": [{"dialogue": [{"n": 10**23}]}]},
            {"scenes[0].dialogue[0].n"},
        ),
        ("video-composition", {"scenes": [{"id": 10**23}]}, {"scenes[0].id"}),
        ("movie-creation", {"prompt": "x", "budget": 10**23}, {"budget"}),
        ("video-assembly", {"sceneVideos": [{"order": 1}]}, {"sceneVideos[0]"}),
    ],
)
async def test_no_field_accepts_what_no_store_can_hold(
    ada: httpx.AsyncClient, job_type: str, body: Any, wrong: set[str]
) -> None:
    assert refused_paths(await ada.post(f"/api/jobs/{job_type}", json=body)) == wrong


async def test_a_body_over_one_mebibyte_is_too_large(ada: httpx.AsyncClient) -> None:
    body = b'{"prompt": "' + b"x" * (1 << 20) + b'"}'
    expect_problem(await ada.post(IMAGE, content=body), 413, "too_large")


async def test_a_body_over_one_mebibyte_that_does_not_say_so_is_too_large(
    ada: httpx.AsyncClient,
) -> None:
    async def chunks() -> Any:
        for _ in range(40):
            yield b"x" * 32_768

    expect_problem(await ada.post(IMAGE, content=chunks()), 413, "too_large")


@pytest.mark.parametrize("job_type", ["sculpture", "image", "type"])
async def test_an_unknown_type_lists_those_there_are(ada: httpx.AsyncClient, job_type: str) -> None:
    refused = expect_problem(await ada.post(f"/api/jobs/{job_type}", json=NOOP), 404, "not_found")
    assert "image-generation" in refused["jobTypes"]
    assert "image-generation" in refused["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", IMAGE),
        ("GET", "/api/jobs"),
        ("GET", "/api/jobs/job_1"),
        ("GET", f"{IMAGE}/job_1/progress"),
        ("GET", f"{IMAGE}/job_1/result"),
        ("GET", f"{IMAGE}/job_1/events"),
        ("DELETE", f"{IMAGE}/job_1"),
        ("POST", f"{IMAGE}/job_1/retry"),
        ("GET", "/api/credits"),
        ("GET", "/api/credits/ledger"),
        ("POST", "/api/credits/ada/grants"),
    ],
)
async def test_without_a_token_nothing_is_shown_or_done(
    world: World, method: str, path: str
) -> None:
    answer = await world.api.request(method, path, json=NOOP)
    expect_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "path",
    [IMAGE, "/api/jobs/ai-generation", "/api/movies", f"{IMAGE}/job_1/replay"],
)
async def test_a_token_is_checked_before_the_body_is_read(world: World, path: str) -> None:
    read: list[bytes] = []

    async def chunks() -> Any:
        for chunk in (b"{", b"}"):
            read.append(chunk)
            yield chunk

    expect_problem(await world.api.post(path, content=chunks()), 401, "unauthenticated")
    assert read == []


async def test_a_wrong_token_is_refused(world: World) -> None:
    wrong = await world.api.get("/api/jobs", headers={"Authorization": "Bearer nonsense"})
    assert "Invalid token" in expect_problem(wrong, 401, "unauthenticated")["detail"]


async def test_an_unknown_path_is_a_problem_too(world: World) -> None:
    expect_problem(await world.api.get("/api/nothing/here/at/all"), 404, "not_found")


async def test_a_crash_is_a_problem_that_tells_nothing(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(world.services.store, "get", None)
    crashed = expect_problem(await ada.get("/api/jobs/job_1"), 500, "internal_error")
    assert "NoneType" not in str(crashed)
    assert "request crashed" in caplog.text


async def test_a_store_that_is_away_asks_to_come_again_and_tells_the_log_alone_why(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await world.services.store.close()
    monkeypatch.setattr(world.sqlite.file, "_path", "/dev/null/store.db")
    for caller, path in ((ada, "/api/jobs/job_1"), (ada, "/api/jobs")):
        caplog.clear()
        answer = await caller.get(path)
        told = expect_problem(answer, 503, "store_unavailable")
        assert told["detail"] == (
            "A service that this one needs cannot be reached; nothing was lost."
            " Try again in 5 seconds."
        )
        assert answer.headers["retry-after"] == "5"
        (record,) = caplog.records
        assert "Check that the disk has space" in vars(record)["advice"]
        assert record.exc_info is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
known = st.sampled_from(
    ["prompt", "prompts", "imageUrl", "imageUrls", "options", "priority", "retry", "scheduleAt"]
)


def read_back(model: Any, body: bytes) -> Any:
    """The stored form of an accepted body; the problems of a refused one."""
    try:
        found = model.model_validate_json(body)
    except ValidationError as error:
        return invalid_model(error, model).details["errors"]
    assert (
        model.model_validate(found.model_dump(by_alias=True, mode="json", exclude_defaults=True))
        == found
    )
    return found


@given(st.sampled_from(sorted(JOB_TYPES)), st.dictionaries(known, json_values, max_size=4))
def test_any_json_is_accepted_or_refused_with_reasons(job_type: str, body: dict[str, Any]) -> None:
    assert read_back(JOB_TYPES[job_type].submission, to_json(body))


async def test_the_database_of_a_user_survives_strange_names(world: World) -> None:
    strange = world.as_user("ünïcode .. 'quotes' \" --")
    job = await submit_job(strange, {**NOOP, "projectId": "'; DROP TABLE jobs; --"})
    listed = await strange.get("/api/jobs", params={"projectId": "'; DROP TABLE jobs; --"})
    assert [one["jobId"] for one in listed.json()["jobs"]] == [job["jobId"]]


@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs/%0A%C2%88/x/retry",
        "/api/jobs/image-generation/%0A",
        "/api/providers/a%0A/b%0Ac/breaker",
        "/%0A",
    ],
)
async def test_a_path_with_line_breaks_is_answered_by_the_api_itself(
    admin: httpx.AsyncClient, path: str
) -> None:
    answer = await admin.post(path, json={"state": "closed", "reason": "a test"})
    assert answer.status_code in {404, 405}
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("amount", [True, "5"])
async def test_an_amount_of_money_is_a_number(admin: httpx.AsyncClient, amount: Any) -> None:
    job = await admin.post(IMAGE, json={**NOOP, "maxUsd": amount})
    assert refused_paths(job) == {"maxUsd"}
    grant = await admin.post("/api/credits/ada/grants", json={"amount": amount})
    assert refused_paths(grant) == {"amount"}
