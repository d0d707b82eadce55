"""Instances that store jobs of one account contend for its document; those of a sharded one less.

Commits are counted, and not times: Firestore carries a commit out or refuses it, whatever the
machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.app.caller import Caller
from taskreel.app.credits.balances import load_account
from taskreel.app.flow.slots import FREE_ROOM
from taskreel.app.jobs.shard_account import set_account_shards
from taskreel.app.jobs.submit import _store_on_any_shard
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.errors import TooFewCreditsError
from taskreel.domain.ids import random_job_id
from taskreel.domain.job_fields import JobCredits
from taskreel.ports import Store
from unit.app.account_services import build_services, store_account
from unit.domain.samples import job

from .calls import SlowCommits

pytestmark = pytest.mark.emulator

INSTANCES, JOBS_EACH = 8, 12
JOBS = INSTANCES * JOBS_EACH
#: So many that each document has enough: the next test has few.
CREDITS = 20 * JOBS
#: A commit is under way for so long: others come meanwhile.
COMMIT_SECONDS = 0.02


async def open_account(store: Store, credits_: int) -> None:
    account = Account(user_id="ada", available=credits_, granted=credits_, max_active=50)
    await store_account(store, account)


async def submit(services: Services, cost: int) -> bool:
    """Store a job as a submission does; False if it was refused."""
    new = job(job_id=random_job_id(services.random), units=(), credits=JobCredits(held=cost))
    try:
        await _store_on_any_shard(services, new, Caller(user_id="ada"), FREE_ROOM)
    except TooFewCreditsError:
        return False
    return True


async def count_refused_commits(new_store: Callable[..., FirestoreStore], shards: int) -> int:
    """Let instances submit jobs of one account as fast as they can; the commits refused."""
    commits = SlowCommits(COMMIT_SECONDS)
    admin = build_services(new_store(), Random())
    await open_account(admin.store, CREDITS)
    await set_account_shards(admin, Caller(user_id="root"), "ada", shards, "")

    async def run() -> None:
        services = build_services(new_store([commits]), Random())
        for _ in range(JOBS_EACH):
            assert await submit(services, 1)

    await asyncio.gather(*(run() for _ in range(INSTANCES)))
    account = await load_account(admin, "ada")
    assert (account.available, account.held) == (CREDITS - JOBS, JOBS)
    return commits.refused


async def test_shards_take_away_most_of_the_contention_of_an_account(
    new_store: Callable[..., FirestoreStore],
) -> None:
    whole = await count_refused_commits(new_store, 1)
    sharded = await count_refused_commits(new_store, 16)
    assert whole > JOBS / 4
    assert sharded < whole / 2


async def test_instances_at_once_spend_all_credits_and_no_more(
    new_store: Callable[..., FirestoreStore],
) -> None:
    admin = build_services(new_store(), Random())
    await open_account(admin.store, 40)
    await set_account_shards(admin, Caller(user_id="root"), "ada", 4, "")

    async def run() -> int:
        services = build_services(new_store(), Random())
        return sum([await submit(services, 3) for _ in range(8)])

    taken = sum(await asyncio.gather(*(run() for _ in range(3))))
    # Thirteen jobs cost 39 of 40 credits, wherever those were; the fourteenth is refused.
    assert taken == 13
    account = await load_account(admin, "ada")
    assert (account.available, account.held, account.granted) == (1, 39, 40)
