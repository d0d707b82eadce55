"""The `taskreel` command: one file for each group of commands, imported when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from taskreel_local.cli.command_groups import LazyCommand, LazyCommands
from taskreel_local.cli.exit_codes import end_without_stack

_CLI = "taskreel_local.cli"

#: The commands by sections: where each is, and its short help. A test compares the two.
SECTIONS: Mapping[str, Mapping[str, LazyCommand]] = {
    "Jobs": {
        "submit": (f"{_CLI}.job_commands:submit_job", "Submit a job."),
        "watch": (f"{_CLI}.job_commands:watch_jobs", "Show the progress of jobs."),
        "jobs": (f"{_CLI}.job_commands:list_jobs", "List jobs."),
        "show": (f"{_CLI}.show_command:show_job", "Say why a job is where it is."),
        "cancel": (f"{_CLI}.job_change_commands:cancel_jobs", "Cancel jobs."),
        "retry": (f"{_CLI}.job_change_commands:retry_jobs", "Try failed jobs again."),
        "replay": (f"{_CLI}.job_change_commands:replay_job", "Create a job from an ended one."),
        "reschedule": (f"{_CLI}.job_change_commands:reschedule_job", "Give a job another start."),
        "delete": (f"{_CLI}.job_change_commands:delete_jobs", "Delete ended jobs and their files."),
        "templates": (f"{_CLI}.template_commands:template_commands", "Requests with parameters."),
        "uploads": (f"{_CLI}.upload_commands:upload_commands", "Files for several jobs."),
        "logs": (f"{_CLI}.log_command:show_logs", "Print the changes of jobs, a line each."),
        "types": (f"{_CLI}.job_commands:list_types", "List the job types."),
    },
    "Operation": {
        "queues": (f"{_CLI}.queue_commands:queue_commands", "What waits; pause, resume, clear."),
        "locations": (
            f"{_CLI}.location_commands:location_commands",
            "Locations of queues; drain one.",
        ),
        "cache": (f"{_CLI}.cache_commands:cache_commands", "Cached results: purge them."),
        "dead-letters": (
            f"{_CLI}.dead_letter_commands:dead_letter_commands",
            "Failures by cause; try them again.",
        ),
        "operations": (
            f"{_CLI}.operation_commands:operation_commands",
            "One action on many jobs.",
        ),
        "providers": (f"{_CLI}.provider_commands:provider_commands", "Models, prices, breakers."),
        "schedules": (f"{_CLI}.schedule_commands:schedule_commands", "Recurring jobs."),
        "webhooks": (f"{_CLI}.webhook_commands:webhook_commands", "Endpoints, keys, deliveries."),
        "top": (f"{_CLI}.top_command:show_top", "Queues and jobs on the whole screen, live."),
        "projects": (
            f"{_CLI}.project_commands:project_commands",
            "Members, caps, credits, API keys.",
        ),
        "users": (f"{_CLI}.user_commands:user_commands", "Accounts, limits, spend caps."),
        "forget": (f"{_CLI}.forget_command:forget_user", "Erase a person, and prove it."),
        "audit-log": (f"{_CLI}.user_commands:show_audit", "What admins did."),
        "alerts": (f"{_CLI}.alert_commands:alert_commands", "List alerts; test the channel."),
        "stats": (f"{_CLI}.statistics_commands:show_statistics", "Jobs, times and cost by day."),
        "credits": (f"{_CLI}.credit_commands:credit_commands", "Balances, ledger, grants."),
        "audit": (f"{_CLI}.audit_command:audit", "Check every invariant of a store."),
        "keys": (f"{_CLI}.key_commands:key_commands", "Encryption at rest: its keys."),
    },
    "Setup": {
        "login": (f"{_CLI}.login_commands:log_in", "Choose a deployment or a stack."),
        "logout": (f"{_CLI}.login_commands:log_out", "Forget a profile and its token."),
        "profiles": (f"{_CLI}.login_commands:profile_commands", "List the profiles; choose one."),
        "doctor": (f"{_CLI}.doctor_command:run_checks", "Check the profile and the API."),
        "open": (f"{_CLI}.open_command:open_dashboard", "Open the dashboard, at a job."),
        "completion": (
            f"{_CLI}.completion_command:print_completion",
            "Complete words in bash, zsh or fish.",
        ),
    },
    "This machine": {
        "dev": (f"{_CLI}.stack_commands:run_dev_command", "Run the whole stack."),
        "demo": (f"{_CLI}.stack_commands:run_demo_command", "Make six files, and stop."),
        "token": (f"{_CLI}.token_command:print_token", "Print a token of a stack."),
        "cloud-tasks": (
            "taskreel_cloud_tasks.command:cloud_tasks",
            "Run the local Cloud Tasks alone.",
        ),
        "cost": (f"{_CLI}.cost_command:cost", "Print the monthly bill on Google Cloud."),
        "capacity": (f"{_CLI}.capacity_command:capacity", "Print the load that is carried."),
        "import": (
            "taskreel_local.migrate.bullmq_command:import_jobs",
            "Import jobs of another system.",
        ),
    },
}


class Commands(LazyCommands):
    """Commands whose StackErrors are shown as one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        from taskreel_local.stack.stack_error import StackError

        try:
            return super().invoke(ctx)
        except StackError as error:
            raise end_without_stack(error) from None


#: `taskreel cloud-tasks` declares the queues of infra/queues.yaml in the dev stack's project.
_DEFAULTS = {"cloud-tasks": {"project": "taskreel-local"}}


@click.group(
    cls=Commands,
    sections=SECTIONS,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "default_map": _DEFAULTS,
        "max_content_width": 100,
    },
    epilog="Exit status: 0 done, 1 a job did not complete or a check failed, 2 wrong command line"
    " or setting, 3 refused by the API, 4 the API cannot be reached, 130 Ctrl-C.",
)
@click.version_option(package_name="taskreel")
def main() -> None:
    """Submit jobs to Taskreel, follow them, and operate it.

    Commands call the stack that scripts/dev runs in this folder, or a deployment: taskreel login.
    """


if __name__ == "__main__":
    main()
