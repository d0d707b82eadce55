"""What holds in every life, after every event."""

from __future__ import annotations

from collections import Counter

from hypothesis.stateful import invariant

from simulation.life_state import LifeState
from taskreel.app.audit.job_rules import has_right_wake_time
from taskreel.app.jobs.crashes import MOST_CRASHES
from taskreel.app.jobs.input_files import NO_ROOM
from taskreel.domain.credits import Account, EntryKind
from taskreel.domain.errors import AMBIGUOUS
from taskreel.domain.input_limits import INPUT_TOO_LARGE
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status


class LifeInvariants(LifeState):
    """The invariants: of jobs, accounts, purchases and deliveries."""

    @invariant()
    def every_job_has_ended_or_will_be_woken(self) -> None:
        for job in self.world.jobs():
            assert has_right_wake_time(job)

    @invariant()
    def what_has_ended_stays_as_it_ended(self) -> None:
        """Except for operations, which are removed once they are cancelled at their provider."""
        for job in self.world.jobs():
            before = self.ended.get((job.job_id, job.round))
            if before is not None:
                assert (job.status, job.credits, job.attempt) == (
                    before.status,
                    before.credits,
                    before.attempt,
                )
            if job.status.final:
                self.ended[job.job_id, job.round] = job

    @invariant()
    def operations_are_remembered(self) -> None:
        self.operations |= {one["key"] for job in self.world.jobs() for one in job.operations}

    @invariant()
    def accounts_add_up_to_the_ledger_and_the_holds(self) -> None:
        jobs = self.world.jobs()
        for account in self.world.accounts():
            mine = [job for job in jobs if job.payer_id == account.user_id]
            grants, captures, expired = (
                sum(
                    entry.amount
                    for entry in self.world.ledger(kind)
                    if entry.user_id == account.user_id
                )
                for kind in (EntryKind.GRANT, EntryKind.CAPTURE, EntryKind.EXPIRY)
            )
            parts = account.available + account.held + account.captured + account.expired
            assert account.granted == parts == grants
            assert (account.captured, account.expired) == (captures, expired)
            self.shares_are_those_of_the_grants(account, mine)
            assert account.held == sum(job.credits.held for job in mine)
            # Every credit that is held or captured counts as spent in exactly one month.
            months = {
                period[: len("2026-11")]
                for job in mine
                for period in [job.held_on, *(one.at.isoformat() for one in job.history)]
                if period is not None
            }
            spent = sum(account.count_spent(month) for month in months)
            assert spent == account.held + account.captured

    def shares_are_those_of_the_grants(self, account: Account, jobs: list[Job]) -> None:
        """No credit is in two grants, and a grant has what the jobs that hold of it will return."""
        held = Counter[str]()
        for job in jobs:
            if job.credits.held:
                held.update({one.grant_id: one.amount for one in job.burned if one.grant_id})
        left = 0
        for grant in account.grants:
            there, taken = account.count_grant(grant)
            assert 0 <= there <= there + taken <= grant.amount
            assert taken == held.pop(grant.grant_id, 0)
            left += there
        assert not held
        assert left <= account.available

    @invariant()
    def every_round_that_ended_is_settled_exactly_once(self) -> None:
        entries = [*self.world.ledger(EntryKind.CAPTURE), *self.world.ledger(EntryKind.RELEASE)]
        rounds = {
            f"{job.job_id}.{number}" for job in self.root_jobs() for number in range(1, job.round)
        }
        rounds |= {f"{job.job_id}.{job.round}" for job in self.root_jobs() if job.status.final}
        # The id of a keyed job's entry has the job's time too.
        settled = [".".join(entry.entry_id.split(".")[:2]) for entry in entries]
        assert sorted(settled) == sorted(rounds)
        assert all(entry.amount <= entry.held for entry in entries)

    @invariant()
    def what_was_delivered_is_paid_for(self) -> None:
        """Of an ended job and its child jobs, in all its rounds: no work that is done is free."""
        jobs = self.world.jobs()
        captures = Counter[str]()
        for entry in self.world.ledger(EntryKind.CAPTURE):
            captures[entry.job_id or ""] += entry.amount
        for root in self.ended_jobs():
            family = [job for job in jobs if root.job_id in {job.job_id, job.parent_id}]
            assert all(job.status.final for job in family)
            delivered = sum(unit.credits for job in family for unit in job.done_units)
            assert captures[root.job_id] >= delivered

    @invariant()
    def no_outage_of_the_store_loses_an_answer(self) -> None:
        unanswered = {key.partition(".")[0] for key in self.world.provider.unanswered}
        for job in [] if self.disturbed else self.world.jobs():
            errors = [job.error, *(unit.error for unit in job.units)]
            ambiguous = AMBIGUOUS in {error.code for error in errors if error is not None}
            assert not ambiguous or job.job_id in unanswered

    @invariant()
    def nothing_outside_depends_on_what_was_lost(self) -> None:
        """All that was answered, bought or given to the queue belongs to jobs that are stored."""
        stored = {job.job_id for job in self.world.jobs()}
        assert self.answered <= stored
        assert {task.job_id for task in self.world.queue.waiting} <= stored
        provider = self.world.provider
        bought = {key.partition(".")[0] for key in [*provider.sold, *provider.accepted]}
        assert bought <= stored

    @invariant()
    def count_faults(self) -> None:
        """No invariant: count the faults of which a job shows that they happened."""
        late = {key.partition(".")[0] for key in self.world.provider.answered_late}
        for job in self.world.jobs():
            errors = [job.error, *(unit.error for unit in job.units)]
            codes = {error.code for error in errors if error is not None}
            self.happened["crashed until it failed"] += job.crashes == MOST_CRASHES
            self.happened["input too large"] += INPUT_TOO_LARGE in codes
            self.happened["no room for inputs"] += NO_ROOM in codes
            self.happened["unanswered"] += AMBIGUOUS in codes
            self.happened["late success"] += job.status is Status.COMPLETED and job.job_id in late

    @invariant()
    def nothing_is_bought_twice(self) -> None:
        """Unpaid work is repeated when its run dies."""
        assert (
            not self.paid
            or [key for key, count in self.world.provider.sold.items() if count > 1] == []
        )

    @invariant()
    def no_delivery_crashes(self) -> None:
        assert self.world.crashes() == []

    @invariant()
    def no_job_attempts_more_often_than_allowed(self) -> None:
        for job in self.world.jobs():
            assert job.attempt <= job.retry.max_attempts
