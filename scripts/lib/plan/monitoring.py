"""Cloud Monitoring and log-based metrics, through their REST APIs.

gcloud has parts of them alone, and some only in alpha.

`python -m plan.monitoring show|apply|present|remove PROJECT API_HOST FOLDER`, with the access token
in $TOKEN and the channels to notify in $NOTIFICATION_CHANNELS. `show` prints one line for each
resource of infra/monitoring that is absent or differs, `apply` creates and changes those; `present`
prints those that are there, `remove` deletes them. What Google adds to a resource, and resources of
others, are not touched.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from .rest_api import call_api

MONITORING = os.environ.get("MONITORING_ENDPOINT", "https://monitoring.googleapis.com")
LOGGING = os.environ.get("LOGGING_ENDPOINT", "https://logging.googleapis.com")

#: The label of what these scripts have made.
OWNED = {"managed_by": "taskreel"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A declared resource: its collection's URL, and its body."""

    title: str
    collection: str
    body: Mapping[str, Any]
    #: The verb that changes one.
    update: str = "PATCH"
    #: Its URL where its name is ours; else it is found by label and title.
    url: str | None = None
    #: The key of the collection's list.
    listed_as: str = ""


def list_resources(project: str, host: str, folder: Path) -> Iterator[Resource]:
    """Yield what the folder declares, in the order of dependencies."""
    yield from _list_log_metrics(project, _load(folder / "log_metrics.yaml")["metrics"])
    yield from _list_uptime_checks(project, host, _load(folder / "uptime_checks.yaml")["checks"])
    yield from _list_policies(project, _load(folder / "alert_policies.yaml")["policies"])
    dashboard = json.loads((folder / "dashboard.json").read_text("utf-8"))
    yield Resource(
        title=f"dashboard {dashboard['displayName']}",
        collection=f"{MONITORING}/v1/projects/{project}/dashboards",
        body=dashboard,
        listed_as="dashboards",
    )


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def _list_log_metrics(project: str, declared: Mapping[str, Any]) -> Iterator[Resource]:
    collection = f"{LOGGING}/v2/projects/{project}/metrics"
    for name, metric in declared.items():
        labels = metric.get("labels", {})
        body: dict[str, Any] = {
            "name": name,
            "description": metric["description"],
            "filter": f'resource.type="cloud_run_revision" AND ({metric["filter"]})',
            "labelExtractors": {label: f"EXTRACT({at})" for label, at in labels.items()},
            "metricDescriptor": {
                "metricKind": "DELTA",
                "valueType": "DISTRIBUTION" if "value" in metric else "INT64",
                "labels": [{"key": label} for label in labels],
            },
        }
        if "value" in metric:
            body["valueExtractor"] = f"EXTRACT({metric['value']})"
        yield Resource(
            title=f"log-based metric {name}",
            collection=collection,
            body=body,
            update="PUT",
            url=f"{collection}/{quote(name, safe='')}",
        )


def _list_uptime_checks(project: str, host: str, declared: Mapping[str, Any]) -> Iterator[Resource]:
    for name, check in declared.items():
        yield Resource(
            title=f"uptime check {name}",
            collection=f"{MONITORING}/v3/projects/{project}/uptimeCheckConfigs",
            listed_as="uptimeCheckConfigs",
            body={
                "displayName": name,
                "userLabels": OWNED,
                "monitoredResource": {
                    "type": "uptime_url",
                    "labels": {"project_id": project, "host": host},
                },
                "httpCheck": {"path": check["path"], "port": 443, "useSsl": True},
                "contentMatchers": [{"content": check["contains"]}],
                "period": check["period"],
                "timeout": check["timeout"],
                "selectedRegions": ["USA", "EUROPE", "ASIA_PACIFIC"],
            },
        )


def _list_policies(project: str, declared: Mapping[str, Any]) -> Iterator[Resource]:
    channels = os.environ.get("NOTIFICATION_CHANNELS", "").replace(",", " ").split()
    for name, policy in declared.items():
        body: dict[str, Any] = {
            "displayName": f"Taskreel: {policy['title']}",
            "userLabels": {**OWNED, "policy": name},
            "severity": policy["severity"],
            "combiner": "OR",
            "documentation": {"content": policy["todo"], "mimeType": "text/markdown"},
            "conditions": [
                {
                    "displayName": policy["title"],
                    "conditionPrometheusQueryLanguage": {
                        "query": policy["query"],
                        "duration": policy["for"],
                        "evaluationInterval": "60s",
                    },
                }
            ],
        }
        if channels:  # else those that somebody has chosen in the console stay
            body["notificationChannels"] = channels
        yield Resource(
            title=f"alert policy {name}",
            collection=f"{MONITORING}/v3/projects/{project}/alertPolicies",
            listed_as="alertPolicies",
            body=body,
        )


# ── Comparing and changing ───────────────────────────────────────────────────────────────────────


def contains(found: Any, declared: Any) -> bool:
    """True if `found` says all that `declared` says; Google omits empty values and zeros."""
    if isinstance(declared, Mapping):
        return all(
            contains(found.get(key), value) if isinstance(found, Mapping) else not value
            for key, value in declared.items()
        )
    if isinstance(declared, list):
        rows = found or []
        return len(rows) == len(declared) and all(map(contains, rows, declared))
    # A zero duration, too.
    return bool(found == declared or (found is None and declared in (0, "", False, "0s")))


def find_resource(resource: Resource, project: str) -> dict[str, Any] | None:
    """The resource as it is in the project."""
    if resource.url is not None:
        return call_api("GET", resource.url, project)
    token = ""
    while True:
        url = f"{resource.collection}?pageSize=200&pageToken={quote(token)}"
        page = call_api("GET", url, project) or {}
        for one in page.get(resource.listed_as, []):
            if _is_same(one, resource.body):
                return dict(one)
        token = page.get("nextPageToken", "")
        if not token:
            return None


def _is_same(found: Mapping[str, Any], declared: Mapping[str, Any]) -> bool:
    """A policy is found by its label, so that its title may change; the others by their titles."""
    labels, wanted = found.get("userLabels", {}), declared.get("userLabels", {})
    if "policy" in wanted:
        return bool(contains(labels, wanted))
    is_ours = (
        contains(labels, wanted)
        and found.get("labels", {}).keys() >= declared.get("labels", {}).keys()
    )
    return is_ours and found.get("displayName") == declared["displayName"]


def _locate(resource: Resource, found: Mapping[str, Any]) -> str:
    return resource.url or f"{resource.collection.partition('/projects/')[0]}/{found['name']}"


def change_resource(resource: Resource, found: Mapping[str, Any] | None, project: str) -> None:
    """Create the resource, or change the one that was found."""
    if found is None:
        done = call_api("POST", resource.collection, project, dict(resource.body))
        if done is None:
            sys.exit(
                f"{resource.title}: a metric that it reads is not known yet. Google takes up to "
                "ten minutes for a new one: run scripts/provision again"
            )
        return
    url = _locate(resource, found)
    # A dashboard's etag tells that it was not changed since.
    etag = {"etag": found["etag"]} if "etag" in found else {}
    call_api(resource.update, url, project, {**resource.body, "name": found["name"], **etag})


def main() -> None:
    """Run the command line."""
    verb, project, host, folder = sys.argv[1:]
    declared = list(list_resources(project, host, Path(folder)))
    if verb in {"present", "remove"}:
        # Policies before the metrics that they read.
        for resource in reversed(declared):
            found = find_resource(resource, project)
            if found is not None and verb == "remove":
                call_api("DELETE", _locate(resource, found), project)
            elif found is not None:
                sys.stdout.write(f"delete {resource.title}\n")
        return
    for resource in declared:
        found = find_resource(resource, project)
        if found is not None and contains(found, resource.body):
            continue
        if verb == "apply":
            change_resource(resource, found, project)
        else:
            act = "create" if found is None else "change"
            sys.stdout.write(f"{act} {resource.title}\n")


if __name__ == "__main__":
    main()
