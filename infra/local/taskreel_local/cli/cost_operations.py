"""The operations of a job on Google Cloud: counted by tests, and numbers that a reader may set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from taskreel.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Use of Google Cloud: counts, seconds of one request, and sizes."""

    reads: float = 0
    writes: float = 0
    #: Those of `writes` that change the job's own document, and with it its entries of indexes.
    job_writes: float = 0
    #: Deletes by the time to live, which have no free tier.
    deletes: float = 0
    #: Calls of the Cloud Tasks API and dispatches: a task that runs once is two.
    task_operations: float = 0
    requests: float = 0
    #: Deliveries to the task processor: those of the type's queue, and those of the poll queue.
    starts: float = 0
    polls: float = 0
    #: Cloud Run bills an instance while it has a request, in steps of 0.1 s.
    api_seconds: float = 0
    processor_seconds: float = 0
    #: Processor time, which decides how many instances a load needs.
    api_cpu_seconds: float = 0
    processor_cpu_seconds: float = 0
    #: Those of `processor_seconds` that occupy a place of the type's queue.
    start_seconds: float = 0
    stored_kib_days: float = 0
    uploads: float = 0
    downloads: float = 0
    artifact_mib: float = 0
    #: Files until they can no longer be restored: in Standard storage, and in Nearline.
    warm_mib_days: float = 0
    cold_mib_days: float = 0
    cold_moves: float = 0
    #: Read from Nearline.
    cold_read_mib: float = 0
    #: Sent to the internet: files, and answers of the API.
    egress_mib: float = 0
    log_kib: float = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            **{
                each.name: getattr(self, each.name) + getattr(other, each.name)
                for each in fields(self)
            }
        )

    def __mul__(self, times: float) -> Self:
        return type(self)(**{each.name: getattr(self, each.name) * times for each in fields(self)})


# ── Numbers ──────────────────────────────────────────────────────────────────────────────────────


def _declare_number(default: float, unit: str, source: str) -> Any:
    return field(default=default, metadata={"unit": unit, "source": source})


_ASSUMED = "assumed: measure your own deployment"
_MEASURED = "measured on the emulators, without TLS (2026-11)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Numbers that no test here can count. `--set NAME=VALUE` replaces each."""

    delivery_seconds: float = _declare_number(1.5, "s", f"a delivery that starts work; {_ASSUMED}")
    poll_seconds: float = _declare_number(0.3, "s", f"a delivery that polls; {_ASSUMED}")
    request_seconds: float = _declare_number(0.1, "s", "the smallest unit that Cloud Run bills")
    job_cpu_ms: float = _declare_number(38, "ms", f"a job at a provider with its file; {_MEASURED}")
    poll_cpu_ms: float = _declare_number(4, "ms", f"a poll; {_MEASURED}")
    request_cpu_ms: float = _declare_number(1.5, "ms", f"a request of the API; {_MEASURED}")
    document_kib: float = _declare_number(
        6, "KiB", f"a job, its indexes and ledger entry; {_ASSUMED}"
    )
    answer_kib: float = _declare_number(3, "KiB", f"an answer of the API; {_ASSUMED}")
    log_kib: float = _declare_number(
        4.5, "KiB", f"log of a delivery: 3 entries of Cloud Tasks, 1 of Cloud Run; {_ASSUMED}"
    )
    keep_days: float = _declare_number(
        Settings.model_fields["retention_days"].default,
        "days",
        "ended jobs and their files are stored: infra/bucket.lifecycle.json",
    )
    soft_delete_days: float = _declare_number(
        7, "days", "deleted files can be restored: infra/bucket.yaml"
    )
    cold_after_days: float = _declare_number(
        30, "days", "files become Nearline: infra/bucket.lifecycle.json; more than keep_days: never"
    )
    video_cold_after_days: float = _declare_number(
        7, "days", "the same of videos, large files that are read at first: by their suffix"
    )
    late_reads: float = _declare_number(
        0.1, "a file", f"reads of it from Nearline, which charges each GiB; {_ASSUMED}"
    )
    backup_copies: float = _declare_number(
        7, "copies", "a backup a day, for 7 days: infra/backups.yaml"
    )
    downloads: float = _declare_number(1, "a file", f"each to the internet; {_ASSUMED}")
    client_poll_seconds: float = _declare_number(
        5, "s", f"clients read the status so often; 0: once at the end; {_ASSUMED}"
    )
    webhooks: float = _declare_number(
        0, "0 or 1", "1: WEBHOOK_SECRETS names the providers that have webhooks"
    )
    safety_poll_seconds: float = _declare_number(
        15,
        "s",
        "a poll all the same: WEBHOOK_POLL_AFTER in provider_webhooks.py",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of job: its type, file and provider. `--set KIND.NAME=VALUE` replaces its numbers."""

    job_type: str
    file_mib: float = 0
    #: The provider's time, and the time between two polls; 0: the delivery waits for the answer.
    seconds: float = 0
    poll_every: float = 0
    paid: bool = True
    #: True for a provider that has webhooks here.
    webhook: bool = False
    is_video: bool = False
    #: 0: as long as all.
    keep_days: float = 0


#: Polls are those of Black Forest Labs for images, of Replicate for upscaling, of Veo for videos.
KINDS: Mapping[str, Kind] = {
    "plain": Kind(job_type="image-generation", paid=False),
    "image": Kind(
        job_type="image-generation", file_mib=1.5, seconds=10, poll_every=2, webhook=True
    ),
    "upscale": Kind(job_type="image-upscale", file_mib=6, seconds=9, poll_every=3, webhook=True),
    "video": Kind(
        job_type="video-generation", file_mib=12, seconds=120, poll_every=10, is_video=True
    ),
    "audio": Kind(job_type="audio-synthesis", file_mib=1, seconds=3),
    "text": Kind(job_type="script-generation", seconds=9, poll_every=3),
}


class UnknownNumberError(ValueError):
    """A number that does not exist, or that cannot have this value."""


def parse_assignment(text: str) -> tuple[str, float]:
    """Split `NAME=NUMBER`; the number is NaN where there is none."""
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        return name, math.nan


def set_numbers(
    numbers: Numbers, kinds: Mapping[str, Kind], changes: Iterable[str]
) -> tuple[Numbers, Mapping[str, Kind]]:
    """Apply changes of the form `NAME=VALUE` or `KIND.NAME=VALUE`. Raises UnknownNumberError."""
    changed = dict(kinds)
    for change in changes:
        name, value = parse_assignment(change)
        if not 0 <= value < math.inf:
            raise UnknownNumberError(f"{change!r} must be NAME=NUMBER, the number not negative")
        if name == "safety_poll_seconds" and not value:
            raise UnknownNumberError("safety_poll_seconds must be more than 0")
        kind, dot, own = name.partition(".")
        if dot and kind in changed and own in _KIND_NUMBERS:
            number: dict[str, Any] = {own: value}
            changed[kind] = replace(changed[kind], **number)
        elif not dot and name in _NUMBERS:
            numbers = replace(numbers, **{name: value})
        else:
            raise UnknownNumberError(
                f"there is no number {name!r}; there are {', '.join(_NUMBERS)}, and "
                f"{', '.join(_KIND_NUMBERS)} behind a kind and a dot, as in image.seconds"
            )
    return numbers, changed


_NUMBERS = tuple(each.name for each in fields(Numbers))
_KIND_NUMBERS = ("file_mib", "seconds", "poll_every", "keep_days")


# ── Counted operations ───────────────────────────────────────────────────────────────────────────

#: Submission, one delivery, settlement, and the later removal of the job; its ledger entry stays.
#: tests/gcp/test_operation_budget.py counts this and those below on the Google adapters.
PLAIN_JOB = Operations(
    # The job twice, and the account at its submission, which the limits need.
    reads=3,
    writes=6,
    job_writes=3,
    deletes=1,
    task_operations=2,
    requests=2,
    starts=1,
)
#: One read less where LIMITS is not set: a submission need not know the account's running jobs.
WITHOUT_LIMITS = Operations(reads=-1)
#: Added by a paid provider: the job records the request before it is made.
PAID_REQUEST = Operations(writes=1, job_writes=1)
#: The circuit breakers are read at submission, start and end (an instance caches them for 5 s).
BREAKER_READS = Operations(reads=3)
#: One poll of a provider that has not finished at once: a task, a claim, the result.
POLL = Operations(reads=1, writes=2, job_writes=2, task_operations=2, requests=1, polls=1)
#: A provider's webhook: the job is read and its poll made due, by a task of its own; the task of
#: the safety poll, which was made at the start, then finds nothing to do, by one read.
WEBHOOK = Operations(reads=2, writes=1, job_writes=1, task_operations=2, requests=2, polls=1)
#: A client's status read; with `Prefer: wait` one is enough.
STATUS_READ = Operations(reads=1, requests=1)
#: One idle minute: a sweep, which asks for jobs, recurring jobs, grants, bulk operations and
#: webhooks; an empty query is billed as one read.
SWEEP = Operations(reads=5, requests=1, api_seconds=0.1)
#: The conditions of alerts, checked at its end: their state twice, and queries for rollups and
#: breakers; the time of the last sweep is written each other minute.
ALERT_CHECK = Operations(reads=4, writes=0.5)
#: Added on a day with jobs: a page of accounts.
ALERT_ACCOUNTS = Operations(reads=10)
#: Added for each type that had jobs: its rollups, at the most, its oldest job, and a breaker.
ALERT_TYPE = Operations(reads=6)


def count_minute(types: int) -> Operations:
    """Return the operations of a minute's sweep on a day on which so many types have jobs."""
    alerts = ALERT_CHECK + ALERT_TYPE * types
    return SWEEP + (alerts + ALERT_ACCOUNTS if types else alerts)


def count_polls(kind: Kind, numbers: Numbers) -> float:
    """The deliveries of a job that ask its provider and are not brought by a webhook."""
    if not kind.poll_every:
        return 0
    if kind.webhook and numbers.webhooks:
        return math.floor(kind.seconds / numbers.safety_poll_seconds)
    return math.ceil(kind.seconds / kind.poll_every)


def count_job(kind: Kind, numbers: Numbers) -> Operations:
    """Return the operations of one job of a kind, with its clients' reads."""
    done = PLAIN_JOB
    waits = 0.0 if kind.poll_every else kind.seconds
    start_seconds = numbers.delivery_seconds + waits
    if kind.paid:
        done += PAID_REQUEST + BREAKER_READS
    polls = count_polls(kind, numbers)
    done += POLL * polls
    webhook = kind.webhook and bool(numbers.webhooks)
    if webhook:
        done += WEBHOOK + POLL  # it brings the poll that reads the result
    if kind.file_mib:
        done += Operations(
            uploads=1,
            downloads=numbers.downloads,
            artifact_mib=kind.file_mib,
            egress_mib=kind.file_mib * numbers.downloads,
        )
        done += _store_file(kind, numbers)
    every = numbers.client_poll_seconds
    reads = 1 + math.floor((kind.seconds + numbers.delivery_seconds) / every) if every else 1
    done += STATUS_READ * reads
    answers = 1 + reads
    return done + Operations(
        api_seconds=numbers.request_seconds * (answers + webhook),
        api_cpu_seconds=numbers.request_cpu_ms * (answers + webhook) / 1000,
        processor_cpu_seconds=(numbers.job_cpu_ms + numbers.poll_cpu_ms * done.polls) / 1000,
        start_seconds=start_seconds,
        processor_seconds=start_seconds + numbers.poll_seconds * done.polls,
        stored_kib_days=numbers.document_kib * (kind.keep_days or numbers.keep_days),
        egress_mib=answers * numbers.answer_kib / 1024,
        log_kib=numbers.log_kib * (done.starts + done.polls),
    )


#: What is deleted earlier is billed as if it had been in Nearline so long.
_LEAST_COLD_DAYS = 30


def _store_file(kind: Kind, numbers: Numbers) -> Operations:
    """Return the storage of a job's file; videos become Nearline after a time of their own.

    A deleted file is billed until it can no longer be restored.
    """
    kept = kind.keep_days or numbers.keep_days
    days = kept + numbers.soft_delete_days
    after = numbers.cold_after_days
    if kind.is_video:
        after = min(after, numbers.video_cold_after_days)
    if after >= kept:
        return Operations(warm_mib_days=kind.file_mib * days)
    return Operations(
        warm_mib_days=kind.file_mib * after,
        cold_mib_days=kind.file_mib * max(days - after, _LEAST_COLD_DAYS),
        cold_moves=1,
        cold_read_mib=kind.file_mib * numbers.late_reads,
    )
