"""Rules on jobs, credits and files that must hold in a store whose jobs have all ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.indexes import INDEXES
from taskreel.domain.credits import Account, EntryKind, LedgerEntry
from taskreel.domain.job import Job
from taskreel.ports import Query, Store
from taskreel.store_collections import ACCOUNTS, JOBS, LEDGER
from taskreel_local.emulators.storage.object_store import FolderObjectStore

_SETTLEMENTS = {EntryKind.CAPTURE, EntryKind.RELEASE}


@dataclass(frozen=True)
class StoreContent:
    """The documents of a store, and the sizes of the files in its bucket."""

    jobs: list[Job]
    accounts: list[Account]
    ledger: list[LedgerEntry]
    file_sizes: Mapping[str, int]
    #: Jobs that their owner may have removed after they ended; their ledger entries stay.
    removed: frozenset[str] = frozenset()

    def list_family(self, root: Job) -> list[Job]:
        """The job and the child jobs that it created."""
        return [job for job in self.jobs if root.job_id in {job.job_id, job.parent_id}]

    def list_root_jobs(self) -> list[Job]:
        """The jobs that users have submitted: these alone hold credits."""
        return [job for job in self.jobs if job.parent_id is None]

    def sum_entries(self, kind: EntryKind, user_id: str) -> int:
        """The credits of a user's ledger entries of one kind."""
        return sum(
            entry.amount for entry in self.ledger if entry.kind is kind and entry.user_id == user_id
        )


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
        *_check_accounts(content),
        *_check_settlements(content),
        *_check_payment(content),
        *_check_files(content),
    ]


def _check_ends(content: StoreContent) -> Iterator[str]:
    for job in content.jobs:
        if not job.status.final:
            yield (
                f"job {job.job_id} ({job.job_type}) has not ended: it is {job.status}, "
                f"attempt {job.attempt}, fence {job.fence}, {job.crashes} crashes, leased until "
                f"{job.lease_until}, updated at {job.updated_at}, wake at {job.wake_at}, "
                f"options {job.payload.get('options')}"
            )
        elif job.credits.held:
            yield f"job {job.job_id} is {job.status} and still holds {job.credits.held} credits"
        if (job.status.final and not job.needs_clean_up) is not (job.wake_at is None):
            yield f"job {job.job_id} is {job.status} and its wakeAt is {job.wake_at}"


def _check_accounts(content: StoreContent) -> Iterator[str]:
    for account in content.accounts:
        user = account.user_id
        parts = account.available + account.held + account.captured + account.expired
        if account.granted != parts:
            yield f"account {user}: granted is not the sum of its parts: {account!r}"
        expired = content.sum_entries(EntryKind.EXPIRY, user)
        if account.expired != expired:
            yield f"account {user}: {account.expired} expired, but {expired} by the ledger"
        granted = content.sum_entries(EntryKind.GRANT, user)
        if account.granted != granted:
            yield f"account {user}: {account.granted} granted, but {granted} by the ledger"
        captured = content.sum_entries(EntryKind.CAPTURE, user)
        if account.captured != captured:
            yield f"account {user}: {account.captured} captured, but {captured} by the ledger"
        held = sum(job.credits.held for job in content.jobs if job.user_id == user)
        if account.held != held:
            yield f"account {user}: {account.held} held, but {held} by its jobs"


def _check_settlements(content: StoreContent) -> Iterator[str]:
    """Each ended round has exactly one entry; no entry is of a round that is open or unknown."""
    missing = content.removed - {job.job_id for job in content.jobs}
    settled = Counter(
        # An id may end in the time of the job's creation: the job's id can be used again.
        ".".join(entry.entry_id.split(".")[:2])
        for entry in content.ledger
        if entry.kind in _SETTLEMENTS and entry.job_id not in missing
    )
    rounds = Counter[str]()
    for job in content.list_root_jobs():
        last = job.round if job.status.final else job.round - 1
        rounds.update(f"{job.job_id}.{number}" for number in range(1, last + 1))
    for round_id in sorted((rounds - settled) + (settled - rounds)):
        yield f"round {round_id} has {settled[round_id]} settlements, not {rounds[round_id]}"
    for entry in content.ledger:
        if entry.kind in _SETTLEMENTS and entry.amount > entry.held:
            yield f"entry {entry.entry_id}: {entry.amount} of {entry.held} held credits"


def _check_payment(content: StoreContent) -> Iterator[str]:
    """What was captured for a job is what its finished units cost: nothing free, nothing twice."""
    captured = Counter[str]()
    for entry in content.ledger:
        if entry.kind is EntryKind.CAPTURE:
            captured[entry.job_id or ""] += entry.amount
    for root in content.list_root_jobs():
        family = content.list_family(root)
        delivered = sum(unit.credits for job in family for unit in job.done_units)
        if root.status.final and captured[root.job_id] != delivered:
            yield (
                f"job {root.job_id} ({root.job_type}, {root.status}): {captured[root.job_id]} "
                f"credits captured for finished units of {delivered}"
            )


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
