"""The load that a deployment carries: each limit in jobs a second, and what a load needs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from taskreel.adapters.local.queue_settings import QueueSettings
from taskreel.app.messages.job_task import POLL_QUEUE, queue_of_type
from taskreel.app.query_pages import MOST_WAKE_SHARDS, WAKE_SHARDS
from taskreel.domain.ids import MOST_SHARDS
from taskreel_local.cli.cost_operations import Kind, Numbers, Operations, count_job
from taskreel_local.cli.declared_services import ServiceSize
from taskreel_local.cli.text_output import count_of


def _declare_number(default: float, source: str) -> Any:
    return field(default=default, metadata={"source": source})


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Limits of Google Cloud and of the product, each with its source."""

    cpus: float = _declare_number(20, "CPUs of a region in a new project: infra/services.yaml")
    memory_gib: float = _declare_number(40, "GiB of a region in a new project: infra/services.yaml")
    queue_dispatches: float = _declare_number(
        500, "tasks a second of a queue: cloud.google.com/tasks/docs/quotas"
    )
    task_calls: float = _declare_number(
        100_000, "Cloud Tasks calls a second of a region (6,000,000 a minute): …/tasks/docs/quotas"
    )
    range_writes: float = _declare_number(
        500,
        "writes a second in an index that grows at its end: "
        "firebase.google.com/docs/firestore/solutions/shard-timestamp",
    )
    user_submissions: float = _declare_number(
        100, "submissions a second of a document of an account: tests/gcp/test_busy_account.py"
    )
    cpu_use: float = _declare_number(
        0.6, "of its CPUs, Cloud Run adds instances: about-instance-autoscaling"
    )
    cold_rate: float = _declare_number(
        500, "operations a second of a cold queue or collection; then half as many more every 5 min"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit: the jobs a second of the whole mix that it allows, and what raises it."""

    name: str
    jobs_per_second: float
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The part of one thing that a load takes, and all of it; None: as much as is asked for."""

    name: str
    needed: float
    available: float | None = None

    @property
    def is_met(self) -> bool:
        """True if there is enough."""
        return self.available is None or self.needed <= self.available


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The declarations: queues and services by name, and the window of a job type."""

    queues: Mapping[str, QueueSettings]
    services: Mapping[str, ServiceSize]
    window: Callable[[str], int]
    #: The number of Cloud Tasks queues of each queue that has more than one.
    shards: Mapping[str, int] = field(default_factory=dict)
    wake_shards: int = WAKE_SHARDS
    #: The shards of the indexes of job types.
    type_shards: int = 1
    #: The shards of the busiest user's account, which an administrator sets.
    account_shards: int = 1


@dataclass(frozen=True, slots=True)
class Load:
    """An average job of a mix: its operations, and its share of each queue and job type."""

    job: Operations
    #: Tasks by queue.
    tasks: Mapping[str, float]
    #: Seconds of a queue's places.
    seconds: Mapping[str, float]
    #: By job type: writes of its jobs, and the seconds that they are open.
    type_writes: Mapping[str, float]
    open_seconds: Mapping[str, float]


def average_load(mix: Mapping[str, float], kinds: Mapping[str, Kind], numbers: Numbers) -> Load:
    """Return the load of one average job."""
    total = sum(mix.values())
    job = Operations()
    tasks: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    writes: dict[str, float] = defaultdict(float)
    open_seconds: dict[str, float] = defaultdict(float)
    for name, share in mix.items():
        if not share:
            continue
        kind = kinds[name]
        one = count_job(kind, numbers) * (share / total)
        job += one
        queue = queue_of_type(kind.job_type)
        tasks[queue] += one.starts
        seconds[queue] += one.start_seconds
        tasks[POLL_QUEUE] += one.polls
        seconds[POLL_QUEUE] += numbers.poll_seconds * one.polls
        writes[kind.job_type] += one.job_writes
        open_seconds[kind.job_type] += (numbers.delivery_seconds + kind.seconds) * (share / total)
    return Load(job, tasks, seconds, writes, open_seconds)


def find_limits(
    load: Load, deployment: Deployment, quotas: Quotas, busiest_user: float
) -> list[Limit]:
    """Return every limit, first the one that a growing load meets first.

    `busiest_user` is the part of all jobs that one user submits.
    """
    found = [
        *_queue_limits(load, deployment, quotas),
        *_window_limits(load, deployment),
        *_service_limits(load, deployment, quotas),
        *_index_limits(load, deployment, quotas),
        Limit(
            name="calls of Cloud Tasks in the region",
            jobs_per_second=_divide_capacity(quotas.task_calls, load.job.task_operations),
            remedy="another region, with a deployment of its own",
        ),
        Limit(
            name=f"submissions of a user with {busiest_user:.0%} of the jobs",
            jobs_per_second=_divide_capacity(
                quotas.user_submissions * deployment.account_shards, busiest_user
            ),
            remedy=(
                f"taskreel users shards, up to {MOST_SHARDS}: --account-shards shows them"
                if deployment.account_shards < MOST_SHARDS
                else "several accounts for that user"
            ),
        ),
    ]
    return sorted(found, key=lambda limit: limit.jobs_per_second)


def _queue_limits(load: Load, deployment: Deployment, quotas: Quotas) -> Iterable[Limit]:
    for queue, tasks in load.tasks.items():
        settings = deployment.queues[queue]
        rate, places = settings.max_dispatches_per_second, settings.max_concurrent_dispatches
        yield Limit(
            name=f"{queue}: {rate:g} tasks a second",
            jobs_per_second=_divide_capacity(rate, tasks),
            remedy=(
                "maxDispatchesPerSecond"
                if rate < quotas.queue_dispatches * deployment.shards.get(queue, 1)
                else f"maxDispatchesPerSecond and shards: a queue has {quotas.queue_dispatches:g}"
            ),
        )
        yield Limit(
            name=f"{queue}: {count_of(places, 'task')} at a time",
            jobs_per_second=_divide_capacity(places, load.seconds[queue]),
            remedy="maxConcurrentDispatches, with its service's maxInstances",
        )


def _window_limits(load: Load, deployment: Deployment) -> Iterable[Limit]:
    for job_type, seconds in load.open_seconds.items():
        window = deployment.window(job_type)
        yield Limit(
            name=f"window of {job_type}: {window} jobs queued or at a provider",
            jobs_per_second=_divide_capacity(window, seconds),
            remedy="windows in limits.yaml; more jobs wait, THROTTLED",
        )


def _service_limits(load: Load, deployment: Deployment, quotas: Quotas) -> Iterable[Limit]:
    for name, (seconds, cpu_seconds) in _service_use(load).items():
        service = deployment.services[name]
        instances = service.max_instances
        yield Limit(
            name=(
                f"{name}: {count_of(instances, 'instance')} of "
                f"{count_of(service.concurrency, 'request')}"
            ),
            jobs_per_second=_divide_capacity(instances * service.concurrency, seconds),
            remedy="maxInstances",
        )
        yield Limit(
            name=f"{name}: CPUs of {count_of(instances, 'instance')}",
            jobs_per_second=_divide_capacity(
                instances * service.cpus * quotas.cpu_use, cpu_seconds
            ),
            remedy="maxInstances",
        )


def _index_limits(load: Load, deployment: Deployment, quotas: Quotas) -> Iterable[Limit]:
    wake_shards, type_shards = deployment.wake_shards, deployment.type_shards
    yield Limit(
        name=f"index of wake times: {count_of(wake_shards, 'shard')}",
        jobs_per_second=_divide_capacity(quotas.range_writes * wake_shards, load.job.job_writes),
        remedy=f"WAKE_SHARDS in services.yaml, up to {MOST_WAKE_SHARDS}",
    )
    for job_type, writes in load.type_writes.items():
        yield Limit(
            name=f"index of updates of {job_type}: {count_of(type_shards, 'shard')}",
            jobs_per_second=_divide_capacity(quotas.range_writes * type_shards, writes),
            remedy=(
                "webhooks instead of polls, then ?sharded-types in STORE_URL of services.yaml"
                if type_shards == 1
                else f"WAKE_SHARDS in services.yaml, up to {MOST_WAKE_SHARDS}"
            ),
        )


def find_needs(rate: float, load: Load, deployment: Deployment, quotas: Quotas) -> list[Need]:
    """Return what `rate` jobs a second take, beside what there is of it."""
    found = []
    for queue, tasks in load.tasks.items():
        settings = deployment.queues[queue]
        found += [
            Need(
                name=f"{queue}: tasks a second",
                needed=rate * tasks,
                available=settings.max_dispatches_per_second,
            ),
            Need(
                name=f"{queue}: tasks at a time",
                needed=rate * load.seconds[queue],
                available=settings.max_concurrent_dispatches,
            ),
            Need(
                name=f"{queue}: shards",
                needed=math.ceil(rate * tasks / quotas.queue_dispatches),
                available=deployment.shards.get(queue, 1),
            ),
        ]
    found += [
        Need(
            name=f"window of {job_type}: open jobs",
            needed=rate * seconds,
            available=deployment.window(job_type),
        )
        for job_type, seconds in load.open_seconds.items()
    ]
    cpus = memory = 0.0
    for name, (seconds, cpu_seconds) in _service_use(load).items():
        service = deployment.services[name]
        instances = math.ceil(
            max(
                rate * seconds / service.concurrency,
                rate * cpu_seconds / (service.cpus * quotas.cpu_use),
            )
        )
        cpus += instances * service.cpus
        memory += instances * service.memory_gib
        found.append(
            Need(name=f"{name}: instances", needed=instances, available=service.max_instances)
        )
    found += [
        Need(name="CPUs in the region", needed=cpus, available=quotas.cpus),
        Need(name="GiB of memory in the region", needed=memory, available=quotas.memory_gib),
        Need(
            name="Cloud Tasks operations a second",
            needed=rate * load.job.task_operations,
            available=quotas.task_calls,
        ),
        Need(name="Firestore reads a second", needed=rate * load.job.reads),
        Need(name="Firestore writes a second", needed=rate * load.job.writes),
    ]
    return found


def warm_up_minutes(rate: float, load: Load, quotas: Quotas) -> float:
    """Return the minutes in which Firestore and the busiest queue grow to a load from nothing."""
    fastest = rate * max(load.job.writes, *load.tasks.values())
    if fastest <= quotas.cold_rate:
        return 0
    return 5 * math.ceil(math.log(fastest / quotas.cold_rate, 1.5))


def _service_use(load: Load) -> Mapping[str, tuple[float, float]]:
    """Return the seconds of requests and of processors that a job takes of each service."""
    job = load.job
    return {
        "task-processor": (job.processor_seconds, job.processor_cpu_seconds),
        "jobs-api": (job.api_seconds, job.api_cpu_seconds),
    }


def _divide_capacity(capacity: float, per_job: float) -> float:
    return capacity / per_job if per_job else math.inf
