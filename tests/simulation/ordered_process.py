"""A command of the simulator in a process of its own, whose sets have a fixed order.

The order of sets is a choice too: with another one a seed is another run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType

from simulation.world import ROOT


def run_in_order(
    module: str,
    *arguments: str,
    seconds: float = 1500,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    """Run a module to its end, as `scripts/simulate` does."""
    paths = [str(ROOT / name) for name in ("functions", "infra/local", "tests")]
    environment = {
        **os.environ,
        **variables,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONHASHSEED": "0",
    }
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
