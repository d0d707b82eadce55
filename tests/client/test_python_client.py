"""The asynchronous client against the API, over networks that lose what they carry."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import NOOP, image_request
from functions.test_inputs import png
from simulation.world import BASE, World, running, token
from taskreel.client import (
    ApiError,
    AsyncTaskreel,
    DownloadError,
    File,
    Job,
    JobFailedError,
    JobNotEndedError,
    Taskreel,
    UnreadableAnswerError,
)
from taskreel.client.api_calls import ClientSettings
from taskreel_local.stack.server_main import PathRouter

PNG = png()
PICTURE = {"prompt": "a kite", "options": {"width": 64, "height": 64}}


class FaultyNetwork(httpx.AsyncBaseTransport):
    """Loses answers, or answers in the server's place, as often as it is told."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        #: Each is an error after the server has done its work, a status in its place, or nothing.
        self.faults: list[type[httpx.TransportError] | int | None] = []
        self.sent = 0
        self.answered = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, int):
            if request.method == "PUT":
                await request.aread()
            return httpx.Response(fault, headers={"Retry-After": "0"}, request=request)
        if fault is httpx.ConnectError:
            raise fault("refused", request=request)
        response = await self._inner.handle_async_request(request)
        self.answered += 1
        if fault is not None:
            await response.aread()
            raise fault("lost", request=request)
        return response


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with running(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def network(world: World) -> FaultyNetwork:
    return FaultyNetwork(world.api._transport)


@pytest.fixture
async def client(network: FaultyNetwork) -> AsyncIterator[AsyncTaskreel]:
    http = httpx.AsyncClient(transport=network)
    async with AsyncTaskreel(BASE, token(), retry_seconds=0.01, http=http) as made:
        yield made


async def collect(jobs: AsyncIterator[Job]) -> list[Job]:
    return [job async for job in jobs]


async def test_a_submission_whose_answers_are_lost_makes_one_job(
    client: AsyncTaskreel, network: FaultyNetwork
) -> None:
    network.faults = [httpx.ReadError, httpx.ReadTimeout, 503]
    job = await client.submit("image-generation", NOOP)
    assert network.sent == 4
    assert [one.job_id for one in await collect(client.list())] == [job.job_id]
    assert (await client.account()).held == 1


async def test_the_same_key_makes_one_job_and_two_calls_make_two(client: AsyncTaskreel) -> None:
    keyed = [await client.submit("image-generation", NOOP, idempotency_key="k") for _ in range(2)]
    assert keyed[0].job_id == keyed[1].job_id
    await client.submit("image-generation", NOOP)
    assert len(await collect(client.list())) == 2


async def test_a_refusal_is_not_repeated_and_names_the_field(
    client: AsyncTaskreel, network: FaultyNetwork
) -> None:
    with pytest.raises(ApiError, match="prompt") as refused:
        await client.submit("image-generation", prompt="")
    assert network.sent == 1
    assert refused.value.code == "invalid_request"
    assert refused.value.errors[0]["path"] == "prompt"


async def test_it_gives_up_after_its_retries(client: AsyncTaskreel, network: FaultyNetwork) -> None:
    network.faults = [httpx.ConnectError] * 5
    with pytest.raises(httpx.ConnectError):
        await client.account()
    network.faults = [503] * 5
    with pytest.raises(ApiError, match="http_503"):
        await client.account()
    assert network.sent == 10


async def wait_until_submitted(client: AsyncTaskreel) -> None:
    """Wait until a task of the test has submitted a job."""
    async with asyncio.timeout(60):
        while not (await client.call("GET", "/api/jobs"))["jobs"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_run_waits_and_downloads_what_the_job_has_made(
    world: World, client: AsyncTaskreel, network: FaultyNetwork, tmp_path: Path
) -> None:
    ending = asyncio.create_task(client.run("image-generation", PICTURE, priority="high"))
    await wait_until_submitted(client)
    network.faults = [httpx.ReadError]
    await world.advance(20)
    job = await ending
    assert job.priority == "high"
    assert job.credits.captured == 1
    found: list[str] = []

    async def read_file(request: httpx.Request) -> httpx.Response:
        """As the bucket: any request with a valid signature, and no token."""
        assert "authorization" not in request.headers
        found.append(request.url.path)
        stored = await world.job(job.job_id)
        chunks = [one async for one in world.services.blobs.read(stored.artifacts[0].path)]
        return httpx.Response(200, content=b"".join(chunks))

    network._inner = _Switch(network._inner, httpx.MockTransport(read_file))
    [path] = await client.download(job, tmp_path / "kites")
    assert path == tmp_path / "kites" / "image.png"
    content = await asyncio.to_thread(path.read_bytes)
    assert hashlib.sha256(content).hexdigest() == job.files[0].sha256
    assert [one.name for one in path.parent.iterdir()] == ["image.png"]
    assert len(found) == 1

    damaged = job.files[0].model_copy(update={"sha256": "0" * 64})
    with pytest.raises(DownloadError, match=r"image\.png"):
        await client.download_file(damaged, tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    return path


@pytest.mark.parametrize(
    ("faults", "sent"),
    [
        ([], 2),
        ([None, httpx.ReadError], 3),  # its answer is lost: the file has arrived
        ([None, 503], 5),  # refused by what lies between: it begins again
        ([503, None, httpx.ReadTimeout], 4),
    ],
)
async def test_a_file_is_uploaded_over_cuts_and_used(
    world: World,
    client: AsyncTaskreel,
    network: FaultyNetwork,
    picture: Path,
    faults: list[type[httpx.TransportError] | int | None],
    sent: int,
) -> None:
    network._inner = _Switch(network._inner, httpx.ASGITransport(PathRouter()))
    network.faults = faults
    seen: list[int] = []
    upload = await client.upload(picture, on_progress=seen.append)
    assert network.sent == sent
    assert seen[-1] == len(PNG)
    assert upload.reference.startswith("upload:")
    assert upload.sha256 == hashlib.sha256(PNG).hexdigest()
    job = await client.submit("image-upscale", image_url=upload.reference, scale=2)
    await world.advance(30)
    assert [(file.width, file.height) for file in (await client.get(job.job_id)).files] == [
        (64, 48)
    ]


async def test_a_file_that_the_api_does_not_take_is_refused_before_it_is_sent(
    client: AsyncTaskreel, network: FaultyNetwork, tmp_path: Path
) -> None:
    (tmp_path / "notes.zip").write_bytes(b"PK")
    with pytest.raises(ApiError, match="contentType"):
        await client.upload(tmp_path / "notes.zip")
    with pytest.raises(FileNotFoundError):
        await client.upload(tmp_path / "none.png")
    assert network.sent == 1


async def test_a_retry_is_sent_again_only_if_it_was_not_served(
    world: World, client: AsyncTaskreel, network: FaultyNetwork
) -> None:
    job = await client.submit("image-generation", image_request("fail-permanent"))
    await world.advance(20)
    network.faults = [None, httpx.ConnectError, 429]
    assert (await client.retry(job.job_id)).attempt == 0
    await world.advance(20)
    failed = await client.get(job.job_id)
    network.faults = [httpx.ReadError]
    with pytest.raises(httpx.ReadError):
        await client.retry(failed)
    history = await client.history(job)
    assert [change.status for change in history.changes].count("QUEUED") == 3
    assert [one.code for one in history.failed_attempts] == ["studio_failed"] * 2


async def test_a_replay_edits_the_payload_and_leaves_the_job(
    world: World, client: AsyncTaskreel
) -> None:
    job = await client.submit("image-generation", NOOP)
    await world.advance(20)
    edit = {"prompt": "another", "options": {"studio": {"mode": "noop"}}}
    assert (await client.quote_replay(job, edit)).cost == 1
    made = await client.replay(job.job_id, edit)
    assert made.replay_of == job.job_id
    assert made.payload is not None
    assert made.payload["prompt"] == "another"
    assert (await client.get(job.job_id)).payload == NOOP


async def test_only_a_job_that_has_ended_is_deleted(world: World, client: AsyncTaskreel) -> None:
    job = await client.submit("image-generation", image_request("sleep", seconds=60))
    with pytest.raises(JobNotEndedError, match="cancel it"):
        await client.delete(job)
    await client.cancel(job)
    await world.advance(20)
    await client.delete(job)
    with pytest.raises(ApiError, match="not_found"):
        await client.get(job.job_id)


async def test_all_jobs_are_streamed_from_now_on(
    world: World, client: AsyncTaskreel, network: FaultyNetwork
) -> None:
    await client.submit("image-generation", NOOP)
    await world.settle()
    seen: list[tuple[str, str]] = []

    async def follow() -> None:
        async for state in client.stream_all():
            seen.append((state.job_id, state.status))
            if state.has_ended:
                return

    following = asyncio.create_task(follow())
    async with asyncio.timeout(60):
        while not network.answered:  # noqa: ASYNC110 - by then the stream is open
            await asyncio.sleep(0.01)
    job = await client.submit("image-generation", image_request("noop"))
    for _ in range(100):
        if following.done():
            break
        await asyncio.sleep(0.02)
        await world.advance(1)
    await following
    assert (job.job_id, "COMPLETED") in seen


async def test_an_answer_of_something_else_names_the_url() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, html="<p>Sign in</p>")

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with AsyncTaskreel("http://api.test", "t", http=http) as client:
        with pytest.raises(UnreadableAnswerError, match=r"api\.test.*text/html"):
            await client.account()
        with pytest.raises(UnreadableAnswerError, match="check the URL"):
            await client.call("GET", "/api/jobs/stats")


async def test_a_route_without_a_method_is_called(client: AsyncTaskreel) -> None:
    found = await client.call("GET", "/api/jobs", query={"job_type": "image-upscale", "limit": 5})
    assert found == {"jobs": [], "nextCursor": None}
    with pytest.raises(ApiError, match="forbidden"):
        await client.call("GET", "/api/accounts")


class _Switch(httpx.AsyncBaseTransport):
    """Files to one transport, all else to another."""

    def __init__(self, api: httpx.AsyncBaseTransport, files: httpx.AsyncBaseTransport) -> None:
        self._api, self._files = api, files

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_file = request.url.path.startswith("/files/")
        return await (self._files if is_file else self._api).handle_async_request(request)


async def test_run_raises_for_a_job_that_fails_and_wait_returns_it(
    world: World, client: AsyncTaskreel
) -> None:
    failing = asyncio.create_task(client.run("image-generation", image_request("fail-permanent")))
    await wait_until_submitted(client)
    await world.advance(20)
    with pytest.raises(JobFailedError, match="studio_failed") as failed:
        await failing
    assert (await client.wait(failed.value.job)).status == "FAILED"
    with pytest.raises(TimeoutError, match="goes on"):
        await client.wait(await client.submit("image-generation", NOOP), timeout=0.05)


async def test_a_stream_shows_each_status_once_across_cuts(
    world: World, client: AsyncTaskreel, network: FaultyNetwork
) -> None:
    job = await client.submit("image-generation", image_request("fail-temporary", times=2))
    seen: list[str] = []

    async def follow() -> None:
        async for state in client.stream(job):
            seen.append(f"{state.status} {state.attempt}")
            network.faults = [httpx.ReadError, 502]

    following = asyncio.create_task(follow())
    for _ in range(400):
        if following.done():
            break
        await asyncio.sleep(0.02)
        await world.advance(1)
    await following
    assert len(seen) == len(set(seen))
    assert seen[0] == "QUEUED 0"
    assert seen[-1] == "COMPLETED 3"


async def test_cancel_stops_a_job_and_leaves_an_ended_one(
    world: World, client: AsyncTaskreel, network: FaultyNetwork
) -> None:
    job = await client.submit("image-generation", image_request("sleep", seconds=60))
    await world.settle()
    network.faults = [httpx.ReadError]  # a DELETE that is sent twice would remove it
    assert (await client.cancel(job)).status == "CANCELLED"
    assert (await client.cancel(job.job_id)).status == "CANCELLED"
    assert (await client.get(job.job_id)).status == "CANCELLED"


async def test_a_list_goes_on_over_pages_and_takes_filters(
    world: World, client: AsyncTaskreel
) -> None:
    made = [(await client.submit("image-generation", NOOP)).job_id for _ in range(5)]
    await world.advance(20)
    listed = await collect(client.list(limit=2, status=["COMPLETED", "FAILED"]))
    assert sorted(job.job_id for job in listed) == sorted(made)
    assert await collect(client.list(job_type="video-generation")) == []
    after = datetime(2100, 1, 1, tzinfo=UTC)
    assert await collect(client.list(created_after=after)) == []


async def test_a_quote_creates_nothing(client: AsyncTaskreel) -> None:
    quote = await client.quote("video-generation", prompt="a kite")
    assert quote.cost == 5
    assert quote.credits.sufficient
    assert await collect(client.list()) == []


def test_a_file_cannot_be_named_out_of_the_folder(tmp_path: Path) -> None:
    from taskreel.client.api_calls import choose_path

    for name in ("../../etc/passwd", "/etc/passwd", "..", "a/b.png", ""):
        file = File(name=name, content_type="image/png", bytes=1, sha256="")
        path = choose_path(tmp_path, file)
        assert path.parent == tmp_path
        assert path.resolve().parent == tmp_path.resolve()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="TASKREEL_URL"):
        Taskreel()
    monkeypatch.setenv("TASKREEL_URL", "http://api.test/")
    monkeypatch.setenv("TASKREEL_TOKEN", "t")
    settings = ClientSettings.read(None, None)
    assert (settings.url, settings.token) == ("http://api.test", "t")


def test_a_status_and_a_field_of_a_newer_server_are_read() -> None:
    now = "2026-11-26T09:30:00Z"
    sent: dict[str, Any] = {
        "jobId": "job_1",
        "jobType": "image-generation",
        "status": "PAUSED",
        "createdAt": now,
        "updatedAt": now,
        "mood": "good",
    }
    job = Job.model_validate(sent)
    assert job.status == "PAUSED"
    assert not job.has_ended
    assert job.model_extra == {"mood": "good"}
