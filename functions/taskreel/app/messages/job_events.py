"""Events of jobs for client webhooks, made in the commit that changes a job's status.

Only jobs that a webhook wants have any: others cost nothing. An event is one delivery for each
subscription that wants it. Its id is made of the job, the status and the time, so that it is the
same however often a transaction runs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from taskreel.app.messages.job_task import WEBHOOK_QUEUE, build_task
from taskreel.domain.ids import hashed_delivery_id
from taskreel.domain.job import Job
from taskreel.domain.webhook_events import ANSWER_SECONDS, WebhookSubscription
from taskreel.ports import Task, Transaction
from taskreel.store_collections import WEBHOOK_DELIVERIES

if TYPE_CHECKING:
    from taskreel.domain.client_webhook import WebhookDelivery  # of the first event: cold start

#: Cloud Tasks waits longer for a try than the endpoint's answer may take.
_DEADLINE = timedelta(seconds=2 * ANSWER_SECONDS)


def name_event(job: Job) -> str:
    """The event of the job's present status, such as `job.completed`."""
    return f"job.{job.status.lower()}"


def create_status_event(tx: Transaction, job: Job) -> Job:
    """Create the deliveries of the job's status, once; the job that is to be stored with them."""
    if job.announced == job.status_entry:
        return job
    for subscription in _find_wanting(job):
        delivery = _build_delivery(job, subscription)
        # Not `create`: a transaction may store a job twice, with the same event.
        tx.set(WEBHOOK_DELIVERIES, delivery.delivery_id, delivery)
    return job.model_copy(update={"announced": job.status_entry})


def build_event_tasks(job: Job) -> list[Task]:
    """The first tasks of the deliveries that the job's last change has made, without any read.

    The sweep finds those for which no task was built.
    """
    if job.status_at[job.status] != job.updated_at:
        return []
    return [
        build_delivery_task(_build_delivery(job, subscription))
        for subscription in _find_wanting(job)
    ]


def build_delivery_task(delivery: WebhookDelivery) -> Task:
    """The task of a delivery's next try."""
    return build_task(
        WEBHOOK_QUEUE,
        delivery.delivery_id,
        delivery.sends,
        at=delivery.next_try_at,
        deadline=_DEADLINE,
    )


def _find_wanting(job: Job) -> list[WebhookSubscription]:
    event = name_event(job)
    return [one for one in job.webhooks if one.wants(event)]


def _build_delivery(job: Job, subscription: WebhookSubscription) -> WebhookDelivery:
    from taskreel.domain.client_webhook import DELIVERY_RETENTION, WAKE_AFTER, WebhookDelivery

    at = job.status_at[job.status]
    delivery_id = hashed_delivery_id(job.job_id, job.status_entry, subscription.endpoint_id)
    return WebhookDelivery(
        delivery_id=delivery_id,
        endpoint_id=subscription.endpoint_id,
        user_id=job.user_id,
        event=name_event(job),
        job_id=job.job_id,
        url=subscription.url,
        form=subscription.form,
        occurred_at=at,
        data=_describe_job(job),
        next_try_at=at,
        wake_at=at + WAKE_AFTER,
        wake_shard=job.wake_shard,
        created_at=at,
        updated_at=at,
        expire_at=at + DELIVERY_RETENTION,
    )


def _describe_job(job: Job) -> dict[str, Any]:
    """The facts that a receiver acts on; it reads the rest from the job's address."""
    facts = {
        "jobId": job.job_id,
        "jobType": job.job_type,
        "status": str(job.status),
        "projectId": job.project_id,
        "attempt": job.attempt,
        "createdAt": job.created_at,
        "credits": job.credits.document(),
        "error": None if job.error is None else job.error.document(),
    }
    return {name: value for name, value in facts.items() if value is not None}
