"""All declarations of infra/ are created once and found again by the scripts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from nightly_tests import skip_by_day

from .conftest import ROOT, project
from .declarations import declared

pytestmark = [
    pytest.mark.emulator,
    # By day test_scripts.py does the same with one or two declarations of each kind, and
    # test_declarations.py and test_gcloud_commands.py read them all.
    skip_by_day("minutes of gcloud"),
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
        assert cloud.list_differences() == ["All is as declared."]
        assert cloud.writes() == []
        assert cloud.ok("provision") == "Nothing to change.\n"
        assert cloud.ok("deploy").startswith("Nothing to change.")
        assert cloud.writes() == []
