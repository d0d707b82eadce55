"""`taskreel dev`: the stack in the foreground."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from taskreel.domain.job import Priority
from taskreel.jobtypes import JOB_TYPES
from taskreel_local.emulators.cloudtasks.queues_file import load_queues
from taskreel_local.stack.data_folder import DEFAULT, DataFolder, near
from taskreel_local.stack.dev_tokens import make_token
from taskreel_local.stack.local_stack import QUEUES, Stack, StackConfig, sources_changed

_WELCOME = """
[bold green]Taskreel runs at {url}[/]   ({where})

  API documentation  {url}/api/docs
  make a picture     {submit} --prompt "a lighthouse in a storm" --follow

[dim]or, with any HTTP client (the token is user dev's, for 30 days):[/]
"""

_CURL = """curl -s {url}/api/jobs/image-generation \\
  -H "Authorization: Bearer {token}" \\
  -H "Content-Type: application/json" -H "Prefer: wait=30" \\
  -d '{{"prompt": "a lighthouse in a storm"}}'
"""


async def run_dev(console: Console, *, reload: bool = False, **options: Any) -> None:
    """Start, say where, and run until cancelled."""
    config = StackConfig(**options)
    for job_type in without_lanes(QUEUES):
        console.print(
            f"[yellow]{job_type} has no queues in {near(QUEUES)}, so its jobs will not run: "
            "run scripts/declare-queues.[/]"
        )
    async with Stack(config) as stack:
        token = make_token(stack.data, user="dev", tier="pro")
        where = (
            f"on the cloud of {near(config.cloud)}"
            if config.cloud
            else f"data in {near(stack.data.root)}"
        )
        console.print(
            _WELCOME.format(url=stack.url, where=where, submit=_submit(stack.data)), soft_wrap=True
        )
        console.print(
            _CURL.format(url=stack.url, token=token), soft_wrap=True, highlight=False, markup=False
        )
        console.print("[dim]Ctrl-C stops it; the next start goes on where it stopped.[/]\n")
        if not reload:
            await asyncio.Event().wait()
        async for _ in sources_changed():
            console.print("[dim]The code has changed: starting the servers again.[/]")
            await stack.reload()


def without_lanes(queues: Path) -> list[str]:
    """Job types of which a priority has no queue in the file."""
    lanes = {queue.name.rpartition("/")[2] for queue in load_queues(queues)}
    return [
        name for name in JOB_TYPES if not {f"{name}-{priority}" for priority in Priority} <= lanes
    ]


def _submit(data: DataFolder) -> str:
    """What to type from this folder: a virtual environment's programs need not be on the PATH."""
    own = Path(sys.executable).with_name("taskreel")
    found = shutil.which("taskreel")
    command = "taskreel" if found and Path(found).resolve() == own.resolve() else near(own)
    where = "" if data.root == DEFAULT.absolute() else f" --data {near(data.root)}"
    return f"{command} submit image-generation{where}"
