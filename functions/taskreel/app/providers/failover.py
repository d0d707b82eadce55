"""Failover of a run's units: wait for a provider's breaker, or move to another provider."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from taskreel.app.providers.circuit_breakers import breaker_id
from taskreel.app.providers.registry import ProviderRegistry
from taskreel.app.providers.selection import ProviderPreference, choose_providers
from taskreel.domain.breaker import (
    PROVIDER_RESTING,
    counts_against_provider,
    explain_resting,
    is_unmistakable,
)
from taskreel.domain.errors import (
    AMBIGUOUS,
    Category,
    InvalidError,
    RateLimitedError,
    RunError,
    StoreError,
)
from taskreel.domain.job import Job
from taskreel.domain.provider_choice import ELSEWHERE_CODES, ProviderChoice, next_offer
from taskreel.domain.unit import MOST_TRIED, TriedProvider, UnitRun
from taskreel.jobtypes.job_type import Unit
from taskreel.jobtypes.submission import Submission
from taskreel.ports import Clock

log = logging.getLogger(__name__)

#: Time between checks of a breaker that an administrator has opened.
_RECHECK_FORCED_OPEN = timedelta(minutes=5)


class Failover:
    """Provider changes within one run of a job.

    `tried` lists the providers that have failed the job, in earlier runs and in this one.
    """

    def __init__(
        self,
        registry: ProviderRegistry,
        clock: Clock,
        job: Job,
        submission: Submission,
        units: Sequence[Unit],
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._preference = ProviderPreference.of_submission(submission, len(units))
        #: Providers that are not asked again: their account or model cannot do this job.
        self._excluded = {tried.provider for tried in job.tried if tried.code in ELSEWHERE_CODES}
        self._user_id = job.user_id
        self.tried = job.tried

    async def admit_unit(self, run: UnitRun, unit: Unit) -> UnitRun:
        """The unit with a provider whose breaker admits work now: its own, or the next one.

        Raises RateLimitedError when none does, until the earliest time that one will: a wait that
        does not count as an attempt.
        """
        seen: set[str] = set()
        while True:
            now = self._clock.now()
            id_ = breaker_id(run.provider, run.model)
            admits_at = await self._registry.breakers.admit_work(id_, now)
            if admits_at is not None and admits_at <= now:
                return run

            seen.add(run.provider)
            choice = await self._choose_again(unit)
            # Not the earlier `now`: a ready offer is admitted from the time of the choice on.
            chosen_at = self._clock.now()
            other = self._move_unit(run, choice, seen | self._excluded, chosen_at)
            if other is None:
                # Of this provider and the others that may serve, the first that may be ready.
                times = [admits_at, choice.not_before if choice else None]
                until = min((one for one in times if one is not None), default=None)
                raise _resting_error(run, until, now)
            self._add_tried(run, PROVIDER_RESTING)
            run = other

    async def find_replacement(self, run: UnitRun, unit: Unit, error: RunError) -> UnitRun | None:
        """The unit with the provider that takes over after `error`; None to stay and wait.

        Work that was bought, or may have been, is never bought again elsewhere.
        """
        bought = run.operation is not None or error.code == AMBIGUOUS
        is_rate_limit = error.category is Category.RATE_LIMITED
        if not is_rate_limit and (not bought or error.category is Category.PERMANENT):
            self._add_tried(run, error.code)

        choice = await self._choose_again(unit)
        excluded = self._excluded | {run.provider}
        if choice is None or next_offer(choice, excluded, error, bought=bought) is None:
            return None
        other = self._move_unit(run, choice, excluded, self._clock.now())
        if other is not None:
            self._excluded.add(run.provider)
        return other

    async def record_failure(
        self, run: UnitRun, error: RunError, called_at: datetime, asked_at: datetime | None
    ) -> None:
        """Report an error to the breaker if it is the provider's fault.

        Any other ends a probe without a result. `asked_at` is the time at which the breaker
        admitted the work; None for work that it did not admit, which is no probe.
        """
        if not counts_against_provider(error):
            if asked_at is not None:
                id_, now = breaker_id(run.provider, run.model), self._clock.now()
                await self._registry.breakers.free_probe(id_, now, begun_at=asked_at)
        else:
            is_down = error.category is Category.PROVIDER_DOWN
            begun_at = called_at if is_down else run.begun_at or called_at
            user_id = None if is_unmistakable(error) else self._user_id
            await self._record_result(
                run,
                failed=True,
                begun_at=begun_at,
                user_id=user_id,
                unanswered=error.unanswered,
            )

    async def record_success(self, run: UnitRun, called_at: datetime) -> None:
        """Report finished work to the breaker."""
        await self._record_result(run, failed=False, begun_at=run.begun_at or called_at)

    async def _record_result(
        self,
        run: UnitRun,
        *,
        failed: bool,
        begun_at: datetime,
        user_id: str | None = None,
        unanswered: bool = False,
    ) -> None:
        id_ = breaker_id(run.provider, run.model)
        try:
            await self._registry.breakers.record_result(
                id_,
                self._clock.now(),
                failed=failed,
                begun_at=begun_at,
                user_id=user_id,
                unanswered=unanswered,
            )
        except StoreError as error:
            # The result was paid for: it must not be lost because it could not be counted.
            log.warning(
                "a result of a provider was not counted by its breaker",
                extra={"action": "result_uncounted", "breaker": id_, "error": error.message},
            )

    async def _choose_again(self, unit: Unit) -> ProviderChoice | None:
        try:
            return await choose_providers(self._registry, unit, self._preference, self._clock.now())
        except InvalidError:
            return None

    def _move_unit(
        self,
        run: UnitRun,
        choice: ProviderChoice | None,
        excluded: Collection[str],
        now: datetime,
    ) -> UnitRun | None:
        """The unit with the first provider of the choice that is ready and may take over.

        An imitation takes over only where the caller names it: it never serves in silence.
        """
        named = {self._registry.catalogue.resolve_name(word) for word in self._preference.names}
        for offer in choice.offers if choice else ():
            name = offer.provider
            is_ready = offer.admits_at is not None and offer.admits_at <= now
            is_asked_for = self._registry.is_paid(name) or name in named
            if is_ready and is_asked_for and name not in excluded:
                changes = {"provider": offer.provider, "model": offer.model}
                return run.model_copy(update={**changes, "begun_at": None, "due_at": None})
        return None

    def _add_tried(self, run: UnitRun, code: str) -> None:
        entry = TriedProvider(provider=run.provider, model=run.model, code=code)
        if entry not in self.tried:
            self.tried = (*self.tried, entry)[-MOST_TRIED:]


def _resting_error(run: UnitRun, until: datetime | None, now: datetime) -> RateLimitedError:
    message = explain_resting(run.provider, until)
    if until is None or until <= now:
        until = now + _RECHECK_FORCED_OPEN
    return RateLimitedError(message, code=PROVIDER_RESTING, retry_after=until - now)
