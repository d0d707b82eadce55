"""The tools of the MCP server: each asks the public API, and changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from pydantic import Field

from taskreel.domain.value import Value


class AskApi(Protocol):
    """Asks the public API with the caller's token; raises RefusedError for any refusal."""

    async def __call__(
        self,
        method: str,
        path: str,
        /,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The answer to one request."""


class RefusedError(Exception):
    """The API has refused: its problem, for the assistant to read and correct."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("detail"))
        self.problem = problem


class ListJobs(Value):
    """Filters; all of them must match."""

    status: str | None = Field(
        default=None, description="One status or several with commas, such as FAILED,CANCELLED."
    )
    job_type: str | None = Field(default=None, description="Such as image-generation.")
    project_id: str | None = None
    text: str | None = Field(default=None, description="A part of the job's prompt or id.")
    created_after: str | None = Field(default=None, description="A time as ISO 8601.")
    created_before: str | None = Field(default=None, description="A time as ISO 8601.")
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = Field(default=None, description="nextCursor of the page before.")


class ShowJob(Value):
    """A job."""

    job_id: str = Field(min_length=1, max_length=100, description="Such as job_4k7m…")


class ListJobTypes(Value):
    """One type, or all."""

    job_type: str | None = Field(
        default=None, description="With it, the type's whole request as JSON Schema."
    )


class QuoteJob(Value):
    """A request of a job that is not created."""

    job_type: str = Field(min_length=1, max_length=100)
    data: dict[str, Any] = Field(description="The request of the job; list_job_types shows it.")


class GetStatistics(Value):
    """A period."""

    days: int = Field(default=7, ge=1, le=90, description="Days of the times and costs.")


class GetCredits(Value):
    """Nothing."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: its name, its description for the assistant, its arguments, and its question."""

    name: str
    description: str
    arguments: type[Value]
    ask: Callable[[AskApi, Any], Awaitable[dict[str, Any]]]


async def _list_jobs(ask: AskApi, given: ListJobs) -> dict[str, Any]:
    return await ask("GET", "/api/jobs", query=given.document())


async def _show_job(ask: AskApi, given: ShowJob) -> dict[str, Any]:
    return await ask("GET", f"/api/jobs/{quote(given.job_id, safe='')}")


async def _list_job_types(ask: AskApi, given: ListJobTypes) -> dict[str, Any]:
    types = (await ask("GET", "/api/jobs/types"))["jobTypes"]
    if given.job_type is None:
        facts = ("jobType", "summary", "price")
        return {"jobTypes": [{name: one[name] for name in facts} for one in types]}
    found = next((one for one in types if one["jobType"] == given.job_type), None)
    if found is None:
        names = ", ".join(one["jobType"] for one in types)
        raise RefusedError(
            {"code": "not_found", "detail": f"There is no such job type. There are: {names}."}
        )
    return dict(found)


async def _quote_job(ask: AskApi, given: QuoteJob) -> dict[str, Any]:
    path = f"/api/jobs/{quote(given.job_type, safe='')}"
    return await ask("POST", path, query={"validateOnly": "true"}, body=given.data)


async def _get_statistics(ask: AskApi, given: GetStatistics) -> dict[str, Any]:
    return {
        "jobs": await ask("GET", "/api/jobs/stats"),
        "performance": await ask("GET", "/api/jobs/performance", query={"days": given.days}),
    }


async def _get_credits(ask: AskApi, _given: GetCredits) -> dict[str, Any]:
    return await ask("GET", "/api/credits")


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            "list_jobs",
            "Lists your jobs, newest first, a page at a time.",
            ListJobs,
            _list_jobs,
        ),
        Tool(
            "show_job",
            "Shows a job: its status and the reason for it, progress, cost, error, and signed "
            "URLs of its files.",
            ShowJob,
            _show_job,
        ),
        Tool(
            "list_job_types",
            "Lists the job types with their prices; with jobType, the schema of its request.",
            ListJobTypes,
            _list_job_types,
        ),
        Tool(
            "quote_job",
            "Checks the request of a job and tells what it would cost in credits. It creates no "
            "job and holds no credits.",
            QuoteJob,
            _quote_job,
        ),
        Tool(
            "get_statistics",
            "Counts jobs by status and type, and tells waits, run times, success and cost by day.",
            GetStatistics,
            _get_statistics,
        ),
        Tool(
            "get_credits",
            "Tells your credits: granted, available, held and captured.",
            GetCredits,
            _get_credits,
        ),
    )
}
