"""The functions start with the variables that document 1 shows, and with no others."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from functions import documents_text as documents
from simulation.world import MAIN, ROOT
from taskreel.adapters.providers import KEY_VARIABLES
from taskreel.config import Settings

TEXT = documents.fences()["1 4. Environment Variables"]
VARIABLES = dict(re.findall(r"^([A-Z_]+)=(\S+)", TEXT, re.MULTILINE))


def start(**environ: str) -> subprocess.CompletedProcess[str]:
    """Import the entry points as functions-framework does, in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    return subprocess.run(
        [sys.executable, "-c", f"import runpy; runpy.run_path({str(MAIN)!r})"],
        env={**clean, **environ, "PYTHONPATH": str(ROOT / "functions")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_functions_start_with_the_documented_variables_alone() -> None:
    assert VARIABLES.keys() == {
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_CLOUD_LOCATION",
        "API_BASE_URL",
        "INTERNAL_API_KEY",
    }
    done = start(**VARIABLES)
    assert done.returncode == 0, done.stderr
    found = Settings.from_environment(VARIABLES, KEY_VARIABLES)
    project, location = VARIABLES["GOOGLE_CLOUD_PROJECT"], VARIABLES["GOOGLE_CLOUD_LOCATION"]
    assert found.store_url == f"firestore://{project}/taskreel"
    assert found.tasks_url == f"cloudtasks://{project}/{location}"
    assert found.blobs_url == f"gs://{project}-taskreel"
    assert found.processor_url == found.api_base_url == VARIABLES["API_BASE_URL"]
    assert found.jwt_issuer == f"https://securetoken.google.com/{project}"
    assert found.jwt_audience == project


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("INTERNAL_API_KEY", "INTERNAL_API_KEY is not set"),
        ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT is not set"),
        ("GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_LOCATION is not set"),
    ],
)
def test_a_missing_variable_ends_the_start_with_one_line(left_out: str, said: str) -> None:
    done = start(**{name: value for name, value in VARIABLES.items() if name != left_out})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"taskreel cannot start: {said}")


def test_given_settings_come_before_derived_ones() -> None:
    given = {
        **VARIABLES,
        "STORE_URL": "sqlite:///x.db",
        "JWT_SECRET": "a-secret-of-more-than-thirty-two-bytes",
        "API_BASE_URL": "https://jobs-api-12.europe-central2.run.app",
    }
    found = Settings.from_environment(given, KEY_VARIABLES)
    assert found.store_url == "sqlite:///x.db"
    assert found.jwt_jwks_url is None
    assert found.processor_url == "https://task-processor-12.europe-central2.run.app"
