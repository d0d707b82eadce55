"""The pytest fixture `cloud_tasks_emulator`. Found by pytest wherever this package is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from taskreel_cloud_tasks.testing import CloudTasksEmulator


@pytest.fixture(scope="session")
def _cloud_tasks_emulator_of_session() -> Iterator[CloudTasksEmulator]:
    # Imported here: a project that has this package installed need not pay for it in every run.
    from taskreel_cloud_tasks.testing import CloudTasksEmulator

    with CloudTasksEmulator() as emulator:
        yield emulator


@pytest.fixture
def cloud_tasks_emulator(
    _cloud_tasks_emulator_of_session: CloudTasksEmulator,
) -> Iterator[CloudTasksEmulator]:
    """A Cloud Tasks emulator under virtual time, without queues: see `CloudTasksEmulator`."""
    _cloud_tasks_emulator_of_session.reset()
    yield _cloud_tasks_emulator_of_session
    _cloud_tasks_emulator_of_session.reset()
