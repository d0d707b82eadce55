"""Completion of words that only the API knows: types, jobs. It is silent when it cannot answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_STATUSES = (
    "SCHEDULED BLOCKED THROTTLED QUEUED PROCESSING RETRYING COMPLETED FAILED CANCELLED EXPIRED"
)
#: The first answer of a server that has just started takes its time.
_SECONDS = 5.0


def STATUSES(  # noqa: N802 - a value, as the others
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Statuses, also behind a comma."""
    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{one}")
        for one in _STATUSES.split()
        if one.startswith(last.upper())
    ]


def _complete_from(path: str, items: Callable[[Any], list[tuple[str, str]]]) -> Complete:
    """Complete with what a route answers: values and their explanations."""

    def complete(
        ctx: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            answer = _read(ctx, path)
        except Exception:  # noqa: BLE001 - a shell that completes must not print an error
            return []
        return [
            CompletionItem(value, help=text)
            for value, text in items(answer)
            if value.startswith(incomplete)
        ]

    return complete


def _read(ctx: click.Context, path: str) -> Any:
    import httpx

    from taskreel_local.cli.api_target import find_target

    options = ctx.params
    data = options.get("data")
    target = find_target(Path(data) if data else None, options.get("profile"), options.get("user"))
    headers = {"Authorization": f"Bearer {target.token}"}
    return httpx.get(f"{target.url}{path}", headers=headers, timeout=_SECONDS).json()


def _list_types(answer: Any) -> list[tuple[str, str]]:
    return [(one["jobType"], one["summary"]) for one in answer["jobTypes"]]


def _list_jobs(answer: Any) -> list[tuple[str, str]]:
    return [(one["jobId"], f"{one['status']} {one['jobType']}") for one in answer["jobs"]]


def _list_schedules(answer: Any) -> list[tuple[str, str]]:
    return [
        (one["recurringJobId"], f"{one['jobType']} {one['schedule']}")
        for one in answer["recurringJobs"]
    ]


def _list_endpoints(answer: Any) -> list[tuple[str, str]]:
    return [(one["endpointId"], one.get("url") or "") for one in answer["endpoints"]]


def _list_groups(answer: Any) -> list[tuple[str, str]]:
    return [(one["fingerprint"], f"{one['jobType']} {one['code']}") for one in answer["groups"]]


def _list_templates(answer: Any) -> list[tuple[str, str]]:
    return [(one["name"], one["version"]["jobType"]) for one in answer["templates"]]


def _list_providers(answer: Any) -> list[tuple[str, str]]:
    return [(one["provider"], "") for one in answer["providers"]]


JOB_TYPE = _complete_from("/api/jobs/types", _list_types)
JOB = _complete_from("/api/jobs?limit=30", _list_jobs)
SCHEDULE = _complete_from("/api/jobs/recurring?limit=50", _list_schedules)
ENDPOINT = _complete_from("/api/webhook-endpoints?limit=50", _list_endpoints)
FINGERPRINT = _complete_from("/api/jobs/dead-letters?limit=50", _list_groups)
TEMPLATE = _complete_from("/api/templates", _list_templates)
PROVIDER = _complete_from("/api/providers", _list_providers)
