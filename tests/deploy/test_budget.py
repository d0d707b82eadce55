"""infra/monitoring/budget.yaml: one budget of the project, in an account that others own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from . import fake_billing
from .declarations import run_planner
from .fake_google import NUMBER, PROJECT, FakeGoogle, Refusal

ROOT = Path(__file__).parents[2]
FILE = ROOT / "infra" / "monitoring" / "budget.yaml"
TITLE = f"Taskreel in {PROJECT}"


def run(google: FakeGoogle, verb: str, file: Path = FILE) -> subprocess.CompletedProcess[str]:
    return run_planner(
        "plan.budget",
        verb,
        PROJECT,
        str(file),
        TOKEN="fake",
        BILLING_ENDPOINT=f"{google.address}/billing",
        BUDGETS_ENDPOINT=f"{google.address}/budgets",
    )


def call(google: FakeGoogle, verb: str, file: Path = FILE) -> str:
    done = run(google, verb, file)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_budget_is_made_once_compared_changed_and_removed(
    google: FakeGoogle, tmp_path: Path
) -> None:
    assert call(google, "show").startswith(f"create budget {TITLE}: 100 a month")
    call(google, "apply")
    (made,) = google.of("budgets").values()
    assert made["budgetFilter"]["projects"] == [f"projects/{NUMBER}"]
    assert [one["thresholdPercent"] for one in made["thresholdRules"]] == [0.5, 0.9, 1.0, 1.0]
    assert call(google, "show") == ""
    google.writes.clear()
    call(google, "apply")
    assert google.writes == []

    other = tmp_path / "budget.yaml"
    other.write_text(FILE.read_text().replace("amount: 100", "amount: 500"))
    assert call(google, "show", other).startswith(f"change budget {TITLE}: 500 a month")
    call(google, "apply", other)
    (changed,) = google.of("budgets").values()
    assert changed["amount"]["specifiedAmount"] == {"units": "500", "currencyCode": "EUR"}
    assert changed["budgetFilter"]["projects"] == [f"projects/{NUMBER}"]
    assert call(google, "show", other) == ""

    assert call(google, "present") == f"delete budget {TITLE}\n"
    call(google, "remove")
    assert google.of("budgets") == {}
    assert call(google, "present") == ""


def test_without_an_amount_none_is_made(google: FakeGoogle, tmp_path: Path) -> None:
    none = tmp_path / "budget.yaml"
    none.write_text(FILE.read_text().replace("amount: 100", "amount: 0"))
    assert call(google, "show", none) == ""
    call(google, "apply", none)
    assert google.of("budgets") == {}


def test_budgets_of_others_are_never_changed(google: FakeGoogle) -> None:
    """Of the same project with another title, and of another project with ours."""
    theirs = {
        f"{fake_billing.ACCOUNT}/budgets/1": {
            "displayName": "All of it",
            "budgetFilter": {"projects": [f"projects/{NUMBER}"]},
        },
        f"{fake_billing.ACCOUNT}/budgets/2": {
            "displayName": TITLE,
            "budgetFilter": {"projects": ["projects/999999999999"]},
        },
    }
    google.of("budgets").update({name: {**one, "name": name} for name, one in theirs.items()})
    before = dict(google.of("budgets"))
    assert call(google, "present") == ""
    call(google, "apply")
    call(google, "remove")
    assert google.of("budgets") == before


@pytest.mark.parametrize("service", ["billing", "budgets"])
def test_who_may_not_read_the_billing_account_is_told_and_nothing_fails(
    google: FakeGoogle, service: str
) -> None:
    google.faults[service] = Refusal(403, "PERMISSION_DENIED", "The caller has no permission")
    for verb in ("show", "present", "apply", "remove"):
        assert call(google, verb).startswith("hint your account may not read the budgets")
    assert google.writes == []


def test_an_api_that_is_off_is_no_missing_right(google: FakeGoogle) -> None:
    """`scripts/provision` waits for the APIs that it has just enabled, by this message."""
    text = "Cloud Billing Budget API has not been used in project 1 before or it is disabled."
    google.faults["budgets"] = Refusal(403, "PERMISSION_DENIED", text)
    done = run(google, "show")
    assert done.returncode == 1
    assert "it is disabled" in done.stderr


def test_a_project_without_a_billing_account_has_no_budget(google: FakeGoogle) -> None:
    google.of("billing")[PROJECT] = {"billingAccountName": "", "billingEnabled": False}
    assert call(google, "show") == (
        f"hint project {PROJECT} has no billing account, so it has no budget\n"
    )
