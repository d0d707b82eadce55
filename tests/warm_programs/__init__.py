"""gcloud and the planner's Python, with modules imported once for all commands of a test process.

A start of gcloud takes 0.7 seconds of processor time, a command here 0.1, and the scripts of the
cloud start it some hundreds of times; their planner, which takes a fifth of that, as often. Each
command runs in a process of its own, forked from a server that has the modules. What only a fresh
process shows is tested at night (`NIGHTLY=1`), when nothing of this is used.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@contextmanager
def warm_gcloud(program: str) -> Iterator[Mapping[str, str]]:
    """Serve the installed gcloud; yield the variables with which scripts find its server."""
    with tempfile.TemporaryDirectory(prefix="gcloud-") as name:
        folder = Path(name)
        variables = {
            # gcloud's script runs "$CLOUDSDK_PYTHON $CLOUDSDK_PYTHON_ARGS gcloud.py ARGUMENTS".
            "CLOUDSDK_PYTHON_ARGS": f"-S {HERE / 'gcloud_server.py'}",
            "CLOUDSDK_CONFIG": f"{folder}/config",
            "HOME": f"{folder}",
            "PATH": os.environ["PATH"],
        }
        client = folder / "bin" / "gcloud"
        with _serve_program([program, str(folder / "socket")], variables, client):
            yield {"PATH": f"{client.parent}:{os.environ['PATH']}"}


@contextmanager
def warm_python() -> Iterator[str]:
    """Serve this Python with the modules of the planner; yield the program that asks its server."""
    with tempfile.TemporaryDirectory(prefix="python-") as name:
        folder = Path(name)
        paths = (ROOT / "scripts" / "lib", ROOT / "functions")
        variables = {
            "PYTHONPATH": ":".join(map(str, paths)),
            "PATH": os.environ["PATH"],
        }
        server = [sys.executable, str(HERE / "python_server.py"), str(folder / "socket")]
        client = folder / "python"
        with _serve_program(server, variables, client):
            yield str(client)


@contextmanager
def _serve_program(
    command: Sequence[str], variables: Mapping[str, str], client: Path
) -> Iterator[None]:
    """Run a server, whose address is its last argument, and write the program that asks it."""
    client.parent.mkdir(exist_ok=True)
    code = (HERE / "client.py").read_text("utf-8")
    client.write_text(f"#!{sys.executable} -IS\n{code}".replace("{address}", command[-1]))
    client.chmod(0o700)
    with subprocess.Popen(
        command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield
        # Its end, and that of standard input, is what the server waits for.
        server.communicate(timeout=30)
