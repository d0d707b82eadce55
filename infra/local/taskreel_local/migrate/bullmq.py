"""`taskreel import bullmq`: the jobs that wait in BullMQ's Redis, submitted once each through the public API.

Redis is only read. A job's Idempotency-Key is made from its old name, so that a second import, or one that was cut
short, submits nothing twice.
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

from taskreel_local.migrate.bullmq_jobs import (
    LEFT,
    NewJob,
    Rule,
    UnmappableError,
    left_behind,
    load_rules,
    queues,
    translate,
    waiting_jobs,
)

CONCURRENT = 16
TRIES = 3


# ── Submitting ───────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Report:
    """What became of the jobs."""

    done: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str]] = field(default_factory=list)
    credits: int = 0


@dataclass(frozen=True, slots=True)
class Api:
    """Where to submit, and as whom: one token for all, or a secret to sign one for each job's own user."""

    http: httpx.AsyncClient
    token: str | None
    jwt_secret: str | None
    dry_run: bool

    async def submit(self, job: NewJob, report: Report) -> None:
        """Submit one job, or with a dry run have it checked and priced."""
        headers = {"Authorization": f"Bearer {self._token(job)}", "Idempotency-Key": job.old.key}
        params = {"validateOnly": "true"} if self.dry_run else {}
        answer = await self._send(f"/api/jobs/{job.job_type}", job.body, headers, params)
        if answer.status_code in {401, 403}:
            raise click.ClickException(f"the API does not accept the token: {_reason(answer)}")
        if (
            answer.headers.get("Idempotency-Replayed") == "true"
            or _code(answer) == "idempotency_key_reused"
        ):
            # The second: its time has come since, or its rule has changed.
            report.done["had been submitted before"] += 1
        elif answer.is_error:
            report.refused.append((job.old.label, _reason(answer)))
        elif self.dry_run:
            report.done["would be submitted"] += 1
            report.credits += answer.json()["cost"]
        else:
            report.done["submitted"] += 1

    def _token(self, job: NewJob) -> str:
        if self.jwt_secret and job.user:
            now = int(time.time())
            return jwt.encode(
                {"sub": job.user, "iat": now, "exp": now + 600}, self.jwt_secret, algorithm="HS256"
            )
        if not self.token:
            raise click.ClickException(
                "set TASKREEL_TOKEN, or JWT_SECRET where each job's data names its user"
            )
        return self.token

    async def _send(
        self, path: str, body: Mapping[str, Any], headers: dict[str, str], params: dict[str, str]
    ) -> httpx.Response:
        """The answer. Repeating is safe: the key is the same."""
        for attempt in range(1, TRIES + 1):
            try:
                answer = await self.http.post(path, json=body, headers=headers, params=params)
            except httpx.TransportError as error:
                if attempt == TRIES:
                    raise click.ClickException(
                        f"{self.http.base_url} does not answer: {error!r}"
                    ) from None
            else:
                if answer.status_code < 500 or attempt == TRIES:
                    return answer
            await asyncio.sleep(attempt)
        raise AssertionError("unreachable")


def _code(answer: httpx.Response) -> str | None:
    """A problem's code."""
    is_problem = answer.headers.get("Content-Type", "").startswith("application/problem+json")
    return answer.json().get("code") if is_problem else None


def _reason(answer: httpx.Response) -> str:
    """A problem in one line, with the fields that it names."""
    try:
        problem = answer.json()
    except ValueError:
        return f"{answer.status_code}: {answer.text[:200]}"
    fields = "; ".join(f"{each['path']}: {each['message']}" for each in problem.get("errors", ()))
    return f"{answer.status_code}: {fields or problem.get('detail') or problem.get('title')}"


async def submit_all(jobs: Iterator[NewJob], api: Api, report: Report) -> None:
    """Submit them, a few at a time."""
    while group := list(islice(jobs, CONCURRENT)):
        outcomes = await asyncio.gather(
            *(api.submit(job, report) for job in group), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome


def translated(
    old: redis.Redis, prefix: str, names: list[str], rules: Mapping[str, Rule], report: Report
) -> Iterator[NewJob]:
    """Every waiting job of these queues in our words; the report has those that cannot be said in them."""
    now = datetime.now(UTC)
    for name in names:
        report.left.update(left_behind(old, prefix, name))
        for job in waiting_jobs(old, prefix, name):
            try:
                yield translate(job, rules, now)
            except UnmappableError as error:
                report.refused.append((job.label, str(error)))


# ── The command ──────────────────────────────────────────────────────────────────────────────────


@click.group("import")
def import_() -> None:
    """Bring jobs over from another queue."""


@import_.command("bullmq")
@click.option(
    "--redis", "redis_url", required=True, help="redis://[user:password@]host:6379/0, or rediss://."
)
@click.option("--prefix", default="bull", show_default=True, help="BullMQ's key prefix.")
@click.option(
    "--queue", "chosen", multiple=True, help="Only this queue; may be given again. All by default."
)
@click.option(
    "--map",
    "map_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rules (YAML).",
)
@click.option(
    "--api", "api_url", envvar="API_BASE_URL", default="http://127.0.0.1:8080", show_default=True
)
@click.option(
    "--token", envvar="TASKREEL_TOKEN", help="Whose jobs they become. Better in TASKREEL_TOKEN."
)
@click.option(
    "--jwt-secret",
    envvar="JWT_SECRET",
    help="Signs a token for the user that each job's data names.",
)
@click.option("--dry-run", is_flag=True, help="Have everything checked and priced; submit nothing.")
def bullmq(  # noqa: PLR0913 - one parameter an option
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
    """Submit BullMQ's waiting, delayed, prioritized and paused jobs once each. Stop its workers first."""
    rules, report = load_rules(map_file), Report()
    try:
        # Bytes that are no UTF-8 are somebody else's; they must not end the import.
        client = redis.Redis.from_url(
            redis_url, decode_responses=True, encoding_errors="replace", socket_timeout=30
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--redis") from None

    async def run() -> None:
        with client as old:
            names = list(chosen) or queues(old, prefix)
            if not names:
                raise click.ClickException(f"no BullMQ queue under {prefix!r} there; see --prefix")
            async with httpx.AsyncClient(base_url=api_url, timeout=60) as http:
                api = Api(http, token, jwt_secret, dry_run)
                await submit_all(translated(old, prefix, names, rules, report), api, report)

    try:
        asyncio.run(run())
    except redis.RedisError as error:
        raise click.ClickException(f"Redis: {error}") from None
    _show(report, dry_run=dry_run)


def _show(report: Report, *, dry_run: bool) -> None:
    for what, count in report.done.items():
        click.echo(f"{count:>8,} {what}" + (f", for {report.credits:,} credits" if dry_run else ""))
    for state, count in report.left.items():
        click.echo(f"{count:>8,} left where they are: {state}: {LEFT[state]}")
    if report.refused:
        click.echo(f"{len(report.refused):>8,} not possible:")
        for label, reason in report.refused:
            click.echo(f"         {label}: {reason}")
        raise SystemExit(1)
