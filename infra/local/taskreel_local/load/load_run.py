"""A running load: submissions at their due times, and followers that see the jobs end.

The load is open: a job is due when the arrival process says so, and is sent then, whether or not
the stack has answered the earlier ones. A stack that stands still for a second delays all jobs that
were due in it, not one. Where this program itself sends late, that delay is a figure of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import httpx

from taskreel_local.load.job_mix import JobRequest, draw_request
from taskreel_local.load.load_samples import Samples, Submission, Usage, read_ended_job

#: A follower reads the changes of its user's jobs so often.
_READ_SECONDS = 0.5
#: A stack that has just started, or measured its peak, may answer 503 or nothing for so long: its
#: emulators are slow at first on a machine that other work shares.
_READY_SECONDS = 60.0
#: An answer with so many events has more behind it.
_FULL_ANSWER = 100
_TIMEOUT = httpx.Timeout(30.0)
_CONNECTIONS = 200
_IDLE_SECONDS = 30.0


@dataclass(slots=True)
class LoadUser:
    """A user of the load, and their jobs that have not been seen to end."""

    client: httpx.AsyncClient
    open_jobs: set[str] = field(default_factory=set)


class LoadRun:
    """One load on one target. `samples` grow while it runs."""

    def __init__(
        self,
        clients: Sequence[httpx.AsyncClient],
        requests: Sequence[JobRequest],
        seed: int,
        usage: Callable[[float], Usage | None] | None = None,
    ) -> None:
        self.samples = Samples()
        self._users = [LoadUser(client) for client in clients]
        self._requests = requests
        self._draw = random.Random(seed)  # noqa: S311 - the seed repeats the load
        self._usage = usage
        self._began = time.perf_counter()
        self._began_at = datetime.now(UTC)
        self._cpu_began = 0.0
        self._helpers: list[asyncio.Task[None]] = []
        #: Ends of jobs whose acceptance has not been read yet.
        self._early: dict[str, Mapping[str, Any]] = {}
        self._has_ended = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Begin to follow the users' jobs; time starts when all followers are ready."""
        ready = [asyncio.Event() for _ in self._users]
        self._helpers = [
            asyncio.create_task(self._follow(user, event))
            for user, event in zip(self._users, ready, strict=True)
        ]
        try:
            await _wait_for_all(ready, self._helpers)
        except BaseException:
            await self._end_helpers()
            raise
        self._began, self._began_at = time.perf_counter(), datetime.now(UTC)
        self._cpu_began = time.process_time()
        if self._usage is not None:
            self._helpers.append(asyncio.create_task(self._measure_usage(self._usage)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end_helpers()

    async def _end_helpers(self) -> None:
        for helper in self._helpers:
            helper.cancel()
        await asyncio.gather(*self._helpers, return_exceptions=True)

    @property
    def seconds(self) -> float:
        """The seconds since the beginning."""
        return time.perf_counter() - self._began

    @property
    def open_jobs(self) -> int:
        """The number of accepted jobs that have not been seen to end."""
        return sum(len(user.open_jobs) for user in self._users)

    async def submit_at(self, times: Iterator[float], seconds: float) -> None:
        """Submit a job at each time until `seconds`; return when each has been answered."""
        async with asyncio.TaskGroup() as group:
            for due in times:
                if due >= seconds:
                    break
                await asyncio.sleep(due - self.seconds)
                group.create_task(self._submit(due))

    async def submit_without_pause(self, connections: int, seconds: float) -> None:
        """Submit from so many connections, each the next job after its answer."""

        async def submit_next() -> None:
            while self.seconds < seconds:
                await self._submit(self.seconds)

        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(submit_next())

    async def wait_for_ends(self, seconds: float) -> None:
        """Wait until all jobs have ended, for so long at most; then ask for each that is open."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.open_jobs:
                    self._has_ended.clear()
                    await self._has_ended.wait()
        # A follower that was too slow was sent a part of its changes only.
        for user in self._users:
            for job_id in list(user.open_jobs):
                found = await self._read_open_job(user, job_id)
                if job_id in user.open_jobs:
                    self.samples.open_states[found] += 1
        self.samples.unfinished = self.open_jobs
        self.samples.generator_cpu_seconds = time.process_time() - self._cpu_began

    async def _read_open_job(self, user: LoadUser, job_id: str) -> str:
        """Ask for a job that has not been seen to end; its status, or why that is not known."""
        try:
            answer = await user.client.get(f"/api/jobs/{job_id}")
        except httpx.HTTPError as failure:
            return type(failure).__name__
        if not answer.is_success:
            return _find_code(answer)
        self._note_end(user, answer.json())
        return str(answer.json()["status"])

    async def _submit(self, due: float) -> None:
        user, request = self._draw.choice(self._users), draw_request(self._requests, self._draw)
        late_ms = (self.seconds - due) * 1000
        error: str | None = None
        try:
            answer = await user.client.post(f"/api/jobs/{request.job_type}", json=request.data)
        except httpx.HTTPError as failure:
            error = type(failure).__name__
        else:
            if answer.is_success:
                self._note_job(user, answer.json())
            else:
                error = _find_code(answer)
        self.samples.submissions.append(
            Submission(
                at=due,
                milliseconds=(self.seconds - due) * 1000,
                late_ms=late_ms,
                error=error,
            )
        )

    def _note_job(self, user: LoadUser, view: Mapping[str, Any]) -> None:
        job_id = view["jobId"]
        user.open_jobs.add(job_id)
        early = self._early.pop(job_id, None)
        self._note_end(user, view if early is None else early)

    def _note_end(self, user: LoadUser, view: Mapping[str, Any]) -> None:
        """Note a job's end once; a job of another program's is not counted."""
        ended = read_ended_job(view, self._began_at)
        if ended is None:
            return
        if view["jobId"] in user.open_jobs:
            user.open_jobs.remove(view["jobId"])
            self.samples.ended.append(ended)
            self._has_ended.set()
        elif view.get("parentId") is None and ended.at >= 0:
            self._early[view["jobId"]] = view

    async def _follow(self, user: LoadUser, ready: asyncio.Event) -> None:
        """Read the changes of the user's jobs: each job that changed, in its newest state."""
        position: str | None = None
        while True:
            query = {} if position is None else {"after": position}
            try:
                answer = await user.client.get(
                    "/api/jobs/events", params=query, headers={"Prefer": "wait=10"}
                )
            except httpx.HTTPError:
                if not ready.is_set() and self.seconds > _READY_SECONDS:
                    raise
                await asyncio.sleep(_READ_SECONDS)
                continue
            if not answer.is_success:
                may_pass = answer.is_server_error and self.seconds <= _READY_SECONDS
                if not ready.is_set() and not may_pass:
                    answer.raise_for_status()
                await asyncio.sleep(_READ_SECONDS)
                continue
            found = answer.json()
            position = found["position"]
            ready.set()
            for event in found["events"]:
                self._note_end(user, event["job"])
            if len(found["events"]) < _FULL_ANSWER:
                await asyncio.sleep(_READ_SECONDS)

    async def _measure_usage(self, measure: Callable[[float], Usage | None]) -> None:
        while True:
            found = await asyncio.to_thread(measure, self.seconds)
            if found is not None:
                self.samples.usage.append(found)
            await asyncio.sleep(1.0)


async def _wait_for_all(
    events: Sequence[asyncio.Event], tasks: Sequence[asyncio.Task[None]]
) -> None:
    """Wait for all events; raise what the first failing task raises."""

    async def wait_for_each() -> None:
        for event in events:
            await event.wait()

    waiting = asyncio.create_task(wait_for_each())
    await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            waiting.cancel()
            task.result()
    await waiting


def _find_code(answer: httpx.Response) -> str:
    """The stable code of a refusal, with its status."""
    try:
        return f"{answer.status_code} {answer.json()['code']}"
    except (ValueError, KeyError, TypeError):
        return str(answer.status_code)


@contextlib.asynccontextmanager
async def open_clients(url: str, tokens: Sequence[str]) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Yield a client for each token; each has connections of its own, as users have."""
    limits = httpx.Limits(
        max_connections=max(_CONNECTIONS // len(tokens), 8), keepalive_expiry=_IDLE_SECONDS
    )
    async with contextlib.AsyncExitStack() as exits:
        yield [
            await exits.enter_async_context(
                httpx.AsyncClient(
                    base_url=url,
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=_TIMEOUT,
                    limits=limits,
                )
            )
            for token in tokens
        ]


async def measure_peak(run: LoadRun, connections: int, seconds: float) -> float:
    """Submit without a pause; the jobs that ended a second, without the first quarter."""
    await run.submit_without_pause(connections, seconds)
    end, begin = run.seconds, seconds / 4
    await run.wait_for_ends(120)
    ended = sum(begin <= job.at < end for job in run.samples.ended)
    return ended / (end - begin)
