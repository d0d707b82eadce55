"""All accounts, for administrators: a list by user, and their sums."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import takewhile

from taskreel.app.query_pages import read_pages, read_values
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.ids import is_project_account, project_account_id
from taskreel.ports import Query, Row
from taskreel.store_collections import ACCOUNTS

#: The sums read so many accounts at most: one read each.
MOST_SUMMED = 20_000
_PAGE = 500
#: Sorts behind every character that ids have.
_LAST = "\uf8ff"
_BEHIND_PROJECTS = project_account_id(_LAST)
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

    `prefix` is the beginning of the ids. Projects' own accounts are passed over, unless `prefix`
    asks for them.
    """

    async def read_rows(count: int, start: str | None) -> list[Row[Account]]:
        query = Query(collection=ACCOUNTS, limit=count, after=(start,) if start else None)
        return [row for row in await services.store.query(query) if row.id.startswith(prefix)]

    rows = await read_rows(limit + 1, after or _find_predecessor(prefix))
    if not is_project_account(prefix):
        before = list(takewhile(lambda row: not is_project_account(row.id), rows))
        if len(before) < len(rows):
            # The ids of projects' accounts follow each other: one more query passes over them all.
            rows = before + await read_rows(limit + 1 - len(before), _BEHIND_PROJECTS)
    return list(read_values(rows[:limit])), rows[limit - 1].id if len(rows) > limit else None


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
