"""This Python with the modules of the scripts' planner, which forks a process for each command.

Run with the address to listen on; ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import urllib.request

from fork_server import serve  # type: ignore[import-not-found]  # beside this script
from plan import (
    account_steps,
    encryption_steps,
    firestore_steps,
    queue_steps,
    resource_steps,
    service_steps,
)

# Imported for the commands; those that are run are not, as a fresh Python would not have them.
_IMPORTED = (
    json,
    urllib.request,
    account_steps,
    encryption_steps,
    firestore_steps,
    queue_steps,
    resource_steps,
    service_steps,
)


def run_command(arguments: list[str]) -> None:
    """Run `-m MODULE …`, `-c CODE …` or `FILE …` as Python's command line does."""
    sys.path[1:1] = os.environ.get("PYTHONPATH", "").split(":")
    match arguments:
        case ["-m", module, *rest]:
            sys.argv = [module, *rest]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", code, *rest]:
            sys.argv = ["-c", *rest]
            exec(code, {"__name__": "__main__"})  # noqa: S102 - as `python -c` does
        case [file, *rest]:
            sys.argv = [file, *rest]
            runpy.run_path(file, run_name="__main__")
        case _:
            raise NotImplementedError


if __name__ == "__main__":
    serve(sys.argv[1], run_command)
