"""`scripts/load`: the command line of loads and soaks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
from rich.console import Console
from rich.live import Live

from taskreel_local.bench.machine_description import describe_machine
from taskreel_local.bench.process_tree import BenchmarkError
from taskreel_local.load.arrivals import ARRIVALS
from taskreel_local.load.job_mix import (
    DEFAULT_MIX,
    KINDS,
    JobRequest,
    MixError,
    format_mix,
    load_requests,
    parse_mix,
)
from taskreel_local.load.load_report import LoadReport, render_figures, store_report
from taskreel_local.load.load_run import LoadRun, measure_peak, open_clients
from taskreel_local.load.load_target import (
    LoadTarget,
    TargetError,
    find_deployment,
    find_local_stack,
    start_own_stack,
)
from taskreel_local.load.soak_verdicts import judge_soak
from taskreel_local.load.stack_usage import StackUsage
from taskreel_local.stack.descriptor_limit import raise_descriptor_limit

#: A soak submits at this share of the peak.
SOAK_SHARE = 0.8
_PEAK_CONNECTIONS = 32
#: The live report is of the newest seconds.
_SHOWN_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """The options of the command line."""

    requests: Sequence[JobRequest]
    rate: float
    arrivals: str
    minutes: float
    seed: int
    soak: bool
    peak: float | None
    peak_seconds: float
    drain_seconds: float


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--target", metavar="URL", help="A deployment, by its URL. See --requests.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The running stack on this data folder; its users load-0, load-1 and so on are granted a "
    "billion credits each, which stay in its books. [default: a stack of its own]",
)
@click.option("--google-emulators", is_flag=True, help="Its own stack runs on Google's emulators.")
@click.option(
    "--token", envvar="TASKREEL_TOKEN", show_envvar=True, help="With --target: one user's token."
)
@click.option(
    "--tokens",
    "tokens_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="With --target: a file with a user's token on each line.",
)
@click.option(
    "--users",
    default=10,
    show_default=True,
    type=click.IntRange(1),
    help="Number of users of a stack on this machine.",
)
@click.option(
    "--mix",
    default=DEFAULT_MIX,
    show_default=True,
    help=f"Kinds of jobs of the dev stack with their weights: {', '.join(KINDS)}.",
)
@click.option(
    "--requests",
    "requests_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help='Instead of --mix: a JSON array of {"jobType", "data", "weight"}.',
)
@click.option(
    "--rate",
    default=20.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Jobs a second of all users.",
)
@click.option(
    "--arrivals",
    default="poisson",
    show_default=True,
    type=click.Choice(list(ARRIVALS)),
    help="Constant distances, a Poisson process, or the jobs of 5 seconds at once.",
)
@click.option(
    "--minutes",
    default=5.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="How long jobs are submitted.",
)
@click.option(
    "--soak",
    is_flag=True,
    help="Submit at 80 % of the peak, and judge: flat memory, descriptors and latency.",
)
@click.option(
    "--peak",
    type=click.FloatRange(min=0, min_open=True),
    help="With --soak: the peak in jobs a second. [default: measured first]",
)
@click.option(
    "--peak-seconds",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="How long the peak is measured.",
)
@click.option(
    "--drain-seconds",
    default=120.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="How long the last jobs may take to end.",
)
@click.option("--seed", default=1, show_default=True, help="Repeats the times and the requests.")
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write load.html, a page of plots, and load.json into this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON alone.")
@click.option("--yes", is_flag=True, help="Do not ask before a load on a deployment.")
def main(  # noqa: PLR0913 - one parameter an option
    *,
    target: str | None,
    data: Path | None,
    token: str | None,
    tokens_file: Path | None,
    users: int,
    google_emulators: bool,
    mix: str,
    requests_file: Path | None,
    save: Path | None,
    as_json: bool,
    yes: bool,
    **numbers: Any,
) -> None:
    """Submit jobs of many users at a rate, and report how long everything takes.

    \b
    Exit status: 0 all accepted jobs have ended, and with --soak each verdict holds; 1 not; 2 wrong
    command line.
    """  # noqa: D301 - click's mark of lines that are not joined
    if target is not None and data is not None:
        raise click.UsageError("give --target or --data, not both")
    if target is not None and requests_file is None:
        raise click.UsageError(
            "a load on --target needs --requests FILE: the kinds of --mix are served by the dev "
            "stack's imitation alone, and a deployment's jobs cost its owner money"
        )
    try:
        requests = load_requests(requests_file) if requests_file else parse_mix(mix)
    except MixError as error:
        raise click.UsageError(str(error)) from None
    options = LoadOptions(requests=requests, **numbers)
    if target is not None and not yes:
        _confirm(target, options)
    console = Console(stderr=as_json)
    try:
        with _open_target(target, data, users, token, tokens_file, google_emulators) as found:
            report = asyncio.run(run_load(found, options, console))
            # Before the stack ends: what has been measured is not lost with its end.
            _print_report(report, console, save, as_json=as_json)
    except (TargetError, BenchmarkError, httpx.HTTPError) as error:
        raise click.ClickException(str(error) or repr(error)) from None
    sys.exit(not report.holds)


def _confirm(target: str, options: LoadOptions) -> None:
    if options.soak and options.peak is None:
        count = "as many jobs as it takes"
    else:
        rate = options.rate if options.peak is None else options.peak * SOAK_SHARE
        count = f"about {rate * options.minutes * 60:,.0f} jobs"
    click.confirm(
        f"This submits {count} to {target}; its providers bill them. Continue?", abort=True
    )


@contextlib.contextmanager
def _open_target(
    target: str | None,
    data: Path | None,
    users: int,
    token: str | None,
    tokens_file: Path | None,
    google_emulators: bool,  # noqa: FBT001 - as above
) -> Iterator[LoadTarget]:
    if target is not None:
        yield find_deployment(target, token, tokens_file)
    elif data is not None:
        yield find_local_stack(data, users)
    else:
        options = ["--google-emulators"] if google_emulators else []
        with start_own_stack(users, *options) as found:
            yield found


async def run_load(target: LoadTarget, options: LoadOptions, console: Console) -> LoadReport:
    """Run the load, for a soak after the measurement of the peak."""
    raise_descriptor_limit()
    # A collection of everything takes longer than the stack's answer.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    description = {
        "machine": ", ".join(describe_machine()),
        "target": target.name,
        "users": str(len(target.tokens)),
        "mix": format_mix(options.requests),
        "arrivals": options.arrivals,
    }
    usage = None if target.data is None else StackUsage(target.data).measure
    async with open_clients(target.url, target.tokens) as clients:
        rate = options.rate
        if options.soak:
            peak = options.peak
            if peak is None:
                console.print(f"Measuring the peak for {options.peak_seconds:g} s…")
                async with LoadRun(clients, options.requests, options.seed) as run:
                    peak = await measure_peak(run, _PEAK_CONNECTIONS, options.peak_seconds)
            rate = peak * SOAK_SHARE
            description["peak"] = f"{peak:.1f} jobs/s"
        if not rate:
            raise TargetError("no job ended while the peak was measured: see the stack's log")
        description["rate"] = f"{rate:.1f} jobs/s"
        seconds = options.minutes * 60
        async with LoadRun(clients, options.requests, options.seed, usage) as run:
            with _show_live(run, console, f"{rate:,.1f} jobs a second on {target.name}"):
                times = ARRIVALS[options.arrivals](rate, random.Random(options.seed))  # noqa: S311
                await run.submit_at(times, seconds)
                await run.wait_for_ends(options.drain_seconds)
    description["machine at the end"] = ", ".join(describe_machine())
    verdicts = judge_soak(run.samples, seconds) if options.soak else []
    return LoadReport(
        description=description, samples=run.samples, seconds=seconds, verdicts=verdicts
    )


@contextlib.contextmanager
def _show_live(run: LoadRun, console: Console, title: str) -> Iterator[None]:
    """Show the figures in a terminal while the load runs."""
    if not console.is_terminal:
        console.print(title)
        yield
        return

    def render() -> Any:
        now = run.seconds
        shown = min(max(now, 1.0), _SHOWN_SECONDS)
        heading = f"{title}\n{now:,.0f} s, {run.open_jobs:,} jobs open; the last {shown:.0f} s:"
        return render_figures(heading, run.samples.take_recent(now - shown), shown, until=now)

    with Live(get_renderable=render, console=console, refresh_per_second=1, transient=True):
        yield


def _print_report(
    report: LoadReport, console: Console, save: Path | None, *, as_json: bool
) -> None:
    if as_json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        for name, value in report.description.items():
            console.print(f"{name}: {value}", highlight=False, markup=False)
        console.print(render_figures("", report.samples, report.seconds))
        for verdict in report.verdicts:
            state = "[green]holds[/]" if verdict.holds else "[red]FAILS[/]"
            console.print(f"{state} {verdict.name}: {verdict.text}", highlight=False)
    if save is not None:
        page = store_report(save, report)
        console.print(f"The page of plots: {page}", highlight=False, markup=False)


if __name__ == "__main__":
    main(prog_name="scripts/load")
