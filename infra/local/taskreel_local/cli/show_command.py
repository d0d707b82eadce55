"""`taskreel show`: everything about one job. Also what is printed of a job that has ended."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.completions import JOB
from taskreel_local.cli.options import JOB_ID

if TYPE_CHECKING:
    from taskreel.client import File, History, Job

_WAITING = frozenset({"QUEUED", "THROTTLED"})
#: So many pictures of a job are shown, none of them larger than so many bytes.
_MOST_SHOWN = 4
_LARGEST_SHOWN = 32 << 20


@click.command("show")
@click.argument("job_id", metavar="JOB", type=JOB_ID, shell_complete=JOB)
@click.option("--payload", "with_payload", is_flag=True, help="Also the whole request.")
@connected
def show_job(session: Session, job_id: str, *, with_payload: bool) -> None:
    """Say why a job is where it is; show its timeline, failures, costs and files.

    With --json: {job, reason, history, webhooks}.
    """
    from taskreel_local.cli.text_output import link

    job = session.client.get(job_id)
    history = session.client.history(job)
    webhooks = _read_webhooks(session, job)
    reason = _find_reason(session, job)

    def show_text() -> None:
        _print_heading(session, job, reason)
        _print_prompt(session, job)
        _print_facts(session, job)
        _print_steps(session, job)
        _print_timeline(session, history, webhooks)
        if with_payload:
            _print_payload(session, job)
        print_files(session, job)
        page = session.target.dashboard_url(f"/jobs/{job.job_id}")
        session.console.print()
        session.console.print(link(page, page, "dim"), soft_wrap=True)

    found = {"job": job, "reason": reason, "history": history, "webhooks": webhooks}
    session.show(found, show_text)


def _read_webhooks(session: Session, job: Job) -> list[dict[str, Any]]:
    """The job's webhooks; none where the server is older than their route."""
    from taskreel.client import ApiError

    path = f"/api/jobs/{job.job_type}/{job.job_id}/webhooks"
    try:
        found: list[dict[str, Any]] = session.call("GET", path)["deliveries"]
    except ApiError as error:
        if error.code != "not_found":
            raise
        return []
    return found


def _find_reason(session: Session, job: Job) -> str:
    from taskreel_local.cli.explain_job import Surroundings, explain_job

    if job.status not in _WAITING:
        return explain_job(job, Surroundings())
    # The health's queues may be five seconds old; these are those of now.
    queues = session.call("GET", "/api/jobs/queues/stats")["queues"]
    providers = session.call("GET", "/api/providers")["providers"]
    return explain_job(job, Surroundings(queues=queues, providers=providers))


def _print_prompt(session: Session, job: Job) -> None:
    from taskreel_local.cli.text_output import find_prompt

    prompt = find_prompt(job.payload)
    if prompt:
        session.console.print(f"\n  {prompt[:300]}")


def _print_payload(session: Session, job: Job) -> None:
    session.console.print("\nPayload")
    click.echo(json.dumps(job.payload, indent=2, ensure_ascii=False))


def _print_heading(session: Session, job: Job, reason: str) -> None:
    from rich.text import Text

    from taskreel_local.cli.text_output import styled

    heading = Text(f"{job.job_type} ", style="bold")
    heading.append(job.job_id, style="default")
    heading.append("  ")
    heading.append(styled(job.status))
    if not job.has_ended:
        heading.append(f" {job.progress}%", style="default")
    session.console.print(heading, soft_wrap=True)
    session.console.print(reason, soft_wrap=True)


def _print_facts(session: Session, job: Job) -> None:
    from taskreel_local.cli.text_output import format_clock, print_table

    moved = job.credits
    cost = f"{moved.captured} captured, {moved.held} held, {moved.released} released"
    dollars = ""
    if job.cost_usd is not None:
        dollars = f"${job.cost_usd:.4f}{' (estimated)' if job.cost_estimated else ''}"
    facts: list[tuple[str, Any]] = [
        ("owner", job.user_id),
        ("project", job.project_id),
        ("created", format_clock(job.created_at)),
        ("priority", job.priority),
        ("attempt", f"{job.attempt} of {job.max_attempts}"),
        ("served by", job.served_by),
        ("tried", ", ".join(f"{one.provider} ({one.code})" for one in job.tried)),
        ("credits", cost),
        ("provider's charge", dollars),
        ("parent", job.parent_id),
        ("replay of", job.replay_of),
    ]
    session.console.print()
    print_table(session.console, ("", ""), [fact for fact in facts if fact[1]])


def _print_steps(session: Session, job: Job) -> None:
    if not job.steps:
        return
    from taskreel_local.cli.text_output import print_table, styled

    rows = [
        (
            one.name,
            one.type,
            styled(one.status),
            f"{one.ended}/{one.width}" if one.width else "",
            f"{one.percent}%",
            one.credits or "",
            one.failed_job_id or "",
        )
        for one in job.steps
    ]
    session.console.print("\nSteps")
    columns = ("step", "type", "status", ">jobs", ">done", ">credits", "failed job")
    print_table(session.console, columns, rows)


def _print_timeline(session: Session, history: History, webhooks: Sequence[dict[str, Any]]) -> None:
    """Changes, failures and webhooks on one axis of time."""
    from taskreel_local.cli.text_output import (
        clean,
        format_credits,
        format_seconds,
        print_table,
        styled,
    )

    start = history.created_at
    rows: list[tuple[Any, tuple[object, ...]]] = []
    for change in history.changes:
        facts = [f"by {change.by}"] if change.by != "service" else []
        facts += [change.code] if change.code else []
        facts += [format_credits(change.credits)] if change.credits is not None else []
        cells = (styled(change.status), change.attempt or "", ", ".join(facts))
        rows.append((change.at, cells))
    for failure in history.failed_attempts:
        by = " ".join(filter(None, (failure.provider, failure.model)))
        text = f"{by}: {failure.code}: {failure.message}".removeprefix(": ")
        if failure.answer:
            text = f"{text} [{failure.answer}]"
        rows.append((failure.at, (styled("failure"), failure.attempt, clean(text))))
    for webhook in webhooks:
        for one in webhook["tries"]:
            outcome = one.get("status") or one.get("error", "")
            text = clean(f"{webhook['event']} to {one['url']}: {outcome}")
            rows.append((datetime.fromisoformat(one["at"]), (styled("webhook"), "", text)))
    rows.sort(key=lambda row: row[0])
    session.console.print("\nTimeline")
    if history.forgotten:
        session.console.print(f"({history.forgotten} older changes are not stored)")
    shown = [
        (
            f"{at.astimezone():%H:%M:%S}",
            f"+{format_seconds(max(0.0, (at - start).total_seconds()))}",
            *cells,
        )
        for at, cells in rows
    ]
    print_table(session.console, ("at", ">after", "status", ">attempt", "facts"), shown)


# ── Files ────────────────────────────────────────────────────────────────────────────────────────


def print_end(session: Session, job: Job) -> None:
    """Print how a job ended, and its files."""
    _print_heading(session, job, _find_reason(session, job))
    print_files(session, job)


def print_files(session: Session, job: Job) -> None:
    """Print the files of a job: pictures where the terminal shows them, and links."""
    if not job.files:
        return
    from taskreel_local.cli.text_output import link

    session.console.print("\nFiles")
    for file in job.files:
        # A whole URL in a pipe; on a terminal its name, which opens it.
        name = link(file.name, file.url) if session.console.is_terminal else file.name
        session.console.print("  ", name, f"  {_describe_file(file)}", sep="", soft_wrap=True)
        if not session.console.is_terminal and file.url:
            session.console.print(f"    {file.url}", soft_wrap=True)
    _show_pictures(session, job)


def _show_pictures(session: Session, job: Job) -> None:
    """Show the first pictures where the terminal can; elsewhere their links are enough."""
    pictures = [
        file
        for file in job.files
        if file.content_type.startswith("image/") and file.bytes <= _LARGEST_SHOWN
    ]
    if not session.console.is_terminal or not pictures:
        return
    from taskreel_local.cli.inline_pictures import (
        PictureProtocol,
        ask_terminal,
        encode_picture,
        find_protocol,
    )

    protocol = find_protocol(os.environ, ask_terminal)
    if protocol is PictureProtocol.NONE:
        return
    with tempfile.TemporaryDirectory() as folder:
        for file in pictures[:_MOST_SHOWN]:
            content = session.client.download_file(file, Path(folder) / "picture").read_bytes()
            codes = encode_picture(content, protocol)
            if codes is not None:
                # As they are: the console would count the codes' width.
                click.echo(codes)


def _describe_file(file: File) -> str:
    from taskreel_local.cli.text_output import clean, format_bytes

    facts = [clean(file.content_type), format_bytes(file.bytes)]
    if file.width:
        facts.append(f"{file.width}×{file.height}")
    if file.duration_seconds:
        facts.append(f"{file.duration_seconds:.1f} s")
    return ", ".join(facts)
