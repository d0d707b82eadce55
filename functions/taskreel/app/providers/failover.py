"""Who serves a run's units as it goes on: where work may begin now, and who takes over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from taskreel.app.providers.circuit_breakers import breaker_id
from taskreel.app.providers.selection import Wanted, choice_for
from taskreel.app.services import Services
from taskreel.domain.breaker import blames
from taskreel.domain.errors import AMBIGUOUS, Category, InvalidError, RateLimitedError, RunError
from taskreel.domain.job import Job
from taskreel.domain.provider_choice import ELSEWHERE, Choice, next_offer
from taskreel.domain.unit import MOST_TRIED, TriedProvider, UnitRun
from taskreel.jobtypes.job_type import Submission, Unit

#: When to look again whether an admin has closed what an admin has opened.
_SWITCHED_OFF = timedelta(minutes=5)


class Failover:
    """For one run of a job. `tried` is the job's history, with what this run adds."""

    def __init__(
        self, services: Services, job: Job, submission: Submission, plan: Sequence[Unit]
    ) -> None:
        self._services = services
        self._wanted = Wanted.of(submission, len(plan))
        self._left = {one.provider for one in job.tried if one.code in ELSEWHERE}
        self.tried = job.tried

    async def admit(self, run: UnitRun, unit: Unit) -> UnitRun:
        """The unit with a provider whose breaker lets it begin now.

        Raises RateLimitedError until the first breaker may let it: a wait, not an attempt.
        """
        seen: set[str] = set()
        while True:
            now = self._services.clock.now()
            id_ = breaker_id(run.provider, run.model)
            at = await self._services.breakers.begin(self._services.store, now, id_)
            if at is not None and at <= now:
                return run
            seen.add(run.provider)
            choice = await self._choice(unit)
            other = self._moved(run, choice, seen | self._left, now)
            if other is None:
                raise _resting(run, choice.not_before if choice else at, now)
            self._note(run, "provider_resting")
            run = other

    async def instead(self, run: UnitRun, unit: Unit, error: RunError) -> UnitRun | None:
        """The unit with who takes over after `error`; None when nobody may, or nobody is ready."""
        bought = run.operation is not None or error.code == AMBIGUOUS
        if error.category is not Category.RATE_LIMITED and (
            not bought or error.category is Category.PERMANENT
        ):
            self._note(run, error.code)
        choice = await self._choice(unit)
        left = self._left | {run.provider}
        if choice is None or next_offer(choice, left, error, bought=bought) is None:
            return None
        other = self._moved(run, choice, left, self._services.clock.now())
        if other is not None:
            self._left.add(run.provider)
        return other

    async def failed(self, run: UnitRun, error: RunError, called_at: datetime) -> None:
        """Tell the breaker of an error that is the provider's."""
        if blames(error):
            began = (
                called_at if error.category is Category.PROVIDER_DOWN else run.begun_at or called_at
            )
            await self._ended(run, failed=True, begun_at=began)

    async def succeeded(self, run: UnitRun, called_at: datetime) -> None:
        """Tell the breaker of finished work."""
        await self._ended(run, failed=False, begun_at=run.begun_at or called_at)

    async def _ended(self, run: UnitRun, *, failed: bool, begun_at: datetime) -> None:
        id_, now = breaker_id(run.provider, run.model), self._services.clock.now()
        await self._services.breakers.ended(
            self._services.store, now, id_, failed=failed, begun_at=begun_at
        )

    async def _choice(self, unit: Unit) -> Choice | None:
        try:
            return await choice_for(self._services, unit, self._wanted)
        except InvalidError:
            return None

    def _moved(
        self, run: UnitRun, choice: Choice | None, left: set[str], now: datetime
    ) -> UnitRun | None:
        for offer in choice.offers if choice else ():
            ready = offer.admits_at is not None and offer.admits_at <= now
            if (
                ready
                and offer.provider not in left
                and self._services.providers.buys(offer.provider)
            ):
                fresh = {
                    "provider": offer.provider,
                    "model": offer.model,
                    "begun_at": None,
                    "due_at": None,
                }
                return run.model_copy(update=fresh)
        return None

    def _note(self, run: UnitRun, code: str) -> None:
        one = TriedProvider(provider=run.provider, model=run.model, code=code)
        if one not in self.tried:
            self.tried = (*self.tried, one)[-MOST_TRIED:]


def _resting(run: UnitRun, until: datetime | None, now: datetime) -> RateLimitedError:
    if until is None or until <= now:
        until = now + _SWITCHED_OFF
    message = f"{run.provider} has failed too often of late; it is tried again later."
    return RateLimitedError(message, code="provider_resting", retry_after=until - now)
