"""All accounts, for administrators: a list by user, and their sums."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from taskreel.app.query_pages import read_page_by_id, read_pages, read_values
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.ports import Query
from taskreel.store_collections import ACCOUNTS

#: The sums read so many accounts at most: one read each.
MOST_SUMMED = 20_000
_PAGE = 500
#: Sorts behind every character that ids have.
_LAST = "\uf8ff"
_NUMBERS = ("available", "held", "captured", "granted", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSums:
    """The sums of all accounts; `complete` is False where there are more than were read."""

    users: int
    available: int
    held: int
    captured: int
    granted: int
    expired: int
    complete: bool


async def list_accounts(
    services: Services, *, prefix: str, limit: int, after: str | None
) -> tuple[list[Account], str | None]:
    """Accounts by the users' ids, and the id behind which the next page begins.

    `prefix` is the beginning of the ids.
    """
    start = after or _find_predecessor(prefix)
    return await read_page_by_id(services.store, ACCOUNTS, limit=limit, after=start, prefix=prefix)


async def sum_accounts(services: Services) -> AccountSums:
    """The sums of all accounts. Costs one read an account, up to MOST_SUMMED."""
    sums: Counter[str] = Counter()
    users = 0
    async for rows in read_pages(services.store, Query(collection=ACCOUNTS, limit=_PAGE)):
        for account in read_values(rows):
            users += 1
            sums.update({name: getattr(account, name) for name in _NUMBERS})
        if users >= MOST_SUMMED:
            break
    return AccountSums(
        users=users,
        available=sums["available"],
        held=sums["held"],
        captured=sums["captured"],
        granted=sums["granted"],
        expired=sums["expired"],
        complete=users < MOST_SUMMED,
    )


def _find_predecessor(prefix: str) -> str | None:
    """A text just before all that begin with the prefix, of visible ASCII; None without one."""
    if not prefix:
        return None
    before = chr(ord(prefix[-1]) - 1)
    # A slash is in no id, and would be a path to Firestore.
    return f"{prefix[:-1]}{'.' if before == '/' else before}{_LAST}"
