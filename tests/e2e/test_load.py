"""`scripts/load` on a stack of its own: every job is counted from its request to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from e2e.processes import environment
from nightly_tests import skip_by_day
from taskreel_local.load.job_mix import KINDS


def run_load(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "taskreel_local.load", "--json", *options]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=600, env=environment()
    )


def test_a_load_of_every_kind_is_counted_to_its_end(tmp_path: Path) -> None:
    mix = ",".join(f"{kind}=1" for kind in KINDS)
    done = run_load(
        *("--minutes", "0.04", "--rate", "20", "--users", "3", "--mix", mix),
        *("--arrivals", "constant", "--save", str(tmp_path)),
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["figures"]
    assert figures["submitted"] == figures["accepted"] == figures["ended"] == 48
    assert figures["errors"] == {}
    assert figures["stackPeakDescriptors"] > 0
    assert "<svg" in (tmp_path / "load.html").read_text()


@skip_by_day("a soak takes minutes")
def test_a_soak_on_each_stack_measures_its_peak_and_gives_its_verdicts() -> None:
    for options in ((), ("--google-emulators", "--mix", "plain=1")):
        done = run_load(
            *("--soak", "--minutes", "1", "--peak-seconds", "10", "--drain-seconds", "240"),
            *options,
        )
        assert done.stdout, done.stderr
        report = json.loads(done.stdout)
        # A machine that other work shares may miss a verdict; it may lose no job.
        assert {each["name"] for each in report["verdicts"]} >= {"flat memory", "submit p99"}
        assert report["figures"]["unfinished"] == 0, report["figures"]["errors"]
        assert done.returncode == (not all(each["holds"] for each in report["verdicts"]))
