"""Errors of asyncio.TaskGroup, as one error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taskreel.domain.errors import LeaseLostError


@contextmanager
def single_error() -> Iterator[None]:
    """Raise one error of a task group instead of its ExceptionGroup.

    A lost lease comes first, since after it nothing may be written; else the first error.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        lost, _ = group.split(LeaseLostError)
        raise _first_error(lost or group) from group


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
