"""The end of a job: one commit of the job, its settlement in the ledger, and the account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Unpack

from taskreel.app.flow.slots import count_leaving
from taskreel.app.jobs.job_store import load_job, name_round, store_job
from taskreel.app.services import Rules
from taskreel.domain.credits import EntryKind, LedgerEntry, count_release, settle_movement
from taskreel.domain.dead_letters import fingerprint_failure
from taskreel.domain.job import Job
from taskreel.domain.job_fields import Ending, JobChanges
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Increment, Transaction
from taskreel.store_collections import ACCOUNTS, LEDGER, PROJECTS

#: When the sweep cancels the operations of an ended job, should the clean-up task not have; and
#: when it goes on ending a pipeline whose end was interrupted.
CLEAN_UP_AFTER = timedelta(minutes=2)

#: When the sweep reports a purchase whose answer is unknown, of a job that ended during it. The run
#: that waits for the answer has stored it by then, unless it died.
REPORT_PURCHASE_AFTER = timedelta(minutes=10)


def stop_job(rules: Rules, tx: Transaction, job: Job, ending: Ending, at: datetime) -> Job:
    """Stop an unfinished job before its work is done: cancelled, failed, overdue or given up.

    A plain job ends in this transaction. A pipeline that has started must first end its child
    jobs, which are many documents: this transaction stores the decision, and after it the pipeline
    starts nothing more. The caller then calls `act_on_job_end`, which carries it out.
    """
    if job.ending is not None:
        return job
    if not is_started_pipeline(job):
        return finish_job(rules, tx, job, ending.status, at, by=ending.by, error=ending.error)

    stopped = job.with_changes(
        at,
        ending=ending,
        # A check that still goes on must neither write nor create child jobs any more.
        fence=job.fence + 1,
        lease_until=None,
        wake_at=at + CLEAN_UP_AFTER,
    )
    store_job(tx, stopped)
    return stopped


def finish_job(
    rules: Rules,
    tx: Transaction,
    job: Job,
    status: Status,
    at: datetime,
    *,
    by: str | None = None,
    **changes: Unpack[JobChanges],
) -> Job:
    """Put `job`, as read in `tx`, into a final status and settle its hold.

    Whatever the status, the work that is done is captured and the rest is released: `spent`
    credits where the caller has summed them (a pipeline), else those of the units that are DONE.
    At most the hold is captured. The job is stored for its retention more. `by` is the user who
    ended it, None for the service. A child job holds nothing: its pipeline settles once for all.
    The caller then calls `act_on_job_end`.
    """
    units = changes.get("units", job.units)
    done = sum(unit.credits for unit in units if unit.state is UnitState.DONE)
    spent = changes.get("spent", done)
    held, retention = job.credits.held, rules.retention
    captured = min(spent, held)
    ending: JobChanges = {
        "spent": spent,
        "credits": job.credits.model_copy(
            update={"held": 0, "captured": captured, "released": held - captured}
        ),
        # A run of the job that still goes on must not write any more.
        "fence": job.fence + 1,
        # Few deployments have types with a time of their own.
        "expire_at": retention.find_end(job, at) if retention.by_type else at + retention.longest,
    }
    merged: JobChanges = {**ending, **changes}
    ended = job.enter_status(status, at, by=by, **merged)
    if status is Status.FAILED and job.parent_id is None:
        ended = ended.with_changes(at, fingerprint=fingerprint_failure(ended))
    if ended.needs_clean_up:
        ended = ended.with_changes(at, delivery=ended.delivery + 1, wake_at=at + CLEAN_UP_AFTER)
    elif ended.maybe_bought:
        ended = ended.with_changes(at, wake_at=at + REPORT_PURCHASE_AFTER)
    elif ended.has_earlier_files:
        # Its run renews them at once. Where the job ended outside of it, the sweep has it done: the
        # API and the sweep itself may not change files.
        ended = ended.with_changes(at, wake_at=at + CLEAN_UP_AFTER)

    store_job(tx, ended)
    if job.parent_id is None:
        settle_hold(tx, job, at, held=held, captured=captured)
    return ended


def settle_hold(tx: Transaction, job: Job, at: datetime, *, held: int, captured: int) -> None:
    """Write the settlement of a round: its ledger entry, and the account's increments.

    `job` is as it was before its end, with its slot.
    """
    _write_entry(tx, job, held, captured, at)
    # Increments need no read of the account, so a busy account does not contend. The slot is free
    # in the same commit: a job that ends twice would have to commit twice.
    increments = settle_movement(held, captured).increments()
    leaving = count_leaving(job)
    payer_id, owner_id = job.payer_id, job.own_account_id
    if job.account_shard and job.paid_by is None:
        payer_id = owner_id
    if payer_id == owner_id:
        increments |= leaving
    else:
        # The slot is its user's, the credits are the project's: two accounts in the one commit.
        _update_account(tx, owner_id, leaving)
    if job.held_on is not None and captured < held:
        released = count_release(job.held_on, held - captured)
        increments |= released
        if job.in_project and job.project_id is not None:
            of_project = dict(released)
            if job.in_total:
                from taskreel.domain.project import TOTAL_FIELD  # of few jobs: cold start

                of_project[TOTAL_FIELD] = captured - held
            back = {name: Increment(amount) for name, amount in of_project.items()}
            tx.update(PROJECTS, job.project_id, back)
    if job.burned:
        of_grants = _settle_grants(tx, job, captured, at)
        for name, amount in of_grants.items():
            increments[name] = increments.get(name, 0) + amount
    _update_account(tx, payer_id, increments)


def _update_account(tx: Transaction, account_id: str, increments: Mapping[str, int]) -> None:
    moved = {name: Increment(amount) for name, amount in increments.items() if amount}
    if moved:
        tx.update(ACCOUNTS, account_id, moved)


async def cancel_in_transaction(
    rules: Rules, tx: Transaction, job_id: str, at: datetime, by: str | None = None
) -> Job | None:
    """Cancel the job unless it has ended; the job as it is then, None when there is none.

    `by` is the user who cancels it, None for the service.
    """
    job = await load_job(tx, job_id)
    if job is None or job.status.final:
        return job
    ending = Ending(status=Status.CANCELLED, by=by)
    return stop_job(rules, tx, job, ending, at)


def is_started_pipeline(job: Job) -> bool:
    """True when the job may have child jobs.

    The first check creates some before it stores a step, so the steps alone do not tell.
    """
    job_type = JOB_TYPES.get(job.job_type)
    is_pipeline = job_type is not None and job_type.pipeline is not None
    return bool(job.steps) or (is_pipeline and job.is_started)


def name_entry(job: Job) -> str:
    """The id of the entry: one a round, create-only, so that a second settlement cannot commit."""
    return name_round(job)


def _settle_grants(tx: Transaction, job: Job, captured: int, at: datetime) -> Counter[str]:
    """Return what is released to the grants of which the hold took shares; the increments.

    Credits of a grant that has ended meanwhile are not available again: they expire.
    """
    from taskreel.domain.grants import settle_shares  # with such grants alone: cold start

    settled = settle_shares(job.burned, captured, at)
    increments = settled.increments
    if settled.expired:
        increments.update(available=-settled.expired, expired=settled.expired)
        entry = LedgerEntry(
            entry_id=f"{name_entry(job)}.expiry",
            user_id=job.payer_id,
            kind=EntryKind.EXPIRY,
            amount=settled.expired,
            job_id=job.job_id,
            created_at=at,
        )
        tx.create(LEDGER, entry.entry_id, entry)
    return increments


def _write_entry(tx: Transaction, job: Job, held: int, captured: int, at: datetime) -> None:
    """Write the one ledger entry of this round."""
    entry = LedgerEntry(
        entry_id=name_entry(job),
        user_id=job.payer_id,
        kind=EntryKind.CAPTURE if captured else EntryKind.RELEASE,
        amount=captured or held,
        held=held,
        job_id=job.job_id,
        created_at=at,
    )
    tx.create(LEDGER, entry.entry_id, entry)
