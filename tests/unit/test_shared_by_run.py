"""What the processes of a test run share; a lock is an open file's, so one process is enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from shared_by_run import share_in_run


def test_a_server_is_started_once_and_ends_after_its_last_user(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    events: list[str] = []

    @contextmanager
    def start() -> Iterator[str]:
        events.append("started")
        yield "its address"
        events.append("ended")

    first, second, third = (share_in_run(tmp_path_factory, "a-server", start) for _ in range(3))
    assert first.__enter__() == "its address"
    assert second.__enter__() == "its address"
    ending = Thread(target=first.__exit__, args=(None, None, None))
    ending.start()
    ending.join(0.1)
    assert events == ["started"]
    second.__exit__(None, None, None)
    ending.join(30)
    assert events == ["started", "ended"]
    with third:
        assert events == ["started", "ended", "started"]
