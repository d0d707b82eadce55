"""`taskreel dev` and `taskreel demo`: commands that run a stack of their own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from taskreel_local.cli.options import cloud_tasks_option, data_option, google_emulators_option
from taskreel_local.stack.data_folder import DEFAULT


@click.command("dev")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    envvar="PORT",
    show_envvar=True,
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 takes any free port.",
)
@data_option
@click.option(
    "--servers",
    default=None,
    type=click.IntRange(1, 64),
    help="Number of server processes with --google-emulators or --cloud.  [2; else always one]",
)
@click.option("--reload", is_flag=True, help="Restart the servers when the code changes.")
@click.option(
    "--unthrottled",
    is_flag=True,
    help="Ignore the queues' rates and the users' limits (benchmarks).",
)
@click.option(
    "--encrypt",
    is_flag=True,
    help="Encrypt prompts, payloads and results by a key in the data folder, from now on.",
)
@cloud_tasks_option
@google_emulators_option
@click.option(
    "--cloud",
    metavar="[FILE]",
    type=click.Path(path_type=Path),
    is_flag=False,
    flag_value=DEFAULT / "cloud.env",
    help="Run only the API here, on the Google Cloud project of the settings file that"
    f" scripts/setup-local-auth.sh writes.  [{DEFAULT / 'cloud.env'}]",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of the servers' log lines.",
)
def run_dev_command(**options: Any) -> None:
    """Run the whole stack in the foreground: API, task processor, queues, files."""
    from taskreel_local.cli.dev import run_dev

    local_only = ("unthrottled", "encrypt", "cloud_tasks", "google_emulators")
    if options["cloud"] and any(options[name] for name in local_only):
        raise click.UsageError(
            "--cloud cannot be combined with --unthrottled, --encrypt, --cloud-tasks or "
            "--google-emulators: the store and the queues are in the cloud"
        )
    several = any(options[name] for name in ("cloud", "cloud_tasks", "google_emulators"))
    if (options["servers"] or 1) > 1 and not several:
        raise click.UsageError(
            f"--servers {options['servers']} needs --cloud-tasks: without it the queues are in the "
            "memory of the one server process, which owns the store"
        )
    _run_until_stopped(lambda: run_dev(**options))


@click.command("demo")
@click.argument("prompt", default="a lighthouse in a storm")
@click.option("--movie", is_flag=True, help="Make a whole movie of the prompt instead.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=DEFAULT / "demo",
    show_default=True,
    help="Data folder of the demo's stack; the files are written below it.",
)
@cloud_tasks_option
@google_emulators_option
def run_demo_command(prompt: str, **options: Any) -> None:
    """Generate an image, upscale it, generate three more and a video; then stop."""
    from rich.console import Console

    from taskreel_local.cli.demo import DemoError, run_demo

    try:
        _run_until_stopped(lambda: run_demo(Console(), prompt, **options))
    except DemoError as error:
        raise click.ClickException(str(error)) from None


def _run_until_stopped(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work`; the first Ctrl-C or SIGTERM cancels it, so that it stops in order."""
    import uvloop

    async def cancel_on_signal() -> None:
        task = asyncio.ensure_future(work())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await task

    with (
        contextlib.suppress(asyncio.CancelledError),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(cancel_on_signal())
