"""The command `taskreel-cloud-tasks`: run the emulator until it is interrupted.

Every option is also an environment variable. The flags of aertje's emulator (`-host`, `-port`,
`-queue`, `-openid-issuer`, `-hard-reset-on-purge-queue`) mean the same here, and so do variables of
its `emulator_from_env.sh`, so that a container only needs another image. `HOST` and `PORT` are not
among them: shells and platforms set those for other purposes.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from taskreel_cloud_tasks.api_errors import ApiError
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.file_descriptors import raise_limit
from taskreel_cloud_tasks.messages import Queue
from taskreel_cloud_tasks.queues_file import QueuesFileError, load_queues
from taskreel_cloud_tasks.resource_names import split_queue
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_GO_BOOLEAN = re.compile(r"(--?[a-z-]+)=(true|1|false|0)", re.IGNORECASE | re.ASCII)


class DurationType(click.ParamType[timedelta]):
    """Parameter type for durations: `90s`, `10m`, `24h`, `3d`."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Parse a duration; fail with a usage error."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", str(value).strip(), re.ASCII)
        if match is None:
            self.fail(f"{value!r} is not a duration such as 90s, 10m or 24h", param, ctx)
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


class QueueNameType(click.ParamType[str]):
    """Parameter type for full queue names."""

    name = "projects/…/locations/…/queues/…"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Check a name; fail with a usage error."""
        try:
            split_queue(str(value))
        except ApiError as error:
            self.fail(f"{value!r}: {error.message}", param, ctx)
        return str(value)

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """Split the environment variable's value at commas and white space."""
        return rv.replace(",", " ").split()


class GoFlags(click.Command):
    """A command that also takes Go's form of boolean flags, `-flag=true`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments."""
        flags = {name for param in self.params if _is_flag(param) for name in param.opts}
        return super().parse_args(ctx, [arg for raw in args for arg in _plain_flag(raw, flags)])


def _is_flag(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and param.is_flag


def _plain_flag(arg: str, flags: set[str]) -> list[str]:
    match = _GO_BOOLEAN.fullmatch(arg)
    if match is None or match[1] not in flags:
        return [arg]
    return [match[1]] if match[2].lower() in {"true", "1"} else []


def _option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """Declare an option that is also the environment variable CLOUD_TASKS_…, after its name."""
    variable = "CLOUD_TASKS_" + names[0].lstrip("-").replace("-", "_").upper()
    return click.option(
        *names, **{"envvar": variable, "show_envvar": True, "show_default": True, **settings}
    )


_DURATION = DurationType()
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("cloud-tasks", cls=GoFlags)
@_option("--host", "-host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 for all.")
@_option(
    *("--port", "--grpc-port", "-port", "grpc_port"),
    default=8123,
    help="Port of the gRPC API, which Google's client libraries call; 0 takes a free one.",
)
@_option(
    "--rest-port",
    type=int,
    help="Port of the REST API, of the page and of the OIDC keys.  [default: the next port]",
)
@_option(
    *("--queue", "-queue", "queue_names"),
    envvar=["CLOUD_TASKS_QUEUES", "INITIAL_QUEUES"],
    type=QueueNameType(),
    multiple=True,
    help="A queue to create with Google's default settings; repeatable.",
)
@_option(
    *("--queues", "queues_file"),
    envvar="CLOUD_TASKS_QUEUES_FILE",
    type=_FILE,
    help="YAML file of queues to create, with their settings.",
)
@_option("--project", default="demo", help="Project of the queues in the file.")
@_option("--location", default="us-central1", help="Location of the queues in the file.")
@_option("--data", type=_FILE, help="SQLite file that stores everything.  [default: in memory]")
@_option(
    "--allow-host",
    multiple=True,
    help="A domain name by which the REST API may be called. Addresses, localhost, names without "
    "a dot and *.internal always may; web pages must not reach the API by names of theirs.",
)
@_option(
    "--only-project",
    multiple=True,
    help="Refuse other projects with PERMISSION_DENIED; repeatable.",
)
@_option(
    "--dedup-window",
    type=_DURATION,
    default="24h",
    help="Time the name of a finished task stays reserved.",
)
@_option(
    "--queue-window",
    type=_DURATION,
    default="3d",
    help="Time the name of a deleted queue stays reserved.",
)
@_option(
    *("--reset-on-purge", "-reset-on-purge", "--hard-reset-on-purge-queue"),
    "-hard-reset-on-purge-queue",
    envvar=["CLOUD_TASKS_RESET_ON_PURGE", "HARD_RESET_ON_PURGE_QUEUE"],
    is_flag=True,
    help="PurgeQueue also releases the reserved names of the queue's tasks.",
)
@_option(
    *("--openid-issuer", "-openid-issuer", "--oidc-issuer", "oidc_issuer"),
    envvar=["CLOUD_TASKS_OPENID_ISSUER", "OPENID_ISSUER"],
    default="",
    help="Issuer of the OIDC tokens; if it is http:// with a port, its keys are served there too."
    "  [default: the REST API's address]",
    show_default=False,
)
@_option(
    "--app-engine-url",
    envvar=["CLOUD_TASKS_APP_ENGINE_URL", "APP_ENGINE_EMULATOR_HOST"],
    default="",
    show_default=False,
    help="Base URL that App Engine tasks are delivered to.",
)
@_option("--unthrottled", is_flag=True, help="Ignore the queues' rates, not their concurrency.")
@_option(
    "--virtual-clock", is_flag=True, help="Time stands still until POST /control/advance moves it."
)
@click.version_option(package_name="taskreel-cloud-tasks", message="%(package)s %(version)s")
def cloud_tasks(**options: object) -> None:
    """Run a local Cloud Tasks: Google's API over gRPC and REST, with real HTTP dispatch."""
    raise_limit()
    config = _build_config(**options)  # type: ignore[arg-type]  # click has validated them
    _run(_run_service(config))


def main() -> None:
    """Run the command of this distribution."""
    cloud_tasks(prog_name="taskreel-cloud-tasks")


def _build_config(  # noqa: PLR0913 - one parameter an option
    *,
    host: str,
    grpc_port: int,
    rest_port: int | None,
    queue_names: tuple[str, ...],
    queues_file: Path | None,
    project: str,
    location: str,
    data: Path | None,
    allow_host: tuple[str, ...],
    only_project: tuple[str, ...],
    dedup_window: timedelta,
    queue_window: timedelta,
    reset_on_purge: bool,
    oidc_issuer: str,
    app_engine_url: str,
    unthrottled: bool,
    virtual_clock: bool,
) -> ServiceConfig:
    queues = [Queue(name=name) for name in queue_names]
    if queues_file is not None:
        try:
            queues += load_queues(queues_file, f"projects/{project}/locations/{location}")
        except (OSError, QueuesFileError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise click.ClickException(f"--queues {queues_file}: {reason}") from None
    return ServiceConfig(
        host=host,
        rest_port=_next_port(grpc_port) if rest_port is None else rest_port,
        grpc_port=grpc_port,
        allowed_hosts=allow_host,
        data=data,
        queues=queues,
        virtual_clock=virtual_clock,
        oidc_issuer=oidc_issuer,
        engine=EngineConfig(
            projects=only_project,
            dedup_window=dedup_window,
            queue_window=queue_window,
            reset_on_purge=reset_on_purge,
            unthrottled=unthrottled,
            app_engine_url=app_engine_url,
        ),
    )


def _next_port(port: int) -> int:
    return port + 1 if port else 0


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine, on uvloop where it is installed: it halves the CPU time of a task."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


async def _run_service(config: ServiceConfig) -> None:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    try:
        async with LocalCloudTasks(config) as service:
            click.echo(
                f"Cloud Tasks listens on {config.host}:{service.grpc_port} (gRPC)"
                f" and {service.rest_url} (REST, and a page for browsers)"
            )
            click.echo(
                f"gcloud: export CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS={service.rest_url}/"
            )
            sys.stdout.flush()
            await stop.wait()
            click.echo("Waiting for running attempts …")
    except OSError as error:
        raise click.ClickException(error.strerror or str(error)) from None
    except ApiError as error:
        raise click.ClickException(f"A queue cannot be created: {error.message}") from None


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))


if __name__ == "__main__":
    main()
