"""The composite indexes that the use cases' queries need: the SQLite store, the declarations for Firestore and a test read them."""

from __future__ import annotations

from taskreel.ports import Index

_NEWEST = ("createdAt", "desc")


def _listed_by(*fields: str) -> Index:
    return Index("jobs", (*((field, "asc") for field in fields), _NEWEST))


INDEXES: tuple[Index, ...] = (
    _listed_by("userId"),
    _listed_by("userId", "status"),
    _listed_by("userId", "jobType"),
    _listed_by("userId", "projectId"),
    _listed_by("userId", "status", "jobType"),
    Index("jobs", (("wakeShard", "asc"), ("wakeAt", "asc"))),
    Index("ledger", (("userId", "asc"), _NEWEST)),
)
