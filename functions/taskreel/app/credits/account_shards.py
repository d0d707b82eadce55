"""The documents of a sharded account: read at once, chosen for a job, and filled up.

A transaction that stores a job reads the first document, which it does not write, and opens the one
that the job's id names. If this cannot take the job at once, for want of credits, of a place for an
active job, or of requests in its part of the rate, the transaction ends with UnfitShardError. Then
all documents are read as they were at one moment, so that the user is refused only if the sum is
too small; and the transaction runs again with a choice: the document to use, and those that give it
credits or a place. It writes these too, so what it moves is there to be moved.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from msgspec.structs import replace

from taskreel.app.services import Services
from taskreel.domain.account_shards import (
    choose_shard,
    count_free_places,
    divide_limit,
    list_givers,
    merge_shards,
    move_credits,
    move_places,
    share_rate,
)
from taskreel.domain.credits import Account, hold_movement
from taskreel.domain.errors import StoreContendedError, UnfitShardError
from taskreel.domain.ids import shard_account_id
from taskreel.domain.job import Job
from taskreel.domain.rate_limit import WRITES, Rate, RateDecision, decide_request, refuse_request
from taskreel.domain.record import Record
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS

T = TypeVar("T")

#: Each try that fails shows that another transaction of the account was carried out.
_MOST_TRIES = 20


class ShardChoice(Record, kw_only=True):
    """The document that takes a job, and those that give it credits and a place.

    Without `place_from` the job may have to wait for a place: there is none in any document.
    """

    shard: int
    credits_from: tuple[int, ...] = ()
    place_from: int | None = None


class JobNeeds(Record, kw_only=True):
    """The needs of a job, which the document that takes it must have."""

    cost: int
    #: A place for an active job, unless jobs wait for one.
    place: bool
    #: The rate of which it has a part, and a request left in it.
    writes: Rate | None = None


async def read_shards(services: Services, user_id: str, documents: int = 1) -> list[Account | None]:
    """The documents of an account, as they were at one moment; None for one that is missing.

    `documents` is how many there were a moment ago. Of an account that is gone there are none.
    """
    while True:
        ids = [shard_account_id(user_id, number) for number in range(documents)]
        found = await services.store.get_all(ACCOUNTS, ids)
        first = found[0]
        if first is None:
            return []
        if max(first.shard_documents, 1) == len(found):
            return found
        documents = max(first.shard_documents, 1)


async def load_shards(services: Services, user_id: str, documents: int = 1) -> list[Account]:
    """The same, with an empty document for one that is missing, which an audit reports."""
    found = await read_shards(services, user_id, documents)
    return [
        Account(user_id=user_id, shard=number) if shard is None else shard
        for number, shard in enumerate(found)
    ]


async def open_documents(tx: Transaction, first: Account) -> list[Account]:
    """All documents of an account in a transaction; an empty one for one that is missing."""
    documents = [first]
    for number in range(1, first.shard_documents):
        shard = await tx.get(ACCOUNTS, shard_account_id(first.user_id, number))
        documents.append(shard or Account(user_id=first.user_id, shard=number))
    return documents


async def list_corrections(tx: Transaction, corrected: Sequence[Account]) -> list[Account]:
    """The documents to write, when the active jobs of some have been counted afresh.

    A division of the limit in which jobs counted that do not exist gave one shard their places,
    and another fewer than it runs. Those places would be free now, and the account would run more
    jobs than its limit, so then the limit is divided again.
    """
    by_number = {shard.shard: shard for shard in corrected}
    first = by_number.get(0)
    if first is None:
        first = await tx.get(ACCOUNTS, corrected[0].user_id)
    if first is None:
        return list(corrected)
    before = await open_documents(tx, first)
    shards = [by_number.get(shard.shard, shard) for shard in before]
    if all(shard.active <= (shard.max_active or 0) for shard in shards):
        return list(corrected)
    divided = divide_limit(shards, merge_shards(shards).max_active or 0)
    changed = {
        shard.shard: shard for shard, old in zip(divided, before, strict=True) if shard != old
    }
    return list({**by_number, **changed}.values())


async def open_shard(
    tx: Transaction, first: Account, job: Job, needs: JobNeeds, choice: ShardChoice | None
) -> tuple[Account, RateDecision | None]:
    """Open the document of a sharded account that is to take the job; the caller writes it.

    It has what the job needs, or that is moved to it in `tx`. There need be no place where jobs
    wait for one, or none is free in any document. Returns the decision of its part of the rate,
    too. Raises UnfitShardError.
    """
    documents = _Documents(tx, first)
    number = choose_shard(job.job_id, first.shards) if choice is None else choice.shard
    shard = await documents.open(number)
    if shard is None or number >= shard.shards:
        raise UnfitShardError(needs.cost)  # the account has fewer shards since `first` was read
    rate = None
    if needs.writes is not None:
        rate = _decide_on_part(needs.writes, shard, job.updated_at)
        if not rate.allowed:
            raise UnfitShardError(needs.cost)
        rate = replace(rate, rate=needs.writes)
    shard = await _take_credits(documents, shard, needs.cost, choice)
    if needs.place:
        shard = await _take_place(documents, shard, needs.cost, choice)
    documents.write_givers()
    return shard, rate


async def _take_credits(
    documents: _Documents, shard: Account, cost: int, choice: ShardChoice | None
) -> Account:
    """The document with the credits that the job costs."""
    for number in () if choice is None else choice.credits_from:
        giver = await documents.open(number)
        needed = cost - shard.available
        if giver is not None and needed > 0:
            giver, shard = move_credits(giver, shard, needed)
            documents.givers[number] = giver
    if cost > shard.available:
        raise UnfitShardError(cost)
    return shard


async def _take_place(
    documents: _Documents, shard: Account, cost: int, choice: ShardChoice | None
) -> Account:
    """The document with a place for an active job; as it is where the job is to wait for one."""
    if shard.waiting > 0 or count_free_places(shard):
        return shard
    if choice is None:
        raise UnfitShardError(cost)
    if choice.place_from is None:
        return shard
    giver = await documents.open(choice.place_from)
    if giver is None or not count_free_places(giver):
        raise UnfitShardError(cost)
    giver, shard = move_places(giver, shard)
    documents.givers[choice.place_from] = giver
    return shard


class _Documents:
    """The documents of an account that a transaction opens, and those that give another some."""

    def __init__(self, tx: Transaction, first: Account) -> None:
        self._tx = tx
        self._first = first
        #: As they are to be stored.
        self.givers: dict[int, Account] = {}

    async def open(self, number: int) -> Account | None:
        """A document as it is now; None if it is missing."""
        if number in self.givers:
            return self.givers[number]
        if number == 0:
            return self._first
        return await self._tx.get(ACCOUNTS, shard_account_id(self._first.user_id, number))

    def write_givers(self) -> None:
        """Write those that give, under the condition that they are as they were read."""
        for giver in self.givers.values():
            self._tx.set(ACCOUNTS, giver.document_id, giver)


def _decide_on_part(writes: Rate, shard: Account, at: datetime) -> RateDecision:
    part = share_rate(writes, max(shard.shards, 1))
    return decide_request(part, shard.writes_at, at)


async def run_on_fit_shard(
    services: Services,
    job: Job,
    needs: JobNeeds,
    run: Callable[[Transaction, ShardChoice], Awaitable[T]],
) -> T:
    """Run a transaction again that its job's own shard could not take, with a choice that fits.

    Raises TooFewCreditsError when the sum of all documents does not cover the job, and
    RateExceededError when no shard's part of the rate allows it.
    """
    for _ in range(_MOST_TRIES):
        choice = await _choose_documents(services, job, needs)
        try:
            return await services.store.transaction(_bind_choice(run, choice))
        except UnfitShardError as unfit:
            needs = replace(needs, cost=unfit.cost)
    raise StoreContendedError(
        f"Other jobs took the credits or places of the account {_MOST_TRIES} times while this one "
        "was being stored, so nothing was written. Try again later."
    )


def _bind_choice(
    run: Callable[[Transaction, ShardChoice], Awaitable[T]], choice: ShardChoice
) -> Callable[[Transaction], Awaitable[T]]:
    return lambda tx: run(tx, choice)


async def _choose_documents(services: Services, job: Job, needs: JobNeeds) -> ShardChoice:
    shards = await load_shards(services, job.user_id)
    if not shards or not shards[0].shards:
        return ShardChoice(shard=0)  # it has one document by now
    number = choose_shard(job.job_id, shards[0].shards)
    if needs.writes is not None:
        number = _find_allowed(shards, number, needs.writes, job.updated_at)
    # Only so the user is refused, with the sum of all documents.
    hold_movement(merge_shards(shards), needs.cost)
    shard, place_from = shards[number], None
    # Jobs that wait go first, in whichever document.
    if needs.place and not any(one.waiting > 0 for one in shards):
        richest = max(shards, key=count_free_places)
        if not count_free_places(shard) and count_free_places(richest):
            place_from = richest.shard
    return ShardChoice(
        shard=number,
        credits_from=tuple(list_givers(shards, number, needs.cost - shard.available)),
        place_from=place_from,
    )


def _find_allowed(shards: list[Account], number: int, writes: Rate, at: datetime) -> int:
    """The first shard from `number` on whose part of the rate allows another request."""
    count = shards[0].shards
    decisions = {
        place % count: _decide_on_part(writes, shards[place % count], at)
        for place in range(number, number + count)
    }
    for place, decision in decisions.items():
        if decision.allowed:
            return place
    soonest = min(decisions.values(), key=lambda decision: decision.wait)
    raise refuse_request(WRITES, replace(soonest, rate=writes))


async def move_place_to(services: Services, user_id: str, shard: int) -> bool:
    """Give a full shard a place for an active job that another has free; False if none has."""
    for _ in range(_MOST_TRIES):
        shards = await load_shards(services, user_id)
        if shard >= len(shards):
            return False
        if count_free_places(shards[shard]):
            return True
        richest = max(shards, key=count_free_places)
        if not count_free_places(richest):
            return False

        async def move(tx: Transaction, giver_id: str = richest.document_id) -> bool:
            taker_id = shard_account_id(user_id, shard)
            giver, taker = await tx.get(ACCOUNTS, giver_id), await tx.get(ACCOUNTS, taker_id)
            if giver is None or taker is None or not count_free_places(giver):
                return False
            giver, taker = move_places(giver, taker)
            tx.set(ACCOUNTS, giver_id, giver)
            tx.set(ACCOUNTS, taker_id, taker)
            return True

        if await services.store.transaction(move):
            return True
    return False
