"""Every declared index serves a query, and costly indexes that no query uses are exempted.

`functions/conftest.py` checks that every query of the functions' tests has an index.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from firestore_indexes import DeclaredIndexes, QueryShape, shard_indexes
from functions.job_requests import expect_problem
from functions.test_project_keys import make_key, use_key
from functions.test_projects import make_project
from simulation.world import World, running
from taskreel.adapters.gcp.firestore.sharded_indexes import is_sharded, split_query
from taskreel.app.flow.account_counts import recount_account
from taskreel.app.indexes import FIRESTORE_INDEXES
from taskreel.app.job_counts import ROOM_FIELDS, JobCounts
from taskreel.app.live.job_feed import JobFeed
from taskreel.app.live.job_reader import JobReader
from taskreel.app.live.job_scope import OWN_JOBS, OpenScope, Source
from taskreel.app.queues.pause_queue import restore_pauses
from taskreel.domain.stream_position import StreamPosition
from taskreel.ports import Query, Row, Store
from taskreel.store_collections import JOBS, LEDGER


@dataclass
class Recorded:
    """A store that remembers the shapes of the queries that pass through it."""

    store: Store
    shapes: set[QueryShape] = field(default_factory=set)
    #: The same as a store with sharded indexes sends them.
    sharded: set[QueryShape] = field(default_factory=set)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def query(self, query: Query[Any], /) -> list[Row[Any]]:
        self._note(query)
        return await self.store.query(query)

    async def aggregate(
        self, query: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        self._note(query, total)
        return await self.store.aggregate(query, total=total)

    def _note(self, query: Query[Any], total: Sequence[str] = ()) -> None:
        self.shapes.add(QueryShape.of(query, total))
        sent = split_query(query, 8)[0] if is_sharded(query) else query
        self.sharded.add(QueryShape.of(sent, total))


@pytest.fixture
async def recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[World, Recorded]]:
    stores: list[Recorded] = []

    def wrap(store: Store) -> Store:
        stores.append(Recorded(store))
        return stores[-1]

    async with running(tmp_path, monkeypatch, wrap=wrap) as world:
        yield world, stores[-1]


PLAIN = {
    "type": "image-generation",
    "payload": {"prompt": "a kite", "options": {"studio": {"mode": "noop"}}},
}
PIPELINE = {
    "steps": {
        "first": {**PLAIN, "forEach": ["a", "b"]},
        "second": {**PLAIN, "after": ["first"]},
    }
}


async def send_every_query(world: World) -> None:
    """Ask for everything that the API can ask for."""
    user, admin = world.as_user("ada"), world.as_user("root", role="admin")
    made = await user.post("/api/jobs/pipeline", json=PIPELINE)
    assert made.status_code == 202, made.text
    for _ in range(5):
        await world.advance(5)
        await world.sweep()
    assert (await user.get("/api/jobs/recurring")).status_code == 200
    assert (await admin.get("/api/jobs/recurring?projectId=film")).status_code == 200
    await list_jobs(user, {})
    await list_jobs(admin, {})
    await list_jobs(admin, {"userId": "ada"})
    await resume_every_source(world)
    await count_waiting_jobs(world)
    assert (await user.get("/api/credits/ledger")).is_success
    assert (await user.get("/api/jobs/health")).is_success
    for path in ("/api/jobs/recurring", "/api/webhook-endpoints"):
        assert (await admin.get(path, params={"allUsers": "true"})).is_success
    cached = {"prompt": "a kite", "cacheSeconds": 60}
    assert (await user.post("/api/jobs/image-generation", json=cached)).is_success
    await read_records(world, user, admin)
    await use_webhooks_and_uploads(world, user)
    order = {"action": "cancel", "filter": {"status": ["QUEUED"]}, "limit": 5}
    assert (await user.post("/api/operations", json=order)).is_success
    assert (await user.get("/api/operations")).is_success
    assert (await user.delete(f"/api/jobs/pipeline/{made.json()['jobId']}")).status_code < 500


async def use_webhooks_and_uploads(world: World, user: httpx.AsyncClient) -> None:
    endpoints = "/api/webhook-endpoints"
    made = await user.post(endpoints, json={"url": "https://example.com/hooks"})
    path = f"{endpoints}/{made.json()['endpointId']}"
    assert (await user.get(endpoints)).is_success
    assert (await user.get(f"{path}/deliveries")).is_success
    since = {"since": "2020-01-01T00:00:00Z"}
    assert (await user.post(f"{path}/redeliver", json=since)).is_success
    order = {"name": "a.png", "contentType": "image/png", "bytes": 1}
    assert (await user.post("/api/uploads", json=order)).is_success
    film = await make_project(user)
    server = use_key(world, (await make_key(user, film))["token"])
    assert (await server.post("/api/uploads", json=order)).is_success


async def read_records(world: World, user: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    """Ask for histories, dead letters and statistics, and manage a queue."""
    paths = ("dead-letters", "stats", "stats?userId=ada", "queues/stats", "performance")
    for path in (*paths, "user/ada/history?status=FAILED"):
        assert (await admin.get(f"/api/jobs/{path}")).is_success, path
    for path in (
        "/metrics",
        "/api/jobs/recurring?allUsers=true",
        "/api/webhook-endpoints?allUsers=true",
    ):
        assert (await admin.get(path)).is_success, path
    for wanted in ({"fingerprint": "f"}, {"code": "c"}, {"jobType": "pipeline"}):
        order = {**wanted, "limit": 1, "dryRun": True}
        for client in (user, admin):
            answer = await client.post("/api/jobs/dead-letters/redrive", json=order)
            if "fingerprint" in wanted:  # no failure has it, which takes the same query to find out
                expect_problem(answer, 404, "not_found")
            else:
                assert answer.is_success
    assert (await admin.delete("/api/jobs/queues/pipeline/clear")).is_success
    await restore_pauses(world.services)


async def count_waiting_jobs(world: World) -> None:
    """Ask what flow control asks for when jobs wait."""
    counts = JobCounts(exact=True)
    for name in ROOM_FIELDS.values():
        await counts.may_wait(world.services.store, (name, "any"), 10, world.now())
    await recount_account(world.services, "ada")
    assert not await counts.user_may_wait(world.services.store, "key:film")


async def resume_every_source(world: World) -> None:
    """Go on with live updates, a little and a long time after a cut."""
    for age in timedelta(minutes=1), timedelta(days=2):
        for name, value in (("userId", "ada"), ("projectId", "p"), ("jobType", "pipeline")):
            scope = OpenScope(OWN_JOBS, Source(name, value), lambda _job: True)
            feed = JobFeed(world.services)
            async with JobReader(feed) as reader:
                await reader.add(scope, StreamPosition(1, "", world.now() - age))
            await feed.close()


async def list_jobs(client: httpx.AsyncClient, fixed: dict[str, str]) -> None:
    narrow = {
        "status": "COMPLETED",
        "jobType": "image-generation",
        "projectId": "p",
        "parentId": "job_1",
    }
    for some in itertools.chain.from_iterable(
        itertools.combinations(narrow.items(), n) for n in range(5)
    ):
        answer = await client.get("/api/jobs", params={**dict(some), **fixed, "limit": 1})
        assert answer.is_success, answer.text


async def test_every_query_is_served_by_the_declared_indexes(
    recorded: tuple[World, Recorded],
) -> None:
    world, store = recorded
    await send_every_query(world)
    declared = DeclaredIndexes.load()
    assert [shape for shape in store.shapes if not declared.can_serve(shape)] == []
    sharded = replace(
        declared,
        composites=frozenset(
            (index.collection, index.fields) for index in shard_indexes(FIRESTORE_INDEXES)
        ),
    )
    assert [shape for shape in store.sharded if not sharded.can_serve(shape)] == []
    used = {index for shape in store.sharded for index in sharded.find_composites(shape)}
    assert sharded.composites - used == set()


async def test_every_declared_index_serves_some_query(
    recorded: tuple[World, Recorded],
) -> None:
    world, store = recorded
    await send_every_query(world)
    declared = DeclaredIndexes.load()
    used = {index for shape in store.shapes for index in declared.find_composites(shape)}
    assert declared.composites - used == set()


def test_no_index_of_several_fields_starts_with_a_time() -> None:
    assert [
        index for index in DeclaredIndexes.load().composites if index[1][0][0].endswith("At")
    ] == []


@pytest.mark.parametrize(
    ("query", "served"),
    [
        (
            Query(collection=JOBS, where=(("userId", "==", "a"),), order=(("createdAt", "desc"),)),
            True,
        ),
        (
            Query(collection=JOBS, where=(("userId", "==", "a"),), order=(("createdAt", "asc"),)),
            True,
        ),
        (Query(collection=JOBS, order=(("createdAt", "desc"),)), False),
        (Query(collection=JOBS, where=(("wakeAt", "<=", 1),), order=(("wakeAt", "asc"),)), False),
        (
            Query(collection=JOBS, where=(("userId", "==", "a"),), order=(("startBy", "desc"),)),
            False,
        ),
        (Query(collection=JOBS, where=(("userId", "==", "a"), ("status", "==", "b"))), True),
        (Query(collection=JOBS, where=(("payload", "==", "a"),)), False),
        (
            Query(
                collection=LEDGER,
                where=(("userId", "==", "a"), ("kind", "==", "b")),
                order=(("createdAt", "desc"),),
            ),
            False,
        ),
    ],
)
def test_the_rules_tell_served_from_unserved(query: Query[Any], *, served: bool) -> None:
    assert DeclaredIndexes.load().can_serve(QueryShape.of(query)) is served
