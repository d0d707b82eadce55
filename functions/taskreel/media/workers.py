"""Worker processes for media work, with limits: a crash in a codec costs one attempt, no more.

Each worker is a pebble pool of one process. Its pipe and locks are its own, so its death cannot
block another worker.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from concurrent.futures import BrokenExecutor, Future
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from taskreel.domain.errors import PermanentError, TemporaryError
from taskreel.media.worker_process import (
    Raised,
    Returned,
    read_progress,
    run_function,
    start_worker,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from multiprocessing.context import BaseContext

    from pebble import ProcessPool

T = TypeVar("T")

PROGRESS_EVERY_SECONDS = 0.5
PRELOAD = [
    "taskreel.media.worker_process",
    "av",
    "numpy",
    "PIL.Image",
    "PIL.ImageDraw",
    "PIL.ImageFilter",
    "PIL.ImageFont",
]


class WorkerPool:
    """The `MediaWorkers` port over processes: runs module-level functions.

    Starts nothing before the first `run`. `memory_mb` is what a worker may allocate beyond its
    memory at the start. A worker is replaced after `tasks_per_worker` tasks: codecs leak. Belongs
    to the event loop of its first `run`; its creator calls `close`.
    """

    def __init__(
        self, *, max_workers: int | None = None, tasks_per_worker: int = 50, memory_mb: int = 1024
    ) -> None:
        self._free = asyncio.Semaphore(max_workers or os.cpu_count() or 1)
        self._tasks_per_worker = tasks_per_worker
        self._memory_mb = memory_mb
        self._idle: list[ProcessPool] = []
        self._started: set[ProcessPool] = set()
        # One for each running call; `close` completes them, which ends the calls.
        self._stops: set[asyncio.Future[None]] = set()
        self._closed = False

    async def run(
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        timeout_seconds: float,
        on_progress: Callable[[float], None] | None = None,
        **kwargs: Any,
    ) -> T:
        """Return `function(*args, **kwargs)`; function, arguments and result must pickle.

        The time limit starts with the work, not while waiting for a free worker. With
        `on_progress`, the function gets an `on_progress` of its own, and the highest fraction is
        passed on about twice a second. Raises the function's error; TemporaryError when the worker
        hung, died or was closed; PermanentError when it ran out of memory. Cancelling kills the
        work.
        """
        with _make_progress_file(on_progress) as progress:
            async with self._reserve_worker() as worker:
                future: Future[Returned[T] | Raised] = _schedule(
                    worker, run_function, function, args, kwargs, progress, timeout_seconds
                )
                answer = await self._await_answer(future, timeout_seconds, progress, on_progress)
        if isinstance(answer, Raised):
            raise answer.rebuild_error()
        return answer.value

    def close(self) -> None:
        """Kill all workers within about a second; running calls end with TemporaryError."""
        self._closed = True
        for stop in self._stops:
            if not stop.done():
                with suppress(RuntimeError):  # its event loop is closed: no call waits any more
                    stop.set_result(None)
        pools, self._started, self._idle = self._started, set(), []
        for pool in pools:
            _stop_pool(pool)
        for pool in pools:
            pool.join()

    async def _await_answer(
        self,
        future: Future[Returned[T] | Raised],
        timeout_seconds: float,
        progress: Path | None,
        on_progress: Callable[[float], None] | None,
    ) -> Returned[T] | Raised:
        wrapped = asyncio.wrap_future(future)
        stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stops.add(stop)
        try:
            await _watch_progress(wrapped, stop, progress, on_progress)
            if stop.done():
                raise _make_closed_error()
            return await wrapped
        except TimeoutError:
            message = (
                f"The media work took longer than {timeout_seconds:g} s and was stopped; another"
                " attempt follows. Ask for a smaller size or a shorter duration."
            )
            raise TemporaryError(message, code="worker_timeout") from None
        except MemoryError:
            raise make_out_of_memory_error() from None
        except (BrokenExecutor, OSError) as exc:  # pebble's ProcessExpired is an OSError
            message = "The media worker crashed during the work; another attempt gets a new worker."
            raise TemporaryError(
                message, code="worker_crashed", exit_code=getattr(exc, "exitcode", None)
            ) from exc
        finally:
            self._stops.discard(stop)
            wrapped.cancel()

    @asynccontextmanager
    async def _reserve_worker(self) -> AsyncIterator[ProcessPool]:
        async with self._free:
            worker = await self._take_worker()
            try:
                yield worker
            finally:
                if worker.active and not self._closed:
                    self._idle.append(worker)
                elif worker in self._started:
                    self._started.discard(worker)
                    _stop_pool(worker)

    async def _take_worker(self) -> ProcessPool:
        if self._closed:
            raise _make_closed_error()
        while self._idle:
            worker = self._idle.pop()
            if worker.active:
                return worker
            self._started.discard(worker)  # it died while idle
        worker = await asyncio.to_thread(_start_worker, self._tasks_per_worker, self._memory_mb)
        self._started.add(worker)
        return worker


def make_out_of_memory_error() -> PermanentError:
    """Return the error for work that needs more memory than a worker has."""
    return PermanentError(
        "The work needs more memory than a media worker may use; ask for a smaller size or a"
        " shorter duration.",
        code="out_of_memory",
    )


def _make_closed_error() -> TemporaryError:
    return TemporaryError(
        "The media workers of this instance have shut down; another attempt runs elsewhere.",
        code="workers_closed",
    )


def _stop_pool(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]


def _start_worker(tasks: int, memory_mb: int) -> ProcessPool:
    from pebble import ProcessPool  # on first use: cold start

    pool = ProcessPool(
        max_workers=1,
        max_tasks=tasks,
        initializer=start_worker,
        initargs=(memory_mb,),
        context=_choose_context(),
    )
    assert pool.active  # reading this starts the process  # noqa: S101
    return pool


def _choose_context() -> BaseContext:
    """Fork workers from a server with the heavy imports: they start in milliseconds."""
    import multiprocessing  # on first use: cold start

    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def _schedule(worker: ProcessPool, function: Callable[..., Any], *args: Any) -> Future[Any]:
    *given, timeout_seconds = args
    return worker.schedule(function, args=given, timeout=timeout_seconds)


async def _watch_progress(
    wrapped: asyncio.Future[Any],
    stop: asyncio.Future[None],
    progress: Path | None,
    on_progress: Callable[[float], None] | None,
) -> None:
    """Wait for the answer or the pool's end, and report progress meanwhile."""
    seen, every = 0.0, PROGRESS_EVERY_SECONDS if progress else None
    while not (wrapped.done() or stop.done()):
        await asyncio.wait([wrapped, stop], timeout=every, return_when=asyncio.FIRST_COMPLETED)
        if progress and on_progress:
            now = read_progress(progress)
            if now > seen:
                seen = now
                on_progress(now)


@contextmanager
def _make_progress_file(on_progress: Callable[[float], None] | None) -> Iterator[Path | None]:
    if on_progress is None:
        yield None
        return
    handle, name = tempfile.mkstemp(prefix="taskreel-progress-")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
