"""The watch over a simulated store: it sees each commit, and checks the rules after each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from simulation.reuse_rules import ReuseWatch
from simulation.simulated_ports import EPOCH, NEW_FIELD
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.audit.job_rules import Rule
from taskreel.app.audit.user_books import UserBooks
from taskreel.app.flow.slots import active_limit, has_window
from taskreel.app.job_counts import OPEN
from taskreel.domain.account_shards import merge_shards
from taskreel.domain.client_webhook import WebhookDelivery
from taskreel.domain.credits import Account, EntryKind, LedgerEntry
from taskreel.domain.flow_limits import FlowLimits
from taskreel.domain.job import Job
from taskreel.domain.job_fields import WaitsFor
from taskreel.domain.job_status import Status
from taskreel.domain.upload import Upload
from taskreel.ports import Collection, Transaction
from taskreel.store_collections import ACCOUNTS, JOBS, LEDGER, UPLOADS, WEBHOOK_DELIVERIES

T = TypeVar("T")
V = TypeVar("V")

#: A waiting job may be passed by one of a higher rank for so long: an admission that has chosen may
#: be slow, frozen, or repeated.
RANK_SLACK_SECONDS = 300.0


#: A job may enter its type's window beside others that came so long ago only while there is room:
#: counts are ten seconds old at most, and an admission may be as slow as above.
WINDOW_SLACK_SECONDS = RANK_SLACK_SECONDS

#: Two rescues are an hour apart at most; the rest is for late sweeps and clocks that differ.
LONGEST_SLEEP = timedelta(hours=1, minutes=15)
#: The clocks of two simulated machines, at most.
_CLOCKS_DIFFER = timedelta(seconds=17)
_MAY_RUN = frozenset({Status.QUEUED, Status.PROCESSING, Status.RETRYING})


class ViolationError(Exception):
    """An invariant is broken."""


@dataclass
class StoreWatch:
    """The newest state of every document, and what was wrong with the changes between them."""

    limits: FlowLimits | None
    time: Callable[[], float]
    jobs: dict[str, Job] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    deliveries: dict[str, WebhookDelivery] = field(default_factory=dict)
    #: The jobs whose owner has asked to remove them, and those that pipelines of such jobs had.
    may_be_removed: set[str] = field(default_factory=set)
    #: All jobs that were removed.
    removed: set[str] = field(default_factory=set)
    #: Those that were removed with each job: itself, and what was below it.
    removed_with: dict[str, set[str]] = field(default_factory=dict)
    _books: dict[str, UserBooks] = field(default_factory=dict)
    _changed_users: set[str] = field(default_factory=set)
    _found: list[str] = field(default_factory=list)
    _leaked: set[str] = field(default_factory=set)
    #: Since when each job has been waiting for room.
    _waiting_since: dict[str, float] = field(default_factory=dict)
    #: Since when each job has had a place in its type's window, by type.
    _in_window: dict[str, dict[str, float]] = field(default_factory=dict)
    #: What all entries of the ledger say together.
    _sums: Counter[EntryKind] = field(default_factory=Counter)
    commits: int = 0
    #: Called with the id of each job that is removed.
    on_removal: Callable[[str], None] = lambda _job_id: None

    def __post_init__(self) -> None:
        self.reuse = ReuseWatch(self.time)

    def note_write(self, collection: str, id_: str, value: Any) -> None:
        """Note a committed document; None for a deleted one."""
        self.commits += 1
        match value:
            case Job():
                self._note_job(self.jobs.get(id_), value)
            case Account():
                self.accounts[id_] = value
                self._books_of(value.user_id).put_account(value)
            case LedgerEntry():
                self._note_entry(value)
            case Upload():
                self.reuse.note_upload(id_, value)
            case WebhookDelivery():
                self._note_delivery(self.deliveries.get(id_), value)
            case None if collection == ACCOUNTS.name:
                removed = self.accounts.pop(id_)
                self._books_of(removed.user_id).remove_shard(removed.shard)
            case None if collection == JOBS.name:
                self._note_removal(id_)
            case None if collection == UPLOADS.name:
                self.reuse.note_upload(id_, None)
            case _:
                pass

    def check(self) -> None:
        """Check what has changed since the last step. Raises ViolationError."""
        found, self._found = self._found, []
        users, self._changed_users = self._changed_users, set()
        for user in sorted(users):
            broken = self._books[user].check(active_limit=self._find_limit(user))
            leaked = user in self._leaked
            found += [str(one) for one in broken if not (leaked and one.rule is Rule.SLOTS)]
        found += self._check_total() if users else []
        if found:
            raise ViolationError("\n".join(found))

    def _check_total(self) -> list[str]:
        """No credit appears or vanishes between accounts: all together are what the ledger says."""
        accounts = self.accounts.values()
        stated = {
            EntryKind.GRANT: sum(one.granted for one in accounts),
            EntryKind.CAPTURE: sum(one.captured for one in accounts),
            EntryKind.EXPIRY: sum(one.expired for one in accounts),
        }
        wrong = [
            f"total: {kind} of all accounts is {amount}, and {self._sums[kind]} by the ledger"
            for kind, amount in stated.items()
            if amount != self._sums[kind]
        ]
        parts = sum(one.available + one.held + one.captured + one.expired for one in accounts)
        if self._sums[EntryKind.GRANT] != parts:
            wrong.append(f"total: the parts of all accounts are not what was granted: {stated}")
        return wrong

    def _find_limit(self, user: str) -> int | None:
        shards = list(self._books[user].shards.values())
        if self.limits is None or not shards:
            return None
        if len(shards) == 1:
            return active_limit(self.limits, shards[0])
        # Not the sum of the shards' own: `Customer.change_shards` sets the tier's.
        return self.limits.tier(merge_shards(shards).tier).active_jobs

    def leak_slot(self, user: str) -> None:
        """Let the account count more active jobs than there are, until it is corrected."""
        self._leaked.add(user)

    def has_leaked(self, user: str) -> bool:
        """True if a slot of the user was leaked."""
        return user in self._leaked

    def was_removed(self, id_: str) -> bool:
        """True for a job or an upload that was removed, and may have been made again."""
        return id_ in self.removed or id_ in self.reuse.removed_uploads

    def is_stored(self, kind: str, owner: str) -> bool:
        """True for an upload or a job that is stored."""
        return owner in (self.reuse.uploads if kind == "uploads" else self.jobs)

    def takes_files(self, kind: str, owner: str) -> bool:
        """True for an upload that is stored, and for a job whose work goes on."""
        if kind == "uploads":
            return owner in self.reuse.uploads
        job = self.jobs.get(owner)
        return job is not None and not job.is_over

    def list_overdue(self, before: datetime) -> list[str]:
        """The jobs and deliveries whose wake time was before."""
        jobs = [
            f"job {job.job_id} ({job.status}) was due at {job.wake_at}"
            for job in self.jobs.values()
            if job.wake_at is not None and job.wake_at < before
        ]
        deliveries = [
            f"delivery {one.delivery_id} ({one.state}) was due at {one.wake_at}"
            for one in self.deliveries.values()
            if one.wake_at is not None and one.wake_at < before
        ]
        return jobs + deliveries

    def _books_of(self, user: str) -> UserBooks:
        self._changed_users.add(user)
        return self._books.setdefault(user, UserBooks(user))

    def _note_entry(self, entry: LedgerEntry) -> None:
        self._sums[entry.kind] += entry.amount
        self._books_of(entry.user_id).put_entry(entry)
        # What a project pays also settles a job of a member's.
        job = None if entry.job_id is None else self.jobs.get(entry.job_id)
        if job is not None and job.user_id != entry.user_id:
            self._books_of(job.user_id).put_entry(entry)

    def _note_job(self, before: Job | None, job: Job) -> None:
        self.jobs[job.job_id] = job
        self._books_of(job.user_id).put_job(job)
        if job.paid_by is not None:
            self._books_of(job.paid_by).put_paid_job(job)
        self._note_waiting(before, job)
        self._note_window(job)
        self._check_wake_time(job)
        self._found += self.reuse.check_job(job)
        if before is None:
            return
        if NEW_FIELD in (before.unknown or {}) and NEW_FIELD not in (job.unknown or {}):
            self._found.append(f"readers-are-tolerant: job {job.job_id} lost an unknown field")
        if job.fence < before.fence:
            text = f"its fence went from {before.fence} to {job.fence}"
            self._found.append(f"fence: job {job.job_id}: {text}")
        self._check_one_run(before, job)
        if before.status.final and job.round == before.round:
            settled = (before.status, before.credits, before.attempt, before.result)
            if (job.status, job.credits, job.attempt, job.result) != settled:
                text = f"it had ended as {before.status}, and is {job.status} now"
                self._found.append(f"one-final-status: job {job.job_id}: {text}")
            if len(job.done_units) < len(before.done_units):
                self._found.append(f"artifacts-stay: job {job.job_id} lost a finished unit")

    def _check_one_run(self, before: Job, job: Job) -> None:
        """No run claims a job of which another holds the lease."""
        if before.lease_until is None or job.lease_until is None or job.fence == before.fence:
            return
        left = before.lease_until - EPOCH - timedelta(seconds=self.time())
        if left > _CLOCKS_DIFFER:
            text = f"another run claimed it {left.total_seconds():.0f} s before its lease was over"
            self._found.append(f"one-run: job {job.job_id}: {text}")

    def _check_wake_time(self, job: Job) -> None:
        """A job that may run is looked at within an hour or so."""
        if job.wake_at is None or job.status not in _MAY_RUN:
            return
        now = EPOCH + timedelta(seconds=self.time())
        latest = max(now, job.next_attempt_at or now) + LONGEST_SLEEP
        if job.wake_at > latest:
            text = f"it is {job.status}, and nothing looks at it before {job.wake_at}"
            self._found.append(f"wake-time: job {job.job_id}: {text}")

    def _note_waiting(self, before: Job | None, job: Job) -> None:
        """A job that leaves a line passes nobody who has waited long with a lower rank."""
        waited = before is not None and before.waits_for is not None
        if before is not None and before.waits_for is not job.waits_for:
            self._waiting_since.pop(job.job_id, None)
        if job.waits_for is not None:
            self._waiting_since.setdefault(job.job_id, self.time())
            return
        self._waiting_since.pop(job.job_id, None)
        if before is None or not waited or job.status is not Status.QUEUED or before.rank is None:
            return
        long_ago = self.time() - RANK_SLACK_SECONDS
        for other_id, since in self._waiting_since.items():
            other = self.jobs[other_id]
            waits_long = _name_line(other) == _name_line(before) and since < long_ago
            if waits_long and other.rank is not None and other.rank < before.rank:
                text = f"it was admitted before job {other_id}, whose rank is lower"
                self._found.append(f"rank: job {job.job_id}: {text}")

    def _note_window(self, job: Job) -> None:
        """No job enters a window that others have filled for long."""
        places = self._in_window.setdefault(job.job_type, {})
        if job.status not in OPEN:
            places.pop(job.job_id, None)
            return
        if job.job_id in places or self.limits is None or not has_window(job.job_type):
            return
        long_ago = self.time() - WINDOW_SLACK_SECONDS
        others = sum(since < long_ago for since in places.values())
        window = self.limits.window(job.job_type)
        if others >= window:
            text = f"{others} jobs of {job.job_type} have long been in its window of {window}"
            self._found.append(f"window: job {job.job_id} was admitted while {text}")
        places[job.job_id] = self.time()

    def _note_delivery(self, before: WebhookDelivery | None, delivery: WebhookDelivery) -> None:
        self.deliveries[delivery.delivery_id] = delivery
        self._books_of(delivery.user_id).put_delivery(delivery)
        if before is not None and before.body is not None and before.body != delivery.body:
            self._found.append(f"stable-message: delivery {delivery.delivery_id} changed its body")

    def _note_removal(self, job_id: str) -> None:
        job = self.jobs.pop(job_id, None)
        self.reuse.forget_job(job_id)
        self.on_removal(job_id)
        self._waiting_since.pop(job_id, None)
        if job is None:
            return
        self._in_window.get(job.job_type, {}).pop(job_id, None)
        self.removed.add(job_id)
        self._books_of(job.user_id).remove_job(job_id)
        root = job
        while root.parent_id is not None and root.parent_id in self.jobs:
            root = self.jobs[root.parent_id]
        self.removed_with.setdefault(root.job_id, set()).add(job_id)
        if job.needs_clean_up or job.maybe_bought:
            text = "was removed while its work went on at its provider"
            self._found.append(f"nothing-bought-and-dropped: job {job_id} {text}")
        if root.job_id not in self.may_be_removed:
            self._found.append(f"no-job-lost: job {job_id} ({job.status}) disappeared")


def _name_line(job: Job) -> tuple[WaitsFor | None, str]:
    """The line in which the job waits: its owner's, or its type's."""
    of_user = job.waits_for is WaitsFor.USER
    return job.waits_for, job.user_id if of_user else job.job_type


class _NotedTransaction:
    """A transaction that remembers which documents it wrote."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.written: dict[tuple[str, str], Collection[Any]] = {}

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        return await self._tx.get(collection, id_)

    def create(
        self, collection: Collection[V], id_: str, value: V, /, *, is_new: bool = False
    ) -> None:
        self._tx.create(collection, id_, value, is_new=is_new)
        self.written[collection.name, id_] = collection

    def set(self, collection: Collection[V], id_: str, value: V, /) -> None:
        self._tx.set(collection, id_, value)
        self.written[collection.name, id_] = collection

    def update(self, collection: Collection[Any], id_: str, changes: Mapping[str, Any], /) -> None:
        self._tx.update(collection, id_, changes)
        self.written[collection.name, id_] = collection

    def delete(self, collection: Collection[Any], id_: str, /) -> None:
        self._tx.delete(collection, id_)
        self.written[collection.name, id_] = collection


#: Under the id of an Idempotency-Key the collection may hold what names another job.
_JOBS: Collection[Any] = Collection(
    JOBS.name, JOBS.encode, lambda data: JOBS.decode(data) if "createdAt" in data else None
)
_WATCHED: dict[str, Collection[Any]] = {
    one.name: one for one in (_JOBS, ACCOUNTS, LEDGER, WEBHOOK_DELIVERIES, UPLOADS)
}


class WatchedStore(SqliteStore):
    """The real store, whose every commit is shown to the watch."""

    watch_over: StoreWatch

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        noted: list[_NotedTransaction] = []

        async def run(tx: Transaction) -> T:
            noted[:] = [_NotedTransaction(tx)]
            return await fn(noted[0])

        result = await super().transaction(run)
        for name, id_ in noted[0].written:
            collection = _WATCHED.get(name)
            if collection is not None:
                self.watch_over.note_write(name, id_, await self.get(collection, id_))
        return result
