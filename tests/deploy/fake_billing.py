"""The fake's Cloud Billing: the project's billing account and its budgets."""

from __future__ import annotations

from .fake_google import NUMBER, PROJECT, Body, FakeGoogle, Request, route

ACCOUNT = "billingAccounts/AAAAAA-BBBBBB-CCCCCC"


@route("GET", "billing", r"/v1/projects/([^/]+)/billingInfo")
def get_billing_info(google: FakeGoogle, _: Request, project: str) -> Body:
    account = {"billingAccountName": ACCOUNT, "billingEnabled": True}
    return {"projectId": project, **google.of("billing").get(project, account)}


@route("GET", "budgets", r"/v1/(billingAccounts/[^/]+)/budgets")
def list_budgets(google: FakeGoogle, request: Request, account: str) -> Body:
    """One on a page, of the project that `scope` names alone."""
    assert request.query["scope"] == f"projects/{PROJECT}"
    ours = [f"projects/{NUMBER}"]
    rows = [
        one
        for one in google.under("budgets", f"{account}/")
        if one["budgetFilter"]["projects"] == ours
    ]
    start = int(request.query.get("pageToken") or 0)
    more = {"nextPageToken": str(start + 1)} if start + 1 < len(rows) else {}
    return {"budgets": rows[start : start + 1], **more}


@route("POST", "budgets", r"/v1/(billingAccounts/[^/]+)/budgets")
def create_budget(google: FakeGoogle, request: Request, account: str) -> Body:
    return google.create(
        "budgets", f"{account}/budgets/{next(google.serial)}", _complete(request.body)
    )


@route("PATCH", "budgets", r"/v1/(billingAccounts/[^/]+/budgets/[^/]+)")
def update_budget(google: FakeGoogle, request: Request, name: str) -> Body:
    """Without a mask the fields of the request change, in depth, and no others."""
    assert "updateMask" not in request.query
    found = google.get("budgets", name)
    kept = found["budgetFilter"]
    changed = _complete({**request.body, "budgetFilter": {**kept, **request.body["budgetFilter"]}})
    google.of("budgets")[name] = {**found, **changed}
    return google.of("budgets")[name]


@route("DELETE", "budgets", r"/v1/(billingAccounts/[^/]+/budgets/[^/]+)")
def delete_budget(google: FakeGoogle, _: Request, name: str) -> Body:
    google.get("budgets", name)
    del google.of("budgets")[name]
    return {}


def _complete(body: Body) -> Body:
    """As Google answers: the account's currency is added, and a project is its number."""
    amount = {"currencyCode": "EUR", **body["amount"]["specifiedAmount"]}
    numbers = [
        one.replace(f"projects/{PROJECT}", f"projects/{NUMBER}")
        for one in body["budgetFilter"]["projects"]
    ]
    return {
        **body,
        "amount": {"specifiedAmount": amount},
        "budgetFilter": {
            "creditTypesTreatment": "INCLUDE_ALL_CREDITS",
            **body["budgetFilter"],
            "projects": numbers,
        },
        "notificationsRule": {},
        "etag": "x1",
    }
