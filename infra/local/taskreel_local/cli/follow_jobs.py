"""Following jobs: a bar each on a terminal, else a line for each change of status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import BoundedSemaphore, Thread
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


def _follow_all(client: Taskreel, jobs: Sequence[Job], show: _Show) -> list[Job]:
    if len(jobs) == 1:
        return [_follow(client, jobs[0], show)]
    room = BoundedSemaphore(MOST_FOLLOWED)
    threads = [_Follower(client, job, show, room) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [thread.take_end() for thread in threads]


def _follow(client: Taskreel, job: Job, show: _Show) -> Job:
    """Show a job's changes until it has ended; return it as it ended."""
    show(job)
    if not job.has_ended:
        for state in client.stream(job):
            job = state
            show(job)
    return job


class _Follower(Thread):
    """Follows one of several jobs. A daemon: Ctrl-C does not wait for the next change."""

    def __init__(self, client: Taskreel, job: Job, show: _Show, room: BoundedSemaphore) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._job = job
        self._show = show
        self._room = room
        self._error: Exception | None = None

    def run(self) -> None:
        """Follow the job, as soon as there is room."""
        try:
            with self._room:
                self._job = _follow(self._client, self._job, self._show)
        except Exception as error:  # noqa: BLE001 - it is raised where the thread is joined
            self._error = error

    def take_end(self) -> Job:
        """The job as it ended. Raises the error that ended the following."""
        if self._error is not None:
            raise self._error
        return self._job


def _print_change(job: Job) -> None:
    error = f"  {clean(job.error.message)}" if job.error else ""
    click.echo(f"{job.job_id}  {job.status:<10} {job.progress:>3}%{error}", err=True)
