"""Readers of live updates: each change once, in order, from where they were cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from functions.job_requests import NOOP, submit_job
from functions.stored_documents import store_documents
from simulation.world import World
from taskreel.app.caller import Caller
from taskreel.app.live import job_feed
from taskreel.app.live.job_feed import JobChange, JobFeed
from taskreel.app.live.job_reader import (
    LONGEST_ABSENCE,
    MOST_MISSED,
    MOST_WAITING,
    SNAPSHOT_JOBS,
    JobReader,
)
from taskreel.app.live.job_scope import OWN_JOBS, OpenScope, Scope, ScopeKind, Source, open_scope
from taskreel.app.messages.job_task import queue_of_type
from taskreel.domain.errors import ForbiddenError, InvalidError, NotFoundError, StoreError
from taskreel.domain.job import Job
from taskreel.domain.stream_position import StreamPosition
from taskreel.ports import Query, Row, Transaction
from taskreel.store_collections import JOBS

ADA = Caller(user_id="ada")
ROOT = Caller(user_id="root", admin=True)


@pytest.fixture
async def feed(world: World) -> AsyncIterator[JobFeed]:
    made = JobFeed(world.services)
    yield made
    await made.close()


async def open_own(world: World) -> OpenScope:
    return await open_scope(world.services, ADA, OWN_JOBS)


async def next_change(reader: JobReader) -> JobChange:
    async with asyncio.timeout(10):
        change = await reader.read()
    assert change is not None
    return change


async def submit(world: World, client: httpx.AsyncClient, **fields: Any) -> Job:
    made = await submit_job(client, {**NOOP, **fields})
    return await world.job(made["jobId"])


async def show_progress(world: World, job: Job, percent: int) -> Job:
    """Store the job with another progress, as its run does."""
    world.clock.run_next(world.clock.now() + 1_000_000)
    changed = job.with_changes(world.now(), progress=percent)
    await world.put(changed)
    return changed


async def store_copies(world: World, job: Job, number: int) -> None:
    """Store more jobs like that one, in one commit."""

    async def write(tx: Transaction) -> None:
        for index in range(number):
            copy = job.model_copy(update={"job_id": f"job_copy{index:04}"})
            tx.set(JOBS, copy.job_id, copy)

    await world.services.store.transaction(write)


async def test_changes_come_in_the_order_of_their_commits(
    world: World, ada: httpx.AsyncClient, feed: JobFeed
) -> None:
    async with JobReader(feed) as reader:
        await reader.add(await open_own(world))
        job = await submit(world, ada)
        first = await next_change(reader)
        await show_progress(world, job, 40)
        second = await next_change(reader)
        assert (first.job.job_id, first.job.progress) == (job.job_id, job.progress)
        assert second.job.progress == 40
        assert first.position < second.position
        assert reader.positions[Source("userId", "ada")] == second.position
        assert (second.is_snapshot, second.is_reset) == (False, False)


async def test_a_write_that_a_reader_cannot_see_is_not_sent(
    world: World, ada: httpx.AsyncClient, feed: JobFeed
) -> None:
    async with JobReader(feed) as reader:
        await reader.add(await open_own(world))
        job = await submit(world, ada)
        await next_change(reader)
        renewed = job.with_changes(world.now(), wake_at=world.now() + timedelta(minutes=9))
        await world.put(renewed)
        await asyncio.sleep(0.05)  # the embedded store's watch looks every 20 ms of real time
        assert reader.read_waiting() is None
        await show_progress(world, renewed, 10)
        assert (await next_change(reader)).job.progress == 10


async def test_a_reader_goes_on_from_its_position_and_gets_each_job_once(
    world: World, ada: httpx.AsyncClient, feed: JobFeed
) -> None:
    async with JobReader(feed) as reader:
        await reader.add(await open_own(world))
        await submit(world, ada)
        position = (await next_change(reader)).position
    missed = await submit(world, ada)
    for percent in (20, 30):
        await show_progress(world, missed, percent)
    async with JobReader(feed) as later:
        await later.add(await open_own(world), position)
        found = await next_change(later)
        assert (found.job.job_id, found.job.progress) == (missed.job_id, 30)
        assert later.read_waiting() is None
        assert not later.was_reset


@pytest.mark.parametrize("reason", ["away too long", "missed too many"])
async def test_a_reader_that_cannot_go_on_gets_the_newest_jobs_and_is_told(
    world: World, ada: httpx.AsyncClient, feed: JobFeed, reason: str
) -> None:
    job = await submit(world, ada)
    since = world.now() - (LONGEST_ABSENCE if reason == "away too long" else timedelta(0))
    await store_copies(world, job, MOST_MISSED + 1 if reason == "missed too many" else 3)
    async with JobReader(feed) as reader:
        await reader.add(await open_own(world), StreamPosition(0, "", since))
        assert reader.was_reset
        found = []
        while (change := reader.read_waiting()) is not None:
            found.append(change)
        assert len(found) == (4 if reason == "away too long" else SNAPSHOT_JOBS)
        assert all(change.is_snapshot and change.is_reset for change in found)


async def test_a_reader_that_is_too_slow_gets_the_newest_state_of_every_job(
    world: World, ada: httpx.AsyncClient, feed: JobFeed
) -> None:
    job = await submit(world, ada)
    async with JobReader(feed) as reader:
        await reader.add(await open_own(world))
        await store_copies(world, job, MOST_WAITING + 1)
        found = [await next_change(reader) for _ in range(MOST_WAITING + 1)]
        assert len({change.job.job_id for change in found}) == MOST_WAITING + 1
        assert all(change.is_snapshot for change in found)
        assert reader.read_waiting() is None


async def test_a_single_jobs_scope_begins_with_its_state_and_leaves_out_others(
    world: World, ada: httpx.AsyncClient, feed: JobFeed
) -> None:
    job = await submit(world, ada)
    opened = await open_scope(world.services, ADA, Scope(ScopeKind.JOB, job.job_id))
    async with JobReader(feed) as reader:
        await reader.add(opened, with_current=True)
        assert (await next_change(reader)).job == job
        await submit(world, ada)
        await show_progress(world, job, 50)
        found = await next_change(reader)
        assert (found.job.job_id, found.job.progress) == (job.job_id, 50)


async def test_the_same_job_in_two_scopes_is_sent_once_until_both_are_removed(
    world: World, ada: httpx.AsyncClient, feed: JobFeed
) -> None:
    job = await submit(world, ada)
    own = await open_own(world)
    single = await open_scope(world.services, ADA, Scope(ScopeKind.JOB, job.job_id))
    async with JobReader(feed) as reader:
        await reader.add(own)
        await reader.add(single)
        assert list(reader.scopes) == [own, single]
        job = await show_progress(world, job, 10)
        assert (await next_change(reader)).job.progress == 10
        assert reader.read_waiting() is None
        reader.remove(own)
        job = await show_progress(world, job, 20)
        assert (await next_change(reader)).job.progress == 20
        reader.remove(single)
        assert reader.positions == {}
        await show_progress(world, job, 30)
        await asyncio.sleep(0.05)  # the embedded store's watch looks every 20 ms of real time
        assert reader.read_waiting() is None


async def test_all_readers_of_a_user_share_one_watch_of_the_store(
    world: World, ada: httpx.AsyncClient
) -> None:
    store: Any = BreakableWatches(world.services.store, StoreError(""))
    feed = JobFeed(replace(world.services, store=store))
    job = await submit(world, ada, projectId="p1")
    scopes = [
        OWN_JOBS,
        Scope(ScopeKind.JOB, job.job_id),
        Scope(ScopeKind.PROJECT, "p1"),
    ]
    async with JobReader(feed) as first, JobReader(feed) as second:
        for reader in (first, second):
            for scope in scopes:
                await reader.add(await open_scope(world.services, ADA, scope))
        assert store.watches == 1
        await show_progress(world, job, 10)
        for reader in (first, second):
            assert (await next_change(reader)).job.progress == 10
        await first.add(await open_scope(world.services, Caller(user_id="bob"), OWN_JOBS))
        assert store.watches == 2
    await feed.close()


async def test_a_client_that_asks_again_and_again_costs_what_it_has_missed(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call is a reader for a moment: a new watch would read every job of the last minute."""
    store: Any = BreakableWatches(world.services.store, StoreError(""))
    feed = JobFeed(replace(world.services, store=store))
    jobs = [await submit(world, ada) for _ in range(3)]
    own = await open_own(world)
    async with JobReader(feed) as first:
        await first.add(own)
        position = first.positions[own.source]
    await show_progress(world, jobs[1], 10)
    store.rows = 0
    async with JobReader(feed) as again:
        await again.add(own, position)
        assert (await next_change(again)).job.job_id == jobs[1].job_id
    assert store.watches == 1
    assert store.rows == 1
    monkeypatch.setattr(job_feed, "LINGER_SECONDS", 0)
    async with JobReader(feed) as last:
        await last.add(own)
    async with asyncio.timeout(10):
        while feed.has_watches:  # noqa: ASYNC110 - a timer of the loop ends it, without a sign
            await asyncio.sleep(0)
    await feed.close()


async def test_readers_end_when_the_process_stops(world: World, feed: JobFeed) -> None:
    async with JobReader(feed) as reader, asyncio.timeout(10):
        await reader.add(await open_own(world))
        reading = asyncio.create_task(reader.read())
        await asyncio.sleep(0)
        await feed.close()
        assert await reading is None
        async with JobReader(feed) as late:
            assert await late.read() is None


async def test_a_job_that_cannot_be_read_is_omitted_and_logged(
    world: World, ada: httpx.AsyncClient, feed: JobFeed, caplog: pytest.LogCaptureFixture
) -> None:
    job = await submit(world, ada)
    (row,) = await world.services.store.query(Query(collection=JOBS))
    async with JobReader(feed) as reader:
        await reader.add(await open_own(world))
        await store_documents(world, {"jobs": {"job_bad": {**row.data, "units": "none"}}})
        await show_progress(world, job, 10)
        assert (await next_change(reader)).job.job_id == job.job_id
    assert "omitted from live updates" in caplog.text


class BreakableWatches:
    """The world's store, of which watches are refused, or break at the next change."""

    def __init__(self, store: Any, error: Exception) -> None:
        self.store = store
        self.error = error
        self.refuses = False
        self.breaks_next = False
        #: The watches that were begun.
        self.watches = 0
        #: The documents that queries have found.
        self.rows = 0

    async def query(self, query: Query[Any]) -> list[Row[Any]]:
        found: list[Row[Any]] = await self.store.query(query)
        self.rows += len(found)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def watch_changes(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        if self.refuses:
            raise self.error
        self.watches += 1
        async for changes in self.store.watch_changes(*args, **options):
            if self.breaks_next:
                self.breaks_next = False
                raise self.error
            yield changes


#: The store's own error, and one that its client library does not translate.
BREAKS = [StoreError("the watch broke"), RuntimeError("an answer that cannot be parsed")]


@pytest.mark.parametrize("error", BREAKS, ids=["store", "client"])
async def test_changes_that_a_broken_watch_missed_are_read_from_the_store(
    error: Exception, world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_feed, "_RESTART_SECONDS", 0.0)
    store: Any = BreakableWatches(world.services.store, error)
    feed = JobFeed(replace(world.services, store=store))
    async with JobReader(feed) as reader:
        await reader.add(await open_own(world))
        store.breaks_next = True
        job = await submit(world, ada)
        missed = await next_change(reader)
        assert (missed.job.job_id, missed.is_snapshot) == (job.job_id, True)
        await show_progress(world, job, 10)
        assert (await next_change(reader)).job.progress == 10
    await feed.close()


@pytest.mark.parametrize("error", BREAKS, ids=["store", "client"])
async def test_a_scope_whose_store_cannot_be_watched_is_not_added(
    error: Exception, world: World, ada: httpx.AsyncClient
) -> None:
    store: Any = BreakableWatches(world.services.store, error)
    feed = JobFeed(replace(world.services, store=store))
    async with JobReader(feed) as reader:
        store.refuses = True
        with pytest.raises(StoreError):
            await reader.add(await open_own(world))
        assert list(reader.scopes) == []
        store.refuses = False
        await reader.add(await open_own(world))
        job = await submit(world, ada)
        assert (await next_change(reader)).job.job_id == job.job_id
    await feed.close()


async def test_a_user_follows_their_jobs_of_a_project_and_an_admin_all_of_it(
    world: World, ada: httpx.AsyncClient
) -> None:
    scope = Scope(ScopeKind.PROJECT, "p1")
    inside, outside = await submit(world, ada, projectId="p1"), await submit(world, ada)
    own = await open_scope(world.services, ADA, scope)
    everyones = await open_scope(world.services, ROOT, scope)
    assert own.source == Source("userId", "ada")
    assert everyones.source == Source("projectId", "p1")
    for opened in (own, everyones):
        assert (opened.includes(inside), opened.includes(outside)) == (True, False)


async def test_only_an_admin_may_follow_a_queue_by_its_name_or_its_type(world: World) -> None:
    by_type = Scope(ScopeKind.QUEUE, "image-generation")
    with pytest.raises(ForbiddenError, match="admin"):
        await open_scope(world.services, ADA, by_type)
    for name in ("image-generation", queue_of_type("image-generation")):
        opened = await open_scope(world.services, ROOT, Scope(ScopeKind.QUEUE, name))
        assert opened.source == Source("jobType", "image-generation")
    with pytest.raises(InvalidError):
        await open_scope(world.services, ROOT, Scope(ScopeKind.QUEUE, "no-such-queue"))


async def test_a_name_that_is_too_long_or_anothers_job_opens_no_scope(
    world: World, ada: httpx.AsyncClient
) -> None:
    with pytest.raises(InvalidError, match="256"):
        await open_scope(world.services, ADA, Scope(ScopeKind.PROJECT, "p" * 257))
    job = await submit(world, ada)
    with pytest.raises(NotFoundError):
        await open_scope(world.services, Caller(user_id="bob"), Scope(ScopeKind.JOB, job.job_id))
