"""The fake's Cloud Monitoring and log-based metrics, with the parts that Google fills in."""

from __future__ import annotations

import re

from .fake_google import Body, FakeGoogle, Refusal, Request, route

_USER_METRIC = re.compile(r"logging_googleapis_com:user_(taskreel_[a-z_]+?)(?:_bucket|_sum)?\{")


@route("GET", "logging", r"/v2/(projects/[^/]+)/metrics/([^/]+)")
def get_log_metric(google: FakeGoogle, _: Request, project: str, name: str) -> Body:
    return {**google.get("log_metrics", f"{project}/metrics/{name}"), "name": name}


@route("POST", "logging", r"/v2/(projects/[^/]+)/metrics")
def create_log_metric(google: FakeGoogle, request: Request, project: str) -> Body:
    name = request.body["name"]
    google.create("log_metrics", f"{project}/metrics/{name}", _omit_defaults(request.body))
    return request.body


@route("PUT", "logging", r"/v2/(projects/[^/]+)/metrics/([^/]+)")
def update_log_metric(google: FakeGoogle, request: Request, project: str, name: str) -> Body:
    google.of("log_metrics")[f"{project}/metrics/{name}"] = _omit_defaults(request.body)
    return request.body


@route("DELETE", "logging", r"/v2/(projects/[^/]+/metrics/[^/]+)")
def delete_log_metric(google: FakeGoogle, _: Request, name: str) -> Body:
    del google.of("log_metrics")[name]
    return {}


@route(
    "GET", "monitoring", r"/v[13]/(projects/[^/]+/(alertPolicies|uptimeCheckConfigs|dashboards))"
)
def list_monitoring(google: FakeGoogle, request: Request, parent: str, kind: str) -> Body:
    """Two on a page: a reader must follow `nextPageToken`."""
    rows = google.under("monitoring", f"{parent}/")
    start = int(request.query.get("pageToken") or 0)
    more = {"nextPageToken": str(start + 2)} if start + 2 < len(rows) else {}
    return {kind: rows[start : start + 2], **more}


@route(
    "POST", "monitoring", r"/v[13]/(projects/[^/]+/(?:alertPolicies|uptimeCheckConfigs|dashboards))"
)
def create_monitoring(google: FakeGoogle, request: Request, parent: str) -> Body:
    _check_metrics(google, request.body)
    body = {**_omit_defaults(request.body), "etag": "x1"}
    return google.create("monitoring", f"{parent}/{next(google.serial)}", body)


@route("PATCH", "monitoring", r"/v[13]/(projects/[^/]+/[^/]+/[^/]+)")
def update_monitoring(google: FakeGoogle, request: Request, name: str) -> Body:
    google.get("monitoring", name)
    google.of("monitoring")[name] = {**_omit_defaults(request.body), "name": name}
    return google.of("monitoring")[name]


@route("DELETE", "monitoring", r"/v[13]/(projects/[^/]+/[^/]+/[^/]+)")
def delete_monitoring(google: FakeGoogle, _: Request, name: str) -> Body:
    google.get("monitoring", name)
    del google.of("monitoring")[name]
    return {}


def _check_metrics(google: FakeGoogle, body: Body) -> None:
    """Refuse a policy on a metric that does not exist, as Google does."""
    known = {name.rpartition("/")[2] for name in google.of("log_metrics")}
    for condition in body.get("conditions", []):
        query = condition["conditionPrometheusQueryLanguage"]["query"]
        for name in _USER_METRIC.findall(query):
            if name not in known:
                raise Refusal(404, "NOT_FOUND", f"Cannot find metric {name}")


def _omit_defaults(body: Body) -> Body:
    """Google's answers have no empty fields and no zeros."""
    return {
        key: _omit_defaults(value) if isinstance(value, dict) else value
        for key, value in body.items()
        if value not in ({}, [], 0, "", False)
    }
