"""The work of one unit in one run: provider calls, purchase, failover, and its outputs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from taskreel.app.jobs.failed_attempts import FailedCall
from taskreel.app.jobs.input_files import InputFiles
from taskreel.app.jobs.job_store import name_round
from taskreel.app.jobs.output_files import store_outputs
from taskreel.app.jobs.unit_errors import (
    build_ambiguous_error,
    describe_failure,
    explain_crash,
    explain_lost_result,
    record_error,
    record_time_out,
)
from taskreel.app.providers.failover import Failover
from taskreel.app.services import Services
from taskreel.domain.artifact import Artifact
from taskreel.domain.claim_and_outcome import ANSWER_GRACE
from taskreel.domain.errors import (
    AMBIGUOUS,
    Category,
    LeaseLostError,
    PermanentError,
    RunError,
    StoreError,
)
from taskreel.domain.job import Job
from taskreel.domain.record import Record
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.jobtypes.job_type import Unit
from taskreel.jobtypes.submission import list_given_options
from taskreel.ports import Done, Generation, Output, Pending, WorkRequest

log = logging.getLogger(__name__)

#: The waits between two tries to store what was bought.
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 20.0


class RunContext(Record):
    """The things that all units of one run share."""

    services: Services
    job: Job
    open_folder: Callable[[], Path]
    get_failover: Callable[[], Failover]
    get_inputs: Callable[[], InputFiles]
    #: Stores the current state of all units.
    save: Callable[[], Awaitable[None]]


class UnitRunner:
    """The work of one unit in one run of its job. `unit` is always the newest state."""

    def __init__(self, context: RunContext, index: int, unit: UnitRun, planned: Unit) -> None:
        self.unit = unit
        #: Finished part of the work, from 0 to 1.
        self.fraction = 0.0 if unit.is_open else 1.0
        self._services = context.services
        self._job = context.job
        self._open_folder = context.open_folder
        self._get_failover = context.get_failover
        self._get_inputs = context.get_inputs
        self._save = context.save
        self._index = index
        self._planned = planned
        #: The calls that failed in this run.
        self.failures: list[FailedCall] = []
        #: The time at which the breaker admitted the purchase of this call, if it did.
        self._admitted_at: datetime | None = None

    async def run_unit(self) -> None:
        """Start or poll the unit, if it is due. An error ends in its state.

        Another provider takes over when one fails before anything was bought. Raises
        LeaseLostError.
        """
        if self.unit.maybe_bought:
            self._record_error(build_ambiguous_error())
            return
        while self.unit.is_due(called_at := self._services.clock.now()):
            self._admitted_at = None
            error = await self._catch_error(self._call_provider())
            if error is None:
                return
            self._note_failure(error)
            if not await self._fail_over(error, called_at):
                self._record_error(error)
                return

    def record_time_out(self, limit: timedelta) -> None:
        """Record that the attempt took longer than `limit`, unless the unit has ended or runs."""
        self.unit = record_time_out(self.unit, limit)

    # ── Provider calls ───────────────────────────────────────────────────────────────────────────

    async def _call_provider(self) -> None:
        request = _build_request(
            self._job,
            self._index,
            self.unit,
            self._planned,
            self._open_folder,
            self._report_fraction,
        )
        if self.unit.operation is not None:
            provider = self._services.providers.get(self.unit.provider)
            await self._accept_answer(await provider.poll(self.unit.operation, request))
            return

        urls = self._planned.input_urls
        if urls:
            by_length = self._planned.length_price is not None
            measured = not self._is_paid() or by_length
            files = self._get_inputs()
            inputs = await files.fetch(urls, request.name, measured=measured, by_length=by_length)
            if by_length:
                from taskreel.app.jobs import input_length  # of few units: cold start

                self.unit = input_length.price_inputs(
                    self._job, self.unit, self._planned, inputs, files.totals
                )
                if self._is_paid():
                    inputs = await input_length.store_measured(
                        self._services, self._job, self._planned, inputs
                    )
            request = replace(request, inputs=inputs)
        if self._is_paid():
            await self._purchase(request)
        else:
            await self._accept_answer(await self._start(request))

    async def _purchase(self, request: Generation) -> None:
        """Start work that costs money, at most once.

        The unit is stored as begun before the provider is asked: when this process dies in
        between, the next run sees that the work may have been bought, and does not send it again.
        """
        admitted = await self._get_failover().admit_unit(self.unit, self._planned)
        self._admitted_at = self._services.clock.now()
        self.unit = admitted.with_changes(begun_at=self._admitted_at)
        try:
            await self._save()
        except BaseException:
            # The provider has not been asked, so nothing was bought: the unit may be tried again.
            self.unit = self.unit.with_changes(begun_at=None)
            raise

        purchase = asyncio.ensure_future(self._start_purchase(request))
        try:
            await asyncio.shield(purchase)
        except asyncio.CancelledError:
            await self._await_purchase(purchase)
            raise

    async def _await_purchase(self, purchase: asyncio.Future[None]) -> None:
        """Wait for the answer of a purchase although the run was cancelled.

        The unit has the answer then, so that the caller can store it. Further cancellations (a
        deadline after a stop) change nothing: an answer that is lost may have been paid for.
        """
        while not purchase.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({purchase})
        error = await self._catch_error(purchase)
        if error is not None:
            self._record_error(error)

    async def _start_purchase(self, request: Generation) -> None:
        try:
            answer = await self._start(request)
        except RunError as error:
            # Any other error than an ambiguous one says that the provider accepted nothing.
            if error.code != AMBIGUOUS:
                self.unit = self.unit.with_changes(begun_at=None)
            raise
        except Exception as error:
            log.exception(
                "a provider adapter crashed in start; the work may have been bought",
                extra={
                    "action": "start_crashed",
                    "job_id": self._job.job_id,
                    "provider": self.unit.provider,
                },
            )
            raise build_ambiguous_error() from error
        await self._accept_answer(answer)

    async def _start(self, request: Generation) -> Done | Pending:
        # The same key for every try of the unit in this round: a provider that honours it returns
        # the first run again instead of selling another. A job that is made again after its removal
        # has the id of the one before, and is a purchase of its own.
        key = f"{name_round(self._job)}.{self._index}"
        provider = self._services.providers.get(self.unit.provider)
        # The provider may have changed since the request was built, and its model with it.
        model = _requested_model(self._job, self.unit)
        if model != request.model:
            request = replace(request, model=model)
        return await provider.start(request, idempotency_key=key)

    def _is_paid(self) -> bool:
        return self._services.providers.is_paid(self.unit.provider)

    def _report_fraction(self, fraction: float) -> None:
        self.fraction = max(self.fraction, min(fraction, 1.0))

    # ── Answers ──────────────────────────────────────────────────────────────────────────────────

    async def _accept_answer(self, answer: Done | Pending) -> None:
        if isinstance(answer, Pending):
            self._record_pending(answer)
        else:
            await self._record_done(answer)

    def _record_pending(self, answer: Pending) -> None:
        if answer.progress is not None:
            self.fraction = answer.progress
        self.unit = self.unit.with_changes(
            state=UnitState.RUNNING,
            operation=dict(answer.operation),
            due_at=self._services.clock.now() + answer.poll_after,
            error=None,
            waits=0,
        )

    def _limit_outputs(self, outputs: Sequence[Output]) -> Sequence[Output]:
        """The outputs that the unit has bought: more than those are not delivered.

        Files that go with them, such as subtitles, are not counted.
        """
        most = int(self._planned.params.get("numImages") or 1)
        results = [output for output in outputs if output.suffix is None]
        if not self._is_paid() or len(results) <= most:
            return outputs
        log.warning(
            "a provider made more results than were bought; the others are omitted",
            extra={
                "action": "results_omitted",
                "job_id": self._job.job_id,
                "unit": self._index,
                "provider": self.unit.provider,
                "results": len(outputs),
            },
        )
        surplus = results[most:]
        return [output for output in outputs if output not in surplus]

    async def _record_done(self, answer: Done) -> None:
        """Store the outputs, then mark the unit as done; its cost and data go with it."""
        answered_at = self._services.clock.now()
        if self.unit.input_seconds is not None:
            from taskreel.app.jobs.input_length import check_billed_length  # of few: cold start

            self.unit = check_billed_length(
                self._job, self._index, self.unit, self._planned, answer
            )
        planned, catalogue = self._planned, self._services.providers.catalogue
        params, seconds = planned.params, self.unit.input_seconds
        if seconds is not None:
            params = {**params, "inputSeconds": seconds}
        asked = WorkRequest(
            planned.capability,
            self.unit.model or "",
            params,
            len(planned.input_urls),
            answered_at,
        )
        artifacts: tuple[Artifact, ...] = ()
        if answer.outputs:
            try:
                artifacts = await self._store_outputs(self._limit_outputs(answer.outputs))
            except PermanentError as error:
                # The provider bills for its result, although it cannot be delivered.
                error.cost_usd, error.cost_estimated = self._price_answer(answer, asked)
                raise
        if self._is_paid():
            await self._get_failover().record_success(self.unit, answered_at)

        data = {**(answer.data or {}), **planned.facts}
        if seconds is not None:
            data["inputSeconds"] = seconds
        given = list_given_options(self._job.payload)
        if ignored := catalogue.explain_ignored_options(self.unit.provider, asked, given):
            data["ignoredOptions"] = dict(ignored)

        cost_usd, is_estimate = self._price_answer(answer, asked)
        self.unit = self.unit.with_cost(cost_usd, is_estimate=is_estimate).with_changes(
            state=UnitState.DONE,
            operation=None,
            begun_at=None,
            due_at=None,
            error=None,
            artifacts=artifacts,
            data=data or None,
        )
        self.fraction = 1.0

    def _price_answer(self, answer: Done, asked: WorkRequest) -> tuple[float | None, bool]:
        """The cost of an answer in US dollars, and True where it is the model table's estimate."""
        if not self._is_paid():
            return None, False
        if answer.cost_usd is not None:
            return answer.cost_usd, False
        estimate = self._services.providers.catalogue.estimate_usd(self.unit.provider, asked)
        return estimate, estimate is not None

    async def _store_outputs(self, outputs: Sequence[Output]) -> tuple[Artifact, ...]:
        """Store the files in the bucket; those that were paid for again and again, for a while.

        A bucket that is away for seconds, or a disk that is full, must not cost what was bought.
        """
        name, folder = self._planned.name, self._open_folder()
        clock = self._services.clock
        give_up_at = clock.now() + (ANSWER_GRACE if self._is_paid() else timedelta(0))
        wait = _FIRST_WAIT_SECONDS
        while True:
            try:
                return await store_outputs(self._services, self._job, outputs, name, folder)
            except RunError as error:
                if not self._is_paid():
                    raise
                self.unit, explained = explain_lost_result(self.unit, error)
                raise explained from error
            except (StoreError, OSError) as error:
                is_answer = isinstance(error, StoreError) and not error.may_pass
                if is_answer or clock.now() + timedelta(seconds=wait) > give_up_at:
                    raise
                log.warning(
                    "a result that was bought cannot be stored yet; the run tries again",
                    extra={
                        "action": "outputs_repeated",
                        "job_id": self._job.job_id,
                        "unit": self._index,
                        "error": str(error),
                    },
                )
            await clock.sleep(wait * (0.5 + self._services.random.random()))
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    # ── Errors ───────────────────────────────────────────────────────────────────────────────────

    async def _catch_error(self, work: Awaitable[None]) -> RunError | None:
        """Await `work` and return its error; a crash becomes a temporary one, its repeat permanent.

        Raises LeaseLostError and StoreError: they are not errors of the unit.
        """
        try:
            await work
        except (LeaseLostError, StoreError):
            raise
        except RunError as error:
            return error
        except Exception as error:
            log.exception(
                "a unit crashed; it is tried once more, while attempts remain",
                extra={
                    "action": "unit_crashed",
                    "job_id": self._job.job_id,
                    "unit": self._index,
                    "provider": self.unit.provider,
                },
            )
            return explain_crash(error, self._job, self._index, self.unit, is_paid=self._is_paid())
        return None

    async def _fail_over(self, error: RunError, called_at: datetime) -> bool:
        """Move the unit to another provider; False when there is none that may take over."""
        if not self._is_paid():
            return False
        asked_at = self._admitted_at or self.unit.begun_at
        await self._get_failover().record_failure(self.unit, error, called_at, asked_at)
        other = await self._get_failover().find_replacement(self.unit, self._planned, error)
        if other is None:
            return False
        self.unit = other
        return True

    def _note_failure(self, error: RunError) -> None:
        """Note the failed call and its cost; a rate limit is a wait, not a failure."""
        if error.category is Category.RATE_LIMITED:
            return
        self.unit = self.unit.with_cost(error.cost_usd, is_estimate=error.cost_estimated)
        now = self._services.clock.now()
        self.failures.append(describe_failure(self._job, self._index, self.unit, error, now))

    def _record_error(self, error: RunError) -> None:
        """Record the error: it ends the unit, or says when it is polled or started again."""
        log.warning(
            "a unit failed",
            extra={
                "action": "unit_failed",
                "job_id": self._job.job_id,
                "user_id": self._job.user_id,
                "unit": self._index,
                "provider": self.unit.provider,
                "code": error.code,
                "error": error.message,
            },
        )
        now, draw = self._services.clock.now(), self._services.random.random
        self.unit = record_error(self._job, self.unit, error, now, draw)


def _build_request(
    job: Job,
    index: int,
    unit: UnitRun,
    planned: Unit,
    open_folder: Callable[[], Path],
    report: Callable[[float], None],
) -> Generation:
    """The request for the unit at `index`, without its input files."""
    return Generation(
        capability=planned.capability,
        model=_requested_model(job, unit),
        params={"seed": default_seed(job, index), **planned.params},
        open_folder=open_folder,
        name=f"unit-{index}",
        user_id=job.user_id,
        attempt=job.attempt,
        waits=unit.waits,
        report=report,
    )


def _requested_model(job: Job, unit: UnitRun) -> str:
    """The model of the chosen provider, else the payload's; "" is the provider's default."""
    return unit.model or str(job.payload.get("model") or "")


def default_seed(job: Job, index: int) -> int:
    """A seed for callers that give none: fixed, so that every attempt makes the same."""
    # A digest, as the names of a job's units differ in a few characters alone.
    digest = hashlib.sha256(f"{job.job_id}.{index}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
