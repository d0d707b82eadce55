"""The collections of the store: the name of each, and the codec of its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from taskreel.domain.audit import AuditEntry
from taskreel.domain.breaker import Breaker
from taskreel.domain.credits import Account, LedgerEntry
from taskreel.domain.dead_letters import DeadLetterGroup
from taskreel.domain.job import Job
from taskreel.domain.job_history import RunAnswers
from taskreel.domain.job_metrics import DailyMetrics
from taskreel.domain.operation import BulkOperation
from taskreel.domain.queue_control import QueueControl
from taskreel.domain.recurring_job import RecurringJob
from taskreel.domain.upload import Upload
from taskreel.domain.webhook import WebhookDelivery, WebhookEndpoint
from taskreel.ports import Collection

if TYPE_CHECKING:
    from taskreel.domain.alerts import AlertState
    from taskreel.domain.data_key import DataKey
    from taskreel.domain.erasure import Erasure
    from taskreel.domain.job_template import JobTemplate
    from taskreel.domain.project import Project


#: Each job is written three times or more within milliseconds, and its owner's account twice. What
#: a job has from callers and providers is checked before: `submission`, `job_store.store_job`.
def _read_template(data: Mapping[str, Any]) -> JobTemplate:
    from taskreel.domain.job_template import JobTemplate  # of few requests: cold start

    return JobTemplate.model_validate(data)


def _read_erasure(data: Mapping[str, Any]) -> Erasure:
    from taskreel.domain.erasure import Erasure  # of few requests: cold start

    return Erasure.model_validate(data)


def _read_project(data: Mapping[str, Any]) -> Project:
    from taskreel.domain.project import Project  # of few requests: cold start

    return Project.model_validate(data)


def _read_data_key(data: Mapping[str, Any]) -> DataKey:
    from taskreel.domain.data_key import DataKey  # only with encryption: cold start

    return DataKey.model_validate(data)


def _read_alerts(data: Mapping[str, Any]) -> AlertState:
    from taskreel.domain.alerts import AlertState  # of the sweep and few requests: cold start

    return AlertState.model_validate(data)


JOBS: Collection[Job] = Collection(
    "jobs", Job.document, Job.model_validate, shareable=True, encodes_any=True
)
ACCOUNTS: Collection[Account] = Collection(
    "accounts",
    Account.document,
    Account.model_validate,
    shareable=True,
    encodes_any=True,
    increase=Account.increase,
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
OPERATIONS: Collection[BulkOperation] = Collection(
    "operations", BulkOperation.document, BulkOperation.model_validate, shareable=True
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
JOB_TEMPLATES: Collection[JobTemplate] = Collection(
    "job_templates", lambda template: template.document(), _read_template, shareable=True
)
PROJECTS: Collection[Project] = Collection(
    "projects", lambda project: project.document(), _read_project, shareable=True
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
#: By a random id; while it runs, by one that is fixed for the user.
ERASURES: Collection[Erasure] = Collection(
    "erasures", lambda erasure: erasure.document(), _read_erasure, shareable=True
)
#: Of no person: what encrypts the documents of others, itself encrypted by a key outside the store.
DATA_KEYS: Collection[DataKey] = Collection(
    "data_keys", lambda key: key.document(), _read_data_key, shareable=True
)
#: One document, of no person: which alerts operators have been told of.
ALERTS: Collection[AlertState] = Collection(
    "alerts", lambda state: state.document(), _read_alerts, shareable=True
)
#: All collections with documents of people.
STORED: tuple[Collection[Any], ...] = (
    JOBS,
    ACCOUNTS,
    LEDGER,
    BREAKERS,
    RECURRING_JOBS,
    OPERATIONS,
    UPLOADS,
    WEBHOOK_ENDPOINTS,
    WEBHOOK_DELIVERIES,
    JOB_TEMPLATES,
    PROJECTS,
    AUDIT,
    QUEUE_CONTROLS,
    RUN_ANSWERS,
    METRICS,
    DEAD_LETTERS,
    ERASURES,
)
#: Nothing is stored in it: a health check reads it.
HEALTH: Collection[Mapping[str, Any]] = Collection("health", dict, dict)
