"""Following jobs: a bar each on a terminal, else a line for each change of status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from taskreel_local.cli.text_output import STYLES, clean

if TYPE_CHECKING:
    from taskreel.client import Job, Taskreel

_Show = Callable[["Job"], None]

#: The server allows a user 32 connections that wait.
MOST_FOLLOWED = 16


def follow_jobs(client: Taskreel, jobs: Sequence[Job], messages: Console) -> list[Job]:
    """Show the jobs' changes until all have ended; return them as they ended.

    Ctrl-C ends the following, not the jobs.
    """
    if messages.is_terminal:
        return _follow_with_bars(client, jobs, messages)
    return _follow_all(client, jobs, _print_change)


def _follow_with_bars(client: Taskreel, jobs: Sequence[Job], messages: Console) -> list[Job]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=messages) as progress:
        bars: dict[str, TaskID] = {}
        for job in jobs:
            title = f"{job.job_type} {job.job_id}" if len(jobs) > 1 else job.job_type
            bars[job.job_id] = progress.add_task(title, total=100, state="")

        def update(job: Job) -> None:
            style = STYLES.get(job.status, "default")
            state = f"[{style}]{job.status.lower()}[/]"
            if job.current_step and not job.has_ended:
                state = f"{state} {escape(clean(job.current_step))}"
            progress.update(bars[job.job_id], completed=job.progress, state=state)
            if job.has_ended:
                progress.stop_task(bars[job.job_id])

        return _follow_all(client, jobs, update)


class _Following:
    """One job, whose changes are shown."""

    def __init__(self, client: Taskreel, show: _Show) -> None:
        self._client = client
        self._show = show

    def run(self, job: Job) -> Job:
        self._show(job)
        if job.has_ended:
            return job
        for state in self._client.stream(job):
            job = state
            self._show(job)
        return job


def _follow_all(client: Taskreel, jobs: Sequence[Job], show: _Show) -> list[Job]:
    following = _Following(client, show)
    if len(jobs) == 1:
        return [following.run(jobs[0])]
    pool = ThreadPoolExecutor(min(len(jobs), MOST_FOLLOWED))
    try:
        return list(pool.map(following.run, jobs))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _print_change(job: Job) -> None:
    error = f"  {clean(job.error.message)}" if job.error else ""
    click.echo(f"{job.job_id}  {job.status:<10} {job.progress:>3}%{error}", err=True)
