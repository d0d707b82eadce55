"""An account in several documents, each of them a whole and consistent account.

Every submission of a user reads and writes their account, so a document of which many instances
store jobs is what they contend for. A sharded account has several; a job has one of them, by its
id, and holds its credits and has its slot there until it ends.

Credits, and places of the limit on active jobs, move between documents when one has too few and
another has some to spare. So the sums are those of one account: `granted` is the sum of its parts
in each document, all credits can be spent whichever document has them, and as many jobs may be
active as the limit says, which is the sum of `max_active`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from zlib import crc32

from taskreel.domain.credits import Account, Movement
from taskreel.domain.rate_limit import Rate

_NEVER = datetime.min.replace(tzinfo=UTC)


def choose_shard(job_id: str, shards: int) -> int:
    """The shard of a job: the same for the same id and number of shards."""
    return crc32(job_id.encode()) % shards


def share_rate(rate: Rate, shards: int) -> Rate:
    """The part of a rate that one of so many shards has; at least one request at once."""
    return Rate(per_minute=rate.per_minute / shards, burst=max(1, rate.burst // shards))


def count_free_places(shard: Account) -> int:
    """The further jobs that may be active in the shard."""
    return max((shard.max_active or 0) - max(shard.active, 0), 0)


def merge_shards(shards: Sequence[Account]) -> Account:
    """The account that is the sum of its documents; the first of them is the first.

    What only the first has (webhooks, caps, open grants) stays, and the numbers are added up.
    """
    first = shards[0]
    passes: dict[str, datetime] = {}
    counts = Counter[str]()
    for shard in shards:
        counts.update({name: getattr(shard, name) for name in _NUMBERS})
        counts.update(
            {name: to for name, to in (shard.model_extra or {}).items() if to.__class__ is int}
        )
        for job_type, place in shard.passes.items():
            passes[job_type] = max(passes.get(job_type, place), place)
    latest = max(shards, key=lambda shard: shard.writes_at or _NEVER)
    limits = [shard.max_active for shard in shards if shard.max_active is not None]
    return first.model_copy(
        update={
            **counts,
            "passes": passes,
            "writes_at": latest.writes_at,
            "tier": first.tier if latest.tier is None else latest.tier,
            "max_active": sum(limits) if limits else None,
        }
    )


_NUMBERS = ("available", "held", "captured", "granted", "expired", "active", "waiting")


def move_credits(giver: Account, taker: Account, needed: int) -> tuple[Account, Account]:
    """Move available credits; both are consistent as before.

    Half of what the giver has, so that the next jobs find some in both, or all that is `needed`.
    """
    amount = min(giver.available, max(needed, giver.available // 2))
    return (
        giver.apply(Movement(available=-amount, granted=-amount)),
        taker.apply(Movement(available=amount, granted=amount)),
    )


def move_places(giver: Account, taker: Account) -> tuple[Account, Account]:
    """Move places of the limit on active jobs that the giver has free: half of them, or the one."""
    amount = (count_free_places(giver) + 1) // 2
    return (
        giver.model_copy(update={"max_active": (giver.max_active or 0) - amount}),
        taker.model_copy(update={"max_active": (taker.max_active or 0) + amount}),
    )


def divide_limit(shards: Sequence[Account], limit: int) -> list[Account]:
    """Divide a limit on active jobs: to each shard what it runs now, and equal parts of the rest.

    Documents above the account's number of shards get no part of the rest. Where more jobs run
    than the limit allows, each shard gets a part of it in proportion to what it runs: so none
    starts another job until it has ended its part of those that are too many.
    """
    active = [max(shard.active, 0) for shard in shards]
    running = sum(active)
    if running <= limit:
        parts = active
    else:
        # The limit up to each shard, less that before it: the parts add up to it.
        ends = [total * limit // running for total in accumulate(active)]
        parts = [end - begin for begin, end in pairwise([0, *ends])]
    left = limit - sum(parts)
    takers = max(shards[0].shards, 1)
    for number in range(takers):
        parts[number] += left // takers + (number < left % takers)
    return [
        shard.model_copy(update={"max_active": part})
        for shard, part in zip(shards, parts, strict=True)
    ]


def resize_account(shards: Sequence[Account], number: int) -> tuple[list[Account], list[str]]:
    """Give the account another number of shards: its documents, and the ids of those it loses.

    Available credits, and the limit on active jobs, are divided among the new number. Documents
    above it run out: what their jobs hold stays there until it is settled. One of which no job
    holds anything, nor has a slot or waits, is merged into the first.

    With one document the account is no sharded one any more.
    """
    limit = merge_shards(shards).max_active or 0
    first, *others = shards
    others += [Account(user_id=first.user_id, shard=place) for place in range(len(shards), number)]
    lost: list[str] = []
    while len(others) >= number and _is_idle(others[-1]):
        last = others.pop()
        lost.append(last.document_id)
        first = merge_shards([first, last])
    resized = [first, *others]
    fields = {"shards": number, "shard_documents": len(resized)}
    if len(resized) == 1:
        fields = {"shards": 0, "shard_documents": 0}
    resized = [shard.model_copy(update=fields) for shard in resized]
    return divide_limit(_divide_credits(resized, number), limit), lost


def _is_idle(shard: Account) -> bool:
    return shard.held == 0 and shard.active <= 0 and shard.waiting <= 0


def _divide_credits(shards: Sequence[Account], number: int) -> list[Account]:
    """Move the available credits so that each of the first `number` has an equal part."""
    total = sum(shard.available for shard in shards)
    moved = []
    for place, shard in enumerate(shards):
        part = total // number + (place < total % number) if place < number else 0
        change = part - shard.available
        moved.append(shard.apply(Movement(available=change, granted=change)))
    return moved


def list_givers(shards: Iterable[Account], taker: int, needed: int) -> list[int]:
    """The numbers of the shards that have the credits needed in total, the richest first."""
    givers = []
    for shard in sorted(shards, key=lambda shard: -shard.available):
        if needed <= 0 or not shard.available:
            break
        if shard.shard != taker:
            givers.append(shard.shard)
            needed -= shard.available
    return givers
