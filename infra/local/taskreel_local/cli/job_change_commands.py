"""Commands that change jobs: cancel, retry, replay, delete."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from taskreel_local.cli.api_command import Session, connected, print_json
from taskreel_local.cli.completions import JOB, PROVIDER
from taskreel_local.cli.exit_codes import RefusedError, explain_problem
from taskreel_local.cli.job_commands import show_made_job, show_quote
from taskreel_local.cli.job_filters import parse_span
from taskreel_local.cli.job_input import INPUT_HELP, parse_input, parse_json, upload_files
from taskreel_local.cli.options import JOB_ID, yes_option

if TYPE_CHECKING:
    from taskreel.client import Job

_job_ids = click.argument(
    "job_ids", metavar="JOB...", type=JOB_ID, nargs=-1, required=True, shell_complete=JOB
)


@click.command("cancel")
@_job_ids
@yes_option
@connected
def cancel_jobs(session: Session, job_ids: tuple[str, ...], *, yes: bool) -> None:
    """Cancel jobs. What is finished is paid and stays readable; the rest of the hold is released.

    A job that has ended stays as it is.
    """
    jobs = _read_jobs(session, job_ids)
    open_jobs = [job for job in jobs if not job.has_ended]
    if open_jobs:
        held = sum(job.credits.held for job in open_jobs)
        session.confirm(f"Cancel {_count(open_jobs)}; credits held: {held:,}.", yes=yes)
    for job in jobs:
        if job.has_ended:
            session.say(f"{job.job_id} had already ended ({job.status}); nothing was cancelled")
    # As JSON the ended jobs are listed with the others.
    changing = jobs if session.as_json else open_jobs
    _change_each(session, changing, session.client.cancel, "is")


@click.command("retry")
@_job_ids
@yes_option
@click.option("--follow/--no-follow", default=False, help="Show their progress until they end.")
@connected
def retry_jobs(session: Session, job_ids: tuple[str, ...], *, yes: bool, follow: bool) -> None:
    """Try failed jobs again, under their ids, with new attempts and a new hold."""
    jobs = _read_jobs(session, job_ids)
    # The next round holds what came back, for what is still to be done.
    cost = sum(job.credits.released for job in jobs)
    session.confirm(f"Retry {_count(jobs)}; credits to be held: about {cost:,}.", yes=yes)
    made = _change_each(session, jobs, session.client.retry, "is", quiet=follow)
    if follow:
        from taskreel_local.cli.job_commands import end_with, follow_to_the_end

        end_with(session, follow_to_the_end(session, made))


@click.command("reschedule")
@click.argument("job_id", metavar="JOB", type=JOB_ID, shell_complete=JOB)
@click.argument("start", metavar="TIME")
@connected
def reschedule_job(session: Session, job_id: str, start: str) -> None:
    """Give a scheduled job another TIME: now, in 30m, 2h or 3d, or at 2026-11-26T09:30."""
    job = session.client.get(job_id)
    path = f"/api/jobs/{job.job_type}/{job.job_id}/reschedule"
    found = session.call("POST", path, parse_start(start))
    session.show(found, lambda: click.echo(f"{job_id} is {found['status']}"))


def parse_start(text: str) -> dict[str, Any]:
    """The start that the words give, as the API takes it. Raises UsageError."""
    return {"delay": 0} if text == "now" else {"runAt": parse_time(text).isoformat()}


def parse_time(text: str) -> datetime:
    """A time to come: so long from now, or ISO 8601. Raises UsageError."""
    try:
        span = parse_span(text)
        if span is not None:
            return datetime.now(UTC) + span
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.UsageError(
            f"{text!r} is no time: give 30m, 2h, 3d, or 2026-11-26T09:30"
        ) from None


@click.command("delete")
@_job_ids
@yes_option
@connected
def delete_jobs(session: Session, job_ids: tuple[str, ...], *, yes: bool) -> None:
    """Delete jobs that have ended, with their files. Their entries in the ledger stay."""
    jobs = _read_jobs(session, job_ids)
    files = sum(len(job.files) for job in jobs)
    session.confirm(
        f"Delete {_count(jobs)} and its files ({files}) from {session.target.name}. "
        "This cannot be undone.",
        yes=yes,
    )

    def delete_job(job: Job) -> Job:
        session.client.delete(job)
        return job

    _change_each(session, jobs, delete_job, "is deleted; it was")


def _read_jobs(session: Session, job_ids: Sequence[str]) -> list[Job]:
    return [session.client.get(job_id) for job_id in dict.fromkeys(job_ids)]


def _count(jobs: Sequence[Job]) -> str:
    return jobs[0].job_id if len(jobs) == 1 else f"{len(jobs)} jobs"


def _change_each(
    session: Session,
    jobs: Sequence[Job],
    change: Callable[[Job], Job],
    verb: str,
    *,
    quiet: bool = False,
) -> list[Job]:
    """Change each job and print it. One that is refused does not stop the others."""
    from taskreel.client import ApiError, JobNotEndedError

    changed: list[Job] = []
    refused: list[dict[str, Any]] = []
    for job in jobs:
        try:
            changed.append(change(job))
        except ApiError as error:
            refused.append({**error.problem, "jobId": job.job_id})
        except JobNotEndedError as error:
            refused.append({"jobId": job.job_id, "detail": str(error), "code": "conflict"})
        else:
            if not quiet:
                session.say(f"{job.job_id} {verb} {changed[-1].status}")
    if session.as_json and not quiet:
        print_json({"jobs": changed, "refused": refused})
    if refused:
        problem = refused[0] if len(jobs) == 1 else {"code": "refused", "refused": refused}
        texts = [
            f"{one['jobId']}: {explain_problem(one, one.get('status', 409))}" for one in refused
        ]
        raise RefusedError("\n".join(texts), problem, as_json=session.as_json)
    return changed


# ── replay ───────────────────────────────────────────────────────────────────────────────────────


@click.command(
    "replay",
    help=f"""Create a job from an ended one, with changes, reusing the work that they leave alone.
    {INPUT_HELP}
    null removes a field: seed=null.

    \b
    Examples:
      taskreel replay job_4k7m prompt="A blue kite" --follow
      taskreel replay job_4k7m --edit --dry-run
      taskreel replay job_4k7m --from-step pictures
    """,
)
@click.argument("job_id", metavar="JOB", type=JOB_ID, shell_complete=JOB)
@click.argument("words", metavar="[INPUT]...", nargs=-1)
@click.option("--edit", is_flag=True, help="Change the request in your editor.")
@click.option("--from-step", metavar="STEP", help="Repeat this step and all behind it.")
@click.option("--provider", shell_complete=PROVIDER, help="Provider of the work done again.")
@click.option("--follow/--no-follow", default=False, help="Show its progress until it has ended.")
@click.option("--dry-run", is_flag=True, help="Print its price; only its files are uploaded.")
@connected
def replay_job(
    session: Session,
    job_id: str,
    words: tuple[str, ...],
    *,
    from_step: str | None,
    provider: str | None,
    **options: bool,
) -> None:
    """Replay a job."""
    job = session.client.get(job_id)
    changes = parse_input(words, job.payload)
    if options["edit"]:
        changes = edit_payload(job.payload or {}, changes)
    changes = upload_files(session.client, changes)
    wanted: dict[str, Any] = {"from_step": from_step, "provider": provider}
    if options["dry_run"]:
        show_quote(session, session.client.quote_replay(job, changes or None, **wanted))
        return
    made = session.client.replay(job, changes or None, **wanted)
    show_made_job(session, made, follow=options["follow"])


def edit_payload(payload: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Let the user edit the payload in their editor; return the merge patch. Raises Abort."""
    before = json.dumps(apply_patch(payload, changes), indent=2, ensure_ascii=False)
    edited = click.edit(before, extension=".json")
    if edited is None:
        if changes:
            return dict(changes)
        raise click.Abort
    try:
        after = parse_json(edited)
    except ValueError as error:
        raise click.UsageError(f"What you saved is not JSON: {error}") from None
    if not isinstance(after, dict):
        raise click.UsageError("What you saved must be an object: {…}")
    return build_patch(payload, after)


def apply_patch(payload: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a JSON merge patch (RFC 7396)."""
    merged = dict(payload)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            inner = merged.get(name)
            merged[name] = apply_patch(inner if isinstance(inner, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged


def build_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch that makes one of the other."""
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if name in before and old == value:
            continue
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            patch[name] = build_patch(old, value)
        else:
            patch[name] = value
    return patch
