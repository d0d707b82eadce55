"""The audit of a store: every rule of every user's books, and of all that is due.

It reads a store in use: what seems to break a rule is read again a little later, and is reported
only if it is still the same. Reads one user at a time, and holds a few facts of each of their jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from taskreel.app.audit.job_rules import Rule, Violation
from taskreel.app.audit.repairs import repair
from taskreel.app.audit.unowned_files import find_unowned_files, remove_unowned_file
from taskreel.app.audit.user_books import UserBooks
from taskreel.app.credits.account_shards import read_shards
from taskreel.app.flow.slots import active_limit
from taskreel.app.jobs.job_store import load_job
from taskreel.app.query_pages import MOST_WAKE_SHARDS, build_due_query, read_pages
from taskreel.app.services import Services
from taskreel.domain.account_shards import merge_shards
from taskreel.domain.client_webhook import DELIVERY_RETENTION
from taskreel.domain.credits import Account, LedgerEntry
from taskreel.domain.errors import UnreadableDocumentError
from taskreel.domain.ids import is_shared_by_keys, key_of_user, project_of_account
from taskreel.domain.job import Job
from taskreel.ports import Collection, Query, Row
from taskreel.store_collections import ACCOUNTS, JOBS, LEDGER, WEBHOOK_DELIVERIES

V = TypeVar("V")

_PAGE = 200
#: A document that was written meanwhile has come to rest after that time.
_PAUSE_SECONDS = 2.0
_READINGS = 3
#: Entries of a payer's ledger in memory, about a kilobyte each.
_MOST_HELD_ENTRIES = 50_000
#: A lease with its grace, and two sweeps: what is due longer has been missed.
OVERDUE_AFTER = timedelta(minutes=5)


@dataclass
class AuditReport:
    """The numbers that an audit has read, the violations it found, and its repairs."""

    users: int = 0
    jobs: int = 0
    entries: int = 0
    #: Files to which no document refers: no rule forbids them. None where files were not compared.
    unowned_files: int | None = None
    violations: list[Violation] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)

    def count_rules(self) -> dict[str, int]:
        """The number of violations by rule."""
        return dict(Counter(str(one.rule) for one in self.violations))


class PayerLedgers:
    """The ledgers of projects that pay, each read once for all of their members.

    A settlement is in the books of the job's user and of its payer. One ledger is in
    memory; of one that is too long every member's audit reads the pages again.
    """

    def __init__(self) -> None:
        self._payer: str | None = None
        self._entries: list[LedgerEntry] = []

    def forget(self) -> None:
        """Read the next ledger afresh."""
        self._payer, self._entries = None, []

    async def read(
        self, services: Services, payer: str, report: AuditReport
    ) -> AsyncIterator[LedgerEntry]:
        """The entries of a payer's ledger, as they were when it was read."""
        if payer == self._payer:
            for entry in self._entries:
                yield entry
            return
        self.forget()
        entries: list[LedgerEntry] = []
        async for entry in _read_all(services, _query_of(LEDGER, "userId", payer), report):
            if len(entries) <= _MOST_HELD_ENTRIES:
                entries.append(entry)
            yield entry
        if len(entries) <= _MOST_HELD_ENTRIES:
            self._payer, self._entries = payer, entries


async def audit_store(
    services: Services, *, with_files: bool = False, with_repair: bool = False
) -> AuditReport:
    """Check every rule; with `with_repair`, repair what can be, and report the rest.

    `with_files` also compares each artifact with the bucket, a call for each file, and looks for
    files without a document, which a repair removes. Raises StoreError.
    """
    report, payers = AuditReport(), PayerLedgers()
    async for account in _read_all(services, Query(collection=ACCOUNTS, limit=_PAGE), report):
        if account.shard and await services.store.get(ACCOUNTS, account.user_id) is not None:
            continue  # audited with the first document of its account
        report.users += 1
        found = await _audit_user(services, account.user_id, report, payers)
        if with_repair:
            done = [text for one in found if (text := await repair(services, one)) is not None]
            if done:
                report.repaired += done
                payers.forget()
                found = await _audit_user(services, account.user_id, AuditReport(), payers)
        report.violations += found
        if with_files:
            await _check_files(services, account.user_id, report)
    await _check_due(services, report)
    if with_files:
        await _count_unowned(services, report, with_repair=with_repair)
    return report


async def _count_unowned(services: Services, report: AuditReport, *, with_repair: bool) -> None:
    """Count the files that nothing refers to; one that was just being removed is none of them."""
    found = set(await find_unowned_files(services))
    if found:
        await services.clock.sleep(_PAUSE_SECONDS)
        found &= set(await find_unowned_files(services))
    report.unowned_files = len(found)
    for path in sorted(found) if with_repair else ():
        if await remove_unowned_file(services, path):
            report.repaired.append(f"files: {path} was removed: no document refers to it")
            report.unowned_files -= 1


async def _audit_user(
    services: Services, user_id: str, report: AuditReport, payers: PayerLedgers
) -> list[Violation]:
    """The rules that the user's books break, in each of several readings."""
    before = (report.jobs, report.entries)
    found: list[Violation] = []
    for reading in range(_READINGS):
        report.jobs, report.entries = before
        if reading:
            payers.forget()  # what was read for a member before may be older than their jobs
        again = await _read_books(services, user_id, report, payers)
        found = [one for one in again if reading == 0 or one in found]
        if not found:
            break
        if reading + 1 < _READINGS:
            await services.clock.sleep(_PAUSE_SECONDS)
    return found


async def _read_books(
    services: Services, user_id: str, report: AuditReport, payers: PayerLedgers
) -> list[Violation]:
    unreadable = AuditReport()
    now = services.clock.now()
    recent = now - DELIVERY_RETENTION + timedelta(days=1)
    expired = now - services.rules.retention.shortest
    books = UserBooks(user_id, events_since=recent, expired_before=expired)
    project_id = project_of_account(user_id)
    if project_id is not None:
        paid = _query_of(JOBS, "projectId", project_id)
        async for job in _read_all(services, paid, unreadable):
            if job.paid_by == user_id:
                books.put_paid_job(job)
    of_payers: set[str] = set()
    async for job in _read_jobs(services, user_id, unreadable):
        books.put_job(job)
        report.jobs += 1
        # A key's own ledger has its jobs that cost nothing.
        of_payers |= {job.payer_id} - {user_id}
    for payer in sorted(of_payers):
        async for entry in payers.read(services, payer, unreadable):
            books.put_entry(entry)
    async for entry in _read_all(services, _query_of(LEDGER, "userId", user_id), unreadable):
        books.put_entry(entry)
        report.entries += 1
    for delivery_id in books.list_wanted_deliveries():
        delivery = await services.store.get(WEBHOOK_DELIVERIES, delivery_id)
        if delivery is not None:
            books.put_delivery(delivery)
    found = await read_shards(services, user_id)
    shards = [shard for shard in found if shard is not None]
    books.shards.update((shard.shard, shard) for shard in shards)
    limit = _find_limit(services, merge_shards(shards) if shards else None)
    return [*unreadable.violations, *books.check(active_limit=limit)]


def _query_of(collection: Collection[V], field: str, value: str) -> Query[V]:
    return Query(
        collection=collection,
        where=((field, "==", value),),
        order=(("createdAt", "desc"),),
        limit=_PAGE,
    )


def _find_limit(services: Services, account: Account | None) -> int | None:
    limits = services.rules.limits
    return None if limits is None or account is None else active_limit(limits, account)


async def _read_jobs(
    services: Services, account_id: str, report: AuditReport
) -> AsyncIterator[Job]:
    """The jobs of a user; or of all keys of a project, whose account has their limits."""
    key = key_of_user(account_id)
    query = _query_of(JOBS, "userId", account_id)
    if key is not None and is_shared_by_keys(account_id):
        query = _query_of(JOBS, "projectId", key.project_id)
    async for job in _read_all(services, query, report):
        if job.limit_owner == account_id:
            yield job


async def _read_all(services: Services, query: Query[V], report: AuditReport) -> AsyncIterator[V]:
    """Yield the values of all pages; a document that cannot be read breaks a rule of its own."""
    async for rows in read_pages(services.store, query):
        for row in rows:
            value = _read_row(row, report)
            if value is not None:
                yield value


def _read_row(row: Row[V], report: AuditReport) -> V | None:
    try:
        return row.value
    except UnreadableDocumentError as error:
        user = str(row.data.get("userId", "?"))
        subject = f"{row.collection.name}/{row.id}"
        report.violations.append(Violation(Rule.READABLE, user, subject, error.message))
        return None


async def _check_files(services: Services, user_id: str, report: AuditReport) -> None:
    async for job in _read_jobs(services, user_id, AuditReport()):
        for artifact in job.artifacts:
            info = await services.blobs.info(artifact.path)
            if info is None and await _is_half_removed(services, job):
                continue
            if info is None or info.bytes != artifact.bytes:
                state = "missing" if info is None else f"{info.bytes} bytes, not {artifact.bytes}"
                text = f"the file {artifact.path} is {state}"
                report.violations.append(Violation(Rule.FILES, user_id, f"job {job.job_id}", text))


async def _is_half_removed(services: Services, job: Job | None) -> bool:
    """True where the removal of the job, or of a pipeline above it, has begun and broke off.

    The files of a fixed id go before its document. The next sweep has the rest done, or a DELETE.
    """
    while job is not None and not job.is_being_removed:
        job = await load_job(services.store, job.parent_id) if job.parent_id else None
    return job is not None


async def _check_due(services: Services, report: AuditReport) -> None:
    """Report what was due long ago: the sweep is not called, or does not come to it."""
    before = services.clock.now() - OVERDUE_AFTER
    collections: tuple[Collection[Any], ...] = (JOBS, WEBHOOK_DELIVERIES)
    for collection in collections:
        # In all shards that there may be: with fewer now than once, the sweep misses some.
        due = build_due_query(collection, before, page=_PAGE, shards=MOST_WAKE_SHARDS)
        async for rows in read_pages(services.store, due):
            for row in rows:
                text = f"it was due at {row.data['wakeAt']:%Y-%m-%d %H:%M:%S}"
                subject = f"{collection.name}/{row.id}"
                user = str(row.data.get("userId", "?"))
                report.violations.append(Violation(Rule.OVERDUE, user, subject, text))
