"""The indexes of job types are planned with shards where the store uses them."""

from __future__ import annotations

import json
from pathlib import Path

from firestore_indexes import shard_indexes
from taskreel.app.indexes import FIRESTORE_INDEXES

from .declarations import ROOT, planned


def test_indexes_with_shards_are_planned_where_the_store_uses_them(tmp_path: Path) -> None:
    for name in ("firestore.indexes.json", "services.yaml"):
        text = (ROOT / "infra" / name).read_text("utf-8")
        (tmp_path / name).write_text(text.replace("${DATABASE}\n", "${DATABASE}?sharded-types\n"))
    unsharded = {
        "name": "projects/p/databases/d/collectionGroups/jobs/indexes/old",
        "fields": [
            {"fieldPath": "jobType", "order": "ASCENDING"},
            {"fieldPath": "updatedAt", "order": "ASCENDING"},
            {"fieldPath": "__name__", "order": "ASCENDING"},
        ],
    }
    steps = planned("indexes", found=json.dumps([unsharded]), TASKREEL_INFRA=str(tmp_path))
    short = {"ascending": "asc", "descending": "desc"}
    found = {
        (
            step[1].split()[3].rstrip(":"),
            tuple(
                (word.split("field-path=")[1].split(",")[0], short[word.rpartition("=")[2]])
                for word in step
                if word.startswith("--field-config=")
            ),
        )
        for step in steps
        if step[0] == "run"
    }
    assert found == {(one.collection, one.fields) for one in shard_indexes(FIRESTORE_INDEXES)}
    (warning,) = [step for step in steps if step[0] == "warn"]
    assert "gcloud firestore indexes composite delete old" in " ".join(warning)
