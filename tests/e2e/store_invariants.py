"""Rules on jobs, credits and files that must hold in a store whose jobs have all ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.audit.user_books import UserBooks
from taskreel.app.indexes import INDEXES
from taskreel.domain.credits import Account, LedgerEntry
from taskreel.domain.job import Job
from taskreel.ports import Query, Store
from taskreel.store_collections import ACCOUNTS, JOBS, LEDGER
from taskreel_local.emulators.storage.object_store import FolderObjectStore


@dataclass(frozen=True)
class StoreContent:
    """The documents of a store, and the sizes of the files in its bucket."""

    jobs: list[Job]
    accounts: list[Account]
    ledger: list[LedgerEntry]
    file_sizes: Mapping[str, int]
    #: Jobs that their owner may have removed after they ended; their ledger entries stay.
    removed: frozenset[str] = frozenset()

    def list_root_jobs(self) -> list[Job]:
        """The jobs that users have submitted: these alone hold credits."""
        return [job for job in self.jobs if job.parent_id is None]


def read_local_store(store_file: Path, files: Path) -> StoreContent:
    """Read the whole store of an embedded stack; no other process may have it open."""
    sizes = {
        str(file.relative_to(files)): file.stat().st_size
        for file in files.rglob("*")
        if file.is_file()
    }
    return asyncio.run(_read_all(SqliteStore(store_file, INDEXES), sizes))


def read_google_store(project: str, firestore: str, files: Path) -> StoreContent:
    """Read Firestore's emulator, and the folder of the Cloud Storage emulator."""
    _, objects = FolderObjectStore(files).load_all()
    sizes = {one.name: int(one.size) for one in objects}
    return asyncio.run(_read_all(FirestoreStore(project, emulator=firestore), sizes))


async def _read_all(store: Store, sizes: Mapping[str, int]) -> StoreContent:
    try:
        jobs = await store.query(Query(collection=JOBS))
        accounts = await store.query(Query(collection=ACCOUNTS))
        ledger = await store.query(Query(collection=LEDGER))
    finally:
        await store.close()
    return StoreContent(
        jobs=[one.value for one in jobs],
        accounts=[one.value for one in accounts],
        ledger=[one.value for one in ledger],
        file_sizes=sizes,
    )


def find_purchase_violations(content: StoreContent, bought: Counter[str]) -> Iterator[str]:
    """Work that was bought more than once, or delivered without being bought.

    `bought` counts the purchases by prompt; each job that buys has a prompt of its own.
    """
    delivered = {
        job.payload["prompt"]
        for job in content.jobs
        if job.payload.get("provider") == "bfl" and job.done_units
    }
    for prompt in sorted(delivered | bought.keys()):
        if bought[prompt] > 1 or (prompt in delivered and not bought[prompt]):
            yield f"the work {prompt!r} was bought {bought[prompt]} times"


def find_violations(content: StoreContent) -> list[str]:
    """One sentence for each broken rule, with the ids that it concerns."""
    return [
        *_check_ends(content),
        *_check_books(content),
        *_check_files(content),
    ]


def _check_ends(content: StoreContent) -> Iterator[str]:
    for job in content.jobs:
        if not job.status.final:
            yield (
                f"job {job.job_id} ({job.job_type}) has not ended: it is {job.status}, "
                f"attempt {job.attempt}, fence {job.fence}, {job.crashes} crashes, leased until "
                f"{job.lease_until}, updated at {job.updated_at}, wake at {job.wake_at}, "
                f"next attempt at {job.next_attempt_at}, error {job.error}, "
                f"options {job.payload.get('options')}"
            )


def _check_books(content: StoreContent) -> Iterator[str]:
    """The rules that `taskreel audit` checks: accounts, ledger, settlements, payment, families."""
    books: dict[str, UserBooks] = {}
    owners = {job.job_id: job.user_id for job in content.jobs}

    def of_user(user: str) -> UserBooks:
        return books.setdefault(user, UserBooks(user))

    for account in content.accounts:
        of_user(account.user_id).put_account(account)
    for entry in content.ledger:
        of_user(entry.user_id).put_entry(entry)
        owner = owners.get(entry.job_id or "", entry.user_id)
        if owner != entry.user_id:  # the project of the job pays
            of_user(owner).put_entry(entry)
    for job in content.jobs:
        of_user(job.user_id).put_job(job)
        if job.paid_by is not None:
            of_user(job.paid_by).put_paid_job(job)
    for user in sorted(books):
        yield from map(str, books[user].check())


def _check_files(content: StoreContent) -> Iterator[str]:
    """A unit that is paid for has its files, whole, unless it was asked to make none (noop)."""
    for job in content.jobs:
        for number, unit in enumerate(job.done_units):
            makes_nothing = "note" in (unit.data or {})
            if unit.credits and not unit.artifacts and not makes_nothing:
                yield f"job {job.job_id}: finished unit {number} has neither files nor a text"
        for artifact in job.artifacts:
            if content.file_sizes.get(artifact.path) != artifact.bytes:
                yield f"job {job.job_id}: the file {artifact.path} is absent or not whole"
