"""Commands that call the API of a running stack: submit, watch, jobs and credits."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import httpx

from taskreel_local.cli.api_client import ApiClient, ApiError
from taskreel_local.cli.options import data_option, user_option
from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.dev_tokens import make_token

_LOCAL_FILE = "file:"


@click.command("submit")
@click.argument("job_type", metavar="TYPE")
@click.option("--prompt", help="The prompt; give other fields with --json.")
@click.option("--json", "body", default="{}", help="The request's JSON, or - for standard input.")
@click.option("--key", help="An Idempotency-Key.")
@click.option(
    "--follow/--no-follow",
    default=False,
    help="Print each status change until the job has ended; exit with 1 unless COMPLETED.",
)
@user_option
@data_option
def submit_job(job_type: str, prompt: str | None, body: str, **options: Any) -> None:
    """Submit a job to the running stack and print it.

    A value `file:PATH` in the JSON is a local file, which is uploaded first.
    """
    fields = _parse_fields(sys.stdin.read() if body == "-" else body)
    if prompt is not None:
        fields["prompt"] = prompt

    async def submit_and_print(client: ApiClient) -> None:
        uploaded = await _upload_files(client, fields)
        job = await client.submit_job(job_type, uploaded, key=options["key"])
        if options["follow"]:
            _print_ended_job(await _follow_job(client, job["jobId"]))
        else:
            _print_json(job)

    _call_stack(options["data"], options["user"], submit_and_print)


def _print_ended_job(job: dict[str, Any]) -> None:
    """Print the job; end with status 1 unless it has completed, so that scripts notice."""
    _print_json(job)
    if job["status"] != "COMPLETED":
        raise click.exceptions.Exit(1)


@click.command("watch")
@click.argument("job_id", metavar="JOB")
@user_option
@data_option
def watch_job(job_id: str, user: str, data: Path) -> None:
    """Print each status change of a job until it has ended, then the job.

    The exit status is 1 unless it is COMPLETED.
    """

    async def follow_and_print(client: ApiClient) -> None:
        _print_ended_job(await _follow_job(client, job_id))

    _call_stack(data, user, follow_and_print)


@click.command("jobs")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Number of jobs.",
)
@click.option("--status", help="Only jobs with this status, such as COMPLETED.")
@user_option
@data_option
def list_jobs(limit: int, status: str | None, user: str, data: Path) -> None:
    """List the newest jobs."""

    async def list_and_print(client: ApiClient) -> None:
        query = httpx.QueryParams({"limit": limit, **({"status": status} if status else {})})
        for job in (await client.call("GET", f"/api/jobs?{query}"))["jobs"]:
            click.echo(
                f"{job['jobId']}  {job['status']:<10} {job['progress']:>3}%  "
                f"{job['jobType']:<18} {job['createdAt']}"
            )

    _call_stack(data, user, list_and_print)


@click.command("credits")
@user_option
@data_option
def show_credits(user: str, data: Path) -> None:
    """Print the credit balance."""

    async def get_and_print(client: ApiClient) -> None:
        _print_json(await client.call("GET", "/api/credits"))

    _call_stack(data, user, get_and_print)


def _parse_fields(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--json is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise click.UsageError("--json must be an object: {…}")
    return fields


async def _upload_files(client: ApiClient, value: Any) -> Any:
    """The value with each local file uploaded, in its place the reference of its upload."""
    if isinstance(value, dict):
        return {name: await _upload_files(client, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [await _upload_files(client, inner) for inner in value]
    if not isinstance(value, str) or not value.startswith(_LOCAL_FILE):
        return value
    file, size = _find_local_file(value)
    # The bar goes to the standard error output: the standard output is the job.
    with click.progressbar(length=size, label=f"Uploading {file.name}", file=sys.stderr) as bar:
        return await client.upload_file(file, bar.update)


def _find_local_file(value: str) -> tuple[Path, int]:
    """The file that `file:PATH` names, and its size."""
    file = Path(value.removeprefix(_LOCAL_FILE)).expanduser()
    if not file.is_file():
        raise click.UsageError(f"{value}: there is no such file")
    return file, file.stat().st_size


async def _follow_job(client: ApiClient, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = {}
    async for job in client.follow_job(job_id):
        error = f"  {job['error']['message']}" if job["error"] else ""
        click.echo(f"{job['status']:<10} {job['progress']:>3}%{error}", err=True)
    return job


def _call_stack(data: Path, user: str, work: Callable[[ApiClient], Awaitable[None]]) -> None:
    """Run `work` with a client of the stack that runs on the data folder."""
    folder = DataFolder(data)
    url = folder.read_url()
    if url is None:
        raise click.ClickException(
            f"No stack has run on {data}. Start one: scripts/dev --data {data}"
        )

    async def run_with_client() -> None:
        async with ApiClient(url, make_token(folder, user=user, tier="enterprise")) as client:
            await work(client)

    try:
        asyncio.run(run_with_client())
    except ApiError as error:
        raise click.ClickException(str(error)) from None
    except httpx.TransportError:
        raise click.ClickException(
            f"The stack at {url} does not respond. Start it: scripts/dev --data {data}"
        ) from None


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
