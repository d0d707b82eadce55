"""`taskreel top`: queues and jobs on the whole screen, again and again."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.job_commands import WIDE
from taskreel_local.cli.queue_commands import QUEUE_COLUMNS, build_queue_row, is_used
from taskreel_local.cli.text_output import (
    add_row,
    clean,
    count_of,
    format_distance,
    make_table,
    styled,
)

if TYPE_CHECKING:
    from taskreel.client import Job

_WAITING = ("SCHEDULED", "BLOCKED", "THROTTLED", "QUEUED", "RETRYING")
#: What `f` shows, in its order.
_FILTERS: dict[str, Sequence[str]] = {
    "all": (),
    "running": ("PROCESSING", "RETRYING"),
    "waiting": _WAITING,
    "failed": ("FAILED", "EXPIRED"),
}
_MOST_JOBS = 100
#: In narrower windows a job's columns would be cut.
_ROOM_FOR_BARS = 96
_ESCAPE = "\x1b"
#: A server that answers later than this is said to be silent.
_SILENCE_SECONDS = 3.0


@dataclass(slots=True)
class Snapshot:
    """The API's queues, health and newest jobs at a time; or why there are none."""

    health: dict[str, Any] = field(default_factory=dict)
    queues: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    at: datetime = field(default_factory=lambda: datetime.now().astimezone())
    fault: str = ""


@click.command("top")
@click.option(
    "--every", default=2.0, show_default=True, type=click.FloatRange(0.2), help="Seconds."
)
@click.option("--once", is_flag=True, help="Print it once, and end.")
@connected
def show_top(session: Session, *, every: float, once: bool) -> None:
    """Show queues and jobs on the whole screen, as they change.

    With --json it is printed once: {health, queues, jobs}.

    \b
    Keys: f  all, running, waiting or failed jobs     space  stop and go on
          r  read now                                 q      quit

    Each reading is three requests; the lists of an admin are of all users.
    """
    if session.as_json or once or not sys.stdout.isatty():
        snapshot = _read(session, "all")
        value = {"health": snapshot.health, "queues": snapshot.queues, "jobs": snapshot.jobs}
        screen = _Screen(session, snapshot)
        session.show(value, lambda: session.console.print(screen.render(40)))
        return
    _run(session, every)


def _read(session: Session, shown: str) -> Snapshot:
    """Read all that is shown."""
    page = session.client.list_page(limit=_MOST_JOBS, status=_FILTERS[shown] or None)
    return Snapshot(
        health=session.call("GET", "/api/jobs/health"),
        queues=session.call("GET", "/api/jobs/queues/stats")["queues"],
        jobs=page.jobs,
    )


class _Reader:
    """Reads in a thread of its own: keys work also while the server does not answer."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._wanted: SimpleQueue[str] = SimpleQueue()
        self._read: SimpleQueue[Snapshot | Exception] = SimpleQueue()
        #: The time at which the reading under way was begun.
        self.since: float | None = None
        Thread(target=self._work, daemon=True).start()

    def begin(self, shown: str) -> None:
        """Begin a reading, unless one is under way."""
        if self.since is None:
            self.since = time.monotonic()
            self._wanted.put(shown)

    def take(self) -> Snapshot | None:
        """The finished reading, if there is one. Raises ApiError."""
        try:
            found = self._read.get_nowait()
        except Empty:
            return None
        self.since = None
        if isinstance(found, Exception):
            raise found
        return found

    def _work(self) -> None:
        import httpx

        from taskreel.client import ApiError

        while True:
            shown = self._wanted.get()
            try:
                self._read.put(_read(self._session, shown))
            except httpx.TransportError as error:
                self._read.put(Snapshot(fault=f"the server does not respond: {error}"))
            except ApiError as error:
                busy = error.status >= httpx.codes.INTERNAL_SERVER_ERROR
                self._read.put(Snapshot(fault=str(error)) if busy else error)
            except Exception:  # noqa: BLE001 - the connections were closed: the screen has ended
                return


def _run(session: Session, every: float) -> None:
    """Show it until a key ends it."""
    screen = _Screen(session, Snapshot())
    reader = _Reader(session)
    console = session.console
    with _read_keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        due = 0.0
        while True:
            if not screen.stopped and time.monotonic() >= due:
                reader.begin(screen.shown)
                due = time.monotonic() + every
            screen.update(reader.take(), reader.since)
            live.update(screen.render(console.height), refresh=True)
            key = next(keys)
            if key in {"q", _ESCAPE, "\x03"}:
                return
            if screen.press(key):
                due = 0.0


@contextmanager
def _read_keys() -> Iterator[Iterator[str]]:
    """The keys that are pressed, one a time; an empty text after a moment without one."""
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def read() -> Iterator[str]:
        while True:
            pressed = select.select([terminal], [], [], 0.2)[0]
            yield os.read(terminal, 16).decode("utf-8", "replace") if pressed else ""

    try:
        tty.setcbreak(terminal)
        yield read()
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


class _Screen:
    """The content of the screen, and the choice of its jobs."""

    def __init__(self, session: Session, snapshot: Snapshot) -> None:
        self._session = session
        self._snapshot = snapshot
        self._silence = ""
        self.shown = "all"
        self.stopped = False

    def update(self, found: Snapshot | None, reading_since: float | None) -> None:
        """Show what was read. Without the server the last reading stays, with the fault."""
        if found is not None and found.fault:
            self._snapshot.fault = found.fault
        elif found is not None:
            self._snapshot = found
        waited = time.monotonic() - reading_since if reading_since is not None else 0
        self._silence = f"no answer for {waited:.0f} s" if waited > _SILENCE_SECONDS else ""

    def press(self, key: str) -> bool:
        """Act on a key; True if everything has to be read at once."""
        match key:
            case "f":
                names = list(_FILTERS)
                self.shown = names[(names.index(self.shown) + 1) % len(names)]
                return True
            case " ":
                self.stopped = not self.stopped
                return not self.stopped
            case "r":
                return True
            case _:
                return False

    def render(self, height: int) -> RenderableType:
        """The whole screen, at most so many lines."""
        used = [one for one in self._snapshot.queues if is_used(one)]
        queues = make_table(QUEUE_COLUMNS)
        for one in used:
            add_row(queues, build_queue_row(one))
        room = max(3, height - len(used) - 6)
        parts: list[RenderableType] = [self._render_heading()]
        if used:
            parts += [queues, ""]
        return Group(*parts, self._render_jobs(room))

    def _render_heading(self) -> Text:
        snapshot = self._snapshot
        heading = Text("taskreel ", style="bold")
        heading.append(self._session.target.url, style="default")
        heading.append("  ")
        fault = self._silence or snapshot.fault
        if fault:
            heading.append(clean(fault), style="red")
        else:
            heading.append(styled(snapshot.health.get("status", "")))
            for reason in snapshot.health.get("reasons", ()):
                heading.append(f" {clean(reason)}", style="yellow")
        counts = [one["queue"] for one in snapshot.queues]
        active, waiting = (sum(one[name] for one in counts) for name in ("active", "waiting"))
        heading.append(f"\n{count_of(active, 'job')} running, {waiting:,} waiting", "default")
        state = "stopped" if self.stopped else f"{snapshot.at:%H:%M:%S}"
        heading.append(f"   {state}   [f] {self.shown}  [space] stop  [r] read  [q] quit\n", "dim")
        return heading

    def _render_jobs(self, most: int) -> RenderableType:
        jobs = self._snapshot.jobs[:most]
        if not jobs:
            return Text("No such jobs.", style="dim")
        width = self._session.console.width
        if width < _ROOM_FOR_BARS:
            return _list_jobs_narrow(jobs)
        wide = width >= WIDE
        more = ("owner", "served by") if wide else ()
        table = make_table(("job", "status", "progress", "type", "created", *more, "error"))
        for job in jobs:
            bar: RenderableType = "" if job.has_ended else ProgressBar(100, job.progress, width=12)
            cells = (job.job_id, styled(job.status), bar, job.job_type)
            facts = (job.user_id, job.served_by) if wide else ()
            error = job.error.message if job.error else ""
            add_row(table, (*cells, format_distance(job.created_at), *facts, error))
        return table


def _list_jobs_narrow(jobs: Sequence[Job]) -> RenderableType:
    """The jobs in 80 columns: with whole ids and statuses, and without bars and errors."""
    table = make_table(("job", "status", ">%", "created", "type"))
    for job in jobs:
        progress = "" if job.has_ended else str(job.progress)
        cells = (job.job_id, styled(job.status), progress, format_distance(job.created_at))
        add_row(table, (*cells, job.job_type))
    return table
