"""The collections of the store: the name of each, and the codec of its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any

from taskreel.domain.credits import Account, LedgerEntry
from taskreel.domain.job import Job
from taskreel.ports import Collection, undecoded_collection

if TYPE_CHECKING:
    from taskreel.domain.alerts import AlertState
    from taskreel.domain.audit_log import AuditEntry
    from taskreel.domain.breaker import Breaker
    from taskreel.domain.client_webhook import WebhookDelivery, WebhookEndpoint
    from taskreel.domain.data_key import DataKey
    from taskreel.domain.dead_letters import DeadLetterGroup
    from taskreel.domain.erasure import Erasure
    from taskreel.domain.job_metrics import DailyMetrics
    from taskreel.domain.job_template import JobTemplate
    from taskreel.domain.operation import BulkOperation
    from taskreel.domain.project import Project
    from taskreel.domain.queue_control import QueueControl
    from taskreel.domain.recurring_job import RecurringJob
    from taskreel.domain.run_answers import RunAnswers
    from taskreel.domain.upload import Upload


def _define(name: str, kind: str) -> Collection[Any]:
    """The collection of a class in `domain`, which is imported with its first document: cold start.

    It is named as `module:Class`.
    """
    module, _, class_name = kind.partition(":")
    validate: Callable[[Mapping[str, Any]], Any] | None = None

    def decode(data: Mapping[str, Any]) -> Any:
        nonlocal validate
        if validate is None:
            found = import_module(f"taskreel.domain.{module}")
            validate = getattr(found, class_name).model_validate
        return validate(data)

    return Collection(name, methodcaller("document"), decode, shareable=True)


#: Each job is written three times or more within milliseconds, and its owner's account twice. What
#: a job has from callers and providers is checked before: `submission`, `job_store.store_job`.
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
#: Create-only. The id of a settlement begins with its job's (`job_store.name_round`).
LEDGER: Collection[LedgerEntry] = Collection(
    "ledger",
    LedgerEntry.document,
    LedgerEntry.model_validate,
    shareable=True,
    follows=(JOBS.name, attrgetter("job_id")),
)
BREAKERS: Collection[Breaker] = _define("breakers", "breaker:Breaker")
RECURRING_JOBS: Collection[RecurringJob] = _define("recurring_jobs", "recurring_job:RecurringJob")
OPERATIONS: Collection[BulkOperation] = _define("operations", "operation:BulkOperation")
UPLOADS: Collection[Upload] = _define("uploads", "upload:Upload")
WEBHOOK_ENDPOINTS: Collection[WebhookEndpoint] = _define(
    "webhook_endpoints", "client_webhook:WebhookEndpoint"
)
WEBHOOK_DELIVERIES: Collection[WebhookDelivery] = _define(
    "webhook_deliveries", "client_webhook:WebhookDelivery"
)
JOB_TEMPLATES: Collection[JobTemplate] = _define("job_templates", "job_template:JobTemplate")
PROJECTS: Collection[Project] = _define("projects", "project:Project")
#: Create-only.
AUDIT: Collection[AuditEntry] = _define("audit", "audit_log:AuditEntry")
#: By the name of the queue.
QUEUE_CONTROLS: Collection[QueueControl] = _define("queue_controls", "queue_control:QueueControl")
#: By the job, its round, and the fence of its run.
RUN_ANSWERS: Collection[RunAnswers] = _define("run_answers", "run_answers:RunAnswers")
#: By type, day and shard.
METRICS: Collection[DailyMetrics] = _define("job_performance_metrics", "job_metrics:DailyMetrics")
#: By the fingerprint.
DEAD_LETTERS: Collection[DeadLetterGroup] = _define("dead_letters", "dead_letters:DeadLetterGroup")
#: By a random id; while it runs, by one that is fixed for the user.
ERASURES: Collection[Erasure] = _define("erasures", "erasure:Erasure")
#: Of no person: what encrypts the documents of others, itself encrypted by a key outside the store.
DATA_KEYS: Collection[DataKey] = _define("data_keys", "data_key:DataKey")
#: One document, of no person: the alerts that operators have got.
ALERTS: Collection[AlertState] = _define("alerts", "alerts:AlertState")
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
HEALTH = undecoded_collection("health")
