"""The marks by which resources of Taskreel are recognised among those of other applications.

What carries no mark is never changed or deleted without `--adopt`. Services, buckets and secrets
have labels; queues have none, so a header override that every delivery carries marks them; a
schedule is recognised by the account that it calls with; a database by a document
(`database_owner`); security rules by a line (`security_rules`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .target import Target

#: The label of buckets and secrets.
LABEL_KEY, LABEL_VALUE = "managed-by", "taskreel"
LABEL = f"{LABEL_KEY}={LABEL_VALUE}"
#: Label of each service: a digest of the source and settings it was deployed from.
DIGEST_LABEL = "taskreel-digest"
#: Label of each service and revision: the number of changes in documents.yaml that it knows.
DOCUMENTS_LABEL = "taskreel-documents"
#: The header that our queues add to their tasks. The task processor ignores it.
HEADER_KEY, HEADER_VALUE = "X-Managed-By", "taskreel"

ADOPT = (
    "If it is Taskreel's own from before it was marked, or is to be taken over, run this script "
    "again with --adopt; else choose another project or location"
)


def has_label(labels: Mapping[str, str] | None) -> bool:
    """Return True if the labels of a bucket or secret are Taskreel's."""
    return (labels or {}).get(LABEL_KEY) == LABEL_VALUE


def is_own_service(service: Mapping[str, Any]) -> bool:
    """Return True if a Cloud Run service was deployed by scripts/deploy."""
    return DIGEST_LABEL in service["metadata"].get("labels", {})


def is_own_queue(queue: Mapping[str, Any]) -> bool:
    """Return True if a queue was created or adopted by these scripts."""
    overrides = queue.get("httpTarget", {}).get("headerOverrides", ())
    headers = [override.get("header", {}) for override in overrides]
    return any(
        header.get("key") == HEADER_KEY and header.get("value", "").strip() == HEADER_VALUE
        for header in headers
    )


def is_own_schedule(target: Target, job: Mapping[str, Any]) -> bool:
    """Return True if a scheduled call is made with Taskreel's invoker account."""
    token = job.get("httpTarget", {}).get("oidcToken", {})
    return bool(token.get("serviceAccountEmail") == target.email("taskreel-invoker"))


def describe_foreign(kind: str, names: Iterable[str], mark: str) -> str:
    """Return the message that stops a script before it changes what is not marked."""
    listed = ", ".join(sorted(names))
    return f"{kind} {listed} exists without {mark}: another application may use it. {ADOPT}"
