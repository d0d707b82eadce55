"""Grants that are burned before or after others, or expire: the shares that holds take of them.

Credits of ordinary grants, which have the default priority and do not expire, are one pool: they
are alike. Any other grant has two numbers in its account, in fields that are named for it: what is
left of it, and what holds have of it. A settlement moves them by increments, without a read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from taskreel.domain.credits import (
    Account,
    CreditGrant,
    GrantShare,
    Movement,
    name_held,
    name_left,
)

#: Grants with a smaller number are burned first.
DEFAULT_PRIORITY = 50
#: The sweep comes again to a grant that has ended while holds have a part of it.
_EXPIRY_RETRY = timedelta(hours=1)
_NEVER = datetime.max.replace(tzinfo=UTC)


def is_ordinary(priority: int, expires_at: datetime | None) -> bool:
    """True for a grant whose credits are of the pool."""
    return priority == DEFAULT_PRIORITY and expires_at is None


def open_grant(account: Account, grant: CreditGrant, wake_shard: int) -> Account:
    """The account with a grant that has a priority or an end of its own, not yet counted."""
    changes = {
        "grants": (*account.grants, grant),
        "wake_shard": wake_shard,
        grant.left_field: grant.amount,
    }
    return plan_expiry(account.apply(Movement(), **changes), grant.created_at)


def expire_grants(account: Account, at: datetime) -> tuple[Account, dict[str, int]]:
    """The account without the rest of grants that have ended; the amounts by grant.

    A grant that is used up, or has ended, and of which no hold has a part, is dropped.
    """
    expired: dict[str, int] = {}
    open_grants = []
    gone: set[str] = set()
    for grant in account.grants:
        left, held = account.count_grant(grant)
        if left and grant.has_expired(at):
            expired[grant.grant_id] = left
            left = 0
        if left or held:
            open_grants.append(grant)
        else:
            gone |= {grant.left_field, grant.held_field}
    if not expired and not gone:
        return account, {}
    fields = {name: value for name, value in account if name not in gone}
    for grant in open_grants:
        if grant.grant_id in expired:
            fields[grant.left_field] = 0
    total = sum(expired.values())
    fields["grants"] = tuple(open_grants)
    after = type(account)(**fields).apply(Movement(available=-total, expired=total))
    return plan_expiry(after, at), expired


def plan_expiry(account: Account, at: datetime) -> Account:
    """The account with the time of its next expiry; a hold may yet return to an ended grant."""
    ends = [grant.expires_at for grant in account.grants if grant.expires_at is not None]
    wake_at = min((end if end > at else at + _EXPIRY_RETRY for end in ends), default=None)
    return account.model_copy(update={"wake_at": wake_at})


def split_hold(account: Account, cost: int) -> tuple[GrantShare, ...]:
    """The shares of a hold, in the order priority, expiry, age; empty if the pool pays it all."""
    left = {grant.grant_id: account.count_grant(grant)[0] for grant in account.grants}
    in_pool = account.available - sum(left.values())
    shares: list[GrantShare] = []

    def take(grant_id: str | None, there: int, expires_at: datetime | None) -> None:
        taken = min(there, cost - sum(share.amount for share in shares))
        if taken > 0:
            shares.append(GrantShare(grant_id=grant_id, amount=taken, expires_at=expires_at))

    pool = (DEFAULT_PRIORITY, _NEVER)
    ordered = sorted(account.grants, key=_burn_order)
    for grant in ordered:
        if _burn_order(grant)[:2] < pool:
            take(grant.grant_id, left[grant.grant_id], grant.expires_at)
    take(None, in_pool, None)
    for grant in ordered:
        if _burn_order(grant)[:2] > pool:
            take(grant.grant_id, left[grant.grant_id], grant.expires_at)
    return tuple(shares) if any(share.grant_id for share in shares) else ()


def _burn_order(grant: CreditGrant) -> tuple[int, datetime, datetime, str]:
    return grant.priority, grant.expires_at or _NEVER, grant.created_at, grant.grant_id


@dataclass(slots=True)
class SettledShares:
    """The end of a hold's shares: increments of the grants' numbers, and what has expired."""

    increments: Counter[str] = field(default_factory=Counter)
    #: Released credits whose grant ended while they were held; they are not available again.
    expired: int = 0


def settle_shares(shares: Sequence[GrantShare], captured: int, at: datetime) -> SettledShares:
    """Capture in the order in which the hold took its shares; return the rest to its grants."""
    settled = SettledShares()
    for share in shares:
        used = min(captured, share.amount)
        captured -= used
        released = share.amount - used
        if share.grant_id is None:
            continue
        settled.increments[name_held(share.grant_id)] -= share.amount
        if share.expires_at is not None and share.expires_at <= at:
            settled.expired += released
        else:
            settled.increments[name_left(share.grant_id)] += released
    return settled
