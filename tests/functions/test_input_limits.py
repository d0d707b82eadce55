"""Limits on what a job starts from, and the room for it in an instance."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from functions.job_requests import UPSCALE, expect_problem, read_balance, read_job, submit_job
from functions.test_inputs import mp4, png
from simulation.world import World, running
from streamed_answers import StreamedAnswers
from taskreel.adapters.fetch import Fetcher
from taskreel.adapters.work_dirs import WorkDirPool
from taskreel.app.services import Services
from taskreel.domain.input_limits import InputLimits

PROCESSING = "/api/jobs/media-processing"
FILES = [f"http://93.184.216.34/{number}.mp4" for number in range(4)]
#: One clip: its bytes differ from call to call, since its frames are whatever memory held.
CLIP, PICTURE = mp4(), png()
LIMITS = InputLimits(max_files=3, max_job_bytes=3 * len(CLIP) - 1)


class Web:
    """A web server whose files are all the same clip; it records how much it has sent."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.announced = True

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        content = PICTURE if request.url.path.endswith(".png") else CLIP
        headers = {} if self.announced else {"transfer-encoding": "chunked"}
        return httpx.Response(200, content=content, headers=headers)


@pytest.fixture
def web() -> Web:
    return Web()


StartWorld = Callable[..., Any]


@pytest.fixture
async def start(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StartWorld]:
    async with AsyncExitStack() as stack:

        async def start(limits: InputLimits, room: int | None = None) -> World:
            def change(services: Services) -> Services:
                return replace(
                    services,
                    fetch=Fetcher(transport=StreamedAnswers(web.answer)),
                    rules=replace(services.rules, inputs=limits),
                    work_dirs=WorkDirPool(tmp_path / "scratch", room),
                )

            return await stack.enter_async_context(running(tmp_path, monkeypatch, change=change))

        yield start


def stitch(*files: str) -> dict[str, Any]:
    return {"operation": "video-stitch", "inputFiles": list(files)}


async def stitched(world: World, *files: str) -> dict[str, Any]:
    job = await submit_job(world.as_user("ada"), stitch(*files), PROCESSING)
    await world.settle()
    return await read_job(world.as_user("ada"), job)


async def test_more_files_than_a_job_may_have_are_refused_before_it_is_charged(
    start: StartWorld, web: Web
) -> None:
    world = await start(LIMITS)
    ada = world.as_user("ada")
    answer = await ada.post(PROCESSING, json=stitch(*FILES))
    problem = expect_problem(answer, 422, "input_too_large")
    (error,) = problem["errors"]
    assert error["path"] == "inputFiles[3]"
    assert "4 files" in error["message"]
    assert "at most 3 (MAX_JOB_INPUT_FILES)" in error["message"]
    assert (await read_balance(ada))["held"] == 0
    assert web.asked == []


@pytest.mark.parametrize("announced", [True, False])
async def test_files_whose_sum_is_too_large_fail_the_job_and_are_refunded(
    start: StartWorld, web: Web, *, announced: bool
) -> None:
    web.announced = announced
    world = await start(LIMITS)
    failed = await stitched(world, *FILES[:3])
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "input_too_large")
    assert "inputFiles[2] (http://93.184.216.34/2.mp4)" in failed["error"]["message"]
    assert "MAX_JOB_INPUT_MB" in failed["error"]["message"]
    assert failed["attempt"] == 1
    assert failed["credits"]["released"] == 1


async def test_one_file_that_is_too_large_is_refused_by_its_field_and_the_limit(
    start: StartWorld,
) -> None:
    world = await start(InputLimits(max_file_bytes=len(CLIP) - 1))
    failed = await stitched(world, *FILES[:2])
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "input_too_large")
    assert "inputFiles[0] (http://93.184.216.34/0.mp4)" in failed["error"]["message"]
    assert "MAX_INPUT_FILE_MB" in failed["error"]["message"]


async def test_files_of_own_jobs_that_are_too_large_are_refused_before_any_download(
    start: StartWorld, web: Web
) -> None:
    world = await start(InputLimits(max_job_bytes=10 * len(CLIP)))
    made = await stitched(world, FILES[0], FILES[0])
    assert made["status"] == "COMPLETED"
    (artifact,) = made["result"]["artifacts"]
    reference = f"job:{made['jobId']}/{artifact['name']}"

    web.asked.clear()
    failed = await stitched(world, FILES[1], *[reference] * 20)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "input_too_large")
    assert web.asked == []


@pytest.mark.parametrize(
    ("limits", "setting"),
    [
        (InputLimits(max_job_pixels=64 * 64 * 3 // 2), "MAX_JOB_INPUT_MEGAPIXELS"),
        (InputLimits(max_job_seconds=1.5), "MAX_JOB_INPUT_SECONDS"),
    ],
)
async def test_pixels_and_seconds_are_counted_over_all_files_of_a_job(
    start: StartWorld, limits: InputLimits, setting: str
) -> None:
    world = await start(limits)
    failed = await stitched(world, *FILES[:2])
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "input_too_large")
    assert "inputFiles[1]" in failed["error"]["message"]
    assert setting in failed["error"]["message"]


async def test_a_job_waits_for_room_while_other_jobs_go_on_and_spends_no_attempt(
    start: StartWorld,
) -> None:
    """The room for one job is taken by another's files: the second waits, a picture goes on."""
    room = 2 * len(CLIP) + len(PICTURE)
    world = await start(InputLimits(), room=room)
    ada, bob = world.as_user("ada"), world.as_user("bob")
    taken = world.services.work_dirs.acquire("job_1")
    assert world.services.work_dirs.reserve(taken, len(CLIP))

    waiting = await submit_job(ada, stitch(*FILES[:2]), PROCESSING)
    other = await submit_job(bob, {"imageUrl": "http://93.184.216.34/a.png", "scale": 2}, UPSCALE)
    await world.advance(2)
    held = await read_job(ada, waiting)
    assert (held["status"], held["error"]["code"]) == ("RETRYING", "no_room_for_inputs")
    assert held["error"]["category"] == "rate_limited"
    assert held["nextAttemptAt"] is not None
    assert (await read_job(bob, other))["status"] == "COMPLETED"

    await world.services.work_dirs.release(taken)
    await world.advance(30)
    done = await read_job(ada, waiting)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)


async def test_the_room_of_a_job_is_free_again_once_it_has_ended(start: StartWorld) -> None:
    world = await start(InputLimits(), room=2 * len(CLIP))
    for _ in range(3):
        assert (await stitched(world, *FILES[:2]))["status"] == "COMPLETED"
