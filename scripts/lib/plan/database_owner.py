"""The document that marks a Firestore database as Taskreel's: databases have no labels.

`python -m plan.database_owner show|claim PROJECT DATABASE COLLECTION…`, with the access token in
$TOKEN. `show` prints `owned`, `empty` (no marker and none of the collections has a document), or
the collections that have documents although nothing marks them as ours; `claim` writes the
marker.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .rest_api import call_api

ENDPOINT = os.environ.get("FIRESTORE_ENDPOINT", "https://firestore.googleapis.com") + "/v1"

#: The marker: no client may read it, and `destroy --data` does not delete it.
DOCUMENT = "taskreel/deployment"


def _documents_url(project: str, database: str) -> str:
    return f"{ENDPOINT}/projects/{project}/databases/{database}/documents"


def describe_owner(project: str, database: str, collections: Sequence[str]) -> str:
    """Return `owned`, `empty`, or the names of the collections that another application may use."""
    documents = _documents_url(project, database)
    if call_api("GET", f"{documents}/{DOCUMENT}", project) is not None:
        return "owned"
    used = [
        name
        for name in collections
        if (call_api("GET", f"{documents}/{name}?pageSize=1", project) or {}).get("documents")
    ]
    return " ".join(used) or "empty"


def claim_database(project: str, database: str) -> None:
    """Write the marker."""
    fields = {"managedBy": {"stringValue": "taskreel"}}
    url = f"{_documents_url(project, database)}/{DOCUMENT}"
    if call_api("PATCH", url, project, {"fields": fields}) is None:
        sys.exit(f"there is no Firestore database {database} in {project}")


def main() -> None:
    """Run the command line."""
    verb, project, database, *collections = sys.argv[1:]
    if verb == "claim":
        claim_database(project, database)
    else:
        sys.stdout.write(describe_owner(project, database, collections) + "\n")


if __name__ == "__main__":
    main()
