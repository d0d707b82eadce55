"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from taskreel_local.stack.data_folder import DEFAULT

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=DEFAULT,
    show_default=True,
    help="Data folder of the stack.",
)
user_option = click.option(
    "--user",
    default="dev",
    show_default=True,
    help="User whose jobs and credits are meant.",
)
cloud_tasks_option = click.option(
    "--cloud-tasks",
    is_flag=True,
    help="Use the queues over Google's gRPC API, as in the cloud.",
)
google_emulators_option = click.option(
    "--google-emulators",
    is_flag=True,
    help="Also use Firestore's emulator and a local Cloud Storage. FIRESTORE_EMULATOR_HOST names an"
    " emulator that runs already.",
)
