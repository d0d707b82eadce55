"""gcloud whose modules are imported once for all commands of a test process.

A start of gcloud takes 0.7 seconds of processor time, a command here 0.1: the scripts of the cloud
start some hundreds. It is the installed gcloud, started by its own script; but what only a fresh
process shows is tested at night (`NIGHTLY=1`), when nothing of this is used.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent


@contextmanager
def warm_gcloud(program: str) -> Iterator[Mapping[str, str]]:
    """Serve gcloud's commands; yield the variables with which its script uses the server."""
    with tempfile.TemporaryDirectory(prefix="gcloud-") as folder:
        address = Path(folder) / "socket"
        interpreter = Path(folder) / "python"
        client = (HERE / "client.py").read_text()
        interpreter.write_text(
            f"#!{sys.executable} -IS\n{client}".replace("{address}", f"{address}")
        )
        interpreter.chmod(0o700)
        variables = {
            # gcloud's script runs "$CLOUDSDK_PYTHON $CLOUDSDK_PYTHON_ARGS gcloud.py ARGUMENTS".
            "CLOUDSDK_PYTHON_ARGS": f"-S {HERE / 'server.py'}",
            "CLOUDSDK_CONFIG": f"{folder}/config",
            "HOME": folder,
            "PATH": os.environ["PATH"],
        }
        with subprocess.Popen(
            [program, str(address)],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield {"CLOUDSDK_PYTHON": str(interpreter)}
            # Its end, and that of standard input, is what the server waits for.
            server.communicate(timeout=30)
