"""`taskreel cloud-tasks`: run the Cloud Tasks emulator alone, until it is interrupted."""

from __future__ import annotations

import asyncio
import re
import signal
from datetime import timedelta
from pathlib import Path

import click

from taskreel_local.emulators.cloudtasks.engine import EngineConfig
from taskreel_local.emulators.cloudtasks.file_descriptors import raise_limit
from taskreel_local.emulators.cloudtasks.queues_file import load_queues
from taskreel_local.emulators.cloudtasks.service import LocalCloudTasks, ServiceConfig

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


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


_DURATION = DurationType()
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("cloud-tasks")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 in a container.",
)
@click.option(
    "--grpc-port", default=8123, show_default=True, help="Port for google-cloud-tasks clients."
)
@click.option(
    "--rest-port", default=8124, show_default=True, help="Port for gcloud and REST clients."
)
@click.option(
    "--allow-host",
    multiple=True,
    help="A name by which the REST API may be called, beside its address and localhost, such as "
    "a container's; repeatable.",
)
@click.option(
    "--data",
    type=_FILE,
    help="SQLite file that stores queues and tasks; without it they are in memory only.",
)
@click.option(
    "--queues", type=_FILE, help="YAML file of queues to create, such as infra/queues.yaml."
)
@click.option(
    "--project",
    default="taskreel-local",
    show_default=True,
    help="Project of the queues in the file.",
)
@click.option(
    "--location",
    default="us-central1",
    show_default=True,
    help="Location of the queues in the file.",
)
@click.option(
    "--only-project",
    multiple=True,
    help="Refuse other projects with PERMISSION_DENIED; repeatable.",
)
@click.option(
    "--dedup-window",
    type=_DURATION,
    default="24h",
    show_default=True,
    help="Time the name of a finished task stays reserved.",
)
@click.option(
    "--queue-window",
    type=_DURATION,
    default="3d",
    show_default=True,
    help="Time the name of a deleted queue stays reserved.",
)
@click.option(
    "--oidc-issuer", default="", help="Issuer of the OIDC tokens; the REST address by default."
)
@click.option(
    "--app-engine-url", default="", help="Base URL that App Engine tasks are delivered to."
)
@click.option(
    "--unthrottled", is_flag=True, help="Ignore the queues' rates; concurrency limits still hold."
)
@click.option(
    "--virtual-clock", is_flag=True, help="Time stands still until POST /control/advance moves it."
)
def cloud_tasks(**options: object) -> None:
    """Run a local Cloud Tasks: Google's API over gRPC and REST, with real HTTP dispatch."""
    raise_limit()
    config = _build_config(**options)  # type: ignore[arg-type]  # click has validated them
    asyncio.run(_run_service(config))


def _build_config(  # noqa: PLR0913 - one parameter an option
    *,
    host: str,
    grpc_port: int,
    rest_port: int,
    allow_host: tuple[str, ...],
    data: Path | None,
    queues: Path | None,
    project: str,
    location: str,
    only_project: tuple[str, ...],
    dedup_window: timedelta,
    queue_window: timedelta,
    oidc_issuer: str,
    app_engine_url: str,
    unthrottled: bool,
    virtual_clock: bool,
) -> ServiceConfig:
    try:
        declared = load_queues(queues, f"projects/{project}/locations/{location}") if queues else []
    except (OSError, ValueError) as error:
        raise click.ClickException(f"--queues {queues}: {error}") from None
    return ServiceConfig(
        host=host,
        rest_port=rest_port,
        grpc_port=grpc_port,
        allowed_hosts=allow_host,
        data=data,
        queues=declared,
        virtual_clock=virtual_clock,
        oidc_issuer=oidc_issuer,
        engine=EngineConfig(
            projects=only_project,
            dedup_window=dedup_window,
            queue_window=queue_window,
            unthrottled=unthrottled,
            app_engine_url=app_engine_url,
        ),
    )


async def _run_service(config: ServiceConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with LocalCloudTasks(config) as service:
            click.echo(
                f"Cloud Tasks listens on {config.host}:{service.grpc_port} (gRPC)"
                f" and {service.rest_url} (REST)"
            )
            click.echo(
                f"gcloud: export CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS={service.rest_url}/"
            )
            await stop.wait()
            click.echo("Waiting for running attempts …")
    except OSError as error:
        raise click.ClickException(str(error)) from None
