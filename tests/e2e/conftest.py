from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.commands import Commands
from e2e.processes import Stack, stack


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for the tests of a file."""
    with stack(tmp_path_factory.mktemp("data")) as found:
        yield found


@pytest.fixture(scope="module")
def commands(running: Stack, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The commands of an operator of that stack."""
    return Commands(running, tmp_path_factory.mktemp("config"))
