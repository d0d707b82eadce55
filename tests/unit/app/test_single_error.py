"""Errors of a task group, as one error."""

from __future__ import annotations

import asyncio

import pytest

from taskreel.app.jobs.job_run import single_error
from taskreel.domain.errors import LeaseLostError, StoreError


async def _fail(error: Exception) -> None:
    raise error


async def _raise_all(*errors: Exception) -> None:
    async with asyncio.TaskGroup() as group:
        for error in errors:
            group.create_task(_fail(error))


@pytest.mark.parametrize("lost_first", [True, False])
async def test_a_lost_lease_comes_before_other_errors(*, lost_first: bool) -> None:
    errors: list[Exception] = [LeaseLostError("taken"), StoreError("away")]
    with pytest.raises(LeaseLostError), single_error():
        await _raise_all(*(errors if lost_first else reversed(errors)))


async def test_an_error_of_an_inner_group_is_raised_by_itself() -> None:
    async def fail_inside() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_raise_all(StoreError("away")))

    with pytest.raises(StoreError, match="away"), single_error():
        await fail_inside()


async def test_a_block_without_errors_raises_nothing() -> None:
    with single_error():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))


async def test_an_error_outside_a_group_stays_as_it_is() -> None:
    with pytest.raises(ValueError, match="plain"), single_error():
        raise ValueError("plain")
