"""The changes of the code that the servers of a stack run."""

from __future__ import annotations

from collections.abc import AsyncIterator

from taskreel_local.stack.repository_paths import MAIN

#: The dashboard's files, which a server reads once.
_PAGE_FILES = (".js", ".css", ".html", ".svg")


async def watch_sources() -> AsyncIterator[None]:
    """Yield once for each burst of changes to the deployed code."""
    from watchfiles import PythonFilter, awatch

    async for _changes in awatch(
        MAIN.parent, watch_filter=PythonFilter(extra_extensions=_PAGE_FILES)
    ):
        yield
