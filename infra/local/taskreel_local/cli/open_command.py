"""`taskreel open`: the dashboard, at a job."""

from __future__ import annotations

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.completions import JOB
from taskreel_local.cli.options import JOB_ID


@click.command("open")
@click.argument("job_id", metavar="[JOB]", type=JOB_ID, required=False, shell_complete=JOB)
@click.option(
    "--print", "only_print", is_flag=True, help="Print the address alone, without the token."
)
@connected
def open_dashboard(session: Session, job_id: str | None, *, only_print: bool) -> None:
    """Open the dashboard in your browser, at a JOB if one is named.

    At a stack on this machine it signs you in; elsewhere the page asks for your token.
    """
    path = ""
    if job_id is not None:
        path = f"/jobs/{session.client.get(job_id).job_id}"
    page = session.target.dashboard_url(path)
    session.show({"url": page}, lambda: click.echo(page))
    if only_print or session.as_json:
        return
    # Behind `#`: a browser sends it to no server. It is not printed.
    signed_in = f"{page}#token={session.target.token}" if session.target.data else page
    if click.launch(signed_in) != 0:
        session.messages.print("No browser could be started: open the address above.")
