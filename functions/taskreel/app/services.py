"""The ports that every use case gets, built once by `wiring`, and a deployment's settings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from taskreel.app.eta_calibration import EtaCalibration
from taskreel.app.job_counts import JobCounts
from taskreel.app.providers.registry import ProviderRegistry
from taskreel.app.query_pages import WAKE_SHARDS
from taskreel.app.recent_jobs import RecentJobs
from taskreel.domain.flow_limits import FlowLimits
from taskreel.domain.input_limits import InputLimits
from taskreel.domain.job import Job
from taskreel.domain.record import Record
from taskreel.ports import (
    Blobs,
    Clock,
    Fetch,
    MediaWorkers,
    ProbeFile,
    SendWebhook,
    Store,
    TaskQueue,
    WorkDirs,
)

if TYPE_CHECKING:
    from taskreel.domain.alerts import AlertState  # of the sweep alone: cold start
    from taskreel.domain.client_webhook import WebhookDelivery

#: The sweep of one machine runs every few seconds: the conditions are checked less often.
CHECKED_EVERY = timedelta(seconds=50)
#: The sweep runs every minute: after so long without one, it is late.
SWEEP_LATE_SECONDS = 300.0


class Retention(Record):
    """The time for which ended jobs are stored with their files, of all types or of each."""

    longest: timedelta = timedelta(days=90)
    by_type: Mapping[str, timedelta] = field(default_factory=dict)

    def of(self, job: Job) -> timedelta:
        """The time for which a job is stored; a step has its pipeline's, as its files have."""
        if job.parent_id is None:
            return self.of_type(job.job_type)
        # Steps of earlier releases do not name their pipeline's type.
        return self.longest if job.pipeline_type is None else self.of_type(job.pipeline_type)

    def of_type(self, job_type: str) -> timedelta:
        """The time for which jobs of a type are stored that are no steps."""
        return self.by_type.get(job_type, self.longest)

    def find_end(self, job: Job, ended_at: datetime) -> datetime:
        """The time from which on a job that ends at `ended_at` may be removed.

        A step not before the deadline of its pipeline, which needs it until then.
        """
        end = ended_at + self.of(job)
        if job.parent_id is None or job.finish_by is None:
            return end
        return max(end, min(job.finish_by, ended_at + self.longest))

    @property
    def shortest(self) -> timedelta:
        """The time after which a job may be gone, whatever its type."""
        return min([self.longest, *self.by_type.values()])

    def count_age_from(self, job: Job, now: datetime) -> datetime | None:
        """The time from which a file's age counts: earlier for one that goes earlier, else None.

        A bucket has one age at which files are removed.
        """
        early = now + self.longest - self.find_end(job, now)
        return now - early if early else None


class Rules(Record, kw_only=True):
    """Settings of a deployment: times, amounts and limits."""

    initial_credits: int = 0
    lease: timedelta = timedelta(seconds=30)
    heartbeat: timedelta = timedelta(seconds=5)
    #: A queued job whose task has not arrived after this time gets another task.
    rescue_after: timedelta = timedelta(minutes=2)
    signed_url_lifetime: timedelta = timedelta(hours=1)
    #: How long an ended job is stored, with its files; the store's time to live on `expireAt`
    #: removes it then. Ledger entries are never removed.
    retention: Retention = Retention()
    inputs: InputLimits = InputLimits()
    input_timeout: timedelta = timedelta(minutes=2)
    #: The numbers from which a job's `wakeShard` is drawn; never fewer than once, or what has a
    #: higher number is not found.
    wake_shards: int = WAKE_SHARDS
    #: None: every job goes on its queue at once.
    limits: FlowLimits | None = None
    #: The public address of the API, for links in webhooks.
    api_base_url: str = ""


def _build_uncounted_calibration() -> EtaCalibration:
    return EtaCalibration(lambda _job_type, _outcome, _at: None)


def _count_nothing(_job: Job, _action: str, _at: datetime) -> None:
    """Do nothing: for services that record no statistics."""


def _count_no_event(_job_type: str, _name: str, _at: datetime) -> None:
    """Do nothing: for services that record no statistics."""


async def _store_nothing() -> None:
    """Do nothing: for services that record no statistics."""


async def _check_nothing() -> None:
    """Do nothing: for services whose store is never encrypted."""


#: Makes the message of a delivery in the form of another service. The job is None when it has been
#: removed since.
RenderMessage = Callable[["Services", "WebhookDelivery", Job | None], Awaitable[dict[str, Any]]]


#: The headers of another service's own signature of a message that is sent at that time.
SignMessage = Callable[["WebhookDelivery", str, datetime], Mapping[str, str]]


async def _refuse_other_forms(
    _services: Services, delivery: WebhookDelivery, _job: Job | None
) -> dict[str, Any]:
    raise RuntimeError(f"This process makes no messages in the form {delivery.form}.")


def _sign_nothing(_delivery: WebhookDelivery, _body: str, _at: datetime) -> Mapping[str, str]:
    """No headers: for services that make no messages in other forms."""
    return {}


class OperatorAlerts(Struct, kw_only=True):
    """The settings of alerts, and what this process has done for them.

    The URL is a secret: who has it can write to the channel.
    """

    url: str | None = None
    #: The thresholds that differ from AlertThresholds' own.
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    #: Sends what says nothing of stored things, and so does not wait for the store.
    sender: SendWebhook | None = None
    #: The last check of this process: of all conditions, and of the last sweep's time alone.
    checked_at: datetime | None = None
    watched_at: datetime | None = None
    #: Without the store nothing can be stored: this process alone remembers that it is away.
    store_lost_at: datetime | None = None
    store_announced_at: datetime | None = None
    #: The last try to announce it.
    store_tried_at: datetime | None = None
    #: The start of this process where it has the queues and the sweep too: while it did not run,
    #: nothing was late. None where they are services of their own.
    runs_since: datetime | None = None
    #: Messages that are being sent.
    sends: set[asyncio.Task[Any]] = field(default_factory=set)

    def __repr__(self) -> str:
        return "OperatorAlerts(…)"  # without the URL

    def is_due(self, last: datetime | None, now: datetime) -> bool:
        """True when the last check was long enough ago; in either direction of the clock."""
        return last is None or abs(now - last) >= CHECKED_EVERY

    def discount_absence(self, state: AlertState) -> AlertState:
        """The state with the last sweep no earlier than the start of a process that has it all."""
        since, swept_at = self.runs_since, state.swept_at
        if since is None or swept_at is None or swept_at >= since:
            return state
        return state.model_copy(update={"swept_at": since})

    def start_send(self, send: Coroutine[Any, Any, None]) -> None:
        """Send a message beside what this process does."""
        task = asyncio.create_task(send)
        self.sends.add(task)
        task.add_done_callback(self.sends.discard)

    async def finish_sends(self, within: float | None = None) -> None:
        """Wait for the messages that are being sent; each takes half a minute at most.

        Those that are not sent `within` so many seconds are given up; a task sends them again.
        """
        if self.sends:
            _, slow = await asyncio.wait(tuple(self.sends), timeout=within)
            for task in slow:
                task.cancel()


class Services(Record, kw_only=True):
    """The ports and the rules that use cases depend on."""

    store: Store
    tasks: TaskQueue
    blobs: Blobs
    providers: ProviderRegistry
    workers: MediaWorkers
    probe_file: ProbeFile
    fetch: Fetch
    webhooks: SendWebhook
    clock: Clock
    rules: Rules
    work_dirs: WorkDirs
    counts: JobCounts = field(default_factory=lambda: JobCounts(exact=False))
    recent_jobs: RecentJobs = field(default_factory=RecentJobs)
    calibration: EtaCalibration = field(default_factory=_build_uncounted_calibration)
    render_message: RenderMessage = _refuse_other_forms
    sign_message: SignMessage = _sign_nothing
    #: Counts an act of the sweep on a job.
    count_sweep: Callable[[Job, str, datetime], None] = _count_nothing
    #: Counts an event by the type of its job, and its name in `domain.job_metrics`.
    count_event: Callable[[str, str, datetime], None] = _count_no_event
    #: Stores the statistics that this process has counted and not stored yet.
    flush_records: Callable[[], Awaitable[None]] = _store_nothing
    #: Raises StoreError if the settings lack the key that has encrypted the store.
    check_encryption: Callable[[], Awaitable[None]] = _check_nothing
    #: The receiver of operators' alerts; None: their conditions are not checked.
    alerts: OperatorAlerts | None = None
    random: Random = field(default_factory=SystemRandom)
