"""Every Python example of infra/local/cloud_tasks/README.md runs, in order, against one service."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from cloudtasks.remote import Remote
from taskreel_cloud_tasks.control_api import ControlApi
from taskreel_cloud_tasks.faults import Faults

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "infra/local/cloud_tasks/README.md").read_text()


def test_the_python_examples_run(remote: Remote) -> None:
    ports = {"8123": str(remote.service.grpc_port), "8124": str(remote.service.rest_port)}
    examples = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    code = re.sub("8123|8124", lambda match: ports[match[0]], "\n".join(examples))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "infra/local/cloud_tasks",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "projects/demo/locations/us-central1/queues/emails" in done.stdout


def test_every_control_and_every_fault_is_on_the_page(remote: Remote) -> None:
    for verb, path in ControlApi(remote.service.api)._handlers:
        assert f"/control/{path}" in TEXT, verb
    for name in Faults.__dataclass_fields__:
        assert f"`{name}`" in TEXT or f'"{name}"' in TEXT
