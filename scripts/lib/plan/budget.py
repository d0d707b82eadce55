"""The project's budget in Cloud Billing, through its REST APIs: gcloud would need its account.

`python -m plan.budget show|apply|present|remove PROJECT FILE`, with the access token in $TOKEN.
`show` prints one line if the budget that the file declares is absent or differs, `apply` creates or
changes it; `present` prints one line if it is there, `remove` deletes it. It is found by its title
among the budgets of this project alone; those of others are not touched.

A budget belongs to the billing account, which a deployer may not be allowed to read. That is no
difference: `show` and `present` then print a line that begins with "hint".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from .monitoring import contains
from .rest_api import RefusedError, call_api, send_request

BILLING = os.environ.get("BILLING_ENDPOINT", "https://cloudbilling.googleapis.com")
BUDGETS = os.environ.get("BUDGETS_ENDPOINT", "https://billingbudgets.googleapis.com")
#: In Google's words for an API that is off, which is no missing right.
_API_IS_OFF = ("SERVICE_DISABLED", "disabled", "has not been used")


class UnreachableError(Exception):
    """The project has no billing account, or one whose budgets the caller may not read."""


def build_budget(project: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the declared budget, but for the project that it is of."""
    shares = [("CURRENT_SPEND", one) for one in declared["spent"]]
    shares += [("FORECASTED_SPEND", one) for one in declared["forecast"]]
    return {
        "displayName": f"Taskreel in {project}",
        "budgetFilter": {"calendarPeriod": "MONTH"},
        "amount": {"specifiedAmount": {"units": str(declared["amount"])}},
        "thresholdRules": [
            {"thresholdPercent": share, "spendBasis": basis} for basis, share in shares
        ],
    }


def find_account(project: str) -> str:
    """The name of the project's billing account. Raises UnreachableError."""
    url = f"{BILLING}/v1/projects/{project}/billingInfo"
    account = (_read(url, project) or {}).get("billingAccountName", "")
    if not account:
        raise UnreachableError(f"project {project} has no billing account, so it has no budget")
    return str(account)


def find_budget(project: str, account: str, title: str) -> dict[str, Any] | None:
    """The project's own budget with the title. Raises UnreachableError."""
    token = ""
    while True:
        query = f"pageSize=100&scope={quote(f'projects/{project}', safe='')}"
        url = f"{BUDGETS}/v1/{account}/budgets?{query}&pageToken={quote(token)}"
        page = _read(url, project) or {}
        for one in page.get("budgets", []):
            if one.get("displayName") == title:
                return dict(one)
        token = page.get("nextPageToken", "")
        if not token:
            return None


def _read(url: str, project: str) -> dict[str, Any] | None:
    try:
        return send_request("GET", url, project)
    except RefusedError as refused:
        is_off = any(text in str(refused) for text in _API_IS_OFF)
        if refused.code == HTTPStatus.FORBIDDEN and not is_off:
            raise UnreachableError(
                f"your account may not read the budgets of project {project}: who administers its "
                "billing account runs scripts/provision, or gives you "
                "roles/billing.costsManager on it"
            ) from None
        sys.exit(str(refused))


def main() -> None:
    """Run the command line."""
    verb, project, file = sys.argv[1:]
    declared = yaml.safe_load(Path(file).read_text("utf-8"))["budget"]
    body = build_budget(project, declared)
    try:
        account = find_account(project)
        found = find_budget(project, account, body["displayName"])
    except UnreachableError as error:
        sys.stdout.write(f"hint {error}\n")
        return
    if verb in {"present", "remove"}:
        if found is not None and verb == "remove":
            call_api("DELETE", f"{BUDGETS}/v1/{found['name']}", project)
        elif found is not None:
            sys.stdout.write(f"delete budget {body['displayName']}\n")
        return
    if not declared["amount"] or (found is not None and contains(found, body)):
        return
    if verb == "show":
        act = "create" if found is None else "change"
        sys.stdout.write(
            f"{act} budget {body['displayName']}: {declared['amount']} a month of the billing "
            "account's currency\n"
        )
    elif found is None:
        body["budgetFilter"] = {**body["budgetFilter"], "projects": [f"projects/{project}"]}
        call_api("POST", f"{BUDGETS}/v1/{account}/budgets", project, body)
    else:
        # Without a mask the fields that it names change, and no others.
        call_api("PATCH", f"{BUDGETS}/v1/{found['name']}", project, body)


if __name__ == "__main__":
    main()
