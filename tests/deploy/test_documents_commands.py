"""Commands of document 1, as it prints them: the setup on an empty project, and the debugging.

Real gcloud runs them, against the fake Google, and against the queues of a running dev stack.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from e2e.processes import ROOT, stack
from functions import documents_text as documents
from taskreel_local.stack.settings_file import read_settings

from .conftest import Cloud, project, small_infra
from .fake_google import LOCATION, PROJECT

pytestmark = pytest.mark.emulator

FENCES = documents.fences()
QUEUES = f"projects/{PROJECT}/locations/{LOCATION}/queues"


@pytest.fixture
def empty(gcloud_variables: Mapping[str, str], tmp_path: Path) -> Iterator[Cloud]:
    """A project in which nothing is enabled and nothing exists."""
    with project(tmp_path, small_infra(tmp_path / "infra"), gcloud_variables) as cloud:
        yield cloud


def commands_of(*fences: str) -> list[str]:
    """The commands of fenced blocks in their order, without their comments."""
    lines = [line.strip() for name in fences for line in FENCES[name].splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_setup_scripts_run_in_the_order_of_the_document(empty: Cloud, tmp_path: Path) -> None:
    printed = commands_of("1 2. Local Development Setup", "1 3. Create Cloud Tasks Queues")
    assert len(printed) == 2
    assert "setup-local-auth" in printed[0]
    scripts = [Path(command).name for command in printed]
    env_file = tmp_path / "cloud.env"
    more = {scripts[0]: ("--key", "--env-file", str(env_file))}

    dry = empty.ok(scripts[0], "--dry-run")
    assert "would create service account taskreel-dev" in dry
    assert empty.writes() == []

    for script in scripts:
        assert "Made " in empty.ok(script, *more.get(script, ()))
    # An account of local development, its key, its variables and its permissions.
    google, account = empty.google, f"taskreel-dev@{PROJECT}.iam.gserviceaccount.com"
    assert f"projects/{PROJECT}/serviceAccounts/{account}" in google.of("iam")
    key = json.loads((tmp_path / "taskreel-dev-key.json").read_text())
    assert key["client_email"] == account
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    settings = read_settings(env_file)
    assert settings["TASKS_URL"] == f"cloudtasks://{PROJECT}/{LOCATION}"
    assert len(settings["INTERNAL_API_KEY"]) >= 32
    granted = {
        binding["role"]
        for binding in google.policies[f"projects/{PROJECT}"]["bindings"]
        if f"serviceAccount:{account}" in binding["members"]
    }
    assert granted == {"roles/datastore.user"}  # as the small declarations have it

    empty.writes()
    for script in scripts:
        assert empty.ok(script, *more.get(script, ())).startswith("Nothing to change.")
    assert empty.writes() == []
    # What it made for the account is what provision would have made: no part is made again.
    empty.ok("provision")
    made_again = [line for line in empty.writes() if "batchEnable" in line or "/queues/" in line]
    assert made_again == []
    assert empty.ok("provision") == "Nothing to change.\n"


def exports(printed: str) -> dict[str, str]:
    """The variables that lines of shell export."""
    lines = re.findall(r"^export (.+)$", printed, re.MULTILINE)
    return dict(word.split("=", 1) for line in lines for word in shlex.split(line))


def run_as_printed(command: str, environment: Mapping[str, str], folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CLOUDSDK_CONFIG": str(folder / "gcloud"),
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout + done.stderr


def test_the_debug_commands_run_as_they_are_printed(empty: Cloud, tmp_path: Path) -> None:
    """The queues' commands against the dev stack, with the variables that it prints.

    The accounts' permissions are Google's own, so that command asks the fake Google.
    """
    login, listing, describing, permissions = commands_of("1 Debug Commands")
    folder = tmp_path / "caller"
    folder.mkdir()
    with stack(tmp_path / "data", "--cloud-tasks") as dev:
        dev_variables = exports(read_until(dev.process.stdout, "gcloud tasks queues list"))
        url = dev_variables["CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS"]
        assert url.startswith("http://127.0.0.1:")
        listed = run_as_printed(listing, dev_variables, folder)
        described = yaml.safe_load(run_as_printed(describing, dev_variables, folder))
    declared = yaml.safe_load((ROOT / "infra" / "queues.yaml").read_text())["queues"]
    assert [name for name in declared if name not in listed] == []
    assert described["name"].endswith(f"/locations/{LOCATION}/queues/image-generation-queue")
    assert described["state"] == "RUNNING"
    assert described["rateLimits"]["maxDispatchesPerSecond"] == 10
    assert described["rateLimits"]["maxConcurrentDispatches"] == 100
    assert described["retryConfig"]["maxAttempts"] == 3

    run_as_printed(login, empty.env, folder)
    name = permissions.split()[-1]
    member = "serviceAccount:taskreel-dev@example.iam.gserviceaccount.com"
    binding = {"role": "roles/cloudtasks.enqueuer", "members": [member]}
    empty.google.policies[f"projects/{name}"] = {"etag": "MAo=", "bindings": [binding]}
    policy = yaml.safe_load(run_as_printed(permissions, empty.env, folder))
    assert policy["bindings"] == [binding]
    assert empty.writes() == []


def read_until(stream: object, text: str) -> str:
    """Everything that a process prints up to the line with `text`."""
    assert hasattr(stream, "readline")
    found = ""
    while text not in found:
        line = stream.readline()
        assert line, f"it ended without {text!r}:\n{found}"
        found += line
    return found
