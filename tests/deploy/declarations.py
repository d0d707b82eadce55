"""The declarations of infra/, and the steps that the scripts plan for them."""

from __future__ import annotations

import functools
import itertools
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from taskreel.adapters.providers import KEY_VARIABLES

ROOT = Path(__file__).parents[2]


def declared(name: str) -> Any:
    text = (ROOT / "infra" / name).read_text("utf-8")
    return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)


def run_planner(
    module: str, *args: str, stdin: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a module of the planner with no more of this environment than its PATH."""
    return subprocess.run(
        [sys.executable, "-m", module, *args],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "scripts/lib"), **environ},
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def planned(part: str, *args: str, found: str = "null", **env: str) -> list[list[str]]:
    """Return the steps of one part for an empty project: kind, description, words."""
    done = run_planner(
        "plan",
        part,
        *args,
        "--project=demo-project",
        "--location=europe-central2",
        stdin=found,
        **{"BUCKET": "demo-project-taskreel", "DATABASE": "taskreel", **env},
    )
    done.check_returncode()
    words = shlex.split(done.stdout)
    starts = [place for place, word in enumerate(words) if word == "do_step"]
    return [words[a + 1 : b] for a, b in itertools.pairwise([*starts, len(words)])]


@functools.cache
def every_secret() -> Sequence[str]:
    """The names of all secrets that the planner would create."""
    names = {*declared("secrets.yaml")["secrets"], *KEY_VARIABLES.values()}
    return [step[6] for step in planned("secrets", **dict.fromkeys(names, "given"))]


def plan_services(*deployed: dict[str, Any], **env: str) -> list[list[str]]:
    """The steps that deploy the services beside those that are, where every secret exists."""
    secrets = [{"name": name} for name in every_secret()]
    found = json.dumps({"services": deployed, "secrets": secrets})
    return planned("services", found=found, **env)
