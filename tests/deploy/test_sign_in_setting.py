"""The dashboard's client at the issuer, as scripts/deploy gives it to the services."""

from __future__ import annotations

from .declarations import plan_services


def test_the_client_of_the_sign_in_page_is_a_setting_of_the_api_alone() -> None:
    given = {"SIGN_IN_CLIENT_ID": "dashboard", "SIGN_IN_SCOPES": "openid api://jobs"}
    steps = plan_services(**given)
    for name, value in given.items():
        assert [step[5] for step in steps if any(f"{name}={value}" in word for word in step)] == [
            "jobs-api"
        ]
