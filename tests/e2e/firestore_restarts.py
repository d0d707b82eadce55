"""Firestore's emulator behind a proxy, stopped and started again while its clients work.

It has its data in memory: what a restart keeps is what it exports before, as a managed service
keeps what it has acknowledged. Nobody reaches it meanwhile.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from e2e.store_outages import OutageProxy
from taskreel_local.emulators.google_emulators import firestore_emulator

_EXPORT_SECONDS = 60.0


@dataclass
class RestartingFirestore:
    """The emulator with the documents of `project`; its clients know the proxy's address."""

    project: str
    proxy: OutageProxy
    #: Where it listens now.
    address: str
    _scratch: Path
    _running: ExitStack = field(default_factory=ExitStack)
    _restarts: int = 0

    @classmethod
    @contextmanager
    def running(cls, project: str) -> Iterator[RestartingFirestore]:
        """Run it, and whatever it was replaced by, until the end of the block."""
        with ExitStack() as around:
            scratch = around.enter_context(tempfile.TemporaryDirectory(prefix="firestore-"))
            running = around.enter_context(ExitStack())
            address = running.enter_context(firestore_emulator())
            proxy = around.enter_context(OutageProxy(address).running())
            found = cls(project, proxy, address, Path(scratch), running)
            yield found

    def restart(self) -> None:
        """Stop it and start another with its documents; an outage of some seconds."""
        self.proxy.cut()
        self._restarts += 1
        name = f"restart-{self._restarts}"
        body = {
            "database": f"projects/{self.project}/databases/(default)",
            "export_directory": str(self._scratch),
            "export_name": name,
        }
        url = f"http://{self.address}/emulator/v1/projects/{self.project}:export"
        httpx.post(url, json=body, timeout=_EXPORT_SECONDS).raise_for_status()
        (documents,) = (self._scratch / name).glob("*.overall_export_metadata")
        self._running.close()
        self.address = self._running.enter_context(firestore_emulator(seed=documents))
        self.proxy.retarget(self.address)
        self.proxy.end_outage()
