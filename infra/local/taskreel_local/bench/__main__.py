"""`scripts/bench`: the command line of the benchmarks."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from taskreel_local.bench.cold_start import RUNS, run_cold_start, run_cold_start_google
from taskreel_local.bench.contenders import CONTENDERS
from taskreel_local.bench.cpu_profile import run_profile
from taskreel_local.bench.flow import run_flow
from taskreel_local.bench.job_throughput import run_jobs
from taskreel_local.bench.load import GENERATORS, Load
from taskreel_local.bench.machine_description import describe_machine
from taskreel_local.bench.open_jobs import run_open_jobs
from taskreel_local.bench.process_tree import BenchmarkError
from taskreel_local.bench.scale import MANY, run_scale

#: Benchmarks in separate modules, which print their own tables.
_OTHER_MODULES: Mapping[str, str] = {
    "cloud-tasks": "taskreel_cloud_tasks.benchmark",
    "live": "taskreel_local.bench.live_updates",
    "media": "taskreel_local.bench.media",
}
_PEERS = tuple(name for name in CONTENDERS if name != "taskreel")
_BENCHMARKS = (
    "jobs",
    "profile",
    "cold-start",
    "cold-start-google",
    "scale",
    "open-jobs",
    "flow",
    *_OTHER_MODULES,
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("what", type=click.Choice([*_BENCHMARKS, "all"]), default="all")
@click.option(
    "--jobs",
    default=2000,
    show_default=True,
    type=click.IntRange(1),
    help="jobs, profile: number of jobs.",
)
@click.option(
    "--conc",
    default=32,
    show_default=True,
    type=click.IntRange(1),
    help="jobs, profile: number of concurrent connections.",
)
@click.option(
    "--repeat",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="jobs: number of runs of each contender.",
)
@click.option(
    "--peers",
    default=",".join(_PEERS),
    show_default=True,
    help="jobs: peers to compare with, or `none`.",
)
@click.option(
    "--load",
    "generator",
    default=GENERATORS[0],
    show_default=True,
    type=click.Choice(GENERATORS),
    help="jobs, profile: load generator.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False),
    help="jobs, flow: write results.json and jobs.svg, or flow.svg, into this folder.",
)
@click.option(
    "--runs",
    default=RUNS,
    show_default=True,
    type=click.IntRange(1),
    help="cold-start: number of runs of each function.",
)
@click.option(
    "--rows",
    default=MANY,
    show_default=True,
    type=click.IntRange(1000),
    help="scale, open-jobs: number of jobs in the largest store.",
)
@click.option("--quick", is_flag=True, help="flow, scale, open-jobs: small numbers, in seconds.")
def main(what: str, save: Path | None, *, quick: bool, **options: int | str) -> None:
    """Run the benchmark WHAT. Compare only figures of one run: machines and loads differ."""
    load = Load(
        generator=str(options["generator"]),
        jobs=int(options["jobs"]),
        concurrency=int(options["conc"]),
    )
    names = ["taskreel", *_parse_peers(str(options["peers"]))]
    steps: Mapping[str, Callable[[], None]] = {
        "jobs": lambda: run_jobs(load, names, int(options["repeat"]), save),
        "profile": lambda: run_profile(load),
        "cold-start": lambda: run_cold_start(int(options["runs"])),
        "cold-start-google": lambda: run_cold_start_google(int(options["runs"])),
        "scale": lambda: run_scale(int(options["rows"]), quick=quick),
        "open-jobs": lambda: run_open_jobs(int(options["rows"]), quick=quick),
        "flow": lambda: run_flow(save, quick=quick),
        **{name: functools.partial(_run_module, module) for name, module in _OTHER_MODULES.items()},
    }
    print(" · ".join(describe_machine()))
    failed = [
        name
        for name in (_BENCHMARKS if what == "all" else (what,))
        if not _run_step(name, steps[name])
    ]
    sys.exit(bool(failed))


def _parse_peers(peers: str) -> Sequence[str]:
    if peers == "none":
        return ()
    names = [name.strip() for name in peers.split(",")]
    unknown = [name for name in names if name not in _PEERS]
    if unknown:
        raise click.UsageError(
            f"--peers: unknown {', '.join(unknown)}; the peers are {', '.join(_PEERS)}"
        )
    return names


def _run_step(name: str, step: Callable[[], None]) -> bool:
    try:
        step()
    except BenchmarkError as error:
        print(f"\n{name}: {error}")
        return False
    return True


def _run_module(module: str) -> None:
    """Run a benchmark module that prints its own tables."""
    if importlib.util.find_spec(module) is None:
        raise BenchmarkError(f"the module {module} does not exist")
    print(flush=True)
    command = [sys.executable, "-m", module]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - our own module
        raise BenchmarkError(f"{module} failed; see its output above")


if __name__ == "__main__":
    main(prog_name="scripts/bench")
