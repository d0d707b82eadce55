"""`taskreel dev --reload`: a change that the servers cannot start with does not end the stack."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import httpx
import pytest
from rich.console import Console

from taskreel_local.cli import dev
from taskreel_local.stack import local_stack
from taskreel_local.stack.local_stack import Stack
from taskreel_local.stack.server_process import ServerProcess
from taskreel_local.stack.stack_error import StackError


class StubbornStack(Stack):
    """A stack whose servers start with every second change alone."""

    def __init__(self) -> None:
        self.reloads = 0

    async def reload(self) -> None:
        self.reloads += 1
        if self.reloads % 2:
            raise StackError("The servers ended [soon].")


class SilentStack(Stack):
    """A stack whose server runs, and accepts no connection."""

    def __init__(self) -> None:
        self.url = "http://127.0.0.1:1"
        self._servers = []
        self._is_refused = False

    async def _responds(self, client: httpx.AsyncClient) -> bool:  # noqa: ARG002 - as its base
        self._servers = [ServerProcess.__new__(ServerProcess)]
        return False


async def test_the_next_change_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def change_thrice() -> AsyncIterator[None]:
        for _ in range(3):
            yield

    monkeypatch.setattr(dev, "watch_sources", change_thrice)
    stack, printed = StubbornStack(), io.StringIO()
    await dev._reload_on_changes(Console(file=printed, width=200), stack)
    assert stack.reloads == 3
    assert printed.getvalue().count("The servers ended [soon]. Change the code") == 2


async def test_servers_that_do_not_answer_in_time_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_stack, "_START_SECONDS", 0.01)
    monkeypatch.setattr(ServerProcess, "ended", False)
    with pytest.raises(StackError, match="have not answered at http"):
        await SilentStack()._wait_until_ready()
