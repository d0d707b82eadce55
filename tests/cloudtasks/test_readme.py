"""Every example of infra/local/cloud_tasks/README.md runs, in order, against one service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudtasks.remote import Remote, start, stop
from cloudtasks.worker import LOCATION
from installed_programs import find_program, install_npm_packages
from taskreel_cloud_tasks.command import cloud_tasks
from taskreel_cloud_tasks.conformance.__main__ import render_table, run_probe
from taskreel_cloud_tasks.conformance.behaviours import ROWS
from taskreel_cloud_tasks.conformance.probed_emulator import open_site
from taskreel_cloud_tasks.control_api import ControlApi
from taskreel_cloud_tasks.faults import Faults
from taskreel_cloud_tasks.queues_file import load_queues
from taskreel_cloud_tasks.service import ServiceConfig
from taskreel_cloud_tasks.testing import CloudTasksEmulator

PROJECT = Path(__file__).parents[2] / "infra/local/cloud_tasks"
TEXT = (PROJECT / "README.md").read_text()
EMAILS = "projects/demo/locations/us-central1/queues/emails"


def examples(language: str, remote: Remote | None = None) -> list[str]:
    """The examples in a language, with the ports of a running service."""
    found = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    if remote is None:
        return found
    ports = {"8123": str(remote.service.grpc_port), "8124": str(remote.service.rest_port)}
    return [re.sub("8123|8124", lambda match: ports[match[0]], text) for text in found]


def run(*command: str, cwd: Path = PROJECT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_the_python_examples_run(remote: Remote) -> None:
    # As the command at the top of the page does.
    remote.control.post(f"/v2/{LOCATION}/queues", json={"name": EMAILS})
    code = [text for text in examples("python", remote) if "cloud_tasks_emulator" not in text]
    shown = run(sys.executable, "-c", "\n".join(code))
    assert shown.count("projects/demo/locations/us-central1/queues/emails") == 3


def test_the_pytest_example_passes(tmp_path: Path) -> None:
    (code,) = [text for text in examples("python") if "cloud_tasks_emulator" in text]
    (tmp_path / "test_example.py").write_text(code)
    plugins = ("-p", "no:cacheprovider", "-p", "no:asyncio")
    shown = run(sys.executable, "-m", "pytest", "-q", *plugins, cwd=tmp_path)
    assert "1 passed" in shown


def test_the_curl_example_runs(remote: Remote) -> None:
    find_program("curl", "apt-get install curl")
    remote.control.post(f"/v2/{LOCATION}/queues", json={"name": EMAILS})
    remote.control.post(f"/v2/{EMAILS}:pause")
    (code,) = [text for text in examples("sh", remote) if "curl" in text]
    made, listed = _two_documents(run("bash", "-ec", code))
    assert made["name"].startswith(EMAILS)
    assert listed["tasks"][0]["httpRequest"]["body"] == "e30="


def _two_documents(text: str) -> tuple[Any, Any]:
    decoder = json.JSONDecoder()
    first, end = decoder.raw_decode(text)
    second, _ = decoder.raw_decode(text[end:].lstrip())
    return first, second


@pytest.fixture
def on_real_time() -> Iterator[Remote]:
    """A service of its own: firebase-admin computes schedules by the machine's clock."""
    started = start(ServiceConfig(grpc_port=0, grace_s=0))
    yield started
    stop(started)


@pytest.mark.slow
def test_the_examples_for_node_and_firebase_run(tmp_path: Path, on_real_time: Remote) -> None:
    remote = on_real_time
    install_npm_packages(tmp_path, "@google-cloud/tasks@6", "firebase-admin@13")
    remote.control.post(f"/v2/{LOCATION}/queues", json={"name": EMAILS})
    remote.control.post(f"/v2/{EMAILS}:pause")
    environment = {**os.environ, "GOOGLE_CLOUD_PROJECT": "demo"}
    for code, expected in zip(examples("js", remote), (EMAILS, "enqueued"), strict=True):
        done = subprocess.run(
            ["node", "-e", code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert expected in done.stdout, done.stderr
    tasks = remote.control.get(f"/v2/{EMAILS}/tasks").json()["tasks"]
    assert len(tasks) == 2


def test_every_control_and_every_fault_is_on_the_page(remote: Remote) -> None:
    for verb, path in ControlApi(remote.service.api)._handlers:
        assert f"/control/{path}" in TEXT, verb
    for name in Faults.__dataclass_fields__:
        assert f"`{name}`" in TEXT or f'"{name}"' in TEXT


def test_every_option_is_on_the_page() -> None:
    for option in cloud_tasks.params:
        if option.name not in {"help", "version"}:
            assert any(f"`{name}" in TEXT or f" {name}" in TEXT for name in option.opts), option


def test_the_file_of_queues_is_one(tmp_path: Path) -> None:
    (text,) = [each for each in examples("yaml") if "defaults:" in each]
    path = tmp_path / "queues.yaml"
    path.write_text(text)
    emails, thumbnails = load_queues(path)
    assert emails.retry_config is not None
    assert emails.retry_config.max_attempts == 5
    assert thumbnails.rate_limits is not None
    assert thumbnails.rate_limits.max_concurrent_dispatches == 2


@pytest.mark.slow
def test_the_table_of_conformance_is_what_the_probes_find() -> None:
    with CloudTasksEmulator(virtual_clock=False) as emulator:
        emulator.deliver_over_http()
        with open_site(emulator.address) as site:
            results = [run_probe(row, site) for row in ROWS]
    missing = [row.behaviour for row, found in zip(ROWS, results, strict=True) if found != "yes"]
    assert missing == ["v2beta2, pull queues (Google: use Pub/Sub)"]
    assert render_table(results).strip() in (PROJECT / "CONFORMANCE.md").read_text()
