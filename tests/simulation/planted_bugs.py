"""Bugs to plant, more than twenty: each breaks one guarantee, as an ordinary mistake would.

They are replacements of functions by name and not patches of text: a patch breaks whenever a line
beside it moves, and then nobody knows if the simulator still finds the bug. A replacement follows
every change of the function's inside, and fails loudly (`mock.patch.object`) once its name is gone.
Each wraps the real function and spoils one thing: a check left out, a write too many or too few.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from taskreel.app import job_counts
from taskreel.app.credits import account_shards
from taskreel.app.erasure import erase_jobs
from taskreel.app.flow import admission, slots
from taskreel.app.jobs import (
    cancel_operations,
    crashes,
    finish_job,
    input_files,
    job_run,
    job_store,
    purge_cache,
    remove,
    replay,
    result_cache,
    retry,
    submit,
    unit_runner,
    uploads,
)
from taskreel.app.pipelines import child_jobs
from taskreel.app.worker import expiry, processor, sweep
from taskreel.domain import client_webhook, unit
from taskreel.domain.claim_and_outcome import Claim, Verdict
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState
from taskreel.store_collections import UPLOADS

Plant = Callable[[ExitStack], None]


def _replace(owner: Any, name: str, build: Callable[[Any], Any]) -> Plant:
    """Replace an attribute by what `build` makes of the real one."""

    def plant(around: ExitStack) -> None:
        around.enter_context(patch.object(owner, name, build(getattr(owner, name))))

    return plant


def _replace_all(*plants: Plant) -> Plant:
    def plant(around: ExitStack) -> None:
        for one in plants:
            one(around)

    return plant


# ── Leases and fences ────────────────────────────────────────────────────────────────────────────


def _forget_fence(_real: Any) -> Any:
    async def require_lease(tx: Any, claimed: Any) -> Any:
        return await job_store.load_job(tx, claimed.job_id)

    return require_lease


def _ignore_lease(real: Any) -> Any:
    def decide_claim(found: Any, now: Any) -> Any:
        free = found.with_changes(found.updated_at, lease_until=None)
        return real(free if found.lease_until else found, now)

    return decide_claim


def _claim_after_end(real: Any) -> Any:
    def decide_claim(found: Any, now: Any) -> Any:
        decided = real(found, now)
        if decided.verdict is Verdict.IGNORE and found.status is Status.CANCELLED:
            return Claim(Verdict.END, Status.FAILED)
        return decided

    return decide_claim


def _count_attempts_twice(real: Any) -> Any:
    def claim_job(found: Any, now: Any, lease: Any) -> Any:
        claimed = real(found, now, lease)
        return claimed.with_changes(now, attempt=claimed.attempt + (claimed.attempt > 1))

    return claim_job


# ── Purchases ────────────────────────────────────────────────────────────────────────────────────


def _forget_begun(_real: Any) -> Any:
    return property(lambda _self: False)


def _retry_what_may_be_bought(_real: Any) -> Any:
    return lambda _job: False


def _restart_operation(real: Any) -> Any:
    def reset_operation(self: Any, error: Any) -> None:
        real(self, error)
        if error.code == "temporary_failure" and self.unit.operation is not None:
            self.unit = self.unit.with_changes(
                state=UnitState.TODO, operation=None, begun_at=None, due_at=None
            )

    return reset_operation


def _drop_operations_at_end(_real: Any) -> Any:
    async def cancel_operation(*_: Any) -> bool:
        return True

    return cancel_operation


# ── Money ────────────────────────────────────────────────────────────────────────────────────────


def _capture_everything(real: Any) -> Any:
    return lambda held, _captured: real(held, held)


def _release_without_account(real: Any) -> Any:
    def settle_movement(held: int, captured: int) -> Any:
        moved = real(held, captured)
        return moved if captured else replace(moved, available=0)

    return settle_movement


def _hold_nothing_at_retry(real: Any) -> Any:
    return lambda found, known: 0 if found.units else real(found, known)


def _mark_done_without_files(real: Any) -> Any:
    async def store_outputs(self: Any, outputs: Any) -> Any:
        artifacts = await real(self, outputs)
        return artifacts if self.unit.operation is None else ()

    return store_outputs


def _forget_done_units(real: Any) -> Any:
    def finish(rules: Any, tx: Any, found: Any, status: Any, at: Any, **changes: Any) -> Any:
        if status is Status.CANCELLED:
            changes["spent"] = 0
        return real(rules, tx, found, status, at, **changes)

    return finish


def _take_over_undone_units(real: Any) -> Any:
    """Everything that an earlier job was asked for counts as done by it."""

    def find_done_units(job_type: Any, submission: Any, former: Any) -> Any:
        undone = {
            place: run.with_changes(state=UnitState.DONE, credits=0)
            for place, run in enumerate(former.units)
        }
        return {**undone, **real(job_type, submission, former)}

    return find_done_units


# ── Waking, queues and admission ─────────────────────────────────────────────────────────────────


def _forget_wake_time(real: Any) -> Any:
    def put_off(services: Any, found: Any, now: Any, wait: Any) -> Any:
        return real(services, found, now, wait).with_changes(now, wake_at=None)

    return put_off


def _wake_in_a_month(real: Any) -> Any:

    def reschedule(self: Any, *given: Any) -> Any:
        following = real(self, *given)
        far = following.next_attempt_at + timedelta(days=30)
        return following.with_changes(following.updated_at, wake_at=far)

    return reschedule


def _sweep_passes_over(real: Any) -> Any:
    async def wake_job(services: Any, queues: Any, found: Any, now: Any) -> Any:
        if found.status is Status.QUEUED:
            return "asleep", None
        return await real(services, queues, found, now)

    return wake_job


def _exceed_limit(real: Any) -> Any:
    return lambda limits, account: 1 + real(limits, account)


def _find_room_always(real: Any) -> Any:
    async def reserve(self: Any, store: Any, key: Any, _window: Any, now: Any) -> bool:
        return bool(await real(self, store, key, 1_000, now))

    return reserve


def _take_room_always(real: Any) -> Any:
    return lambda self, key, _window: real(self, key, 1_000)


def _double_what_moves(real: Any) -> Any:
    """The giver keeps what another document of its account gets."""
    return lambda giver, taker: (giver, real(giver, taker)[1])


def _retain_slot(_real: Any) -> Any:
    return lambda _job: {}


def _admit_newest_first(real: Any) -> Any:
    def list_waiting(services: Any, field: str, value: str, reason: Any) -> Any:
        async def backwards() -> Any:
            found = [one async for one in real(services, field, value, reason)]
            for one in reversed(found):
                yield one

        return backwards()

    return list_waiting


# ── Events ───────────────────────────────────────────────────────────────────────────────────────


def _forget_event(real: Any) -> Any:
    def create_status_event(tx: Any, found: Any) -> Any:
        if found.status is Status.PROCESSING:
            return found.model_copy(update={"announced": found.status_entry})
        return real(tx, found)

    return create_status_event


def _new_body_each_try(real: Any) -> Any:
    def record_try(self: Any, answer: Any, url: str, at: Any) -> Any:
        tried = real(self, answer, url, at)
        return tried.model_copy(update={"body": None}) if not answer.succeeded else tried

    return record_try


def _give_up_webhooks(real: Any) -> Any:
    def wait_until(self: Any, next_try_at: Any, at: Any) -> Any:
        return real(self, next_try_at, at).with_changes(at, wake_at=None)

    return wait_until


def _drop_unknown_fields(real: Any) -> Any:
    """An old revision that writes only the fields that it knows."""

    def store_job(tx: Any, found: Any) -> None:
        real(tx, found.model_copy(update={"unknown": None}))

    return store_job


# ── Work that is used again ──────────────────────────────────────────────────────────────────────


def _forget_user_in_key(real: Any) -> Any:
    return lambda _user_id, job_type, payload: real("", job_type, payload)


def _ignore_purges(_real: Any) -> Any:
    async def is_purged(*_: Any) -> bool:
        return False

    return is_purged


def _draw_ids(real: Any) -> Any:
    """Two equal requests at once make two jobs."""
    numbers = count()
    return lambda user_id, key: real(user_id, f"{key} {next(numbers)}")


def _take_any_upload(_real: Any) -> Any:
    async def find_upload(services: Any, _caller: Any, id_: str) -> Any:
        return await services.store.get(UPLOADS, id_)

    return find_upload


def _skip_checksum(real: Any) -> Any:
    async def copy_upload(services: Any, upload: Any, target: Any, label: str) -> Any:
        unannounced = upload.model_copy(update={"sha256": None})
        return await real(services, unannounced, target, label)

    return copy_upload


# ── Files ────────────────────────────────────────────────────────────────────────────────────────


def _leave_files(_real: Any) -> Any:
    async def delete_files(*_: Any) -> None:
        """The documents of a removed job go, and its files stay."""

    return delete_files


def _name_wrong_folder(real: Any) -> Any:
    return lambda job_id: real(f"{job_id}-")


def _delete_upload_alone(_real: Any) -> Any:
    async def delete(services: Any, upload: Any, _caller: Any = None) -> None:
        async def run(tx: Any) -> None:
            tx.delete(UPLOADS, upload.upload_id)

        await services.store.transaction(run)

    return delete


_REPLAYS = (replay, child_jobs)
_JOB_EVENT_USERS = (job_store, submit, admission)

#: The bugs by name.
BUGS: Mapping[str, Plant] = {
    "a run writes without checking its fence": _replace(job_run, "require_lease", _forget_fence),
    "a delivery takes a job that is leased": _replace(processor, "decide_claim", _ignore_lease),
    "a task that comes late ends a cancelled job again": _replace(
        processor, "decide_claim", _claim_after_end
    ),
    "an attempt is counted twice": _replace(processor, "claim_job", _count_attempts_twice),
    "a run that died while buying is forgotten": _replace(
        unit.UnitRun, "maybe_bought", _forget_begun
    ),
    "a retry forgets what may have been bought": _replace(
        retry, "is_ambiguous", _retry_what_may_be_bought
    ),
    "a failed poll begins the work again": _replace(
        unit_runner.UnitRunner, "_record_error", _restart_operation
    ),
    "operations of ended jobs go on": _replace(
        cancel_operations, "cancel_operation", _drop_operations_at_end
    ),
    "a settlement captures the whole hold": _replace(
        finish_job, "settle_movement", _capture_everything
    ),
    "a release does not come back to the balance": _replace(
        finish_job, "settle_movement", _release_without_account
    ),
    "a retry holds nothing": _replace(retry, "price_next_round", _hold_nothing_at_retry),
    "a unit is done before its files are stored": _replace(
        unit_runner.UnitRunner, "_store_outputs", _mark_done_without_files
    ),
    "a cancelled job's finished units are free": _replace(
        finish_job, "finish_job", _forget_done_units
    ),
    "a replay takes over units that were not done": _replace_all(
        *(_replace(owner, "find_done_units", _take_over_undone_units) for owner in _REPLAYS)
    ),
    "a crashed job is never woken": _replace(crashes, "_put_off_crashed_job", _forget_wake_time),
    "a poll whose task is lost is never made up for": _replace(
        job_run.JobRun, "_reschedule", _wake_in_a_month
    ),
    "the sweep passes over queued jobs": _replace(sweep, "_wake_job", _sweep_passes_over),
    "one job more than the limit runs": _replace_all(
        _replace(slots, "active_limit", _exceed_limit),
        _replace(admission, "active_limit", _exceed_limit),
    ),
    "a type's window is never full": _replace_all(
        _replace(job_counts.JobCounts, "reserve", _find_room_always),
        _replace(job_counts.JobCounts, "take_for_waiting", _take_room_always),
    ),
    "places that move between shards are there twice": _replace(
        account_shards, "move_places", _double_what_moves
    ),
    "an ended job's slot is not counted as free": _replace(
        finish_job, "count_leaving", _retain_slot
    ),
    "the newest of the waiting jobs goes first": _replace(
        admission, "_list_waiting", _admit_newest_first
    ),
    "a status has no event": _replace_all(
        *(_replace(owner, "create_status_event", _forget_event) for owner in _JOB_EVENT_USERS)
    ),
    "a webhook's body changes between two tries": _replace(
        client_webhook.WebhookDelivery, "record_try", _new_body_each_try
    ),
    "a failed webhook is never woken": _replace(
        client_webhook.WebhookDelivery, "wait_until", _give_up_webhooks
    ),
    "a cached result answers every user": _replace(result_cache, "_build_key", _forget_user_in_key),
    "a purged result still answers": _replace(purge_cache, "is_purged", _ignore_purges),
    "equal requests at once make two jobs": _replace(result_cache, "keyed_job_id", _draw_ids),
    "a job takes another user's upload": _replace(uploads, "find_upload", _take_any_upload),
    "other bytes than were announced are used": _replace(
        input_files, "copy_upload", _skip_checksum
    ),
    "a file outlives what refers to it": _replace(remove, "_delete_files", _leave_files),
    "a deleted upload's file stays": _replace(uploads, "_delete", _delete_upload_alone),
    "an expired job's files stay": _replace(expiry, "artifacts_folder", _name_wrong_folder),
    "an erased person's files stay": _replace(erase_jobs, "artifacts_folder", _name_wrong_folder),
    "an older revision drops unknown fields": _replace_all(
        *(
            _replace(owner, "store_job", _drop_unknown_fields)
            for owner in (job_run, processor, finish_job)
        )
    ),
}
