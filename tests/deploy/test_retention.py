"""Ended jobs and their files are stored for the same time: one number declares it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from taskreel.config import Settings

from .declarations import ROOT, declared, plan_services, planned


def declare_days(folder: Path, *rules: dict[str, Any]) -> str:
    """Copy the declarations, with these rules alone for what is deleted; return their folder."""
    copied = folder / "infra"
    copied.mkdir()
    for file in [*(ROOT / "infra").glob("*.yaml"), *(ROOT / "infra").glob("*.json")]:
        shutil.copy(file, copied)
    written = {"rule": [{"action": {"type": "Delete"}, "condition": rule} for rule in rules]}
    (copied / "bucket.lifecycle.json").write_text(json.dumps(written))
    return str(copied)


def read_days(step: list[str]) -> str:
    (variables,) = [word for word in step if word.startswith("--set-env-vars=")]
    (days,) = [each for each in variables.split("|") if each.startswith("RETENTION_DAYS=")]
    return days


def test_every_service_stores_jobs_for_as_long_as_the_bucket_stores_files(tmp_path: Path) -> None:
    services = plan_services()
    assert len(services) == len(declared("services.yaml")["services"])
    default = Settings.model_fields["retention_days"].default
    assert {read_days(step) for step in services} == {f"RETENTION_DAYS={default}"}
    # One number is changed, and both follow.
    infra = declare_days(tmp_path, {"daysSinceCustomTime": 30, "matchesPrefix": ["artifacts/"]})
    assert {read_days(step) for step in plan_services(TASKREEL_INFRA=infra)} == {
        "RETENTION_DAYS=30"
    }
    (bucket, *_) = planned("bucket", TASKREEL_INFRA=infra)
    assert f"--lifecycle-file={infra}/bucket.lifecycle.json" in bucket


@pytest.mark.parametrize(
    "rules", [[], [{"daysSinceCustomTime": 0}], [{"daysSinceCustomTime": 5}] * 2, [{"age": 5}]]
)
def test_a_lifecycle_that_jobs_could_not_follow_is_refused(
    tmp_path: Path, rules: list[dict[str, Any]]
) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        planned("bucket", TASKREEL_INFRA=declare_days(tmp_path, *rules))
    assert "one Delete rule with daysSinceCustomTime" in refused.value.stderr
    assert "1 to 3650" in refused.value.stderr
