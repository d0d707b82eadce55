"""All declarations of infra/ are created once and found again by the scripts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from .conftest import ROOT, project
from .test_declarations import declared

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.skipif(not os.environ.get("CI"), reason="minutes of gcloud: CI=1 runs it"),
]


def test_everything_declared_is_made_once_and_found_again(
    gcloud_variables: Mapping[str, str], tmp_path: Path
) -> None:
    with project(tmp_path, ROOT / "infra", gcloud_variables) as cloud:
        cloud.ok("provision")
        cloud.ok("deploy")
        google = cloud.google
        assert len(google.of("run")) == len(declared("services.yaml")["services"])
        assert len(google.of("indexes")) == len(declared("firestore.indexes.json")["indexes"])
        assert len(google.of("fields")) == len(declared("firestore.indexes.json")["fieldOverrides"])
        assert len(google.of("iam")) == len(declared("iam.yaml")["accounts"])
        cloud.writes()
        # By the plans that provision and deploy follow, of each part.
        differences = [
            line
            for line in cloud.ok("doctor").splitlines()
            if not line.startswith(("ok ", "hint "))
        ]
        assert differences == ["All is as declared."]
        assert cloud.writes() == []
        if not os.environ.get("NIGHTLY"):
            return  # the doctor has read it all; that a script repeats nothing: test_scripts.py
        assert cloud.ok("provision") == "Nothing to change.\n"
        assert cloud.ok("deploy").startswith("Nothing to change.")
        assert cloud.writes() == []
