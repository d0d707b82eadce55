"""`scripts/fuzz --coverage-guided`: atheris on each target, in a process of its own.

A failure leaves the bytes in a file, and prints the command that repeats it.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuzzing.target import Target


def _load_targets() -> dict[str, Target]:
    """The targets; their modules are imported now, which atheris must see."""
    from fuzzing.targets import TARGETS

    return TARGETS


def main() -> int:
    """Give each target its share of the minutes; 1 if one has failed."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz --coverage-guided", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="in all (default: 10)")
    parser.add_argument("--target", action="append", help="only this; repeatable")
    parser.add_argument("--corpus", type=Path, help="a folder whose inputs are read and added to")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="feed the bytes of a failure")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    order, rest = parser.parse_known_args()
    if order.run is not None:
        run_target(order.run, rest)
        return 0
    targets = _load_targets()
    names = order.target or list(targets)
    if unknown := set(names) - targets.keys():
        parser.error(f"no target {', '.join(unknown)}: they are {', '.join(targets)}")
    if order.repeat is not None:
        targets[names[0]].feed(order.repeat.read_bytes())
        sys.stdout.write("no error\n")
        return 0
    seconds = max(1, round(order.minutes * 60 / len(names)))
    passed = [fuzz(name, targets[name].seeds, seconds, order.corpus) for name in names]
    return 0 if all(passed) else 1


def fuzz(name: str, seeds: Sequence[bytes], seconds: int, corpus: Path | None) -> bool:
    """Run one target; True if it has raised nothing that it does not document."""
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Path(scratch, "inputs") if corpus is None else corpus / name
        inputs.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (inputs / f"seed-{number}").write_bytes(seed)
        failures = Path(tempfile.gettempdir(), f"taskreel-fuzz-{name}-")
        command = [
            *(sys.executable, "-m", "fuzzing.coverage_guided", "--run", name, str(inputs)),
            *(f"-max_total_time={seconds}", f"-artifact_prefix={failures}", "-max_len=4096"),
            *("-timeout=20", "-rss_limit_mb=3000", "-print_final_stats=1"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    stats = dict(
        line.removeprefix("stat::").split(":", 1)
        for line in done.stderr.splitlines()
        if line.startswith("stat::")
    )
    runs = stats.get("number_of_executed_units", "?").strip()
    sys.stdout.write(f"{name}: {runs} inputs in {seconds} s\n")
    sys.stdout.flush()
    if done.returncode == 0:
        return True
    again = f"scripts/fuzz --coverage-guided --target {name} --repeat {failures}…"
    # The exception's traceback is atheris' standard output, the bytes are in libFuzzer's error.
    sys.stdout.write(f"{done.stdout[-4000:]}\n{done.stderr[-1500:]}\nrepeat it: {again}\n")
    return False


def run_target(name: str, arguments: list[str]) -> None:
    """Give the target what atheris makes, until its time is over."""
    atheris = importlib.import_module("atheris")  # installed by scripts/fuzz
    with atheris.instrument_imports(include=["taskreel", "taskreel_cloud_tasks"]):
        target = _load_targets()[name]
    atheris.Setup([sys.argv[0], *arguments], target.feed)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
