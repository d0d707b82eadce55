"""All accounts, for administrators: a list by user, and their sums."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import takewhile

from taskreel.app.credits.balances import load_account
from taskreel.app.query_pages import read_pages, read_values
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.ids import RESERVED_IDS, SHARD_ACCOUNT
from taskreel.ports import Query, Row
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

    `prefix` is the beginning of the ids. Those of projects and their API keys are passed over,
    unless `prefix` asks for them. A sharded account is one, with the sums of its documents.
    """
    asks_for_others = prefix.startswith(RESERVED_IDS) and not prefix.startswith(SHARD_ACCOUNT)
    passed_over = (SHARD_ACCOUNT,) if asks_for_others else RESERVED_IDS
    found: list[Row[Account]] = []
    start = after or _find_predecessor(prefix)
    while True:
        query = Query(
            collection=ACCOUNTS, limit=limit + 1 - len(found), after=(start,) if start else None
        )
        rows = await services.store.query(query)
        wanted = list(takewhile(lambda row: not row.id.startswith(passed_over), rows))
        found += wanted
        if len(wanted) == len(rows):
            break
        # The ids of a kind follow each other: the next query passes over them all.
        id_ = rows[len(wanted)].id
        start = next(kind for kind in passed_over if id_.startswith(kind)) + _LAST
    found = [row for row in found if row.id.startswith(prefix)]
    accounts = [
        await load_account(services, account.user_id) if account.shard_documents else account
        for account in read_values(found[:limit])
    ]
    return accounts, found[limit - 1].id if len(found) > limit else None


async def sum_accounts(services: Services) -> AccountSums:
    """The sums of all accounts. Costs one read an account, up to MOST_SUMMED.

    Those of projects are summed, too: their credits were granted as users' were. They and API keys
    are no users.
    """
    sums: Counter[str] = Counter()
    users = read = 0
    async for rows in read_pages(services.store, Query(collection=ACCOUNTS, limit=_PAGE)):
        for account in read_values(rows):
            read += 1
            users += not account.document_id.startswith(RESERVED_IDS)
            sums.update({name: getattr(account, name) for name in _NUMBERS})
        if read >= MOST_SUMMED:
            break
    return AccountSums(
        users=users,
        available=sums["available"],
        held=sums["held"],
        captured=sums["captured"],
        granted=sums["granted"],
        expired=sums["expired"],
        complete=read < MOST_SUMMED,
    )


def _find_predecessor(prefix: str) -> str | None:
    """A text just before all that begin with the prefix, of visible ASCII; None without one."""
    if not prefix:
        return None
    before = chr(ord(prefix[-1]) - 1)
    # A slash is in no id, and would be a path to Firestore.
    return f"{prefix[:-1]}{'.' if before == '/' else before}{_LAST}"
