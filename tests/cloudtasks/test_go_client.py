"""The example for Go of the emulator's README, by Google's client. At night: it is compiled."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cloudtasks.remote import Remote
from cloudtasks.test_readme import EMAILS, examples
from cloudtasks.worker import LOCATION
from installed_programs import find_program, skip_or_fail
from nightly_tests import skip_by_day

INSTALL = "apt-get install golang-go golang-google-cloud-dev"
#: Where Debian's packages of Go libraries are.
GO_CODE = Path("/usr/share/gocode")

pytestmark = [pytest.mark.slow, skip_by_day("compiles gRPC")]


def test_the_example_for_go_runs(remote: Remote, tmp_path: Path) -> None:
    program = find_program("go", INSTALL)
    if not (GO_CODE / "src/cloud.google.com/go/cloudtasks").is_dir():
        skip_or_fail(f"Google's client for Go is not installed: {INSTALL}")
    remote.control.post(f"/v2/{LOCATION}/queues", json={"name": EMAILS})
    remote.control.post(f"/v2/{EMAILS}:pause")
    (code,) = examples("go", remote)
    # Debian's client is of the time when the messages had a module of their own.
    messages = 'cloudtaskspb "google.golang.org/genproto/googleapis/cloud/tasks/v2"'
    code = code.replace('"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"', messages)
    (tmp_path / "main.go").write_text(code)
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GO_CODE), "GOFLAGS": ""}
    done = subprocess.run(
        [program, "run", "main.go"],
        cwd=tmp_path,
        env={**environment, "GOCACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.startswith(f"{EMAILS}/tasks/"), done.stderr
    (task,) = remote.control.get(f"/v2/{EMAILS}/tasks").json()["tasks"]
    assert task["httpRequest"]["url"] == "http://127.0.0.1:8080/send"
