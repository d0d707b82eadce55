"""A server process of the stack: started on a shared socket, and restarted when it ends."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping

from taskreel_local.stack.stack_error import StackError
from taskreel_local.stack.start_checks import REFUSED

_STOP_SECONDS = 8.0
#: A process that ends sooner than that is not started again at once.
_SHORT_LIFE_SECONDS = 5.0
_RESTART_SECONDS = 0.5


class ServerProcess:
    """One process that serves the functions on `listener`; `start` keeps it running.

    One that refuses its settings or its store's key is not started again: `on_refused` is called.
    """

    def __init__(
        self, listener: socket.socket, environ: Mapping[str, str], on_refused: Callable[[], None]
    ) -> None:
        self._listener = listener
        self._environ = environ
        self._on_refused = on_refused
        self._process: asyncio.subprocess.Process | None = None
        self._restarter: asyncio.Task[None] | None = None

    @property
    def ended(self) -> bool:
        """True if the process is not running now."""
        return self._process is None or self._process.returncode is not None

    async def start(self) -> None:
        """Start the process, and restart it whenever it ends."""
        await self._spawn_process()
        self._restarter = asyncio.create_task(self._restart_when_ended())

    async def stop(self) -> None:
        """Terminate the process; kill it if it does not end in time.

        On SIGTERM it answers running requests and releases its leases, so that other servers can
        take over its jobs at once.
        """
        if self._restarter is not None:
            self._restarter.cancel()
            self._restarter = None
        if self._process is None or self.ended:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _spawn_process(self) -> None:
        descriptor = self._listener.fileno()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "taskreel_local.stack.server_main",
            str(descriptor),
            env=dict(self._environ),
            stdin=asyncio.subprocess.PIPE,  # closed when the stack ends: the process then ends too
            pass_fds=(descriptor,),
            start_new_session=True,  # Ctrl-C goes to the stack only, which stops its servers
        )

    async def _restart_when_ended(self) -> None:
        loop = asyncio.get_running_loop()
        while self._process is not None:
            started_at = loop.time()
            if await self._process.wait() == REFUSED:
                self._on_refused()
                return
            if loop.time() - started_at < _SHORT_LIFE_SECONDS:
                await asyncio.sleep(_RESTART_SECONDS)
            await self._spawn_process()


def bind_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket that server processes inherit. Raises StackError."""
    try:
        listener = socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise StackError(
            f"Cannot listen on {host}:{port} ({error.strerror}). Choose another port: --port 8081"
        ) from None
    listener.set_inheritable(True)
    return listener
