"""The composite indexes that the use cases' queries need.

The SQLite store makes them, Firestore's declarations repeat them, a test compares both with the queries sent.

Firestore merges two indexes that end in the same order, so filters on status, type and project need no index for each
combination. No index starts with a time: that would cap the collection at about 500 writes a second.
"""

from __future__ import annotations

from taskreel.ports import Direction, Index


def _index(collection: str, *fields: str, then: tuple[str, Direction]) -> Index:
    return Index(collection, (*((field, "asc") for field in fields), then))


INDEXES: tuple[Index, ...] = (
    _index("jobs", "userId", then=("createdAt", "desc")),
    _index("jobs", "userId", "status", then=("createdAt", "desc")),
    _index("jobs", "userId", "jobType", then=("createdAt", "desc")),
    _index("jobs", "projectId", then=("createdAt", "desc")),
    _index("jobs", "jobType", then=("createdAt", "desc")),
    _index("jobs", "jobType", "status", then=("createdAt", "desc")),
    _index("jobs", "wakeShard", then=("wakeAt", "asc")),
    _index("jobs", "parentId", then=("createdAt", "desc")),
    _index("jobs", "parentId", then=("step", "asc")),
    _index("ledger", "userId", then=("createdAt", "desc")),
)
