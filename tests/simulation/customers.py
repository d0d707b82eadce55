"""The users of a simulated cloud: they submit, cancel, retry, replay, remove, read and listen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from simulation.fault_plan import Fault
from simulation.invariant_watch import ViolationError
from simulation.reuse_acts import ReuseActs
from simulation.simulated_cloud import SimulatedCloud
from simulation.simulated_instance import ConnectionLostError
from simulation.world import token
from taskreel.app.caller import Caller
from taskreel.app.live.job_reader import LONGEST_ABSENCE, JobReader
from taskreel.app.live.job_scope import Scope, ScopeKind, Source, open_scope
from taskreel.domain.errors import StoreError
from taskreel.domain.job import Job
from taskreel.domain.stream_position import StreamPosition

#: The users and their tiers.
USERS = {"ada": "pro", "bob": "free", "eve": "pro"}
_MODEL = "flux-1.1-pro"
_SKEW = timedelta(minutes=1)
_FOREVER = 4_000_000_000
#: A request is repeated so often while nobody answers it.
_MOST_TRIES = 6
_PICTURE = {"prompt": "a kite", "model": _MODEL}


@dataclass
class Customer:
    """One user with a few clients."""

    cloud: SimulatedCloud
    user: str
    #: The mean number of seconds between two acts in a busy time.
    think_seconds: float
    jobs: dict[str, str] = field(default_factory=dict)
    keys: int = 0
    recurring: list[str] = field(default_factory=list)
    #: The newest state of each job that its live connection has shown.
    shown: dict[str, Job] = field(default_factory=dict)
    _headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text = token(self.user, exp=_FOREVER, iat=None, tier=USERS[self.user])
        self._headers = {"authorization": f"Bearer {text}"}
        root = token("root", exp=_FOREVER, iat=None, role="admin")
        self.admin = {"authorization": f"Bearer {root}"}
        self.reuse = ReuseActs(self)

    async def act_until(self, end: float) -> None:
        """Act now and then: ten busy minutes, then as long a rest as the tape says.

        A simulation of days has rests of up to a day.
        """
        longest_rest = max(5400.0, end / 4)
        loop, tape = self.cloud.loop, self.cloud.tape
        while loop.time() < end:
            busy_until = loop.time() + 600
            while loop.time() < min(busy_until, end):
                await asyncio.sleep(tape.between(0, 2 * self.think_seconds))
                await self._choose_act()()
            await asyncio.sleep(tape.between(0, longest_rest))

    def _choose_act(self) -> Callable[[], Coroutine[Any, Any, None]]:
        acts: list[tuple[int, Callable[[], Coroutine[Any, Any, None]]]] = [
            (8, self.submit_picture),
            (3, self.submit_batch),
            (2, self.submit_pipeline),
            (2, self.submit_dependent),
            (2, self.submit_delayed),
            (1, self.create_recurring),
            (4, self.cancel),
            (6, self.retry),
            (2, self.replay),
            (2, self.remove),
            (1, self.add_credits),
            (3, self.read),
            (1, self.change_queue),
            (1, self.change_shards),
            (3, self.reuse.ask_cache),
            (1, self.reuse.ask_twice_at_once),
            (1, self.reuse.purge_cache),
            (2, self.reuse.upload_file),
            (2, self.reuse.use_upload),
            (1, self.reuse.delete_upload),
        ]
        place = self.cloud.tape.draw(sum(weight for weight, _ in acts))
        for weight, act in acts:
            place -= weight
            if place < 0:
                return act
        raise AssertionError

    # ── Acts ─────────────────────────────────────────────────────────────────────────────────────

    def _draw_options(self) -> dict[str, Any]:
        tape = self.cloud.tape
        options: dict[str, Any] = {"retry": {"maxAttempts": 1 + tape.draw(3)}}
        provider = (None, "bfl", "fal", ["fal", "bfl"])[tape.draw(4)]
        if provider is not None:
            options["provider"] = provider
        if tape.draw(4) == 3:
            options["webhookUrl"] = "https://hooks.test/in"
            options["webhookEvents"] = ["job.*"]
        if tape.draw(8) == 7:
            options["deadlineSeconds"] = 30 + tape.draw(600)
        if tape.draw(3) == 2:
            options["priority"] = ("low", "normal", "high")[tape.draw(3)]
        return options

    async def submit_picture(self) -> None:
        """One image."""
        await self.submit("image-generation", {**_PICTURE, **self._draw_options()})

    async def submit_batch(self) -> None:
        """Several images in one job."""
        prompts = [f"kite {number}" for number in range(1 + self.cloud.tape.draw(3))]
        body = {"prompts": prompts, "model": _MODEL, **self._draw_options()}
        await self.submit("batch-generation", body)

    async def submit_pipeline(self) -> None:
        """A fan-out of images, and one after it."""
        tape = self.cloud.tape
        picture = {**_PICTURE, "cacheSeconds": 3600} if tape.draw(3) == 2 else _PICTURE
        many = {
            "type": "image-generation",
            "forEach": [str(number) for number in range(1 + tape.draw(3))],
            "payload": picture,
            "onFailure": ("fail", "ignore", "continue")[tape.draw(3)],
        }
        last = {"type": "image-generation", "payload": picture, "after": ["many"]}
        options = self._draw_options()
        for name in ("retry", "provider"):
            options.pop(name, None)
        await self.submit("pipeline", {"steps": {"many": many, "last": last}, **options})

    async def submit_dependent(self) -> None:
        """An image that waits for another job."""
        before = self._choose_job()
        if before is None:
            return
        on_failure = ("fail", "ignore", "continue")[self.cloud.tape.draw(3)]
        depends = [{"jobId": before, "onFailure": on_failure}]
        await self.submit("image-generation", {**_PICTURE, "dependsOn": depends})

    async def submit_delayed(self) -> None:
        """An image that starts later."""
        delay = 1000 * (1 + self.cloud.tape.draw(2400))
        order = {"jobType": "image-generation", "data": _PICTURE, "delay": delay}
        await self._submit_to("/api/jobs/delayed", "image-generation", order)

    async def submit(self, job_type: str, body: dict[str, Any]) -> str | None:
        """Submit until there is an answer, each time with the same key; the id of the job."""
        return await self._submit_to(f"/api/jobs/{job_type}", job_type, body)

    async def _submit_to(self, path: str, job_type: str, body: dict[str, Any]) -> str | None:
        self.keys += 1
        key = {"idempotency-key": f"{self.user}-{self.keys}"}
        ids: set[str] = set()
        lost = self.cloud.plan.strikes(Fault.CLIENT_ANSWER_LOST)
        for number in range(_MOST_TRIES):
            answer = await self.request("POST", path, body, key)
            if answer is None:
                continue
            status, found = answer
            if status in {200, 201, 202}:
                ids.add(found["jobId"])
                self.jobs[found["jobId"]] = job_type
                self._require_stored(found["jobId"])
                if not (lost and number == 0):
                    break
            elif status != 503:
                break
            await asyncio.sleep(1 + number)
        if len(ids) > 1:
            raise ViolationError(f"idempotency: one key made {len(ids)} jobs: {sorted(ids)}")
        return next(iter(ids), None)

    def _require_stored(self, job_id: str) -> None:
        watch = self.cloud.watch
        if job_id not in watch.jobs and job_id not in watch.may_be_removed:
            raise ViolationError(f"no-job-lost: job {job_id} was accepted and is not stored")

    async def create_recurring(self) -> None:
        """A request that is submitted every hour or so."""
        if len(self.recurring) >= 2:
            await self.end_recurring()
            return
        overlap = ("skip", "queue", "replace")[self.cloud.tape.draw(3)]
        order = {
            "jobType": "image-generation",
            "data": _PICTURE,
            "cronExpression": ("0 * * * *", "*/30 * * * *", "15 */2 * * *")[
                self.cloud.tape.draw(3)
            ],
            "options": {"overlap": overlap},
        }
        answer = await self.request("POST", "/api/jobs/recurring", order)
        if answer is not None and answer[0] < 300:
            self.recurring.append(answer[1]["recurringJobId"])

    async def end_recurring(self) -> None:
        """Remove the oldest of them."""
        while self.recurring:
            path = f"/api/jobs/recurring/{self.recurring[0]}"
            answer = await self.request("DELETE", path)
            if answer is not None and answer[0] != 503:
                del self.recurring[0]
                return
            await asyncio.sleep(5)

    async def cancel(self) -> None:
        """Cancel a job, one that is open if there is one."""
        known = self.cloud.watch.jobs
        ids = [id_ for id_ in self.jobs if id_ in known and not known[id_].status.final]
        job_id = ids[self.cloud.tape.draw(len(ids))] if ids else self._choose_job()
        if job_id is not None:
            await self.request("POST", f"/api/jobs/{self.jobs[job_id]}/{job_id}/cancel")

    async def retry(self) -> None:
        """Retry a job; only failed ones can be."""
        failed = [
            id_
            for id_ in self.jobs
            if id_ in self.cloud.watch.jobs and self.cloud.watch.jobs[id_].status == "FAILED"
        ]
        if failed:
            job_id = failed[self.cloud.tape.draw(len(failed))]
            await self.request("POST", f"/api/jobs/{self.jobs[job_id]}/{job_id}/retry")

    async def replay(self) -> None:
        """Make a job again, with what is done of it."""
        job_id = self._choose_job()
        if job_id is not None:
            path = f"/api/jobs/{self.jobs[job_id]}/{job_id}/replay"
            answer = await self.request("POST", path, {})
            if answer is not None and answer[0] < 300:
                self.jobs[answer[1]["jobId"]] = self.jobs[job_id]

    async def remove(self) -> None:
        """Remove a job that has ended; DELETE cancels one that has not."""
        job_id = self._choose_job()
        if job_id is not None:
            watch = self.cloud.watch
            watch.may_be_removed.add(job_id)
            answer = await self.request("DELETE", f"/api/jobs/{self.jobs[job_id]}/{job_id}")
            if answer is not None and answer[0] == 204:
                self.require_no_files(watch.removed_with.get(job_id, set()))

    def require_no_files(self, removed: Iterable[str]) -> None:
        """Raise ViolationError for a file that is left of what was just removed."""
        for broken in self.cloud.files.check_removal(removed):
            raise ViolationError(broken)

    async def add_credits(self) -> None:
        """An admin grants credits, once however often the request is sent."""
        self.keys += 1
        key = {"idempotency-key": f"grant-{self.user}-{self.keys}", **self.admin}
        body = {"amount": 20 + self.cloud.tape.draw(200)}
        await self.request("POST", f"/api/credits/{self.user}/grants", body, key)

    async def read(self) -> None:
        """Read a job or the list."""
        job_id = self._choose_job()
        path = "/api/jobs" if job_id is None else f"/api/jobs/{job_id}"
        await self.request("GET", path)

    async def change_queue(self) -> None:
        """An admin pauses a queue for some minutes."""
        path = "/api/jobs/queues/image-generation"
        await self.request("POST", f"{path}/pause", headers=self.admin)
        await asyncio.sleep(self.cloud.tape.between(10, 400))
        await self.resume_queue()

    async def change_shards(self) -> None:
        """An admin divides the account, with its tier's limit as its own, or unites it."""
        limits = self.cloud.watch.limits
        assert limits is not None
        limit = {"activeJobs": limits.tier(USERS[self.user]).active_jobs}
        await self.request("PUT", f"/api/limits/{self.user}", limit, self.admin)
        body = {"shards": 1 + self.cloud.tape.draw(4)}
        path = f"/api/accounts/{self.user}/shards"
        answer = await self.request("PUT", path, body, self.admin)
        if answer is not None and answer[0] < 300:
            self.cloud.plan.note("account divided" if answer[1]["shards"] > 1 else "account united")

    async def resume_queue(self) -> None:
        """Resume it, until that succeeds."""
        path = "/api/jobs/queues/image-generation"
        for _ in range(50):
            answer = await self.request("POST", f"{path}/resume", headers=self.admin)
            if answer is not None and answer[0] < 300:
                return
            await asyncio.sleep(10)

    def _choose_job(self) -> str | None:
        ids = list(self.jobs)[-30:]
        return ids[self.cloud.tape.draw(len(ids))] if ids else None

    async def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any] | None:
        """Status and JSON of the answer; None when the connection was lost."""
        instance = self.cloud.choose_instance()
        if instance is None:
            return None
        given = {**self._headers, **(headers or {})}
        try:
            status, found = await self.cloud.call(
                instance, instance.api, method, path, body=body, headers=given
            )
        except ConnectionLostError:
            self.cloud.plan.note("client's connection lost")
            return None
        if status >= 500 and status != 503:
            raise ViolationError(f"no-500: {method} {path} was answered {status}: {found}")
        return status, found

    # ── Live updates ─────────────────────────────────────────────────────────────────────────────

    async def listen(self) -> None:
        """Follow all jobs; after a cut go on from the last position at another instance."""
        position: StreamPosition | None = None
        while True:
            instance = self.cloud.choose_instance()
            if instance is None:
                await asyncio.sleep(5)
                continue
            assert instance.died is not None
            reading = asyncio.ensure_future(self._read_stream(instance.feed, position))
            cut = self.cloud.loop.create_future()
            timer = self.cloud.loop.call_later(self.cloud.tape.between(60, 7200), _resolve, cut)
            await asyncio.wait({reading, instance.died, cut}, return_when=asyncio.FIRST_COMPLETED)
            timer.cancel()
            if reading.done():
                reading.result()
            else:
                reading.cancel()
                await asyncio.wait({reading})
            position = self._position or position
            await asyncio.sleep(self.cloud.tape.between(1, 60))

    _position: StreamPosition | None = None

    async def _read_stream(self, feed: Any, position: StreamPosition | None) -> None:
        own = Source("userId", self.user)
        try:
            async with JobReader(feed) as reader:
                caller = Caller(user_id=self.user)
                opened = await open_scope(feed.services, caller, Scope(ScopeKind.OWN, ""))
                await reader.add(opened, position)
                self._position = reader.positions[own]
                while True:
                    change = await reader.read()
                    if change is None:
                        return
                    before, self._position = self._position, reader.positions[own]
                    if self._position < before:
                        raise ViolationError(f"events: {self.user}'s position went back")
                    now = feed.services.clock.now()
                    # After a day without a change its position is as old as that.
                    if change.is_reset and now - before.updated_at < LONGEST_ABSENCE - _SKEW:
                        raise ViolationError(f"events: {self.user}'s stream has a gap")
                    if position is not None:
                        self.cloud.plan.note("live stream resumed")
                    self.shown[change.job.job_id] = change.job
        except StoreError:
            return


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
