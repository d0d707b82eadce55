from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.processes import Stack, stack


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for the tests of a file."""
    with stack(tmp_path_factory.mktemp("data")) as found:
        yield found
