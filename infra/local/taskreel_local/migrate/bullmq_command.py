"""`taskreel import bullmq`: submit the jobs that wait in BullMQ through the public API.

Redis is only read. A job's Idempotency-Key is derived from the old job, so that repeating the
import submits nothing twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click
import httpx
import jwt
import redis

from taskreel_local.migrate.bullmq_mapping import (
    NewJob,
    Rule,
    UnmappableError,
    load_rules,
    map_job,
)
from taskreel_local.migrate.bullmq_redis import (
    NOT_IMPORTED,
    count_not_imported,
    list_queues,
    read_waiting_jobs,
)

CONCURRENT = 16
TRIES = 3


# ── Submitting ───────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class ImportReport:
    """Counts of the imported and skipped jobs, and the refused ones."""

    done: Counter[str] = field(default_factory=Counter)
    not_imported: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str]] = field(default_factory=list)
    credits: int = 0


@dataclass(frozen=True, slots=True)
class SubmitApi:
    """The API, with one token for all jobs, or a secret that signs one for each job's user."""

    http: httpx.AsyncClient
    token: str | None
    jwt_secret: str | None
    dry_run: bool

    async def submit_job(self, job: NewJob, report: ImportReport) -> None:
        """Submit one job; with a dry run, only validate and price it."""
        headers = {
            "Authorization": f"Bearer {self._token_for(job)}",
            "Idempotency-Key": job.old.idempotency_key,
        }
        params = {"validateOnly": "true"} if self.dry_run else {}
        answer = await self._post(f"/api/jobs/{job.job_type}", job.body, headers, params)
        if answer.status_code in {401, 403}:
            raise click.ClickException(
                f"the API does not accept the token: {_problem_text(answer)}"
            )
        if (
            answer.headers.get("Idempotency-Replayed") == "true"
            or _problem_code(answer) == "idempotency_key_reused"
        ):
            # The second condition: the body differs now, because the time or the rule has changed.
            report.done["had been submitted before"] += 1
        elif answer.is_error:
            report.refused.append((job.old.label, _problem_text(answer)))
        elif self.dry_run:
            report.done["would be submitted"] += 1
            report.credits += answer.json()["cost"]
        else:
            report.done["submitted"] += 1

    def _token_for(self, job: NewJob) -> str:
        if self.jwt_secret and job.user:
            now = int(time.time())
            return jwt.encode(
                {"sub": job.user, "iat": now, "exp": now + 600}, self.jwt_secret, algorithm="HS256"
            )
        if not self.token:
            raise click.ClickException(
                "no token: set TASKREEL_TOKEN, or JWT_SECRET if the data of each job names its user"
            )
        return self.token

    async def _post(
        self, path: str, body: Mapping[str, Any], headers: dict[str, str], params: dict[str, str]
    ) -> httpx.Response:
        """Send a request, with retries. Repeating is safe: the Idempotency-Key is the same."""
        for attempt in range(1, TRIES + 1):
            try:
                answer = await self.http.post(path, json=body, headers=headers, params=params)
            except httpx.TransportError as error:
                if attempt == TRIES:
                    raise click.ClickException(
                        f"{self.http.base_url} does not respond: {error!r}"
                    ) from None
            else:
                if answer.status_code < 500 or attempt == TRIES:
                    return answer
            await asyncio.sleep(attempt)
        raise AssertionError("unreachable")


def _problem_code(answer: httpx.Response) -> str | None:
    """Return the code of a problem+json response, None for others."""
    is_problem = answer.headers.get("Content-Type", "").startswith("application/problem+json")
    return answer.json().get("code") if is_problem else None


def _problem_text(answer: httpx.Response) -> str:
    """Return a problem in one line, with its fields."""
    try:
        problem = answer.json()
    except ValueError:
        return f"{answer.status_code}: {answer.text[:200]}"
    fields = "; ".join(f"{each['path']}: {each['message']}" for each in problem.get("errors", ()))
    return f"{answer.status_code}: {fields or problem.get('detail') or problem.get('title')}"


async def submit_all(jobs: Iterator[NewJob], api: SubmitApi, report: ImportReport) -> None:
    """Submit the jobs, CONCURRENT at a time."""
    while group := list(islice(jobs, CONCURRENT)):
        outcomes = await asyncio.gather(
            *(api.submit_job(job, report) for job in group), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome


def map_waiting_jobs(
    old: redis.Redis, prefix: str, names: list[str], rules: Mapping[str, Rule], report: ImportReport
) -> Iterator[NewJob]:
    """Yield every waiting job of the queues as a request; unmappable ones go to the report."""
    now = datetime.now(UTC)
    for name in names:
        report.not_imported.update(count_not_imported(old, prefix, name))
        for job in read_waiting_jobs(old, prefix, name):
            try:
                yield map_job(job, rules, now)
            except UnmappableError as error:
                report.refused.append((job.label, str(error)))


# ── The command ──────────────────────────────────────────────────────────────────────────────────


@click.group("import")
def import_jobs() -> None:
    """Import jobs from another queue."""


@import_jobs.command("bullmq")
@click.option(
    "--redis", "redis_url", required=True, help="redis://[user:password@]host:6379/0, or rediss://."
)
@click.option("--prefix", default="bull", show_default=True, help="BullMQ's key prefix.")
@click.option(
    "--queue", "chosen", multiple=True, help="Only this queue; repeatable. Default: all queues."
)
@click.option(
    "--map",
    "map_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file of mapping rules (infra/MIGRATION.md).",
)
@click.option(
    "--api",
    "api_url",
    envvar="API_BASE_URL",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="URL of the API.",
)
@click.option(
    "--token",
    envvar="TASKREEL_TOKEN",
    help="Token of the user who will own the jobs; better set TASKREEL_TOKEN.",
)
@click.option(
    "--jwt-secret",
    envvar="JWT_SECRET",
    help="Secret that signs a token for the user named in each job's data.",
)
@click.option("--dry-run", is_flag=True, help="Validate and price all jobs; submit nothing.")
def import_bullmq(  # noqa: PLR0913 - one parameter an option
    *,
    redis_url: str,
    prefix: str,
    chosen: tuple[str, ...],
    map_file: Path | None,
    api_url: str,
    token: str | None,
    jwt_secret: str | None,
    dry_run: bool,
) -> None:
    """Submit BullMQ's waiting, delayed, prioritized and paused jobs. Stop its workers first."""
    rules, report = load_rules(map_file), ImportReport()
    try:
        # Values that are not UTF-8 belong to other programs; they must not stop the import.
        client = redis.Redis.from_url(
            redis_url, decode_responses=True, encoding_errors="replace", socket_timeout=30
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--redis") from None

    async def submit_everything() -> None:
        with client as old:
            names = list(chosen) or list_queues(old, prefix)
            if not names:
                raise click.ClickException(
                    f"found no BullMQ queue with the prefix {prefix!r}; see --prefix"
                )
            async with httpx.AsyncClient(base_url=api_url, timeout=60) as http:
                api = SubmitApi(http, token, jwt_secret, dry_run)
                await submit_all(map_waiting_jobs(old, prefix, names, rules, report), api, report)

    try:
        asyncio.run(submit_everything())
    except redis.RedisError as error:
        raise click.ClickException(f"Redis: {error}") from None
    _print_report(report, dry_run=dry_run)


def _print_report(report: ImportReport, *, dry_run: bool) -> None:
    for what, count in report.done.items():
        click.echo(f"{count:>8,} {what}" + (f", for {report.credits:,} credits" if dry_run else ""))
    for state, count in report.not_imported.items():
        click.echo(f"{count:>8,} not imported: {state}: {NOT_IMPORTED[state]}")
    if report.refused:
        click.echo(f"{len(report.refused):>8,} refused:")
        for label, reason in report.refused:
            click.echo(f"         {label}: {reason}")
        raise SystemExit(1)
