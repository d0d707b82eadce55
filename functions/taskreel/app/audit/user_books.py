"""The books of one user: account, jobs, ledger and deliveries, and the rules between them.

The sums are carried along with each document that comes or changes, so that a check costs what has
changed since the last one: a simulation checks after every step, an audit once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from taskreel.app.audit.job_rules import Rule, Violation, check_job
from taskreel.app.audit.lineage_rules import Lineages
from taskreel.app.jobs.finish_job import name_entry
from taskreel.domain.client_webhook import DeliveryState, WebhookDelivery
from taskreel.domain.credits import Account, EntryKind, LedgerEntry
from taskreel.domain.ids import hashed_delivery_id
from taskreel.domain.job import Job
from taskreel.domain.job_fields import WaitsFor
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState
from taskreel.domain.value import is_known

#: The entries that close a hold.
_SETTLEMENTS = frozenset({EntryKind.CAPTURE, EntryKind.RELEASE})


@dataclass(frozen=True, slots=True)
class _JobFacts:
    """The facts of a job that the rules between documents need."""

    status: Status
    parent_id: str | None
    parent_round: int | None
    round: int
    #: The credits that it holds in its user's own account.
    own_held: int
    #: The number of the account's document that holds them, and has its slot.
    shard: int
    captured: int
    #: The credits of its finished units; those of an earlier round or job cost nothing here.
    done: int
    is_pipeline: bool
    #: When the round was submitted, before which none of its child jobs ended; and its end.
    queued_at: datetime
    ended_at: datetime | None
    has_slot: bool
    waits: bool
    #: The end of the ids of its ledger entries: "", or a dot and the time of its creation.
    entry_suffix: str
    #: The deliveries that its present status must have.
    deliveries: tuple[str, ...]

    @property
    def entry_suffix_parts(self) -> tuple[str, str]:
        """The suffix, as `partition` divides it from what is before it."""
        return self.entry_suffix[:1], self.entry_suffix[1:]


def _read_facts(job: Job, user_id: str, events_since: datetime | None) -> _JobFacts:
    wanted: tuple[str, ...] = ()
    is_recent = events_since is None or job.status_at[job.status] > events_since
    if job.webhooks and is_recent and is_known(job.status):
        event = f"job.{job.status.lower()}"
        wanted = tuple(
            hashed_delivery_id(job.job_id, job.status_entry, one.endpoint_id)
            for one in job.webhooks
            if one.wants(event)
        )
    return _JobFacts(
        status=job.status,
        parent_id=job.parent_id,
        round=job.round,
        own_held=job.own_held,
        shard=job.account_shard,
        captured=job.credits.captured,
        done=sum(unit.credits for unit in job.units if unit.state is UnitState.DONE),
        parent_round=job.parent_round,
        is_pipeline=bool(job.steps),
        queued_at=job.status_at.get(Status.QUEUED, job.created_at),
        ended_at=job.status_at.get(job.status) if job.status.final else None,
        has_slot=job.slot_of is not None and job.limit_owner == user_id,
        waits=job.waits_for is WaitsFor.USER and job.limit_owner == user_id,
        entry_suffix=_find_entry_suffix(job),
        deliveries=wanted,
    )


def _find_entry_suffix(job: Job) -> str:
    return name_entry(job).removeprefix(f"{job.job_id}.{job.round}")


@dataclass
class UserBooks:
    """The documents of one user, as far as the rules need them; or those of a project's account.

    The API keys of a project are one user: their jobs count against one account.

    A job that a project pays is in both books: its user's have its round, slot and settlement, the
    project's what is held.

    Deliveries are retained for some weeks: those of statuses before `events_since` are not missed.
    Nor is a job that ended before `expired_before`: its retention is over.
    """

    user_id: str
    events_since: datetime | None = None
    expired_before: datetime | None = None
    #: The documents of the account, by their numbers; all but a few accounts have the first alone.
    shards: dict[int, Account] = field(default_factory=dict)
    _jobs: dict[str, _JobFacts] = field(default_factory=dict)
    _lineages: Lineages = field(default_factory=Lineages)
    _entries: dict[str, LedgerEntry] = field(default_factory=dict)
    _entries_of_job: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: The credits that the jobs of members hold in a project's account.
    _paid_for: dict[str, int] = field(default_factory=dict)
    _deliveries: set[str] = field(default_factory=set)
    _granted: int = 0
    _captured: int = 0
    _expired: int = 0
    #: By the document of the account that has them.
    _held: Counter[int] = field(default_factory=Counter)
    _active: Counter[int] = field(default_factory=Counter)
    _waiting: Counter[int] = field(default_factory=Counter)
    #: Found while documents came, and jobs that have changed since the last check.
    _found: list[Violation] = field(default_factory=list)
    _changed: set[str] = field(default_factory=set)

    # ── Documents ────────────────────────────────────────────────────────────────────────────────

    def put_account(self, account: Account) -> None:
        """Add the account, or one of its documents, or the next state of it."""
        self.shards[account.shard] = account

    def remove_shard(self, shard: int) -> None:
        """Remove a document of the account."""
        self.shards.pop(shard, None)

    def put_job(self, job: Job) -> None:
        """Add a job, or the next state of one."""
        self._remove_facts(job.job_id)
        facts = self._jobs[job.job_id] = _read_facts(job, self.user_id, self.events_since)
        self._add_facts(facts, 1)
        self._lineages.put_job(job)
        self._found += check_job(job)
        self._changed.add(job.job_id)

    def put_paid_job(self, job: Job) -> None:
        """Add a member's job, or its next state, to the books of the project that pays it."""
        self._paid_for[job.job_id] = job.credits.held

    def remove_job(self, job_id: str) -> None:
        """Remove a job; its ledger entries stay."""
        self._lineages.remove_job(job_id)
        self._remove_facts(job_id)

    def put_entry(self, entry: LedgerEntry) -> None:
        """Add an entry of the ledger; of a project's too where it settles a job of the user."""
        if entry.entry_id in self._entries:
            self._report(Rule.SETTLED_ONCE, f"entry {entry.entry_id}", "it was written again")
            return
        self._entries[entry.entry_id] = entry
        is_own = entry.user_id == self.user_id
        if not is_own and entry.kind not in _SETTLEMENTS:
            return
        if entry.kind is EntryKind.GRANT:
            self._granted += entry.amount
            return
        if entry.kind is EntryKind.EXPIRY:
            self._expired += entry.amount
            return
        if entry.kind is EntryKind.CAPTURE and is_own:
            self._captured += entry.amount
        if entry.amount > entry.held:
            text = f"it moves {entry.amount} of {entry.held} held credits"
            self._report(Rule.SETTLED_ONCE, f"entry {entry.entry_id}", text)
        if entry.job_id is not None:
            self._entries_of_job[entry.job_id].add(entry.entry_id)
            self._changed.add(entry.job_id)

    def put_delivery(self, delivery: WebhookDelivery) -> None:
        """Add a webhook's delivery, or its next state."""
        self._deliveries.add(delivery.delivery_id)
        is_pending = delivery.state is DeliveryState.PENDING
        if is_known(delivery.state) and is_pending is (delivery.wake_at is None):
            text = f"it is {delivery.state}, and its wakeAt is {delivery.wake_at}"
            self._report(Rule.EVENTS, f"delivery {delivery.delivery_id}", text)

    def list_wanted_deliveries(self) -> list[str]:
        """The ids of the deliveries that the present statuses of the jobs must have."""
        return [one for facts in self._jobs.values() for one in facts.deliveries]

    def _remove_facts(self, job_id: str) -> None:
        facts = self._jobs.pop(job_id, None)
        if facts is not None:
            self._add_facts(facts, -1)
        self._changed.discard(job_id)

    def _add_facts(self, facts: _JobFacts, sign: int) -> None:
        shard = facts.shard
        self._held[shard] += sign * facts.own_held
        self._active[shard] += sign * facts.has_slot
        self._waiting[shard] += sign * facts.waits

    # ── Rules ────────────────────────────────────────────────────────────────────────────────────

    def check(self, *, active_limit: int | None = None) -> list[Violation]:
        """The broken rules: of the sums, and of what has changed since the last check.

        `active_limit` is the most jobs that may be active, None for no limit.
        """
        found, self._found = self._found, []
        changed, self._changed = self._changed, set()
        found += self._check_account()
        active = self._active.total()
        if active_limit is not None and active > active_limit:
            text = f"{active} jobs are active, and the limit is {active_limit}"
            found.append(Violation(Rule.LIMIT, self.user_id, "account", text))
        roots = {self._find_root(job_id) for job_id in changed if job_id in self._jobs}
        for root_id in sorted(roots):
            found += self._check_family(root_id)
        known = sorted(changed & self._jobs.keys())
        for job_id in known:
            found += self._check_events(job_id)
        found += self._check_lineages(known, sorted(roots))
        return found

    def _report(self, rule: Rule, subject: str, text: str) -> None:
        self._found.append(Violation(rule, self.user_id, subject, text))

    def _check_account(self) -> Iterator[Violation]:
        paid_for = sum(self._paid_for.values())
        if 0 not in self.shards:
            held = self._held.total() + paid_for
            if held or self._granted:
                text = f"there is no account, with {self._granted} granted and {held} held"
                yield Violation(Rule.LEDGER, self.user_id, "account", text)
            return
        shards = [self.shards[number] for number in sorted(self.shards)]
        granted, captured, expired = (
            sum(getattr(shard, name) for shard in shards)
            for name in ("granted", "captured", "expired")
        )
        # Credits move between the documents of an account, so the ledger is that of their sum.
        sums: list[tuple[str, Rule, str, int, int, str]] = [
            ("account", Rule.LEDGER, "granted", granted, self._granted, "the ledger"),
            ("account", Rule.LEDGER, "captured", captured, self._captured, "the ledger"),
            ("account", Rule.LEDGER, "expired", expired, self._expired, "the ledger"),
        ]
        for shard in shards:
            number = shard.shard
            subject = f"account shard {number}" if number else "account"
            total = shard.available + shard.held + shard.captured + shard.expired
            held = self._held[number] + (0 if number else paid_for)
            active, waiting = self._active[number], self._waiting[number]
            sums += [
                (subject, Rule.BALANCE, "granted", shard.granted, total, "the sum of its parts"),
                (subject, Rule.HOLDS, "held", shard.held, held, "its jobs"),
                (subject, Rule.SLOTS, "active", shard.active, active, "its jobs"),
                (subject, Rule.SLOTS, "waiting", shard.waiting, waiting, "its jobs"),
            ]
        for subject, rule, name, stated, counted, source in sums:
            if stated != counted:
                text = f"{name} is {stated}, and {counted} by {source}"
                yield Violation(rule, self.user_id, subject, text)
        yield from self._check_documents(shards)

    def _check_documents(self, shards: Sequence[Account]) -> Iterator[Violation]:
        """An account has the documents that its first one says, and jobs are in no other."""
        documents = max(shards[0].shard_documents, 1)
        named = {
            number for counts in (self._held, self._active, self._waiting) for number in +counts
        }
        for number in sorted(named | set(self.shards) | set(range(documents))):
            if number >= documents or number not in self.shards:
                there = "is" if number in self.shards else "is missing"
                text = f"the document {number} {there}, and the account has {documents}"
                yield Violation(Rule.SHARDS, self.user_id, "account", text)

    def _find_root(self, job_id: str) -> str:
        seen = {job_id}
        while True:
            parent = self._jobs[job_id].parent_id
            if parent is None or parent not in self._jobs or parent in seen:
                return job_id
            seen.add(parent)
            job_id = parent

    def _check_family(self, root_id: str) -> Iterator[Violation]:
        root = self._jobs[root_id]
        subject = f"job {root_id}"
        if root.parent_id is not None:
            if not self._has_expired(root.parent_id, root):
                text = f"its pipeline {root.parent_id} does not exist"
                yield Violation(Rule.FAMILY, self.user_id, subject, text)
            return
        yield from self._check_settlements(root_id, root)
        if not root.status.final:
            return
        family = list(self._list_family(root_id))
        open_jobs = [id_ for id_ in family if not self._jobs[id_].status.final]
        if open_jobs:
            text = f"it is {root.status}, and its child jobs go on: {', '.join(open_jobs[:3])}"
            yield Violation(Rule.FAMILY, self.user_id, subject, text)
        this_round = list(self._list_family(root_id, of_this_round=True))
        yield from self._check_payment(root_id, root, this_round)

    def _has_expired(self, parent_id: str, child: _JobFacts) -> bool:
        """True for a missing pipeline that is over for so long that the store has removed it.

        Its child job lives on where a replay has adopted it. The ledger knows the pipeline's end,
        except that of an inner one, which came after that of its child job.
        """
        entries = self._entries_of_job.get(parent_id, ())
        if not entries:
            return self._is_expired(child.ended_at)
        return all(self._is_expired(self._entries[id_].created_at) for id_ in entries)

    def _is_expired(self, end: datetime | None) -> bool:
        return end is not None and self.expired_before is not None and end <= self.expired_before

    def _list_family(self, root_id: str, *, of_this_round: bool = False) -> Iterator[str]:
        yield root_id
        for child in sorted(self._lineages.children.get(root_id, ())):
            if not of_this_round or self._jobs[child].parent_round == self._jobs[root_id].round:
                yield from self._list_family(child, of_this_round=of_this_round)

    def _check_settlements(self, root_id: str, root: _JobFacts) -> Iterator[Violation]:
        """One entry for each round that has ended, and none for one that goes on."""
        last = root.round if root.status.final else root.round - 1
        expected = {f"{root_id}.{number}{root.entry_suffix}" for number in range(1, last + 1)}
        # Others are of a removed job, of which this one has the idempotency key and thus the id.
        settled = {
            id_
            for id_ in self._entries_of_job.get(root_id, ())
            if id_.removeprefix(f"{root_id}.").partition(".")[1:] == root.entry_suffix_parts
        }
        subject = f"job {root_id}"
        for entry_id in sorted(expected - settled):
            text = f"a round has ended, and the ledger entry {entry_id} that settles it is missing"
            yield Violation(Rule.SETTLED_ONCE, self.user_id, subject, text)
        for entry_id in sorted(settled - expected):
            text = f"a round is open, and the ledger entry {entry_id} settles it"
            yield Violation(Rule.SETTLED_ONCE, self.user_id, subject, text)

    def _check_payment(
        self, root_id: str, root: _JobFacts, family: list[str]
    ) -> Iterator[Violation]:
        """The last round captures what its own units cost, neither less nor more."""
        delivered = sum(self._jobs[id_].done for id_ in family)
        # Its child jobs end, and expire, before it does; one that a replay shows long before it.
        has_lost = root.captured > delivered and self._is_expired(root.queued_at)
        if root.captured != delivered and not (has_lost and root.is_pipeline):
            text = (
                f"it is {root.status}, {root.captured} credits were captured, and its finished "
                f"units cost {delivered}"
            )
            yield Violation(Rule.PAID_WORK, self.user_id, f"job {root_id}", text)

    def _check_lineages(self, job_ids: list[str], root_ids: list[str]) -> Iterator[Violation]:
        faults = [
            fault for id_ in job_ids for fault in self._lineages.check_job(id_, self.expired_before)
        ]
        faults += self._lineages.check_payment(root_ids, self._sum_captures)
        for id_, text in faults:
            yield Violation(Rule.LINEAGE, self.user_id, f"job {id_}", text)

    def _sum_captures(self, job_id: str) -> int:
        """The credits that all rounds of a job have captured; its entries outlive it."""
        entries = (self._entries[id_] for id_ in self._entries_of_job.get(job_id, ()))
        return sum(entry.amount for entry in entries if entry.kind is EntryKind.CAPTURE)

    def _check_events(self, job_id: str) -> Iterator[Violation]:
        facts = self._jobs[job_id]
        missing = [one for one in facts.deliveries if one not in self._deliveries]
        if missing:
            text = f"it is {facts.status}, and a webhook that wants this has no delivery"
            yield Violation(Rule.EVENTS, self.user_id, f"job {job_id}", text)
