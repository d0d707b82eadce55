"""The five design documents, word for word: what they show is read out of their own text and run.

Each fenced block, route, piece of inline code, statement with a number and description of a job
type is run by the test that `COVERED` names, or is in `NOT_LITERAL` with the reason why it is not
taken literally. A part of a document that is in neither fails.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from functions import documents_text as documents
from functions.job_requests import expect_problem, read_job
from simulation.world import ROOT, World
from streamed_answers import StreamedAnswers
from taskreel import service_building
from taskreel.adapters.webhook_sender import WebhookSender
from taskreel.config import Settings
from taskreel.domain.job_status import Status
from taskreel.domain.retry_policy import RetryPolicy
from taskreel.jobtypes import JOB_TYPES, find_job_type

FENCES = documents.fences()
ROUTES = documents.routes()
CODES = documents.inline_codes()
STATEMENTS = documents.numbered_statements()
DESCRIPTIONS = documents.type_descriptions()

#: Part of a document → the test that runs it; a test of another file with its path.
COVERED: dict[str, str] = {
    "1 2. Local Development Setup": "deploy/test_documents_commands.py::"
    "test_the_setup_scripts_run_in_the_order_of_the_document",
    "1 3. Create Cloud Tasks Queues": "deploy/test_documents_commands.py::"
    "test_the_setup_scripts_run_in_the_order_of_the_document",
    "1 4. Environment Variables": "unit/test_documented_variables.py::"
    "test_the_functions_start_with_the_documented_variables_alone",
    "1 Image Generation": "test_a_request_of_document_1_is_accepted_verbatim",
    "1 Video Generation": "test_a_request_of_document_1_is_accepted_verbatim",
    "1 Image Upscale": "test_a_request_of_document_1_is_accepted_verbatim",
    "1 Batch Generation": "test_a_request_of_document_1_is_accepted_verbatim",
    "1 Get Job Status": "test_a_job_is_read_by_its_id_alone",
    "1 Get User Jobs": "test_the_list_takes_a_job_id_as_its_cursor",
    "1 WebSocket Updates": "test_an_update_has_the_documented_fields",
    "1 Debug Commands": "deploy/test_documents_commands.py::"
    "test_the_debug_commands_run_as_they_are_printed",
    "2 Creating a Video Generation Job": "test_the_video_of_document_2_is_accepted_verbatim",
    "2 Creating a Delayed Job": "test_the_flow_requests_of_document_2_are_accepted_verbatim",
    "2 Creating a Recurring Job": "test_the_flow_requests_of_document_2_are_accepted_verbatim",
    "2 Queue Configuration": "test_the_default_retries_and_leases_are_those_of_document_2",
    "2 Concurrent Limits": "test_every_limit_of_document_2_names_a_job_type",
    "3 Queue Configuration": "test_every_documented_queue_exists",
    "3 Job Types": "test_a_job_of_document_3_completes",
    "3 Queue Service": "test_attempts_and_backoff_are_those_of_document_3",
    "3 Job Processors": "test_a_job_of_document_3_completes",
    "3 Job Processors #2": "test_a_job_of_document_3_completes",
    "3 Queue Jobs Collection": "test_every_status_of_document_3_is_understood",
    "3 Usage Examples": "test_a_script_starts_with_the_documented_message",
    "3 Usage Examples #2": "test_a_job_that_does_not_exist_has_the_documented_error",
    "5 Movie Creation Queue": "test_the_queues_of_document_5_are_declared",
    "5 Story Generation Queue": "test_the_queues_of_document_5_are_declared",
    "5 Image Generation Queue": "test_the_queues_of_document_5_are_declared",
    "5 Video Generation Queue": "test_the_queues_of_document_5_are_declared",
    "5 1. Movie Creation": "test_a_movie_in_its_wrapper_is_accepted",
    "5 2. Story Generation": "test_a_story_in_its_wrapper_completes",
    "5 3. Image Generation": "test_the_pictures_of_a_given_story_are_made",
    "5 4. Video Generation": "test_a_clip_is_made_of_each_picture_of_a_given_story",
    "5 Job Failures": "test_a_failure_has_the_documented_error",
    "5 Queue Metrics": "test_the_statistics_of_a_queue_have_the_documented_fields",
}
COVERED |= {
    f"1 {name}-queue": "test_every_documented_queue_exists"
    for name in ("image-generation", "video-generation", "image-upscale", "batch-generation")
}
COVERED |= {
    key: "test_document_1_states_the_limits_of_each_queue"
    for key in STATEMENTS
    if key.startswith(("1 Max", "1 Jobs are retried"))
}
COVERED |= {
    key: "test_a_request_of_document_1_is_accepted_verbatim"
    for key in STATEMENTS
    if "credit" in key
}
COVERED |= {f"2 {name}": "test_every_job_type_is_known_in_either_spelling" for name in JOB_TYPES}
COVERED |= {
    key: "test_every_documented_route_exists"
    for key, code in CODES.items()
    if code.startswith(("GET /", "POST /", "DELETE /"))
}
COVERED |= {
    key: "e2e/test_every_type.py::test_a_type_runs_end_to_end_and_its_files_open"
    for key in DESCRIPTIONS
    if not key.startswith("2 video-generation: ")
}
COVERED["4 PORT"] = "unit/local/test_documented_dev_variables.py::test_dev_listens_on_port"

_REDIS = (
    "Document 1 replaces Redis by Cloud Tasks and Firestore (its section Migration from BullMQ)."
)
_NODE = "A part of a Node program; the route or job that it serves is run by another test."
#: Tests that a later change adds; a row whose test exists fails.
TESTS_TO_COME: set[str] = set()
#: Part of a document, with wildcards → the reason why it is not run literally.
NOT_LITERAL: dict[str, str] = {
    "? *REDIS_*": _REDIS,
    "3 Environment Setup": _REDIS,
    "3 Queue Monitoring": _NODE,
    "3 Worker Process*": _NODE + " Cloud Tasks calls the processor: there is no worker to start.",
    "4 NODE_ENV": _NODE,
    "4 .env": "Settings are environment variables; scripts/setup-local-auth.sh writes a file.",
    "4 FIREBASE_CONFIG": "Document 1 connects by application default credentials.",
    "4 Data Flow": "A diagram: its steps are run by test_a_movie_says_which_step_it_is_at.",
    "2 video-generation: *": "In document 1, the primary one, a video-generation is one clip of a "
    "prompt for 5 credits. With scenes it makes a clip of each, bought and retried by itself, as "
    "document 5 has it; the finished film from a script, with voice and music, is movie-creation.",
    "1 TaskProcessorController": "The name of a class; Taskreel's is web/tasks.py.",
}

#: Routes that other parts of the product will serve; a row whose route exists fails.
ROUTES_TO_COME: dict[str, str] = {}


# ── Nothing is left out ───────────────────────────────────────────────────────────────────────────


def find_reason(key: str) -> str | None:
    return next((why for row, why in NOT_LITERAL.items() if fnmatchcase(key, row)), None)


@pytest.mark.parametrize("key", [*FENCES, *CODES, *STATEMENTS, *DESCRIPTIONS])
def test_every_part_of_the_documents_is_run_or_explained(key: str) -> None:
    test = COVERED.get(key)
    assert test or find_reason(key), f"{key!r} is neither in COVERED nor in NOT_LITERAL"
    assert not (test and find_reason(key)), f"{key!r} is in COVERED and in NOT_LITERAL"


def test_no_row_of_the_tables_is_without_its_part() -> None:
    parts = {*FENCES, *CODES, *STATEMENTS, *DESCRIPTIONS}
    names = {f"2 {name}" for name in JOB_TYPES}  # those of our own need no word in document 2
    assert set(COVERED) - parts - names == set()
    assert [row for row in NOT_LITERAL if not any(fnmatchcase(key, row) for key in parts)] == []


@pytest.mark.parametrize("test", sorted(set(COVERED.values())))
def test_every_test_that_a_table_names_exists(test: str) -> None:
    file, _, name = test.rpartition("::")
    path = ROOT / "tests" / file if file else Path(__file__)
    text = path.read_text("utf-8") if path.exists() else ""
    exists = re.search(rf"^(async )?def {name}\(", text, re.MULTILINE) is not None
    assert exists is (test not in TESTS_TO_COME), test


# ── Routes ────────────────────────────────────────────────────────────────────────────────────────


_SERVED_ROUTES: set[str] = {"POST /api/jobs/{}"}


async def list_served_routes(world: World) -> set[str]:
    """`METHOD /path` with nameless parameters, job types in the place of one.

    Every world serves the same document, which takes most of a second: it is read once.
    """
    if len(_SERVED_ROUTES) == 1:
        document = (await world.api.get("/api/openapi.json")).json()
        _SERVED_ROUTES.update(
            f"{method.upper()} {blank_names(path)}"
            for path, methods in document["paths"].items()
            for method in methods
        )
    return _SERVED_ROUTES


def blank_names(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


@pytest.mark.parametrize("route", sorted(ROUTES))
async def test_every_documented_route_exists(route: str, world: World) -> None:
    served = await list_served_routes(world)
    if route in ROUTES_TO_COME:
        assert blank_names(route) not in served, "it exists now: remove its row of ROUTES_TO_COME"
    else:
        assert blank_names(route) in served


# ── Document 1 ────────────────────────────────────────────────────────────────────────────────────

PRICES = {
    match[1].lower().replace(" ", "-"): int(match[2])
    for match in (re.match(r"1 (.*): (\d+) credit", key) for key in STATEMENTS)
    if match
}


@pytest.mark.parametrize(
    "name",
    [
        key
        for key in FENCES
        if key
        in {
            f"1 {type_}"
            for type_ in (
                "Image Generation",
                "Video Generation",
                "Image Upscale",
                "Batch Generation",
            )
        }
    ],
)
async def test_a_request_of_document_1_is_accepted_verbatim(
    name: str, ada: httpx.AsyncClient
) -> None:
    method, path, body = documents.http_request(FENCES[name])
    answer = await ada.request(method, path, json=body)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert "ignoredFields" not in job
    price = PRICES[job["jobType"]] * len(body.get("prompts", [1]))
    assert job["credits"]["held"] == price


async def test_a_job_is_read_by_its_id_alone(ada: httpx.AsyncClient) -> None:
    job = (await ada.post("/api/jobs/image-generation", json={"prompt": "a kite"})).json()
    method, path, _ = documents.http_request(FENCES["1 Get Job Status"].partition("\n")[0])
    found = await ada.request(method, path.replace("{jobId}", job["jobId"]))
    assert found.json()["jobId"] == job["jobId"]


async def test_the_list_takes_a_job_id_as_its_cursor(world: World, ada: httpx.AsyncClient) -> None:
    jobs = []
    for _ in range(2):
        answer = await ada.post("/api/jobs/image-generation", json={"prompt": "a kite"})
        jobs.append(answer.json()["jobId"])
        await world.advance(1)
    method, path, _ = documents.http_request(FENCES["1 Get User Jobs"].partition("\n")[0])
    found = await ada.request(method, path.replace("cursor=jobId", f"cursor={jobs[1]}"))
    assert [job["jobId"] for job in found.json()["jobs"]] == [jobs[0]]


async def test_an_update_has_the_documented_fields(ada: httpx.AsyncClient) -> None:
    """The fields of the event `jobUpdate` are those of a job; the socket itself is live's test."""
    fields = re.findall(r"//   (\w+):", FENCES["1 WebSocket Updates"])
    assert fields == ["jobId", "status", "progress", "resultUrl"]
    job = (await ada.post("/api/jobs/image-generation", json={"prompt": "a kite"})).json()
    assert set(fields) <= job.keys()


def declared_queues() -> dict[str, dict[str, Any]]:
    """Each declared queue with its defaults filled in."""
    declared = yaml.safe_load((ROOT / "infra" / "queues.yaml").read_text("utf-8"))
    defaults = declared["defaults"]
    return {
        name: {part: {**defaults[part], **(own or {}).get(part, {})} for part in defaults}
        for name, own in declared["queues"].items()
    }


def test_every_documented_queue_exists() -> None:
    of_document_1 = {code for key, code in CODES.items() if code.endswith("-queue")}
    assert len(of_document_1) == 4
    of_document_3 = set(re.findall(r"new Queue\('([^']+)'", FENCES["3 Queue Configuration"]))
    # A generation is put on the queue of the type that it becomes; `webhook-processing` is the
    # queue of events, and a job of its kind is of the type `webhook`.
    of_document_3 -= {"ai-generation", "webhook-processing"}
    queues = set(declared_queues())
    assert of_document_1 | {f"{name}-queue" for name in of_document_3} <= queues
    assert queues == {f"{name}-queue" for name in JOB_TYPES} | {
        "provider-poll-queue",
        "webhook-processing",
    }


def test_document_1_states_the_limits_of_each_queue() -> None:
    stated = {
        "maxDispatchesPerSecond": 10,
        "maxConcurrentDispatches": 100,
        "maxAttempts": 3,
    }
    lines = " ".join(STATEMENTS)
    for words, name in (
        ("Max dispatches per second", "maxDispatchesPerSecond"),
        ("Max concurrent dispatches", "maxConcurrentDispatches"),
        ("Max retry attempts", "maxAttempts"),
        ("retried up to", "maxAttempts"),
    ):
        found = re.search(rf"{words}:? (\d+)", lines)
        assert found
        assert int(found[1]) == stated[name]
    assert "Max retry duration: 1 hour" in lines
    for name in documents.list_items("1", "Queue Structure"):
        queue = declared_queues()[name.split("`")[1]]
        limits = {**queue["rateLimits"], **queue["retryConfig"]}
        assert {key: limits[key] for key in stated} == stated
        assert limits["maxRetryDuration"] == "3600s"


def type_names() -> list[str]:
    """The job types in the spelling of document 1, and those of document 2 in its own."""
    upper = [item.split("**")[1] for item in documents.list_items("1", "Job Types")]
    return [
        *upper,
        *(code for key, code in CODES.items() if key.startswith("2 ") and code in JOB_TYPES),
    ]


@pytest.mark.parametrize("name", type_names())
async def test_every_job_type_is_known_in_either_spelling(
    name: str, ada: httpx.AsyncClient
) -> None:
    kebab = name.lower().replace("_", "-")
    body = dict(JOB_TYPES[kebab].example)
    for spelling in (kebab, kebab.replace("-", "_").upper()):
        job = (await ada.post(f"/api/jobs/{spelling}", json=body)).json()
        assert job["jobType"] == kebab, job
        for path in ("", "/progress"):
            read = await ada.get(f"/api/jobs/{spelling}/{job['jobId']}{path}")
            assert read.status_code == 200, read.text
        listed = (await ada.get("/api/jobs", params={"jobType": spelling})).json()
        assert job["jobId"] in {row["jobId"] for row in listed["jobs"]}, listed


# ── Document 2 ────────────────────────────────────────────────────────────────────────────────────


def as_claimed(world: World, body: dict[str, Any]) -> httpx.AsyncClient:
    """The client of the user that a body claims to be."""
    return world.as_user(body["userId"], projects=[body["projectId"]], tier="pro")


async def test_the_video_of_document_2_is_accepted_verbatim(world: World) -> None:
    path, body = documents.fetch_request(FENCES["2 Creating a Video Generation Job"])
    answer = await as_claimed(world, body).post(path, json=body)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["ignoredFields"] == ["userSubscription"]
    assert (job["userId"], job["projectId"]) == (body["userId"], body["projectId"])
    assert job["priority"] == body["priority"]
    await world.advance(60)
    (video,) = (await read_job(as_claimed(world, body), job))["result"]["artifacts"]
    assert (video["width"], video["height"]) == (1920, 1080)  # body["options"]["resolution"]


async def test_a_foreign_user_id_is_refused(ada: httpx.AsyncClient) -> None:
    path, body = documents.fetch_request(FENCES["2 Creating a Video Generation Job"])
    refused = expect_problem(await ada.post(path, json=body), 403, "forbidden")
    assert "userId" in refused["detail"]


@pytest.mark.parametrize("key", ["2 Creating a Delayed Job", "2 Creating a Recurring Job"])
async def test_the_flow_requests_of_document_2_are_accepted_verbatim(
    key: str, world: World
) -> None:
    """Their `data` are bodies of jobs; the routes themselves are in ROUTES_TO_COME."""
    path, body = documents.fetch_request(FENCES[key])
    if f"POST {path}" in ROUTES_TO_COME:
        path, body = f"/api/jobs/{body['jobType']}", body["data"]
    user = as_claimed(world, body.get("data", body))
    answer = await user.post(path, json=body)
    assert answer.status_code in (201, 202), answer.text


def test_the_default_retries_and_leases_are_those_of_document_2() -> None:
    text = FENCES["2 Queue Configuration"]
    literal = text[text.index("{") : text.rindex("}") + 1]
    stated = documents.read_literal(literal)
    options, settings = stated["defaultJobOptions"], stated["settings"]
    policy = RetryPolicy()
    assert policy.max_attempts == options["attempts"]
    assert policy.min_backoff_seconds * 1000 == options["backoff"]["delay"]
    wait = policy.backoff_after(2, 0.5) / policy.backoff_after(1, 0.5)
    assert (options["backoff"]["type"], wait) == ("exponential", 2)
    lease = Settings.model_fields["lease_seconds"].default * 1000
    assert lease == settings["lockDuration"] == settings["stalledInterval"]


def test_every_limit_of_document_2_names_a_job_type() -> None:
    text = FENCES["2 Concurrent Limits"]
    stated = documents.read_literal(text[text.index("{") : text.rindex("}") + 1])
    assert stated["type"].keys() <= JOB_TYPES.keys()


# ── Document 3 ────────────────────────────────────────────────────────────────────────────────────


async def make_files(world: World, user: httpx.AsyncClient) -> dict[str, str]:
    """A picture, a sound and a video of the user, as references to their jobs."""
    bodies = {
        "image": ("image-generation", {"prompt": "a kite", "options": {"width": 64, "height": 64}}),
        "sound": ("audio-synthesis", {"text": "Hello there."}),
        "video": (
            "video-generation",
            {"prompt": "a kite", "options": {"duration": 1, "width": 64, "height": 64, "fps": 8}},
        ),
    }
    jobs = {
        kind: (await user.post(f"/api/jobs/{type_}", json=body)).json()
        for kind, (type_, body) in bodies.items()
    }
    await world.advance(30)
    found = {}
    for kind, job in jobs.items():
        ended = await read_job(user, job)
        assert ended["status"] == "COMPLETED", ended
        found[kind] = f"job:{job['jobId']}/{ended['result']['artifacts'][0]['name']}"
    return found


ROUTE_OF_JOB = {
    "AIGenerationJob": "/api/jobs/ai-generation",
    "MediaProcessingJob": "/api/jobs/media-processing",
    "VideoAssemblyJob": "/api/jobs/video-assembly",
    "WebhookJob": "/api/jobs/webhook",
}
SHAPES = documents.interfaces(FENCES["3 Job Types"])
PARAMETERS = set(re.findall(r"parameters\.(\w+)", " ".join(FENCES.values())))


def test_every_job_of_document_3_has_a_route() -> None:
    assert SHAPES.keys() - {"BaseJob"} == ROUTE_OF_JOB.keys()
    assert {"style", "imageUrl", "musicTrack"} == PARAMETERS


def build_bodies(files: dict[str, str], shape: str) -> list[dict[str, Any]]:
    """The bodies of a shape, their files ours, and the parameters that the processors read."""
    samples = {
        "userId": "ada",
        "prompt": "A pier at dusk",
        "modelId": "flux-1.1-pro",
        "inputFiles": [files["video"]],
        "outputPath": "films/the-result.mp4",
        "sceneVideos": [files["video"], files["video"]],
        "masterAudio": files["sound"],
        "webhookUrl": "https://93.184.216.34/hooks",
    }
    bodies = documents.bodies_of(SHAPES[shape], samples)
    for body in bodies:
        match body.get("type"):
            case "image":
                body["parameters"] = {"style": "watercolour"}
            case "video":
                body["parameters"] = {"imageUrl": files["image"]}
                body["modelId"] = "runway-gen4"
            case "script":
                body["parameters"] = {"genre": "comedy"}
                del body["modelId"]  # the document's processor passes it to pictures and videos
            case "scene-description":
                del body["modelId"]
            case "audio-stitch":
                body["inputFiles"] = [files["sound"]]
            case "music-mix":
                body["inputFiles"] = [files["sound"]]
                body["parameters"] = {"musicTrack": files["sound"]}
            case _:
                pass
    return bodies


@pytest.fixture
def answer_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address that is sent a message answers 204."""
    transport = StreamedAnswers(lambda _request: httpx.Response(204))
    monkeypatch.setattr(
        service_building, "WebhookSender", partial(WebhookSender, transport=transport)
    )


@pytest.mark.usefixtures("answer_webhooks")  # before `world` is built
@pytest.mark.parametrize("shape", ROUTE_OF_JOB)
async def test_a_job_of_document_3_completes(
    shape: str, world: World, ada: httpx.AsyncClient
) -> None:
    files = await make_files(world, ada)
    for body in build_bodies(files, shape):
        answer = await ada.post(ROUTE_OF_JOB[shape], json=body)
        assert answer.status_code == 202, (body, answer.text)
        ignored = {"id", "createdAt"} | (body.keys() & {"retryCount"})
        assert set(answer.json()["ignoredFields"]) == ignored
        await world.advance(120)
        job = await read_job(ada, answer.json())
        assert job["status"] == "COMPLETED", (body, job["error"])
        if "outputPath" in body:
            assert [file["name"].partition(".")[0] for file in job["result"]["artifacts"]] == [
                "the-result"
            ]


def minutes_of(text: str) -> timedelta:
    product = 1
    for factor in re.findall(r"\d+", text):
        product *= int(factor)
    return timedelta(milliseconds=product)


SERVED_BY = {
    "addAIGenerationJob": (
        "script-generation",
        "image-generation",
        "video-generation",
        "ai-processing",
    ),
    "addMediaProcessingJob": ("media-processing",),
    "addVideoAssemblyJob": ("video-assembly",),
    "addWebhookJob": ("webhook",),
}


def list_queue_methods() -> list[tuple[str, str, str, str]]:
    """Of each method that adds a job: its name, time-out, retries, and the rest of the call."""
    return re.findall(
        r"static async (add\w+Job)\(.*?\.timeout\(([^)]+)\).*?\.retries\((\d+)\)(.*?)\.save",
        FENCES["3 Queue Service"],
        re.DOTALL,
    )


def test_attempts_and_backoff_are_those_of_document_3() -> None:
    methods = list_queue_methods()
    assert {name for name, *_ in methods} == SERVED_BY.keys()
    own_backoff = {key.split(" ", 1)[1] for key in FENCES if key.startswith("5 ")}
    for name, _, retries, backoff in methods:
        for type_ in SERVED_BY[name]:
            job_type = find_job_type(type_)
            # Documents 1 and 2 have three attempts a generation: the lower number counts.
            most = 3 if type_ != "webhook" else int(retries) + 1
            assert job_type.retry.max_attempts == min(int(retries) + 1, most), type_
            delay = re.search(r"'exponential', (\d+)", backoff)
            title = type_.replace("-", " ").title()
            if delay and f"{title} Queue" not in own_backoff:  # document 5 has its own
                assert job_type.retry.min_backoff_seconds * 1000 == int(delay[1]), type_


@pytest.mark.parametrize("method", [name for name, types in SERVED_BY.items() if types])
def test_times_are_those_of_document_3(method: str) -> None:
    (timeout,) = (time for name, time, *_ in list_queue_methods() if name == method)
    declared = {type_: find_job_type(type_).timeout for type_ in SERVED_BY[method]}
    assert declared == dict.fromkeys(declared, minutes_of(timeout))


async def test_every_status_of_document_3_is_understood(ada: httpx.AsyncClient) -> None:
    text = FENCES["3 Queue Jobs Collection"]
    names = re.search(r"name: 'status'.*?\]", text, re.DOTALL)
    assert names
    statuses = re.findall(r"value: '(\w+)'", names[0])
    assert len(statuses) == 5
    for status in statuses:
        assert Status(status) is Status[status.upper()]
        for spelling in (status, status.upper()):
            found = await ada.get("/api/jobs", params={"status": spelling})
            assert found.status_code == 200, found.text


async def test_a_script_starts_with_the_documented_message(
    world: World, ada: httpx.AsyncClient
) -> None:
    text = FENCES["3 Usage Examples"]
    fields = re.search(r"const { (.+) } = await request", text)
    message = re.search(r"message: '([^']+)'", text)
    assert fields
    assert message
    samples = {"projectId": "p1", "userId": "ada", "parameters": {"genre": "comedy"}}
    body = {name: samples[name] for name in fields[1].split(", ")}
    answer = await ada.post("/v1/generate/script", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["message"] == message[1]
    await world.advance(10)
    found = (await ada.get(f"/v1/jobs/{answer.json()['jobId']}/status")).json()
    assert found["status"] == "COMPLETED"


async def test_a_job_that_does_not_exist_has_the_documented_error(ada: httpx.AsyncClient) -> None:
    shown = re.search(
        r"json\({ error: '([^']+)' }, { status: (\d+) }", FENCES["3 Usage Examples #2"]
    )
    assert shown
    problem = expect_problem(await ada.get("/v1/jobs/job_none/status"), int(shown[2]), "not_found")
    assert problem["error"] == shown[1]


# ── Document 5 ────────────────────────────────────────────────────────────────────────────────────

QUEUES_OF_5 = [key for key in FENCES if key.startswith("5 ") and key.endswith(" Queue")]


@pytest.mark.parametrize("key", QUEUES_OF_5)
def test_the_queues_of_document_5_are_declared(key: str) -> None:
    """`concurrency` is for one machine: in the cloud each of document 1's queues has 100."""
    stated = documents.read_literal(FENCES[key])
    retry = JOB_TYPES[stated["name"]].retry
    assert retry.max_attempts == stated["settings"]["retryAttempts"]
    assert retry.min_backoff_seconds * 1000 == stated["settings"]["backoff"]["delay"]
    assert f"{stated['name']}-queue" in declared_queues()


STORY = {
    "title": "The Fox",
    "scenes": [
        {"description": "A fox in the snow", "narration": "It was cold."},
        {"description": "A fox at a fire", "narration": "It was warm."},
    ],
}
_MOVIE = {
    "userId": "ada",
    "prompt": "A fox",
    "genre": "drama",
    "num_sequences": 2,
    "seed": 7,
    "sampler": "euler",
    "steps": 20,
    "cfg_scale": 7,
    "story": STORY,
}


def wrapped(key: str, **samples: Any) -> dict[str, Any]:
    """The body of a block of document 5, `movieData` and all."""
    shape = documents.shape_of(FENCES[key], "movieData")
    (movie,) = documents.bodies_of(shape, {**_MOVIE, **samples})
    return {"movieData": movie}


async def test_a_movie_in_its_wrapper_is_accepted(ada: httpx.AsyncClient) -> None:
    body = wrapped("5 1. Movie Creation")
    for sent in (body, body["movieData"]):
        answer = await ada.post("/api/movies", json=sent)
        assert answer.status_code == 202, answer.text
        movie = answer.json()
        assert movie["ignoredFields"] == ["id"]
        assert movie["payload"]["numSequences"] == 2
        status = await ada.get(f"/api/movies/{movie['movieId']}/status")
        assert status.json()["currentStep"] == "story"


async def test_a_story_in_its_wrapper_completes(world: World, ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/api/jobs/story-generation", json=wrapped("5 2. Story Generation"))
    assert answer.status_code == 202, answer.text
    assert answer.json()["ignoredFields"] == ["id"]
    # The rest of a movie's data may be there too.
    more = wrapped("5 1. Movie Creation")
    answer = await ada.post("/api/jobs/story-generation", json=more)
    assert answer.json()["ignoredFields"] == [
        "id",
        *(f"movieData.{name}" for name in ("sampler", "steps", "cfg_scale")),
    ], answer.text
    await world.advance(10)
    assert len((await read_job(ada, answer.json()))["result"]["scenes"]) == 2


async def test_the_pictures_of_a_given_story_are_made(world: World, ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/api/jobs/image-generation", json=wrapped("5 3. Image Generation"))
    assert answer.status_code == 202, answer.text
    assert answer.json()["credits"]["held"] == len(STORY["scenes"])
    await world.advance(20)
    job = await read_job(ada, answer.json())
    assert job["status"] == "COMPLETED", job["error"]
    assert len(job["result"]["artifacts"]) == len(STORY["scenes"])


async def test_a_clip_is_made_of_each_picture_of_a_given_story(
    world: World, ada: httpx.AsyncClient
) -> None:
    pictures = (
        await ada.post("/api/jobs/image-generation", json=wrapped("5 3. Image Generation"))
    ).json()
    await world.advance(20)
    made = (await read_job(ada, pictures))["result"]
    # In this world the files' own addresses cannot be reached: by reference to their job.
    files = [{"url": f"job:{pictures['jobId']}/{one['name']}"} for one in made["artifacts"]]
    body = wrapped("5 4. Video Generation", images={"artifacts": files})
    body["options"] = {"duration": 1, "width": 64, "height": 64, "fps": 8}
    answer = await ada.post("/api/jobs/video-generation", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["credits"]["held"] == PRICES["video-generation"] * len(STORY["scenes"])
    await world.advance(60)
    job = await read_job(ada, answer.json())
    assert job["status"] == "COMPLETED", job["error"]
    assert len(job["result"]["artifacts"]) == len(STORY["scenes"])


async def test_a_failure_has_the_documented_error(world: World, ada: httpx.AsyncClient) -> None:
    text = FENCES["5 Job Failures"]
    shape = re.findall(r"^    (\w+): \w+,?$", text, re.MULTILINE)
    assert shape == [
        "message",
        "code",
        "details",
        "timestamp",
        "attempts",
        "maxAttempts",
        "nextAttempt",
    ]
    body = {"prompt": "x", "options": {"studio": {"mode": "fail-permanent"}}}
    job = (await ada.post("/api/jobs/image-generation", json=body)).json()
    await world.advance(1)
    failed = (await ada.get(f"/api/jobs/{job['jobId']}")).json()
    assert {"message", "code", "details", "timestamp"} <= failed["error"].keys()
    assert failed["retry"].keys() == {"attempts", "maxAttempts", "nextAttempt"}


async def test_the_statistics_of_a_queue_have_the_documented_fields(ada: httpx.AsyncClient) -> None:
    groups = re.findall(r"(\w+): {(.*?)}", FENCES["5 Queue Metrics"], re.DOTALL)
    shape = {name: set(re.findall(r"(\w+): \w+", fields)) for name, fields in groups}
    assert {name: len(fields) for name, fields in shape.items()} == {"queue": 6, "performance": 3}
    for row in (await ada.get("/api/jobs/queues/stats")).json()["queues"]:
        for name, fields in shape.items():
            assert fields <= row[name].keys()
