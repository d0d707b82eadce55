"""`scripts/bench`: what is measured, and how much of it."""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import click

from taskreel_local.bench.cold_start import RUNS, run_cold_start, run_cold_start_google
from taskreel_local.bench.contenders import CONTENDERS
from taskreel_local.bench.job_throughput import run_jobs
from taskreel_local.bench.load import GENERATORS, Load
from taskreel_local.bench.process_tree import BenchError
from taskreel_local.bench.scale import MANY, run_scale

#: Measured by modules of their own, which print their own tables.
_ELSEWHERE: Mapping[str, str] = {
    "cloud-tasks": "taskreel_local.bench.cloudtasks",
    "media": "taskreel.media.bench",
}
_PEERS = tuple(name for name in CONTENDERS if name != "taskreel")
_WHAT = ("jobs", "cold-start", "cold-start-google", "scale", *_ELSEWHERE)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("what", type=click.Choice([*_WHAT, "all"]), default="all")
@click.option(
    "--jobs",
    default=2000,
    show_default=True,
    type=click.IntRange(1),
    help="jobs: how many are submitted.",
)
@click.option(
    "--conc",
    default=32,
    show_default=True,
    type=click.IntRange(1),
    help="jobs: how many at a time.",
)
@click.option(
    "--repeat",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="jobs: how many runs of each.",
)
@click.option(
    "--peers",
    default=",".join(_PEERS),
    show_default=True,
    help="jobs: beside whom; `none` for nobody.",
)
@click.option(
    "--load", "generator", default=GENERATORS[0], show_default=True, type=click.Choice(GENERATORS)
)
@click.option(
    "--runs",
    default=RUNS,
    show_default=True,
    type=click.IntRange(1),
    help="cold-start: runs of each.",
)
@click.option(
    "--rows",
    default=MANY,
    show_default=True,
    type=click.IntRange(1000),
    help="scale: jobs in the store.",
)
def main(what: str, **options: int | str) -> None:
    """Measure WHAT. Only the ratios of one run mean anything: they share the machine and its moods."""
    load = Load(
        generator=str(options["generator"]),
        jobs=int(options["jobs"]),
        concurrency=int(options["conc"]),
    )
    names = ["taskreel", *_chosen(str(options["peers"]))]
    steps: Mapping[str, Callable[[], None]] = {
        "jobs": lambda: run_jobs(load, names, int(options["repeat"])),
        "cold-start": lambda: run_cold_start(int(options["runs"])),
        "cold-start-google": lambda: run_cold_start_google(int(options["runs"])),
        "scale": lambda: run_scale(int(options["rows"])),
        **{name: functools.partial(_elsewhere, module) for name, module in _ELSEWHERE.items()},
    }
    print(_machine())
    failed = [
        name for name in (_WHAT if what == "all" else (what,)) if not _done(name, steps[name])
    ]
    sys.exit(bool(failed))


def _chosen(peers: str) -> Sequence[str]:
    if peers == "none":
        return ()
    names = [name.strip() for name in peers.split(",")]
    unknown = [name for name in names if name not in _PEERS]
    if unknown:
        raise click.UsageError(f"--peers: no {', '.join(unknown)}; there are: {', '.join(_PEERS)}")
    return names


def _done(name: str, step: Callable[[], None]) -> bool:
    try:
        step()
    except BenchError as error:
        print(f"\n{name}: {error}")
        return False
    return True


def _elsewhere(module: str) -> None:
    """A benchmark that lives beside what it measures."""
    if importlib.util.find_spec(module) is None:
        raise BenchError(f"{module} is not there")
    print(flush=True)
    if subprocess.run([sys.executable, "-m", module], check=False).returncode:  # noqa: S603 - our own module
        raise BenchError(f"{module} failed; its lines above say why")


def _machine() -> str:
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{now} · {os.cpu_count()} × {platform.machine()}{load} · Python {platform.python_version()}"


if __name__ == "__main__":
    main(prog_name="scripts/bench")
