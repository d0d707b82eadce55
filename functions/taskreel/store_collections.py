"""The collections of the store: the name of each, and the codec of its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskreel.domain.audit import AuditEntry
from taskreel.domain.breaker import Breaker
from taskreel.domain.credits import Account, LedgerEntry
from taskreel.domain.dead_letters import DeadLetterGroup
from taskreel.domain.job import Job
from taskreel.domain.job_history import RunAnswers
from taskreel.domain.job_metrics import DailyMetrics
from taskreel.domain.queue_control import QueueControl
from taskreel.domain.recurring_job import RecurringJob
from taskreel.domain.upload import Upload
from taskreel.domain.webhook import WebhookDelivery, WebhookEndpoint
from taskreel.ports import Collection


class _LastJob:
    """Encodes jobs, and remembers the last one: a job is measured, and then stored."""

    def __init__(self) -> None:
        self._last: tuple[Job, Mapping[str, Any]] | None = None

    def encode(self, job: Job) -> Mapping[str, Any]:
        last = self._last
        if last is None or last[0] is not job:
            last = self._last = job, job.document()
        return last[1]


JOBS: Collection[Job] = Collection("jobs", _LastJob().encode, Job.model_validate, shareable=True)
ACCOUNTS: Collection[Account] = Collection(
    "accounts", Account.document, Account.model_validate, shareable=True
)
#: Create-only.
LEDGER: Collection[LedgerEntry] = Collection(
    "ledger", LedgerEntry.document, LedgerEntry.model_validate, shareable=True
)
BREAKERS: Collection[Breaker] = Collection(
    "breakers", Breaker.document, Breaker.model_validate, shareable=True
)
RECURRING_JOBS: Collection[RecurringJob] = Collection(
    "recurring_jobs", RecurringJob.document, RecurringJob.model_validate, shareable=True
)
UPLOADS: Collection[Upload] = Collection(
    "uploads", Upload.document, Upload.model_validate, shareable=True
)
WEBHOOK_ENDPOINTS: Collection[WebhookEndpoint] = Collection(
    "webhook_endpoints", WebhookEndpoint.document, WebhookEndpoint.model_validate, shareable=True
)
WEBHOOK_DELIVERIES: Collection[WebhookDelivery] = Collection(
    "webhook_deliveries", WebhookDelivery.document, WebhookDelivery.model_validate, shareable=True
)
#: Create-only.
AUDIT: Collection[AuditEntry] = Collection(
    "audit", AuditEntry.document, AuditEntry.model_validate, shareable=True
)
#: By the name of the queue.
QUEUE_CONTROLS: Collection[QueueControl] = Collection(
    "queue_controls", QueueControl.document, QueueControl.model_validate, shareable=True
)
#: By the job, its round, and the fence of its run.
RUN_ANSWERS: Collection[RunAnswers] = Collection(
    "run_answers", RunAnswers.document, RunAnswers.model_validate, shareable=True
)
#: By type, day and shard.
METRICS: Collection[DailyMetrics] = Collection(
    "job_performance_metrics", DailyMetrics.document, DailyMetrics.model_validate, shareable=True
)
#: By the fingerprint.
DEAD_LETTERS: Collection[DeadLetterGroup] = Collection(
    "dead_letters", DeadLetterGroup.document, DeadLetterGroup.model_validate, shareable=True
)
#: Nothing is stored in it: a health check reads it.
HEALTH: Collection[Mapping[str, Any]] = Collection("health", dict, dict)
