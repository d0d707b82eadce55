"""Files of the bucket to which no document refers: found by an audit, removed by its repair.

They break no rule. A removal that broke off between documents and files leaves them, and a store
that removes what has expired does so hours before the bucket or after it. In the cloud they are
removed by their age; on one machine only here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskreel.app.services import Services
from taskreel.domain.errors import UnreadableDocumentError
from taskreel.ports import Collection
from taskreel.store_collections import JOBS, UPLOADS

#: The first part of a path, and the documents of which the second part is the id.
_OWNERS: Mapping[str, Collection[Any]] = {"artifacts": JOBS, "uploads": UPLOADS}


async def find_unowned_files(services: Services) -> list[str]:
    """The paths of files whose job or upload is not stored. A read for each of these."""
    known: dict[tuple[str, str], bool] = {}
    found = []
    for kind in _OWNERS:
        async for path in services.blobs.list_paths(f"{kind}/"):
            owner = _find_owner(path)
            if owner is None:
                continue
            if owner not in known:
                known[owner] = await _is_stored(services, *owner)
            if not known[owner]:
                found.append(path)
    return sorted(found)


async def remove_unowned_file(services: Services, path: str) -> bool:
    """Remove the file; False if its document is there after all.

    A document comes before its files, so what is without one now gets none later; only the request
    of an Idempotency-Key may make its job again, and that job's files come after its run.
    """
    owner = _find_owner(path)
    if owner is None or await _is_stored(services, *owner):
        return False
    await services.blobs.delete(path)
    return True


def _find_owner(path: str) -> tuple[str, str] | None:
    """The kind of a file and the id of its document; None for a path that is not ours."""
    kind, *rest = path.split("/")
    return (kind, rest[0]) if kind in _OWNERS and len(rest) > 1 else None


async def _is_stored(services: Services, kind: str, id_: str) -> bool:
    try:
        return await services.store.get(_OWNERS[kind], id_) is not None
    except UnreadableDocumentError:
        return True
