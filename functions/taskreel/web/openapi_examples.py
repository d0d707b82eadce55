"""An example of every response in the OpenAPI document, built as the response itself is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from taskreel.app.caller import Caller
from taskreel.app.health import DependencyHealth, HealthReport, ProviderHealth, QueueHealth
from taskreel.app.records.dead_letters import OpenGroup
from taskreel.app.records.statistics import JobStatistics, QueueStatistics
from taskreel.domain.artifact import Artifact
from taskreel.domain.breaker import BreakerState
from taskreel.domain.credits import Account, EntryKind, LedgerEntry
from taskreel.domain.dead_letters import DeadLetterGroup
from taskreel.domain.errors import Category
from taskreel.domain.health import Health, QueueFacts, Thresholds, Verdict
from taskreel.domain.job import Job
from taskreel.domain.job_fields import JobCredits
from taskreel.domain.job_history import FailedAttempt, StatusChange
from taskreel.domain.job_metrics import DailyMetrics
from taskreel.domain.job_status import Status
from taskreel.domain.job_template import JobTemplate, TemplateVersion
from taskreel.domain.recurring_job import RecurringJob, RecurringRun, RunResult
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType
from taskreel.web import legacy
from taskreel.web.batch import BatchResultView, BatchView
from taskreel.web.credits import BalanceView, LedgerEntryView, LedgerPage
from taskreel.web.dead_letters import (
    DeadLettersView,
    RedriveView,
    RefusedJobView,
    build_group_view,
)
from taskreel.web.flow import PositionView, UserLimitView
from taskreel.web.health import build_health_view
from taskreel.web.history import JobHistoryView, UserHistoryPage, build_job_history
from taskreel.web.http import RecordView
from taskreel.web.job_reads import JobTypesView, build_type_view
from taskreel.web.job_submission import AffordableView, QuoteView
from taskreel.web.live.event_stream import JobEvent, JobEvents
from taskreel.web.live.routes import StreamTokenView
from taskreel.web.openapi_operator_examples import OPERATOR_EXAMPLES
from taskreel.web.openapi_project_examples import PROJECT_EXAMPLES
from taskreel.web.openapi_webhook_examples import WEBHOOK_EXAMPLES
from taskreel.web.providers import BreakerView, ModelView, ProvidersView, ProviderView, WebhookView
from taskreel.web.queue_views import EstimateView
from taskreel.web.responses import (
    ArtifactView,
    JobsPage,
    JobView,
    ResultView,
    build_progress_view,
    compose_job_view,
)
from taskreel.web.schedules import RecurringJobPage, RecurringJobView, build_recurring_view
from taskreel.web.spend_caps import build_spend_caps_view
from taskreel.web.statistics import (
    PerformanceView,
    build_day_view,
    build_queues_view,
    build_statistics_view,
)
from taskreel.web.templates import TemplateList, TemplateView, build_template_view

BASE_URL = "https://api.example.com"
_CREATED = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
_DONE = _CREATED + timedelta(seconds=9)
_ID = "job_4k7m2xq9w3r5t8v6b2n4c6z8a1"
_MOVIE_ID = "job_9d3f5h7j2l4n6p8r1t3v5x7z9b"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_FILE = Artifact(
    name="image.png",
    path=f"artifacts/{_ID}/1/image.png",
    content_type="image/png",
    bytes=482_113,
    sha256=_SHA256,
    width=1024,
    height=1024,
)
_JOB = Job(
    job_id=_ID,
    job_type="image-generation",
    status=Status.COMPLETED,
    user_id="ada",
    project_id="spring-campaign",
    payload={"prompt": "a red kite over the sea", "options": {"width": 1024, "height": 1024}},
    created_at=_CREATED,
    updated_at=_DONE,
    status_at={
        Status.QUEUED: _CREATED,
        Status.PROCESSING: _CREATED + timedelta(seconds=1),
        Status.COMPLETED: _DONE,
    },
    progress=100,
    attempt=1,
    credits=JobCredits(captured=1),
    served_by="bfl",
    history=(
        StatusChange(status=Status.QUEUED, at=_CREATED, by="ada"),
        StatusChange(status=Status.PROCESSING, at=_CREATED + timedelta(seconds=1), attempt=1),
        StatusChange(status=Status.COMPLETED, at=_DONE, attempt=1, credits=1, cost_usd=0.04),
    ),
    failed_attempts=(
        FailedAttempt(
            at=_CREATED + timedelta(seconds=2),
            attempt=1,
            unit=0,
            provider="stability",
            code="provider_down",
            category=Category.PROVIDER_DOWN,
            message="stability cannot be reached",
        ),
    ),
    units=(UnitRun(state=UnitState.DONE, credits=1, provider="bfl", artifacts=(_FILE,)),),
)


_DEAD_LETTERS = DeadLetterGroup(
    fingerprint="3f9a2c71d05b8e64",
    job_type="image-generation",
    code="provider_down",
    message="bfl answered with the server error 503",
    served_by="bfl",
    seen=17,
    first_seen_at=_CREATED,
    last_seen_at=_DONE,
    job_ids=(_ID,),
    expire_at=_DONE + timedelta(days=90),
)
_METRICS = DailyMetrics(
    job_type="image-generation",
    day="2026-11-26",
    counts={
        "submitted": 42,
        "COMPLETED": 41,
        "FAILED": 1,
        "etaChecked": 20,
        "etaWithinP50": 11,
        "etaWithinP90": 18,
    },
    wait_ms={"70": 40, "80": 2},
    run_ms={"95": 42},
    expire_at=_DONE + timedelta(days=400),
)
_QUEUE_STATISTICS = QueueStatistics(
    job_type="image-generation",
    queue="image-generation-queue",
    paused=False,
    waiting=3,
    active=10,
    delayed=1,
    completed=41,
    failed=1,
    avg_run_ms=8200.5,
    avg_wait_ms=912.0,
    throughput=0.64,
    error_rate=0.0238,
    ended=(0, 3, 5, 2, 0, 0, 9, 4, 7, 5, 4, 3),
    waits_ms=(None, 880.0, 1240.0, 640.0, None, None, 2150.0, 910.0, 875.5, 902.0, 790.0, 612.0),
    window=120,
    control=None,
)


def build_new_job(job_type: JobType[Any]) -> JobView:
    """The answer to the type's example request."""
    return compose_job_view(_make_new_job(job_type), BASE_URL, None)


def _make_new_job(job_type: JobType[Any], job_id: str = _ID) -> Job:
    return Job(
        job_id=job_id,
        job_type=job_type.name,
        status=Status.QUEUED,
        user_id="ada",
        payload=dict(job_type.example),
        created_at=_CREATED,
        updated_at=_CREATED,
        status_at={Status.QUEUED: _CREATED},
        credits=JobCredits(held=1),
    )


def _build_result() -> ResultView:
    url = f"https://storage.googleapis.com/example-taskreel/{_FILE.path}?X-Goog-Signature=5f0c"
    facts = {name: value for name, value in _FILE if name != "path"}
    return ResultView(artifacts=[ArtifactView(**facts, url=url)])


def _build_job() -> JobView:
    return compose_job_view(_JOB, BASE_URL, _build_result())


def _build_page() -> JobsPage:
    files = [one.model_copy(update={"url": None}) for one in _build_result().artifacts]
    row = compose_job_view(_JOB, BASE_URL, ResultView(artifacts=files), whole=False)
    return JobsPage(jobs=[row], next_cursor=_ID)


def _build_events() -> JobEvents:
    position = f"1795732459556626222.1795732459529.{_ID}"
    event = JobEvent(id=position, event="status", job=_build_job())
    return JobEvents(events=[event], position=position)


def _build_stream_token() -> StreamTokenView:
    return StreamTokenView(token="eyJhbGciOi…", expires_at=_DONE)  # noqa: S106 - no real one


def _build_movie_job() -> legacy.MovieJobView:
    job = compose_job_view(_make_new_job(JOB_TYPES[legacy.MOVIE], _MOVIE_ID), BASE_URL, None)
    status_url = f"{BASE_URL}/api/movies/{job.job_id}/status"
    return legacy.MovieJobView(**dict(job), movie_id=job.job_id, status_url=status_url)


def _build_movie_status() -> legacy.MovieStatus:
    job = _build_movie_job()
    return legacy.MovieStatus(
        movie_id=job.job_id,
        job_id=job.job_id,
        status=job.status,
        current_step=job.current_step,
        percent=job.progress,
        steps=job.steps,
        error=None,
        result=None,
    )


def _build_legacy_job() -> legacy.LegacyJobView:
    job = _build_job()
    return legacy.LegacyJobView(**dict(job), status_url=f"{BASE_URL}/v1/jobs/{job.job_id}/status")


def _build_script_job() -> legacy.ScriptJobView:
    job = build_new_job(JOB_TYPES[legacy.SCRIPT])
    status_url = f"{BASE_URL}/v1/jobs/{job.job_id}/status"
    return legacy.ScriptJobView(**dict(job), status_url=status_url, message=legacy.SCRIPT_STARTED)


def _build_quote() -> QuoteView:
    affordable = AffordableView(available=99, sufficient=True)
    return QuoteView(cost=1, credits=affordable, served_by="bfl", usd=0.04, steps={})


def _build_template() -> TemplateView:
    version = TemplateVersion(
        version=1,
        job_type="image-generation",
        data={"prompt": "A poster of {{parameters.subject}}, {{parameters.style}}"},
        defaults={"style": "as a woodcut"},
        saved_at=_CREATED,
        saved_by="ada",
    )
    template = JobTemplate(
        template_id="tpl_4f",
        name="poster",
        user_id="ada",
        versions=(version,),
        created_at=_CREATED,
        updated_at=_CREATED,
    )
    return build_template_view(template, version)


def _build_ledger() -> LedgerPage:
    entry = LedgerEntry(
        entry_id=f"{_ID}.1",
        user_id="ada",
        kind=EntryKind.CAPTURE,
        amount=1,
        held=1,
        job_id=_ID,
        created_at=_DONE,
    )
    return LedgerPage(entries=[LedgerEntryView(**dict(entry))], next_cursor=None)


def _build_recurring() -> RecurringJobView:
    run = RecurringRun(due_at=_CREATED, at=_CREATED, result=RunResult.SUBMITTED, job_id=_ID)
    recurring = RecurringJob(
        recurring_job_id="rec_7h2j9k4m6n8p3q5r7s9t2v4w6x",
        user_id="ada",
        job_type="image-generation",
        payload={"prompt": "The picture of the day"},
        cron_expression="30 9 * * *",
        runs=(run,),
        submitted=1,
        next_run_at=_CREATED + timedelta(days=1),
        created_at=_CREATED - timedelta(hours=1),
        updated_at=_CREATED,
    )
    return build_recurring_view(recurring, _DONE)


def _build_recurring_page() -> RecurringJobPage:
    return RecurringJobPage(recurring_jobs=[_build_recurring()], next_cursor=None)


def _build_providers() -> ProvidersView:
    model = ModelView.model_validate({"name": "flux-2-pro", "breaker": _build_breaker()})
    one = ProviderView(
        provider="bfl",
        configured=True,
        served_by="bfl",
        key_variable="BFL_API_KEY",
        job_types=["image-generation", "batch-generation"],
        job_types_in_part=["ai-processing", "movie-creation"],
        job_types_that_need_key=[],
        models=[model],
    )
    return ProvidersView(providers=[one])


def _build_breaker() -> BreakerView:
    return BreakerView(
        state=BreakerState.CLOSED, by_hand=False, since=None, admits_at=_CREATED, changes=[]
    )


def _build_health() -> BaseModel:
    paused = Verdict(status=Health.DEGRADED, reasons=("it is paused",))
    facts = QueueFacts(paused=True, depth=3, oldest_seconds=41.0, completed=120, failed=2)
    queue = QueueHealth(
        queue="image-generation-queue", job_type="image-generation", verdict=paused, facts=facts
    )
    report = HealthReport(
        status=Health.DEGRADED,
        reasons=("queue image-generation-queue: it is paused",),
        checked_at=_CREATED,
        store=DependencyHealth(verdict=Verdict(), latency_ms=6.2),
        bucket=DependencyHealth(verdict=Verdict(), latency_ms=31.5),
        queue_service=DependencyHealth(verdict=Verdict(), latency_ms=18.0),
        queues=(queue,),
        providers=(ProviderHealth(provider="bfl", verdict=Verdict(), paused_models=()),),
    )
    return build_health_view(report, Thresholds())


def _build_history() -> JobHistoryView:
    return build_job_history(_JOB, Caller(user_id="ada"))


#: Name of a response's schema → its example.
_EXAMPLES: Mapping[str, Callable[[], BaseModel | RecordView]] = {
    "BalanceView": lambda: BalanceView(
        user_id="ada", available=96, held=1, captured=3, granted=100
    ),
    "BatchView": lambda: BatchView(
        created=1, refused=0, results=[BatchResultView(index=0, status=202, job=_build_job())]
    ),
    "BreakerView": _build_breaker,
    "DeadLettersView": lambda: DeadLettersView(
        groups=[build_group_view(OpenGroup(_DEAD_LETTERS, 3))]
    ),
    "RedriveView": lambda: RedriveView(
        dry_run=True,
        eligible=1,
        cost=1,
        job_ids=[_ID],
        refused=[RefusedJobView(job_id=_MOVIE_ID, reason="its owner has too few credits")],
    ),
    "HealthView": _build_health,
    "JobEvents": _build_events,
    "JobStatisticsView": lambda: build_statistics_view(
        JobStatistics(by_status={"COMPLETED": 41, "FAILED": 1}, by_type={"image-generation": 42}),
        "ada",
    ),
    "PerformanceView": lambda: PerformanceView(days=[build_day_view(_METRICS, with_costs=False)]),
    "QueuesStatisticsView": lambda: build_queues_view([_QUEUE_STATISTICS], with_orders=False),
    "JobHistoryView": _build_history,
    "JobTypesView": lambda: JobTypesView(
        job_types=[build_type_view(JOB_TYPES["image-generation"])]
    ),
    "JobView": _build_job,
    "JobsPage": _build_page,
    "LedgerPage": _build_ledger,
    "SpendCapsView": lambda: build_spend_caps_view(
        Account(user_id="ada", available=500, granted=500, daily_cap=100).hold(12, _CREATED),
        _CREATED,
    ),
    "TemplateList": lambda: TemplateList(templates=[_build_template()]),
    "TemplateView": _build_template,
    "RecurringJobPage": _build_recurring_page,
    "RecurringJobView": _build_recurring,
    "LegacyJobView": _build_legacy_job,
    "MovieJobView": _build_movie_job,
    "MovieStatus": _build_movie_status,
    "PositionView": lambda: PositionView(
        job_id=_ID,
        job_type="image-generation",
        status=Status.THROTTLED,
        reason="You have 1 job under way, as many as your plan runs at a time. "
        "This one starts when one of them ends.",
        ahead=2,
        ahead_text="2",
        starts_in=EstimateView(p50=12.4, p90=18.1),
        ends_in=EstimateView(p50=16.5, p90=24.0),
    ),
    "UserLimitView": lambda: UserLimitView(
        user_id="ada", tier="pro", active_jobs=20, is_own=True, active=7, waiting=0
    ),
    "ProgressView": lambda: build_progress_view(_JOB),
    "ProvidersView": _build_providers,
    "QuoteView": _build_quote,
    "ResultView": _build_result,
    "ScriptJobView": _build_script_job,
    "StreamTokenView": _build_stream_token,
    "UserHistoryPage": lambda: UserHistoryPage(jobs=[_build_history()], next_cursor=None),
    **OPERATOR_EXAMPLES,
    **PROJECT_EXAMPLES,
    **WEBHOOK_EXAMPLES,
    "WebhookView": lambda: WebhookView(hastened=True),
}
_EVENTS = "text/event-stream"


def add_examples(operation: dict[str, Any]) -> None:
    """Add examples to the operation's responses that have none."""
    for response in operation["responses"].values():
        for media_type, content in response.get("content", {}).items():
            if media_type == _EVENTS:
                data = _build_job().to_json().decode()
                content.setdefault("example", f"event: status\ndata: {data}\n\n")
            elif "example" not in content and "examples" not in content:
                _add_example(content)


def _add_example(content: dict[str, Any]) -> None:
    schema = content.get("schema", {})
    names = [one.get("$ref", "").rpartition("/")[2] for one in schema.get("anyOf", [schema])]
    known = [name for name in names if name in _EXAMPLES]
    if len(names) == 1 and known:
        content["example"] = dump_example(_EXAMPLES[known[0]]())
    elif known:
        content["examples"] = {name: {"value": dump_example(_EXAMPLES[name]())} for name in known}


def dump_example(view: BaseModel | RecordView) -> Any:
    """The view as JSON."""
    if isinstance(view, RecordView):
        return json.loads(view.to_json())
    return view.model_dump(mode="json", by_alias=True)
