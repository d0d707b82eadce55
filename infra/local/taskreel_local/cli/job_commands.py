"""Commands that create and follow jobs, and list them: submit, watch, jobs, types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from taskreel_local.cli.api_command import Session, connected, print_json
from taskreel_local.cli.completions import JOB, JOB_TYPE
from taskreel_local.cli.job_filters import job_filters
from taskreel_local.cli.job_input import INPUT_HELP, parse_input, upload_files
from taskreel_local.cli.options import JOB_ID, find_named

if TYPE_CHECKING:
    from taskreel.client import Job, Quote

_PAGE = 100
#: A window of fewer columns has room for what tells jobs apart.
WIDE = 120


# ── submit ───────────────────────────────────────────────────────────────────────────────────────


@click.command(
    "submit",
    help=f"""Submit a job of TYPE (taskreel types lists them).
    {INPUT_HELP}
    \b
    With --follow the exit status is 0 for COMPLETED, 1 for another end.

    \b
    Examples:
      taskreel submit image-generation prompt="A lighthouse in a storm" --follow
      taskreel submit image-upscale imageUrl=@cat.png scale=2 --follow
      taskreel submit movie-creation @movie.json --dry-run
    """,
)
@click.argument("job_type", metavar="TYPE", shell_complete=JOB_TYPE)
@click.argument("words", metavar="[INPUT]...", nargs=-1)
@click.option("--prompt", help="The prompt, always as a text.")
@click.option("--key", help="Idempotency-Key: the same key submits once.")
@click.option("--follow/--no-follow", default=False, help="Show its progress until it has ended.")
@click.option("--dry-run", is_flag=True, help="Print its price; only its files are uploaded.")
@connected
def submit_job(
    session: Session,
    job_type: str,
    words: tuple[str, ...],
    *,
    prompt: str | None,
    key: str | None,
    **options: bool,
) -> None:
    """Submit a job."""
    request = parse_input(words)
    if prompt is not None:
        request["prompt"] = prompt
    # Also for a quote: the price and the checks are those of the file that is there.
    request = upload_files(session.client, request)
    if options["dry_run"]:
        show_quote(session, session.client.quote(job_type, request))
        return
    job = session.client.submit(job_type, request, idempotency_key=key)
    show_made_job(session, job, follow=options["follow"])


def show_made_job(session: Session, job: Job, *, follow: bool) -> None:
    """Print a job that was just created, or follow it to its end."""
    if follow:
        end_with(session, follow_to_the_end(session, [job]))
        return

    def show_text() -> None:
        following = f"Follow it: taskreel watch {job.job_id}"
        if job.cached_seconds is not None:
            from taskreel_local.cli.explain_job import Surroundings, explain_job

            following = f"{explain_job(job, Surroundings())} taskreel show {job.job_id}"
        ignored = _name_ignored(job.ignored_fields)
        click.echo(f"{job.job_id}  {job.status}\n{following}{ignored}")

    session.show(job, show_text)


def show_quote(session: Session, quote: Quote) -> None:
    """Print a price."""

    def show_text() -> None:
        dollars = f", about ${quote.usd:.3f} at the provider" if quote.usd else ""
        by = f", served by {quote.served_by}" if quote.served_by else ""
        rest = quote.credits.available - quote.cost
        enough = (
            f"{rest:,} available afterwards."
            if quote.credits.sufficient
            else quote.credits.reason or "not enough credits."
        )
        from taskreel_local.cli.text_output import format_credits

        click.echo(f"{format_credits(quote.cost)}{dollars}{by}; {enough}")
        click.echo("Nothing was created." + _name_ignored(quote.ignored_fields))

    session.show(quote, show_text)


def _name_ignored(fields: Sequence[str] | None) -> str:
    return f"\nThese fields have no effect: {', '.join(fields)}" if fields else ""


# ── watch ────────────────────────────────────────────────────────────────────────────────────────


@click.command("watch")
@click.argument(
    "job_ids", metavar="JOB...", type=JOB_ID, nargs=-1, required=True, shell_complete=JOB
)
@connected
def watch_jobs(session: Session, job_ids: tuple[str, ...]) -> None:
    """Show the progress of jobs until all have ended.

    The exit status is 0 if all are COMPLETED, else 1. Ctrl-C ends the command, not the jobs.
    """
    jobs = [session.client.get(job_id) for job_id in dict.fromkeys(job_ids)]
    end_with(session, follow_to_the_end(session, jobs))


def follow_to_the_end(session: Session, jobs: Sequence[Job]) -> list[Job]:
    """Follow jobs, and read what came of them."""
    from taskreel_local.cli.follow_jobs import follow_jobs

    return follow_jobs(session.patient_client, jobs, session.messages)


def end_with(session: Session, jobs: Sequence[Job]) -> None:
    """Print ended jobs; exit with 1 unless all are COMPLETED, so that scripts notice."""
    if session.as_json:
        print_json(jobs[0] if len(jobs) == 1 else {"jobs": jobs})
    else:
        from taskreel_local.cli.show_command import print_end

        for job in jobs:
            print_end(session, job)
    if any(job.status != "COMPLETED" for job in jobs):
        raise click.exceptions.Exit(1)


# ── jobs ─────────────────────────────────────────────────────────────────────────────────────────


@click.command("jobs")
@job_filters
@click.option("--parent", "parent_id", metavar="JOB", help="The jobs that this pipeline made.")
@click.option("--children", "include_children", is_flag=True, help="Also the jobs of pipelines.")
@click.option(
    "--oldest", "oldest_first", is_flag=True, help="The oldest first; as an admin with --owner."
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="At most.")
@click.option("--cursor", metavar="CURSOR", help="Go on after this nextCursor or job.")
@click.option("--ids", is_flag=True, help="Print the ids alone, for other commands.")
@connected
def list_jobs(
    session: Session,
    *,
    oldest_first: bool,
    limit: int,
    cursor: str | None,
    ids: bool,
    **filters: Any,
) -> None:
    """List jobs, the newest first: yours, or as an admin everybody's.

    \b
    Examples:
      taskreel jobs --status FAILED --since 24h
      taskreel jobs --status FAILED --text kite --ids | xargs taskreel retry --yes
    """
    wanted = {name: value for name, value in filters.items() if value not in ((), False, None)}
    if oldest_first:
        wanted["order"] = "oldest"
    jobs: list[Job] = []
    while True:
        size = min(_PAGE, limit - len(jobs))
        page = session.client.list_page(cursor, limit=size, **wanted)
        jobs.extend(page.jobs)
        cursor = page.next_cursor
        if cursor is None or len(jobs) >= limit:
            break
    if ids:
        click.echo("".join(f"{job.job_id}\n" for job in jobs), nl=False)
    else:
        session.show({"jobs": jobs, "nextCursor": cursor}, lambda: _print_jobs(session, jobs))


def _print_jobs(session: Session, jobs: Sequence[Job]) -> None:
    from taskreel_local.cli.text_output import format_distance, link, print_table, styled

    rows: list[tuple[object, ...]] = []
    wide = session.console.width >= WIDE
    for job in jobs:
        status = styled(job.status)
        if job.progress and not job.has_ended:
            status.append(f" {job.progress}%")
        page = session.target.dashboard_url(f"/jobs/{job.job_id}")
        cells = (link(job.job_id, page), status, job.job_type, format_distance(job.created_at))
        more = (job.user_id, job.served_by) if wide else ()
        error = ""
        if job.error:
            error = f"{job.error.code}: {job.error.message}" if wide else job.error.code
        rows.append((*cells, *more, error))
    columns = (
        "job",
        "status",
        "type",
        "created",
        *(("owner", "served by") if wide else ()),
        "error",
    )
    print_table(session.console, columns, rows, nothing="There are no such jobs.")


# ── types ────────────────────────────────────────────────────────────────────────────────────────


@click.command("types")
@click.argument("job_type", metavar="[TYPE]", required=False, shell_complete=JOB_TYPE)
@connected
def list_types(session: Session, job_type: str | None) -> None:
    """List the job types; for one, print the fields of its request and an example."""
    types = session.call("GET", "/api/jobs/types")["jobTypes"]
    if job_type is None:
        session.show({"jobTypes": types}, lambda: _print_types(session, types))
        return
    found = find_named(types, "jobType", job_type, "job type")
    shared = set.intersection(*(set(one["schema"].get("properties", ())) for one in types))
    session.show(found, lambda: _print_type(session, found, shared))


def _print_types(session: Session, types: Sequence[dict[str, Any]]) -> None:
    from taskreel_local.cli.text_output import print_table

    rows = [(one["jobType"], one["price"], one["summary"]) for one in types]
    print_table(session.console, ("type", "price", "makes"), rows)


def _print_type(session: Session, found: dict[str, Any], shared: set[str]) -> None:
    """Print a type's own fields; those that every type takes are named at the end."""
    import json

    from taskreel_local.cli.text_output import print_table

    schema = found["schema"]
    required = set(schema.get("required", ()))
    rows = [
        (
            name,
            _name_schema(field),
            "required" if name in required else "",
            " ".join(field.get("description", "").split()),
        )
        for name, field in schema.get("properties", {}).items()
        if name not in shared or name in required
    ]
    click.echo(f"{found['jobType']}: {found['summary']}. {found['price']}.\n")
    print_table(session.console, ("field", "takes", "", "means"), rows)
    click.echo(f"\nAs every type: {', '.join(sorted(shared - required))}")
    example = json.dumps(found["example"], ensure_ascii=False)
    click.echo(f"\nExample: taskreel submit {found['jobType']} '{example}'")


def _name_schema(field: dict[str, Any]) -> str:
    """The values that a field takes, in a few words."""
    if "enum" in field:
        return "|".join(map(str, field["enum"][:6]))
    if "$ref" in field:
        return "object"
    choices = field.get("anyOf") or field.get("oneOf") or ()
    names = [_name_schema(one) for one in choices if one.get("type") != "null"]
    return "|".join(dict.fromkeys(names)) or str(field.get("type", "any"))
