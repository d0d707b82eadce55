"""The services' accounts may do what their code does, and no more."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import grimp
import pytest

from .declarations import ROOT, declared, plan_services


def test_every_service_is_an_entry_point_and_has_its_account() -> None:
    tree = ast.parse((ROOT / "functions/main.py").read_text("utf-8"))
    entry_points = {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    services = declared("services.yaml")["services"].values()
    assert {service["function"] for service in services} <= entry_points
    assert {service["account"] for service in services} <= declared("iam.yaml")["accounts"].keys()


#: The permissions that a call of `CloudStorageBlobs` needs, beside `get` and `list` of every role.
BUCKET_PERMISSIONS = {
    "put": {"create", "delete"},  # a file that is there already is replaced
    "open_upload": {"create", "delete"},
    "renew": {"update"},
    "delete": {"delete"},
}
#: What Google's roles allow; https://cloud.google.com/storage/docs/access-control/iam-roles
BUCKET_ROLES = {
    "roles/storage.objectViewer": set[str](),
    "roles/storage.objectUser": {"create", "update", "delete"},
    "roles/storage.objectAdmin": {"create", "update", "delete"},
}
#: The code that a service enters; what it imports at any place is found.
ENTERED = {"taskreel-api": "taskreel.web", "taskreel-processor": "taskreel.app.worker.processor"}


def list_bucket_calls(entered: str) -> set[str]:
    """The methods of `Blobs` that the code calls which this package imports, at any place."""
    graph = grimp.build_graph("taskreel")
    entries = {entered, *graph.find_descendants(entered)}
    for entry in list(entries):
        entries |= graph.find_upstream_modules(entry)
    calls = set[str]()
    for module in entries:
        if module.startswith(("taskreel.app.", "taskreel.web.")):
            spec = importlib.util.find_spec(module)
            assert spec is not None
            assert spec.origin is not None
            calls.update(re.findall(r"\bblobs\.(\w+)\(", Path(spec.origin).read_text()))
    return calls


@pytest.mark.parametrize("account", ENTERED)
def test_an_account_may_do_to_the_bucket_what_the_code_of_its_service_does(account: str) -> None:
    roles = declared("iam.yaml")["accounts"][account].get("bucket", [])
    allowed = set[str]().union(*(BUCKET_ROLES[role] for role in roles))
    calls = list_bucket_calls(ENTERED[account])
    needed = set[str]().union(*(BUCKET_PERMISSIONS.get(call, set()) for call in calls))
    assert roles
    assert needed <= allowed, calls


def test_the_gateway_has_an_account_of_its_own_that_only_reads() -> None:
    services = declared("services.yaml")["services"]
    assert [name for name, one in services.items() if one["account"] == "taskreel-gateway"] == [
        "jobs-gateway"
    ]
    account = declared("iam.yaml")["accounts"]["taskreel-gateway"]
    del account["title"]
    assert account == {
        "project": ["roles/datastore.viewer"],
        "bucket": ["roles/storage.objectViewer"],
        # Itself alone: it signs URLs with its own rights, which are to read.
        "accounts": {"taskreel-gateway": ["roles/iam.serviceAccountTokenCreator"]},
    }
    gateway = services["jobs-gateway"]
    assert (gateway["secrets"], gateway["env"]) == (["JWT_SECRET"], {"TASKS_URL": "none:"})


def test_the_gateway_is_deployed_without_secrets_where_tokens_need_none() -> None:
    for variables, binding in (
        ({}, "--set-secrets=JWT_SECRET=taskreel-jwt-secret:latest"),
        ({"JWT_PUBLIC_KEY": "k", "JWT_AUDIENCE": "a"}, "--clear-secrets"),
    ):
        [step] = [one for one in plan_services(**variables) if one[5] == "jobs-gateway"]
        assert [word for word in step if "secrets" in word] == [binding]
        assert any(word.startswith("--service-account=taskreel-gateway@") for word in step)
