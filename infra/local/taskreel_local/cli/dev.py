"""`taskreel dev`: run the stack in the foreground."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskreel_local.stack.data_folder import DEFAULT, DataFolder, display_path
from taskreel_local.stack.descriptor_limit import raise_descriptor_limit
from taskreel_local.stack.dev_tokens import DEV_USER, make_token
from taskreel_local.stack.local_stack import Stack, StackConfig, find_parent
from taskreel_local.stack.repository_paths import LIMITS, QUEUES
from taskreel_local.stack.source_changes import watch_sources
from taskreel_local.stack.stack_error import StackError

if TYPE_CHECKING:
    from rich.console import Console

_WELCOME = """
[bold green]Taskreel runs at {url}[/]   ({where})

  dashboard          {dashboard}
  API documentation  {url}/api/docs
  create an image    {submit} --prompt "a lighthouse in a storm" --follow

[dim]or, with any HTTP client (the token of user dev is valid for 30 days):[/]
"""

_CURL = """curl -s {url}/api/jobs/image-generation \\
  -H "Authorization: Bearer {token}" \\
  -H "Content-Type: application/json" -H "Prefer: wait=30" \\
  -d '{{"prompt": "a lighthouse in a storm"}}'
"""


_GCLOUD = """
[dim]The queues answer gcloud (without --cloud-tasks they are in the server's memory):[/]
"""

_GCLOUD_COMMANDS = """export CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS={url}
export CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true CLOUDSDK_CORE_PROJECT={project}
gcloud tasks queues list --location={location}
"""


async def run_dev(*, reload: bool = False, **options: Any) -> None:
    """Start the stack, print its address, and run until cancelled."""
    raise_descriptor_limit()
    # A benchmark has one user, and the peers that it measures have no limits a user.
    limits = None if options.get("unthrottled") else LIMITS
    config = StackConfig(**{"limits": limits, **options})
    async with Stack(config, _import_for_welcome) as stack:
        from rich.console import Console

        console = Console()
        _print_queue_warnings(console, config)
        token = make_token(stack.data, user=DEV_USER, tier="enterprise")
        where = (
            f"on the cloud project of {display_path(config.cloud)}"
            if config.cloud
            else f"data in {display_path(stack.data.root)}"
        )
        console.print(
            _WELCOME.format(
                url=stack.url,
                where=where,
                dashboard=_dashboard_url(stack),
                submit=_submit_command(stack.data),
            ),
            soft_wrap=True,
        )
        console.print(
            _CURL.format(url=stack.url, token=token), soft_wrap=True, highlight=False, markup=False
        )
        if stack.cloud_tasks_url is not None:
            _print_gcloud(console, stack.cloud_tasks_url)
        taken = [*(["PORT"] if os.environ.get("PORT") else []), *stack.taken]
        if taken:
            console.print(f"[dim]Taken from the environment: {', '.join(taken)}[/]")
        if stack.other_signer is not None:
            console.print(
                f"[yellow]The token and the addresses above are refused (401), and so are commands "
                f"on this folder: {stack.other_signer} says who signs tokens here. Use one of that "
                "issuer: taskreel login, or unset it.[/]"
            )
        if keys := _find_provider_keys():
            console.print(
                f"[yellow]Provider keys in the environment: {', '.join(keys)}. Jobs go to these "
                "providers, which bill you, unless they name studio.[/]"
            )
        console.print("[dim]Ctrl-C stops it; the next start continues where it stopped.[/]\n")
        until_stopped: list[Awaitable[None]] = [stack.wait_for_failure()]
        if reload:
            until_stopped.append(_reload_on_changes(console, stack))
        await asyncio.gather(*until_stopped)


def _import_for_welcome() -> None:

    import taskreel.adapters.local.queues_yaml
    import taskreel.app.messages.job_task
    import taskreel.config
    import taskreel.jobtypes  # noqa: F401 - all for later


def _print_queue_warnings(console: Console, config: StackConfig) -> None:
    for job_type in types_without_queues(QUEUES):
        console.print(
            f"[yellow]{job_type} has no queue in {display_path(QUEUES)}, "
            "so its jobs will not run: run scripts/declare-queues.[/]"
        )
    if sharded := [] if config.cloud else list_sharded_queues(QUEUES):
        console.print(
            f"[dim]shards in {display_path(QUEUES)} ({', '.join(sharded)}) have no effect here: "
            "Cloud Tasks dispatches at most 500 tasks a second from a queue, this stack more.[/]"
        )


def list_sharded_queues(path: Path) -> list[str]:
    """The queues that are several in the cloud, as `name: number`."""
    import yaml

    declared = yaml.safe_load(path.read_text("utf-8")).get("shards") or {}
    return [f"{name}: {number}" for name, number in declared.items() if number > 1]


def _find_provider_keys() -> list[str]:
    """The names of the variables that hold a provider's key, and so let jobs cost money."""
    from taskreel.adapters.providers import PROVIDERS

    variables = [
        variable
        for entry in PROVIDERS.values()
        for variable in (entry.key_variable, *entry.other_key_variables)
    ]
    return [variable for variable in dict.fromkeys(variables) if os.environ.get(variable)]


def _dashboard_url(stack: Stack) -> str:
    """The dashboard's URL, which signs in an admin: the stack's own developer.

    The token is behind `#`, which a browser sends to no server and the page removes at once.
    """
    token = make_token(stack.data, user=DEV_USER, tier="enterprise", role="admin")
    return f"{stack.url}/dashboard#token={token}"


def _print_gcloud(console: Console, url: str) -> None:
    _, project, _, location = find_parent(os.environ).split("/")
    commands = _GCLOUD_COMMANDS.format(url=url, project=project, location=location)
    console.print(_GCLOUD)
    console.print(commands, soft_wrap=True, highlight=False, markup=False)


async def _reload_on_changes(console: Console, stack: Stack) -> None:
    from rich.markup import escape

    async for _ in watch_sources():
        console.print("[dim]The code has changed: restarting the servers.[/]")
        try:
            await stack.reload()
        except StackError as error:  # as a syntax error causes: the next change may fix it
            console.print(f"[red]{escape(str(error))} Change the code, and they start again.[/]")


def types_without_queues(queues: Path) -> list[str]:
    """Return the job types that lack their queue in the file."""
    from taskreel.adapters.local.queues_yaml import load_queue_settings
    from taskreel.app.messages.job_task import queue_of_type
    from taskreel.jobtypes import JOB_TYPES

    declared = load_queue_settings(queues).keys()
    return [name for name in JOB_TYPES if queue_of_type(name) not in declared]


def _submit_command(data: DataFolder) -> str:
    """Return the command to type: programs of a virtual environment may not be on the PATH."""
    own = Path(sys.executable).with_name("taskreel")
    found = shutil.which("taskreel")
    command = "taskreel" if found and Path(found).resolve() == own.resolve() else display_path(own)
    where = "" if data.root == DEFAULT.absolute() else f" --data {display_path(data.root)}"
    return f"{command} submit image-generation{where}"
