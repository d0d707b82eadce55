"""The monthly cost on Google Cloud: counted operations times a dated price list, less free tiers.

The cost of the providers is not included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Self

DAYS = 30
MILLION = 1_000_000
LOCATION = "europe-central2"
GIB_IN_KIB = 1024 * 1024

# ── Operations ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Use of Google Cloud: counts, seconds of one instance, and sizes."""

    reads: float = 0
    writes: float = 0
    #: Deletes by the time to live, which have no free tier.
    deletes: float = 0
    #: Calls of the Cloud Tasks API and dispatches: a task that runs once is two.
    task_operations: float = 0
    requests: float = 0
    #: Cloud Run bills instances in steps of 0.1 s; at this traffic requests seldom share one.
    api_seconds: float = 0
    processor_seconds: float = 0
    stored_kib: float = 0
    uploads: float = 0
    downloads: float = 0
    artifact_mib: float = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            **{
                each.name: getattr(self, each.name) + getattr(other, each.name)
                for each in fields(self)
            }
        )

    def __mul__(self, times: float) -> Self:
        return type(self)(**{each.name: getattr(self, each.name) * times for each in fields(self)})


#: Submission, one delivery, settlement, and the later removal of the job; its ledger entry stays.
#: tests/gcp/test_operation_budget.py counts this and the four below on the Google adapters.
PLAIN_JOB = Operations(
    # The job twice, and the account at its submission, which the limits need.
    reads=3,
    writes=6,
    deletes=1,
    task_operations=2,
    requests=2,
    api_seconds=0.1,
    processor_seconds=1.5,
    stored_kib=6,
)
#: One read less where LIMITS is not set: a submission need not know the account's running jobs.
WITHOUT_LIMITS = Operations(reads=-1)
#: Added by a paid provider: the job records the request before it is made.
PAID_REQUEST = Operations(writes=1)
#: The circuit breakers are read at submission, start and end (an instance caches them for 5 s).
BREAKER_READS = Operations(reads=3)
#: One poll of a provider that has not finished at once: a task, a claim, the result.
POLL = Operations(reads=1, writes=2, task_operations=2, requests=1, processor_seconds=0.3)
#: A client's status read; with `Prefer: wait` one is enough.
STATUS_READ = Operations(reads=1, requests=1, api_seconds=0.1)
#: One idle minute: a sweep, which asks for jobs, recurring jobs, grants, bulk operations and
#: webhooks; an empty query is billed as one read.
SWEEP = Operations(reads=5, requests=1, api_seconds=0.1)


def _paid_job(mib: float, *, seconds: int = 0, every: int = 1) -> Operations:
    """Return a job with one file; its provider takes `seconds`, polled every `every` seconds."""
    file = Operations(uploads=1, downloads=1, artifact_mib=mib) if mib else Operations()
    return PLAIN_JOB + PAID_REQUEST + BREAKER_READS + POLL * math.ceil(seconds / every) + file


#: Operations of one job by kind, its file fetched once. Polls are those of Black Forest Labs for
#: images, of Replicate for upscaling, of Veo for videos.
JOBS: Mapping[str, Operations] = {
    "plain": PLAIN_JOB,
    "image": _paid_job(1.5, seconds=10, every=2),
    "upscale": _paid_job(6, seconds=9, every=3),
    "video": _paid_job(12, seconds=120, every=10),
    "audio": _paid_job(1),
    "text": _paid_job(0),
}

# ── Prices ───────────────────────────────────────────────────────────────────────────────────────

#: The month in which the prices below were looked up.
PRICED = "2026-11"

#: Regions with Cloud Run's lower prices; the others are tier 2.
TIER_1 = frozenset(
    {
        "asia-east1",
        "asia-northeast1",
        "asia-northeast2",
        "asia-south1",
        "europe-north1",
        "europe-southwest1",
        "europe-west1",
        "europe-west4",
        "europe-west8",
        "europe-west9",
        "me-west1",
        "northamerica-south1",
        "us-central1",
        "us-east1",
        "us-east4",
        "us-east5",
        "us-south1",
        "us-west1",
    }
)
_TIER_2_FACTOR = 1.4

#: Firestore's prices relative to Oregon. Google's price table cannot be read by a program, so for
#: other regions the highest known factor of a single region is assumed; the command says so.
FIRESTORE_FACTORS: Mapping[str, float] = {"us-central1": 1.0, "us-west1": 1.0, "us-west2": 1.2}
ASSUMED_FACTOR = 1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for `per` units above the free units of a month."""

    dollars: float
    per: float
    free: float
    unit: str
    source: str


def list_prices(location: str) -> Mapping[str, Price]:
    """Return the price list of a region."""
    return {**_firestore_prices(location), **_run_prices(location), **_OTHER_PRICES}


def _firestore_prices(location: str) -> Mapping[str, Price]:
    times = FIRESTORE_FACTORS.get(location, ASSUMED_FACTOR)
    known = location in FIRESTORE_FACTORS
    region = location if known else f"Oregon × {ASSUMED_FACTOR} assumed"
    source = f"cloud.google.com/firestore/pricing, {region}"
    oregon = {
        "Firestore reads": (0.03, 100_000, 50_000 * DAYS, "reads"),
        "Firestore writes": (0.09, 100_000, 20_000 * DAYS, "writes"),
        "Firestore deletes": (0.01, 100_000, 0, "deletes"),
        "Firestore storage": (0.15, 1, 1, "GiB-months"),
    }
    return {
        item: Price(dollars=dollars * times, per=per, free=free, unit=unit, source=source)
        for item, (dollars, per, free, unit) in oregon.items()
    }


def _run_prices(location: str) -> Mapping[str, Price]:
    """Return Cloud Run's prices. The free tier is an amount of dollars at the prices of tier 1."""
    tier, times = (1, 1.0) if location in TIER_1 else (2, _TIER_2_FACTOR)
    source = f"cloud.google.com/run/pricing, tier {tier}"
    return {
        "Cloud Run requests": Price(
            dollars=0.40,
            per=MILLION,
            free=2 * MILLION,
            unit="requests",
            source="cloud.google.com/run/pricing",
        ),
        "Cloud Run CPU": Price(
            dollars=0.000024 * times,
            per=1,
            free=180_000 / times,
            unit="vCPU-seconds",
            source=source,
        ),
        "Cloud Run memory": Price(
            dollars=0.0000025 * times,
            per=1,
            free=360_000 / times,
            unit="GiB-seconds",
            source=source,
        ),
    }


_STORAGE = "cloud.google.com/storage/pricing, Standard, europe-central2"
_OTHER_PRICES: Mapping[str, Price] = {
    "Cloud Tasks": Price(
        dollars=0.40,
        per=MILLION,
        free=MILLION,
        unit="operations",
        source="cloud.google.com/tasks/pricing",
    ),
    "Storage uploads": Price(dollars=0.005, per=1000, free=0, unit="class A", source=_STORAGE),
    "Storage downloads": Price(dollars=0.0004, per=1000, free=0, unit="class B", source=_STORAGE),
    "Storage capacity": Price(dollars=0.023, per=1, free=0, unit="GiB-months", source=_STORAGE),
}

#: vCPU and GiB of an instance, as infra/services.yaml has them.
API_SIZE = (1.0, 0.5)
PROCESSOR_SIZE = (2.0, 2.0)

# ── The bill ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One item of a bill: used units, billed units, dollars."""

    item: str
    unit: str
    used: float
    billed: float
    dollars: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A month's bill: control plane (Taskreel itself) and work (media processing and files)."""

    control: tuple[Line, ...]
    work: tuple[Line, ...]

    @property
    def control_dollars(self) -> float:
        """The cost of queueing, state, credits and the API."""
        return sum(line.dollars for line in self.control)

    @property
    def total_dollars(self) -> float:
        """The cost of everything."""
        return self.control_dollars + sum(line.dollars for line in self.work)


def monthly_bill(
    jobs: int,
    mix: Mapping[str, float],
    *,
    location: str = LOCATION,
    status_reads: float = 1,
    keep_days: int = 30,
) -> Bill:
    """Return the bill of `jobs` a month, of kinds in the proportions of `mix`.

    Documents and files are deleted after `keep_days`.
    """
    total_share = sum(mix.values())
    done = SWEEP * (DAYS * 24 * 60)
    for kind, share in mix.items():
        done += (JOBS[kind] + STATUS_READ * status_reads) * (jobs * share / total_share)
    months_kept = keep_days / DAYS
    control = {
        "Firestore reads": done.reads,
        "Firestore writes": done.writes,
        "Firestore deletes": done.deletes,
        "Firestore storage": done.stored_kib * months_kept / GIB_IN_KIB,
        "Cloud Tasks": done.task_operations,
        "Cloud Run requests": done.requests,
        "Cloud Run CPU": done.api_seconds * API_SIZE[0],
        "Cloud Run memory": done.api_seconds * API_SIZE[1],
    }
    work = {
        "Cloud Run CPU": done.processor_seconds * PROCESSOR_SIZE[0],
        "Cloud Run memory": done.processor_seconds * PROCESSOR_SIZE[1],
        "Storage uploads": done.uploads,
        "Storage downloads": done.downloads,
        "Storage capacity": done.artifact_mib * months_kept / 1024,
    }
    # The control plane uses the free tiers first; the work gets the rest.
    listed = list_prices(location)
    return Bill(
        control=tuple(_bill_lines(listed, control, {})),
        work=tuple(_bill_lines(listed, work, control)),
    )


def _bill_lines(
    listed: Mapping[str, Price], usage: Mapping[str, float], before: Mapping[str, float]
) -> Iterable[Line]:
    for item, used in usage.items():
        price = listed[item]
        free = max(0.0, price.free - before.get(item, 0))
        billed = max(0.0, used - free)
        yield Line(
            item=item,
            unit=price.unit,
            used=used,
            billed=billed,
            dollars=billed * price.dollars / price.per,
        )
