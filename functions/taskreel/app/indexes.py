"""The composite indexes that the use cases' queries need.

The SQLite store creates them and infra/firestore.indexes.json repeats them; a test compares both
with the queries that are sent.

Firestore merges two indexes that end in the same order, so that filters on status, type and project
need no index for each combination. No index starts with a time: that would limit the collection to
about 500 writes a second.
"""

from __future__ import annotations

from taskreel.ports import Direction, Index


def _define_index(collection: str, *fields: str, then: tuple[str, Direction]) -> Index:
    # What is due is sought up to a time, and most documents are never due again.
    is_bounded = then[0] in {"wakeAt", "expireAt"}
    return Index(collection, (*((field, "asc") for field in fields), then), is_bounded)


INDEXES: tuple[Index, ...] = (
    _define_index("jobs", "userId", then=("createdAt", "desc")),
    _define_index("jobs", "userId", "status", then=("createdAt", "desc")),
    _define_index("jobs", "userId", "jobType", then=("createdAt", "desc")),
    _define_index("jobs", "projectId", then=("createdAt", "desc")),
    _define_index("jobs", "jobType", then=("createdAt", "desc")),
    _define_index("jobs", "jobType", "status", then=("createdAt", "desc")),
    _define_index("jobs", "userId", then=("updatedAt", "asc")),
    _define_index("jobs", "projectId", then=("updatedAt", "asc")),
    _define_index("jobs", "jobType", then=("updatedAt", "asc")),
    _define_index("jobs", "userId", "waitsFor", then=("rank", "asc")),
    _define_index("jobs", "limitedAs", "waitsFor", then=("rank", "asc")),
    _define_index("jobs", "jobType", "waitsFor", then=("rank", "asc")),
    _define_index("jobs", "providerSlot", "status", then=("createdAt", "desc")),
    _define_index("jobs", "providerSlot", "waitsFor", then=("rank", "asc")),
    _define_index("jobs", "projectSlot", "status", then=("createdAt", "desc")),
    _define_index("jobs", "projectSlot", "waitsFor", then=("rank", "asc")),
    _define_index("jobs", "cacheKey", then=("createdAt", "desc")),
    _define_index("jobs", "slotOf", then=("createdAt", "desc")),
    _define_index("jobs", "wakeShard", then=("wakeAt", "asc")),
    _define_index("jobs", "parentId", then=("createdAt", "desc")),
    _define_index("jobs", "parentId", then=("step", "asc")),
    _define_index("accounts", "wakeShard", then=("wakeAt", "asc")),
    _define_index("dead_letters", "jobType", then=("lastSeenAt", "desc")),
    _define_index("ledger", "userId", then=("createdAt", "desc")),
    _define_index("recurring_jobs", "userId", then=("createdAt", "desc")),
    _define_index("recurring_jobs", "projectId", then=("createdAt", "desc")),
    _define_index("recurring_jobs", "jobType", then=("createdAt", "desc")),
    _define_index("recurring_jobs", "wakeShard", then=("wakeAt", "asc")),
    _define_index("operations", "userId", then=("createdAt", "desc")),
    _define_index("operations", "wakeShard", then=("wakeAt", "asc")),
    _define_index("uploads", "userId", then=("createdAt", "desc")),
    _define_index("uploads", "limitedAs", then=("createdAt", "desc")),
    _define_index("webhook_endpoints", "userId", then=("createdAt", "desc")),
    _define_index("webhook_endpoints", "state", then=("createdAt", "desc")),
    _define_index("webhook_deliveries", "endpointId", then=("createdAt", "desc")),
    _define_index("webhook_deliveries", "endpointId", "state", then=("createdAt", "desc")),
    _define_index("webhook_deliveries", "wakeShard", then=("wakeAt", "asc")),
)
#: Where no service removes documents by their time to live: see app/worker/expiry.py.
LOCAL_INDEXES = (
    *INDEXES,
    *(
        _define_index(collection, then=("expireAt", "asc"))
        for collection in (
            "uploads",
            "webhook_deliveries",
            "dead_letters",
            "operations",
            "job_performance_metrics",
        )
    ),
)
#: Firestore reads an index in one direction only; SQLite has the same with the time descending.
FIRESTORE_INDEXES = (
    *INDEXES,
    _define_index("jobs", "userId", then=("createdAt", "asc")),
    _define_index("jobs", "jobType", "status", then=("createdAt", "asc")),
)
