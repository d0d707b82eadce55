"""`taskreel logs`: the changes of jobs, a line each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from taskreel_local.cli.api_command import Session, connected, to_json
from taskreel_local.cli.completions import JOB
from taskreel_local.cli.options import JOB_ID


@click.command("logs")
@click.argument("job_id", metavar="[JOB]", type=JOB_ID, required=False, shell_complete=JOB)
@click.option("--owner", "user_id", metavar="USER", help="Another user's jobs (admin).")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100), help="Jobs.")
@click.option("--follow/--no-follow", "-f", default=False, help="Go on with each change.")
@connected
def show_logs(
    session: Session, job_id: str | None, user_id: str | None, *, limit: int, follow: bool
) -> None:
    """Print the changes of your newest jobs, or all of one, and every failed attempt.

    With --json a line is an object: {at, jobId, jobType, status, attempt, …}.

    \b
    These are the jobs' own histories. The lines of the services are
      of scripts/dev      in its terminal
      of a deployment     in Cloud Logging: gcloud logging read 'jsonPayload.job_id="JOB"'
    """
    if job_id is not None:
        histories = [to_json(session.client.history(job_id))]
    else:
        user = user_id or session.client.account().user_id
        page = session.call("GET", f"/api/jobs/user/{user}/history", limit=limit)
        histories = page["jobs"]
    lines = [line for history in histories for line in _list_lines(history)]
    for line in sorted(lines, key=lambda line: str(line["at"])):
        _print_line(session, line)
    if follow:
        _follow(session, job_id)


def _list_lines(history: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    job = {"jobId": history["jobId"], "jobType": history["jobType"]}
    for change in history["changes"]:
        yield {"at": change["at"], **job, **change}
    for failure in history.get("failedAttempts", ()):
        yield {"at": failure["at"], **job, "status": "failure", **failure}


def _follow(session: Session, job_id: str | None) -> None:
    """Print each change from now on; of one job until it ends."""
    client = session.patient_client
    seen = ""
    for job in client.stream_all() if job_id is None else client.stream(job_id):
        shown = f"{job.job_id} {job.status} {job.progress}"
        if shown != seen:
            seen = shown
            line = {
                "at": to_json(job)["updatedAt"],
                "jobId": job.job_id,
                "jobType": job.job_type,
                "status": job.status,
                "attempt": job.attempt,
                "progress": job.progress,
            }
            if job.error:
                line |= {"code": job.error.code, "message": job.error.message}
            _print_line(session, line)


def _print_line(session: Session, line: Mapping[str, Any]) -> None:
    if session.as_json:
        click.echo(json.dumps(line, ensure_ascii=False))
        return
    from taskreel_local.cli.text_output import clean, format_clock, format_credits, styled

    facts = [
        f"attempt {line['attempt']}" if line.get("attempt") else "",
        f"{line['progress']}%" if line.get("progress") and line["status"] == "PROCESSING" else "",
        f"by {line['by']}" if line.get("by", "service") != "service" else "",
        " ".join(filter(None, (line.get("provider"), line.get("model")))),
        line.get("code") or "",
        line.get("message") or "",
        format_credits(line["credits"]) if line.get("credits") else "",
    ]
    session.console.print(
        f"{format_clock(line['at'])}  {clean(line['jobId'])}  {clean(line['jobType'])}  ",
        styled(f"{line['status']:<10}"),
        "  ",
        clean(", ".join(filter(None, facts))),
        sep="",
        soft_wrap=True,
    )
