"""Simulate the whole backend under faults, for hours in seconds, and check every invariant.

`scripts/simulate` runs this. A seed fixes everything that happens; a failure prints the command
that repeats it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from simulation.customers import USERS, Customer
from simulation.end_of_life import check_end_of_life
from simulation.environment import Environment
from simulation.invariant_watch import ViolationError
from simulation.quiet_time import check_quiet
from simulation.seed_log import Outcome, SeedLog, WrongLogError
from simulation.simulated_cloud import SimulatedCloud, running_cloud
from simulation.tape import Tape, shrink_tape
from simulation.virtual_loop import Schedule, StuckError, VirtualLoop

HOUR = 3600.0
#: Begins a violation that is an exception, of the product's or of the simulator's.
CRASHED = "crashed: "
#: A simulation of so many hours is worth the days that the last webhooks may take.
_THOROUGH_HOURS = 2.0


class _LogCounter(logging.Handler):
    """Counts the product's log lines by their action: each is a branch that was taken."""

    def __init__(self, happened: Counter[str]) -> None:
        super().__init__(logging.INFO)
        self._happened = happened
        self.crash: str | None = None
        #: Jobs whose operations an operator was told to cancel by hand.
        self.given_up: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        action = getattr(record, "action", None)
        if action is None or action == "job_status":
            return
        self._happened[f"log {action}"] += 1
        if action == "given_up":
            self.given_up.add(getattr(record, "job_id", ""))
        if action in {"task_crashed", "crash_unrecorded", "run_crashed", "delivery_crashed"}:
            self.crash = logging.Formatter().format(record)


def simulate(
    seed: int,
    hours: float,
    *,
    choices: Sequence[int] | None = None,
    bug: Callable[[ExitStack], None] = lambda _: None,
    most_steps: int | None = None,
    life: Callable[[SimulatedCloud], Awaitable[None]] | None = None,
) -> Outcome:
    """Run one simulation of so many hours, and until everything has come to its end.

    `life` is a scenario instead of users and faults that the tape draws.
    """
    tape = Tape(seed, choices)
    began = time.process_time()
    before = sys.unraisablehook
    # A dead instance's coroutines are dropped in the middle, as a killed process drops them; what
    # their clean-up then says, nobody hears.
    sys.unraisablehook = lambda _: None
    try:
        outcome = _simulate(tape, Outcome(seed), hours, bug=bug, most_steps=most_steps, life=life)
        outcome.cpu_seconds = time.process_time() - began
        return outcome
    finally:
        gc.collect()
        sys.unraisablehook = before


def _simulate(
    tape: Tape,
    outcome: Outcome,
    hours: float,
    *,
    bug: Callable[[ExitStack], None],
    most_steps: int | None,
    life: Callable[[SimulatedCloud], Awaitable[None]] | None,
) -> Outcome:
    schedule = Schedule(tape, by_priority=tape.draw(2) == 1)
    loop = VirtualLoop(tape, schedule)
    log = _LogCounter(outcome.happened)
    logger = logging.getLogger("taskreel")
    before = (logger.level, logger.propagate, logger.handlers)
    logger.handlers, logger.propagate = [log], False
    logger.setLevel(logging.INFO)
    asyncio.set_event_loop(loop)
    collects = gc.isenabled()
    with ExitStack() as around, tempfile.TemporaryDirectory(prefix="taskreel-sim-") as folder:
        bug(around)
        simulation = _Simulation(loop, tape, outcome, log, most_steps)
        running = loop.create_task(simulation.run(Path(folder), life or partial(live, hours=hours)))
        try:
            loop.run_until_complete(running)
        except ViolationError as error:
            outcome.violation = str(error)
        except StuckError as error:
            outcome.violation = f"stuck: {error}"
        except _EnoughError:
            pass
        except Exception as error:  # noqa: BLE001 - it is reported
            outcome.violation = f"{CRASHED}{error!r}"
        finally:
            outcome.hours = loop.time() / HOUR
            outcome.steps = loop.steps
            outcome.choices = tape.choices
            _end(loop)
            logger.level, logger.propagate, logger.handlers = before
            asyncio.set_event_loop(None)
            if collects:
                gc.enable()
    return outcome


class _EnoughError(Exception):
    """Ends a simulation after its last step."""


@dataclass
class _Simulation:
    """One simulation, and the checks after each of its steps."""

    loop: VirtualLoop
    tape: Tape
    outcome: Outcome
    log: _LogCounter
    most_steps: int | None

    async def run(self, folder: Path, life: Callable[[SimulatedCloud], Awaitable[None]]) -> None:
        """Let a cloud live, and check it after each step."""
        schedule = "priority schedule" if self.loop.by_priority else "uniform schedule"
        self.outcome.happened[schedule] += 1
        async with running_cloud(self.loop, self.tape, folder) as cloud:
            cloud.plan.happened = self.outcome.happened
            cloud.given_up = self.log.given_up
            self.loop.after_step = partial(self._check, cloud)
            await life(cloud)
            self.loop.after_step = lambda: None

    def _check(self, cloud: SimulatedCloud) -> None:
        cloud.watch.check()
        if cloud.sales_book.bought_twice:
            raise ViolationError(f"nothing-bought-twice: {cloud.sales_book.bought_twice[0]}")
        if cloud.sales_book.wrong_inputs:
            raise ViolationError(cloud.sales_book.wrong_inputs[0])
        if self.log.crash is not None:
            raise ViolationError(f"no-crash: {self.log.crash}")
        if self.most_steps is not None and self.loop.steps > self.most_steps:
            raise _EnoughError
        self.outcome.commits = cloud.watch.commits
        self.outcome.jobs = len(cloud.watch.jobs)


async def live(cloud: SimulatedCloud, hours: float) -> None:
    """Let the users and the faults work for so many hours; then let everything come to its end."""
    end = hours * HOUR
    cloud.spawn(cloud.sweep_for_ever())
    think = (20.0, 60.0, 200.0)[cloud.tape.draw(3)]
    customers = [Customer(cloud, user, think) for user in USERS]
    for customer in customers:
        cloud.spawn(customer.listen())
    busy = [cloud.spawn(customer.act_until(end)) for customer in customers]
    busy.append(cloud.spawn(Environment(cloud).disturb_until(end)))
    await asyncio.wait(busy)
    await check_quiet(cloud, customers, with_webhooks=hours >= _THOROUGH_HOURS)
    await check_end_of_life(cloud, erased=customers[-1].user)


def _end(loop: VirtualLoop) -> None:
    """End every coroutine of the simulation, dead instances' too, without a step."""
    loop.after_step = lambda: None
    loop.failed = None
    loop.end_pauses()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()

    async def gather() -> None:
        await asyncio.wait(tasks, timeout=5)

    loop.set_exception_handler(lambda *_: None)
    if tasks:
        with contextlib.suppress(BaseException):
            loop.run_until_complete(gather())
    loop.close()


# ── The command ──────────────────────────────────────────────────────────────────────────────────


def describe_replay(outcome: Outcome, hours: float) -> str:
    """The command that repeats a simulation."""
    return f"scripts/simulate --seed {outcome.seed} --hours {hours:g}"


def shrink(outcome: Outcome, hours: float, tries: int) -> Outcome:
    """The smallest failing run that so many tries find."""
    rule = (outcome.violation or "").partition(":")[0]

    def fails(choices: Sequence[int]) -> bool:
        found = simulate(outcome.seed, hours, choices=choices).violation
        return found is not None and found.partition(":")[0] == rule

    smallest = shrink_tape(outcome.choices, fails, tries=tries)
    return simulate(outcome.seed, hours, choices=smallest)


def _parse(arguments: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description=__doc__,
        epilog="--planted-bugs, alone, looks for each bug of tests/simulation/planted_bugs.py",
    )
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--seeds", type=int, default=1, help="so many seeds (default: 1)")
    parser.add_argument("--step", type=int, default=1, help="the distance between two seeds")
    parser.add_argument(
        "--hours", type=float, default=6.0, help="virtual hours a seed (default: 6)"
    )
    parser.add_argument("--minutes", type=float, help="go on with further seeds for so long")
    parser.add_argument(
        "--total-hours", type=float, help="go on with further seeds until they are so many hours"
    )
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="append each seed to a file; started again with the file, it goes on behind them",
    )
    parser.add_argument("--shrink", type=int, default=0, metavar="TRIES", help="shrink a failure")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulations that the command line names; 1 if an invariant is violated."""
    given = _parse(arguments)
    began = time.monotonic()
    try:
        log = None if given.log is None else SeedLog.open(given.log, given.hours)
    except WrongLogError as error:
        print(error, file=sys.stderr)
        return 2
    total = Outcome(given.seed)
    failures = 0
    number = 0
    while _goes_on(given, number, began, total.hours):
        seed = given.seed + number * given.step
        number += 1
        outcome = None if log is None else log.done.get(seed)
        if outcome is None:
            outcome = simulate(seed, given.hours)
            if log is not None:
                log.append(outcome)
        total.add(outcome)
        if outcome.violation is not None:
            failures += 1
            _report_violation(outcome, given.hours, given.shrink)
    seconds = time.monotonic() - began
    cpu = total.cpu_seconds
    print(
        f"{number} seeds, {total.hours:,.0f} simulated hours, {total.steps:,} steps, "
        f"{total.commits:,} commits, {total.jobs:,} jobs in {seconds:.0f} s "
        f"({total.hours / cpu:.1f} hours a CPU-second, {cpu:.0f} of them): {failures} violations"
    )
    if log is not None:
        print(f"  code state {log.code}, seeds in {log.file}")
    for name, count in sorted(total.happened.items()):
        print(f"  {count:8,} × {name}")
    return 1 if failures else 0


def _report_violation(outcome: Outcome, hours: float, shrink_tries: int) -> None:
    print(f"VIOLATION {outcome.violation}")
    print(f"  after {outcome.steps} steps, {outcome.hours:.2f} hours; repeat it with")
    print(f"  {describe_replay(outcome, hours)}", flush=True)
    if shrink_tries and outcome.choices:
        small = shrink(outcome, hours, shrink_tries)
        print(
            f"  {len(outcome.choices)} choices shrink to {len(small.choices)}: "
            f"{small.steps} steps, {small.violation}",
            flush=True,
        )


def _goes_on(given: Any, number: int, began: float, hours: float) -> bool:
    if given.total_hours is not None:
        return bool(hours < given.total_hours)
    if given.minutes is not None:
        return bool(time.monotonic() - began < 60 * given.minutes)
    return bool(number < given.seeds)


if __name__ == "__main__":
    sys.exit(main())
