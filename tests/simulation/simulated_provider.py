"""A paid generation service outside of the system, and the truth about what it has sold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from simulation.fault_plan import Fault, FaultPlan
from simulation.simulated_ports import Machine
from taskreel.domain.errors import (
    AMBIGUOUS,
    UNSURE,
    PermanentError,
    ProviderDownError,
    RateLimitedError,
    TemporaryError,
)
from taskreel.ports import Done, Generation, Output, Pending

#: Longer than an attempt of an image may take.
_HANG_SECONDS = 2400.0


class SaleState(StrEnum):
    """The state of work that the service has accepted."""

    RUNNING = "running"
    DONE = "done"
    #: The service has said that it made nothing.
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass
class Sale:
    """Work that was accepted and will be billed."""

    number: int
    job_id: str
    unit: str
    state: SaleState
    polls_left: int
    #: The system asked to cancel it.
    cancel_asked: bool = False
    #: The service cannot say whether the system has heard of it.
    maybe_unheard: bool = False
    #: Its job was removed; another one may have been made under the same id.
    job_removed: bool = False


@dataclass
class SalesBook:
    """All sales of all services, and every purchase that should not have happened."""

    plan: FaultPlan
    #: Yields what is wrong with an input file of a job.
    check_input: Callable[[str, bytes], Iterator[str]] = lambda _job_id, _content: iter(())
    sales: list[Sale] = field(default_factory=list)
    bought_twice: list[str] = field(default_factory=list)
    wrong_inputs: list[str] = field(default_factory=list)
    #: Whether a scenario wants answers at once; else the tape says so.
    answers_at_once: bool | None = None

    def note_removal(self, job_id: str) -> None:
        """Note that a job was removed: its sales are none of a job of the same id after it."""
        for sale in self.sales:
            if sale.job_id == job_id:
                sale.job_removed = True

    def note_inputs(self, job_id: str, request: Generation) -> None:
        """Check the input files that a service gets for a job."""
        for file in request.inputs:
            self.plan.note("upload used")
            self.wrong_inputs += self.check_input(job_id, file.path.read_bytes())

    def sell(self, job_id: str, unit: str, *, done: bool) -> Sale:
        """Accept work; note when the same is still running, or was delivered."""
        for earlier in self.sales:
            is_same = (earlier.job_id, earlier.unit) == (job_id, unit) and not earlier.job_removed
            # What was to be cancelled, at a deadline, may be bought again by a later round.
            lives = (
                earlier.state in {SaleState.RUNNING, SaleState.DONE} and not earlier.cancel_asked
            )
            if is_same and lives:
                self.bought_twice.append(
                    f"unit {unit} of job {job_id} was bought again while sale {earlier.number} "
                    f"is {earlier.state}"
                )
        state = SaleState.DONE if done else SaleState.RUNNING
        sale = Sale(len(self.sales), job_id, unit, state, polls_left=1 + self.plan.tape.draw(3))
        self.sales.append(sale)
        return sale


@dataclass
class SimulatedProvider:
    """`Provider` as one instance reaches it. It knows no idempotency keys: the worst kind."""

    name: str
    machine: Machine
    sales_book: SalesBook

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        plan, machine = self.sales_book.plan, self.machine
        job_id, *_, unit = idempotency_key.split(".")
        await machine.pause()
        self.sales_book.note_inputs(job_id, request)
        if plan.strikes(Fault.PROVIDER_DOWN):
            raise ProviderDownError("503")
        if plan.strikes(Fault.PROVIDER_LIMITS):
            raise RateLimitedError("429", retry_after=timedelta(seconds=20))
        if plan.strikes(Fault.PROVIDER_REFUSES):
            raise PermanentError("the prompt is not allowed", code="content_refused")
        if plan.strikes(Fault.PROVIDER_SLOW):
            await asyncio.sleep(plan.tape.between(5, 60))
            await machine.pause()
        answers_at_once = self.sales_book.answers_at_once
        if answers_at_once is None:
            answers_at_once = plan.tape.draw(3) == 0
        sale = self.sales_book.sell(job_id, unit, done=answers_at_once)
        sale.maybe_unheard = True
        if plan.strikes(Fault.PROVIDER_HANGS):
            sale.state = SaleState.DONE
            await asyncio.sleep(_HANG_SECONDS)
        await machine.pause()
        if plan.strikes(Fault.PROVIDER_ANSWER_LOST):
            raise PermanentError(UNSURE, code=AMBIGUOUS)
        if plan.strikes(Fault.PROVIDER_CRASHES):
            raise ZeroDivisionError("a bug of the adapter")
        if sale.state is SaleState.DONE:
            return self._deliver(sale, request)
        sale.maybe_unheard = False
        return self._wait(sale)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        plan = self.sales_book.plan
        await self.machine.pause()
        sale = self.sales_book.sales[int(operation["sale"])]
        if plan.strikes(Fault.PROVIDER_POLL_FAILS):
            raise TemporaryError("502")
        if sale.state is SaleState.RUNNING:
            if plan.strikes(Fault.PROVIDER_DROPS):
                sale.state = SaleState.FAILED
                raise TemporaryError("there is no such operation", ended=True)
            if plan.strikes(Fault.PROVIDER_BILLS_AND_FAILS):
                sale.state = SaleState.FAILED
                raise PermanentError("the generation failed", code="generation_failed")
            sale.polls_left -= 1
            if sale.polls_left > 0:
                return self._wait(sale)
            sale.state = SaleState.DONE
        if sale.state is not SaleState.DONE:
            raise PermanentError("it was cancelled", code="operation_ended")
        return self._deliver(sale, request)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        await self.machine.pause()
        sale = self.sales_book.sales[int(operation["sale"])]
        if self.sales_book.plan.strikes(Fault.PROVIDER_CANCEL_FAILS):
            raise ProviderDownError("cancelling fails now")
        sale.cancel_asked = True
        if sale.state is SaleState.RUNNING:
            sale.state = SaleState.CANCELLED

    async def close(self) -> None:
        """Nothing is open."""

    def _wait(self, sale: Sale) -> Pending:
        wait = timedelta(seconds=5 + self.sales_book.plan.tape.draw(20))
        return Pending(operation={"sale": sale.number}, poll_after=wait)

    def _deliver(self, sale: Sale, request: Generation) -> Done:
        self.machine.write_to_disk()
        file = request.folder / f"{request.name}.png"
        file.write_bytes(b"sale %d" % sale.number)
        return Done(outputs=(Output(path=file),))
