"""The `taskreel` command: one file for each group of commands."""

from __future__ import annotations

from typing import Any

import click

from taskreel_cloud_tasks.command import cloud_tasks
from taskreel_local.cli.cost_command import cost
from taskreel_local.cli.job_commands import list_jobs, show_credits, submit_job, watch_job
from taskreel_local.cli.stack_commands import run_demo_command, run_dev_command
from taskreel_local.cli.token_command import print_token
from taskreel_local.migrate.bullmq_command import import_jobs


class Commands(click.Group):
    """Commands whose StackErrors are shown as one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        from taskreel_local.stack.stack_error import StackError

        try:
            return super().invoke(ctx)
        except StackError as error:
            raise click.ClickException(str(error)) from None


#: `taskreel cloud-tasks` declares the queues of infra/queues.yaml in the dev stack's project.
_DEFAULTS = {"cloud-tasks": {"project": "taskreel-local"}}


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "default_map": _DEFAULTS},
)
@click.version_option(package_name="taskreel")
def main() -> None:
    """Run AI media generation jobs on this machine, as in the cloud."""


for _command in (
    run_dev_command,
    run_demo_command,
    print_token,
    submit_job,
    watch_job,
    list_jobs,
    show_credits,
    cloud_tasks,
    cost,
    import_jobs,
):
    main.add_command(_command)


if __name__ == "__main__":
    main()
