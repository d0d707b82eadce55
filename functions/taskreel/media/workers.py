"""A pool of worker processes: media work runs here, with limits, so that a broken codec costs one attempt and no more.

Each worker is a pool of one: its pipe and locks are its own, so its death cannot disturb a neighbour.
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
    """Runs module-level functions in worker processes; starts nothing before the first `run`.

    `memory_mb` is what a worker may allocate beyond what it has when it starts; after `tasks_per_worker` tasks
    it is replaced. Belongs to the event loop of its first `run`; whoever made it calls `close`.
    """

    def __init__(
        self, *, max_workers: int | None = None, tasks_per_worker: int = 50, memory_mb: int = 1024
    ) -> None:
        self._free = asyncio.Semaphore(max_workers or os.cpu_count() or 1)
        self._tasks_per_worker = tasks_per_worker
        self._memory_mb = memory_mb
        self._idle: list[ProcessPool] = []
        self._started: set[ProcessPool] = set()
        self._stops: set[asyncio.Future[None]] = set()  # of what runs; done when it must end
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
        """What `function(*args, **kwargs)` returns; all of it must pickle.

        The time limit starts when a worker does, not while waiting for one. With `on_progress`, the function is given
        an `on_progress` of its own, and the highest fraction done is passed on here about twice a second.
        Raises what the function raised, TemporaryError when the worker hung, died or was closed, PermanentError
        when it ran out of memory. Cancelling kills the work.
        """
        with _progress_file(on_progress) as progress:
            async with self._worker() as worker:
                future: Future[Returned[T] | Raised] = _start(
                    worker, run_function, function, args, kwargs, progress, timeout_seconds
                )
                answer = await self._answer(future, timeout_seconds, progress, on_progress)
        if isinstance(answer, Raised):
            raise answer.error()
        return answer.value

    def close(self) -> None:
        """Kill all workers within about a second; what still runs ends with TemporaryError."""
        self._closed = True
        for stop in self._stops:
            if not stop.done():
                with suppress(RuntimeError):  # its event loop has ended, and the waiting with it
                    stop.set_result(None)
        pools, self._started, self._idle = self._started, set(), []
        for pool in pools:
            _stop(pool)
        for pool in pools:
            pool.join()

    async def _answer(
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
            await _watch(wrapped, stop, progress, on_progress)
            if stop.done():
                raise _closed()
            return await wrapped
        except TimeoutError:
            message = f"The work took longer than {timeout_seconds:g} s and was stopped; try again, or ask for less."
            raise TemporaryError(message, code="worker_timeout") from None
        except MemoryError:
            raise out_of_memory() from None
        except (BrokenExecutor, OSError) as exc:  # pebble's ProcessExpired is an OSError
            message = (
                "The worker process died while doing the work; another attempt gets a fresh one."
            )
            raise TemporaryError(
                message, code="worker_crashed", exit_code=getattr(exc, "exitcode", None)
            ) from exc
        finally:
            self._stops.discard(stop)
            wrapped.cancel()

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[ProcessPool]:
        async with self._free:
            worker = await self._take()
            try:
                yield worker
            finally:
                if worker.active and not self._closed:
                    self._idle.append(worker)
                elif worker in self._started:
                    self._started.discard(worker)
                    _stop(worker)

    async def _take(self) -> ProcessPool:
        if self._closed:
            raise _closed()
        while self._idle:
            worker = self._idle.pop()
            if worker.active:
                return worker
            self._started.discard(worker)  # it died while idle
        worker = await asyncio.to_thread(_new_worker, self._tasks_per_worker, self._memory_mb)
        self._started.add(worker)
        return worker


def out_of_memory() -> PermanentError:
    """The answer to work that needs more memory than a worker has."""
    return PermanentError(
        "The work needs more memory than a worker may use; ask for a smaller size or a shorter duration.",
        code="out_of_memory",
    )


def _closed() -> TemporaryError:
    return TemporaryError(
        "The workers are shut down; the work can be done again elsewhere.", code="workers_closed"
    )


def _stop(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]


def _new_worker(tasks: int, memory_mb: int) -> ProcessPool:
    from pebble import ProcessPool  # on first use: cold start

    pool = ProcessPool(
        max_workers=1,
        max_tasks=tasks,
        initializer=start_worker,
        initargs=(memory_mb,),
        context=_context(),
    )
    assert pool.active  # asking starts it  # noqa: S101
    return pool


def _context() -> BaseContext:
    """Forked from a server that has the heavy imports: a new worker is ready in milliseconds, sharing their memory."""
    import multiprocessing  # on first use: cold start

    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def _start(worker: ProcessPool, function: Callable[..., Any], *args: Any) -> Future[Any]:
    *given, timeout_seconds = args
    return worker.schedule(function, args=given, timeout=timeout_seconds)


async def _watch(
    wrapped: asyncio.Future[Any],
    stop: asyncio.Future[None],
    progress: Path | None,
    on_progress: Callable[[float], None] | None,
) -> None:
    """Wait for the answer or the pool's end, and tell the progress meanwhile."""
    seen, every = 0.0, PROGRESS_EVERY_SECONDS if progress else None
    while not (wrapped.done() or stop.done()):
        await asyncio.wait([wrapped, stop], timeout=every, return_when=asyncio.FIRST_COMPLETED)
        if progress and on_progress:
            now = read_progress(progress)
            if now > seen:
                seen = now
                on_progress(now)


@contextmanager
def _progress_file(on_progress: Callable[[float], None] | None) -> Iterator[Path | None]:
    if on_progress is None:
        yield None
        return
    handle, name = tempfile.mkstemp(prefix="taskreel-progress-")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
