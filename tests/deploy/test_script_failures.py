"""A script that fails says in its last line which command helps."""

from __future__ import annotations

import pytest

from .conftest import Cloud
from .fake_google import DISABLED, FORBIDDEN, Refusal

pytestmark = pytest.mark.emulator


EXPIRED = Refusal(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")


@pytest.mark.parametrize(
    ("refusal", "fix"),
    [
        (DISABLED, "scripts/provision --project demo-project"),
        (FORBIDDEN, "--role=roles/cloudtasks.admin"),
        (EXPIRED, "gcloud auth login"),
    ],
    ids=["api-off", "no-permission", "expired"],
)
def test_a_failure_names_the_command_that_fixes_it(
    fault: Cloud, refusal: Refusal, fix: str
) -> None:
    fault.google.faults["cloudtasks"] = refusal
    done = fault.run("setup-cloud-tasks-queues.sh")
    assert done.returncode == 1
    assert fix in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_location_where_cloud_tasks_is_not(cloud: Cloud) -> None:
    """The answer is the local Cloud Tasks' own."""
    done = cloud.run("setup-cloud-tasks-queues.sh", "--location", "atlantis-north1")
    assert done.returncode == 1
    assert "Location 'atlantis-north1' is not a valid location" in done.stderr
    assert "gcloud tasks locations list" in done.stderr.splitlines()[-1]


def test_a_project_that_is_not_there(cloud: Cloud) -> None:
    done = cloud.run("deploy", "--project", "someone-elses")
    assert done.returncode == 1
    assert "there is no project someone-elses" in done.stderr
