"""The `taskreel` command."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import httpx
from rich.console import Console

from taskreel_local.cli.client import ApiError, Client
from taskreel_local.cli.cost import cost
from taskreel_local.emulators.cloudtasks.command import cloud_tasks
from taskreel_local.migrate.bullmq import import_
from taskreel_local.stack.data_folder import DEFAULT, DataFolder
from taskreel_local.stack.dev_tokens import make_token

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=DEFAULT,
    show_default=True,
    help="The stack's data folder.",
)
user_option = click.option(
    "--user", default="dev", show_default=True, help="Whose jobs and credits."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="taskreel")
def main() -> None:
    """AI media generation jobs, on this machine as in the cloud."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="0 takes any free port.",
)
@data_option
@click.option(
    "--servers", default=2, show_default=True, type=click.IntRange(1, 64), help="Server processes."
)
@click.option("--reload", is_flag=True, help="Restart the servers when the code changes.")
@click.option("--unthrottled", is_flag=True, help="Queues without rate limits, for benchmarks.")
@click.option("--cloud-tasks", is_flag=True, help="Queues over Google's gRPC API, as in the cloud.")
@click.option(
    "--google-emulators", is_flag=True, help="Firestore's emulator and a local Cloud Storage too."
)
@click.option(
    "--cloud",
    metavar="[FILE]",
    type=click.Path(path_type=Path),
    is_flag=False,
    flag_value=DEFAULT / "cloud.env",
    help=f"The API alone, on the Google Cloud project of scripts/setup-local-auth.sh.  [{DEFAULT / 'cloud.env'}]",
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def dev(**options: Any) -> None:
    """Run the whole stack in the foreground: API, task processor, queues, files."""
    from taskreel_local.cli.dev import run_dev

    if options["cloud"] and any(
        options[name] for name in ("unthrottled", "cloud_tasks", "google_emulators")
    ):
        raise click.UsageError(
            "--cloud has no queues here: it goes without --unthrottled and the emulators"
        )
    _run(lambda: run_dev(Console(), **options))


@main.command()
@click.argument("prompt", default="a lighthouse in a storm")
@click.option("--movie", is_flag=True, help="Make a whole movie of the prompt instead.")
@click.option(
    "--data", type=click.Path(path_type=Path), default=DEFAULT / "demo", show_default=True
)
@click.option("--cloud-tasks", is_flag=True, help="Queues over Google's gRPC API, as in the cloud.")
@click.option(
    "--google-emulators", is_flag=True, help="Firestore's emulator and a local Cloud Storage too."
)
def demo(prompt: str, **options: Any) -> None:
    """Make an image, a larger one, three more, and a video; then stop."""
    from taskreel_local.cli.demo import DemoError, run_demo

    try:
        _run(lambda: run_demo(Console(), prompt, **options))
    except DemoError as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.option("--user", required=True)
@click.option(
    "--tier",
    type=click.Choice(["free", "basic", "pro", "enterprise"]),
    default="free",
    show_default=True,
)
@click.option("--role", type=click.Choice(["admin"]))
@click.option(
    "--project",
    "projects",
    multiple=True,
    help="May be given several times; none means every project.",
)
@click.option(
    "--ttl", "ttl_seconds", default=30 * 86_400, show_default=True, help="Seconds until it expires."
)
@data_option
def token(data: Path, **claims: Any) -> None:
    """Print a token signed with the data folder's development secret."""
    click.echo(make_token(DataFolder(data), **claims))


@main.command()
@click.argument("job_type", metavar="TYPE")
@click.option("--prompt", help="The prompt; other fields by --json.")
@click.option("--json", "body", default="{}", help="The request's JSON, or - for standard input.")
@click.option("--key", help="An Idempotency-Key.")
@click.option("--follow/--no-follow", default=False, help="Wait until it ends.")
@user_option
@data_option
def submit(job_type: str, prompt: str | None, body: str, **options: Any) -> None:
    """Submit a job to the running stack."""
    try:
        fields = json.loads(sys.stdin.read() if body == "-" else body)
    except ValueError as error:
        raise click.UsageError(f"--json is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise click.UsageError("--json must be an object: {…}")
    if prompt is not None:
        fields["prompt"] = prompt

    async def work(client: Client) -> None:
        job = await client.submit(job_type, fields, key=options["key"])
        if options["follow"]:
            job = await _follow(client, job["jobId"])
        _print(job)

    _with_client(options["data"], options["user"], work)


@main.command()
@click.argument("job_id", metavar="JOB")
@user_option
@data_option
def watch(job_id: str, user: str, data: Path) -> None:
    """Follow a job until it ends."""

    async def work(client: Client) -> None:
        _print(await _follow(client, job_id))

    _with_client(data, user, work)


@main.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@click.option("--status")
@user_option
@data_option
def jobs(limit: int, status: str | None, user: str, data: Path) -> None:
    """List the newest jobs."""

    async def work(client: Client) -> None:
        query = httpx.QueryParams({"limit": limit, **({"status": status} if status else {})})
        for job in (await client.call("GET", f"/api/jobs?{query}"))["jobs"]:
            click.echo(
                f"{job['jobId']}  {job['status']:<10} {job['progress']:>3}%  {job['jobType']:<18} {job['createdAt']}"
            )

    _with_client(data, user, work)


@main.command(name="credits")
@user_option
@data_option
def credits_(user: str, data: Path) -> None:
    """Show the balance."""

    async def work(client: Client) -> None:
        _print(await client.call("GET", "/api/credits"))

    _with_client(data, user, work)


for _command in (cloud_tasks, cost, import_):
    main.add_command(_command)


async def _follow(client: Client, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = {}
    async for job in client.follow(job_id):
        error = f"  {job['error']['message']}" if job["error"] else ""
        click.echo(f"{job['status']:<10} {job['progress']:>3}%{error}", err=True)
    return job


def _with_client(data: Path, user: str, work: Callable[[Client], Awaitable[None]]) -> None:
    """Do `work` against the stack that runs on the data folder."""
    folder = DataFolder(data)
    url = folder.url()
    if url is None:
        raise click.ClickException(
            f"No stack has run on {data}. Start one: scripts/dev --data {data}"
        )

    async def call() -> None:
        async with Client(url, make_token(folder, user=user)) as client:
            await work(client)

    try:
        asyncio.run(call())
    except ApiError as error:
        raise click.ClickException(str(error)) from None
    except httpx.TransportError:
        raise click.ClickException(
            f"The stack at {url} does not answer. Start it: scripts/dev --data {data}"
        ) from None


def _print(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _run(work: Callable[[], Awaitable[None]]) -> None:
    """Run a stack command; the first Ctrl-C or SIGTERM stops it in order."""
    import uvloop

    from taskreel_local.stack.local_stack import StackError

    async def until_stopped() -> None:
        task = asyncio.ensure_future(work())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await task

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(until_stopped())
    except asyncio.CancelledError:
        pass
    except StackError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
