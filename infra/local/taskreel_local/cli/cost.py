"""What a month of jobs costs on Google Cloud: counted operations times a dated price list, free tiers taken off.

The generation itself is not here: providers send their own bills.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Self

import click

DAYS = 30
MILLION = 1_000_000
LOCATION = "europe-central2"
GIB_IN_KIB = 1024 * 1024

# ── What is done ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """What something asks of Google Cloud. Counts, seconds of one instance, and sizes."""

    reads: float = 0
    writes: float = 0
    #: By the time to live, which has no free tier.
    deletes: float = 0
    #: Calls of the Cloud Tasks API and dispatches: a task that runs once is two.
    task_operations: float = 0
    requests: float = 0
    #: Cloud Run bills an instance's time in steps of 0.1 s, and at this traffic requests seldom share one.
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


#: Submission, one delivery, settlement, and what is removed of it later: the job; its ledger entry stays. The test of
#: the operation budget counts this and the four below on the Google adapters.
PLAIN_JOB = Operations(
    reads=3,
    writes=6,
    deletes=1,
    task_operations=2,
    requests=2,
    api_seconds=0.1,
    processor_seconds=1.5,
    stored_kib=6,
)
#: What a provider that is paid adds: the job says that it is asked before it is, and the breakers are looked at when
#: it is submitted, begun and done (an instance remembers them for five seconds, which helps when there is traffic).
BOUGHT = Operations(reads=1, writes=1)
LOOKS = Operations(reads=3)
#: One look at a provider that has not answered at once: a task of its own, a claim, what came of it.
POLL = Operations(reads=2, writes=2, task_operations=2, requests=1, processor_seconds=0.3)
#: A client's look at a job; `Prefer: wait` makes one enough.
STATUS_READ = Operations(reads=1, requests=1, api_seconds=0.1)
#: A minute of nothing: one sweep, whose empty query is billed as one read.
SWEEP = Operations(reads=1, requests=1, api_seconds=0.1)


def _bought(mib: float, *, seconds: int = 0, every: int = 1) -> Operations:
    """A job of one file; its provider takes `seconds` and is asked `every` so many, or answers at once."""
    file = Operations(uploads=1, downloads=1, artifact_mib=mib) if mib else Operations()
    return PLAIN_JOB + BOUGHT + LOOKS + POLL * math.ceil(seconds / every) + file


#: Short name → one job of that kind, fetched once: by Black Forest Labs, Replicate and Veo where they are polled.
JOBS: Mapping[str, Operations] = {
    "plain": PLAIN_JOB,
    "image": _bought(1.5, seconds=10, every=2),
    "upscale": _bought(6, seconds=9, every=3),
    "video": _bought(12, seconds=120, every=10),
    "audio": _bought(1),
    "text": _bought(0),
}

# ── What it costs ────────────────────────────────────────────────────────────────────────────────

#: When the prices below were looked up.
PRICED = "2026-11"

#: Where Cloud Run's lower prices hold; the others are tier 2.
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
_TIER_2_DEARER = 1.4

#: What Firestore costs there, Oregon being 1. Google's table is drawn by a script: for the others the dearest that we
#: know of a single region is assumed, and the command says so.
FIRESTORE: Mapping[str, float] = {"us-central1": 1.0, "us-west1": 1.0, "us-west2": 1.2}
_ASSUMED = 1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for `per` units above what is free in a month."""

    dollars: float
    per: float
    free: float
    unit: str
    source: str


def prices(location: str) -> Mapping[str, Price]:
    """The price list of a region."""
    return {**_firestore_prices(location), **_run_prices(location), **_ELSEWHERE}


def _firestore_prices(location: str) -> Mapping[str, Price]:
    times = FIRESTORE.get(location, _ASSUMED)
    known = location in FIRESTORE
    source = f"cloud.google.com/firestore/pricing, {location if known else f'Oregon × {_ASSUMED} assumed'}"
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
    """What is free in a month is so many dollars at the prices of tier 1."""
    tier, times = (1, 1.0) if location in TIER_1 else (2, _TIER_2_DEARER)
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
_ELSEWHERE: Mapping[str, Price] = {
    "Cloud Tasks": Price(
        dollars=0.40,
        per=MILLION,
        free=MILLION,
        unit="operations",
        source="cloud.google.com/tasks/pricing",
    ),
    "Storage uploads": Price(dollars=0.005, per=1000, free=0, unit="class A", source=_STORAGE),
    "Storage downloads": Price(dollars=0.0004, per=1000, free=0, unit="class B", source=_STORAGE),
    "Storage kept": Price(dollars=0.023, per=1, free=0, unit="GiB-months", source=_STORAGE),
}

#: vCPU and GiB of an instance, as infra/services.yaml has them.
API_SIZE = (1.0, 0.5)
PROCESSOR_SIZE = (2.0, 2.0)

# ── The bill ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One item: how much was used, how much of it is billed, and for what."""

    item: str
    unit: str
    used: float
    billed: float
    dollars: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A month. The control plane is what Taskreel itself needs; the work is media processing and the files."""

    control: tuple[Line, ...]
    work: tuple[Line, ...]

    @property
    def control_dollars(self) -> float:
        """What queueing, state, credits and the API cost."""
        return sum(line.dollars for line in self.control)

    @property
    def dollars(self) -> float:
        """All of it."""
        return self.control_dollars + sum(line.dollars for line in self.work)


def monthly_bill(
    jobs: int,
    mix: Mapping[str, float],
    *,
    location: str = LOCATION,
    status_reads: float = 1,
    keep_days: int = 30,
) -> Bill:
    """The bill of `jobs` a month, of kinds in the proportions of `mix`; documents and files go after `keep_days`."""
    whole = sum(mix.values())
    done = SWEEP * (DAYS * 24 * 60)
    for kind, share in mix.items():
        done += (JOBS[kind] + STATUS_READ * status_reads) * (jobs * share / whole)
    kept = keep_days / DAYS
    control = {
        "Firestore reads": done.reads,
        "Firestore writes": done.writes,
        "Firestore deletes": done.deletes,
        "Firestore storage": done.stored_kib * kept / GIB_IN_KIB,
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
        "Storage kept": done.artifact_mib * kept / 1024,
    }
    # What the control plane leaves of a free tier goes to the work.
    listed = prices(location)
    return Bill(
        control=tuple(_lines(listed, control, {})), work=tuple(_lines(listed, work, control))
    )


def _lines(
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


# ── The command ──────────────────────────────────────────────────────────────────────────────────


def parse_mix(text: str) -> dict[str, float]:
    """`image=70,video=20,upscale=10`; click.BadParameter says what is wrong."""
    mix: dict[str, float] = {}
    for part in text.split(","):
        kind, _, share = part.strip().partition("=")
        if kind not in JOBS:
            raise click.BadParameter(f"there is no kind {kind!r}; there are {', '.join(JOBS)}")
        try:
            mix[kind] = float(share)
        except ValueError:
            raise click.BadParameter(f"{part.strip()!r} should read {kind}=70") from None
        if mix[kind] < 0:
            raise click.BadParameter(f"{kind} cannot have a share below nothing")
    if not sum(mix.values()):
        raise click.BadParameter("the shares add up to nothing")
    return mix


def _mix_option(
    _context: click.Context, _parameter: click.Parameter, value: str
) -> dict[str, float]:
    return parse_mix(value)


@click.command("cost")
@click.option(
    "--jobs", default=MILLION, show_default=True, type=click.IntRange(min=0), help="Jobs a month."
)
@click.option(
    "--mix",
    default="image=70,video=20,upscale=10",
    show_default=True,
    callback=_mix_option,
    help=f"What they are: {', '.join(JOBS)}, in any proportion.",
)
@click.option(
    "--status-reads",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Looks at a job.",
)
@click.option(
    "--keep-days",
    default=30,
    show_default=True,
    type=click.IntRange(min=1, max=3650),
    help="How long all is kept.",
)
@click.option(
    "--location",
    default=LOCATION,
    show_default=True,
    envvar="GOOGLE_CLOUD_LOCATION",
    help="The region it runs in.",
)
@click.option("--sources", is_flag=True, help="Also print each price and where it is from.")
def cost(
    *,
    jobs: int,
    mix: dict[str, float],
    status_reads: float,
    keep_days: int,
    location: str,
    sources: bool,
) -> None:
    """The monthly bill on Google Cloud, from counted operations and a dated price list."""
    bill = monthly_bill(
        jobs, mix, location=location, status_reads=status_reads, keep_days=keep_days
    )
    kinds = ", ".join(f"{kind} {share:g}" for kind, share in mix.items())
    click.echo(f"{jobs:,} jobs a month ({kinds}) in {location}\n")
    click.echo(f"{'':22}{'used':>16}  {'billed':>14} {'':14}{'US$':>9}")
    _print("Control plane", bill.control, bill.control_dollars)
    _print("Work", bill.work, bill.dollars - bill.control_dollars)
    click.echo(f"{'Total':<68}{bill.dollars:>9.2f}")
    if jobs:
        plain = monthly_bill(
            MILLION, {"plain": 1}, location=location, status_reads=0, keep_days=keep_days
        )
        click.echo(
            f"{'Control plane, each million of these jobs':<68}{bill.control_dollars * MILLION / jobs:>9.2f}"
        )
        click.echo(
            f"{'Control plane, a million plain jobs (no provider asked)':<68}{plain.control_dollars:>9.2f}"
        )
    click.echo(
        f"\nPrices of {PRICED}, free tiers taken off; not in it: providers, network egress, image builds."
    )
    if location not in FIRESTORE:
        click.echo(
            f"Firestore's price in {location} is not in our list: {_ASSUMED} times Oregon's is assumed."
        )
    if sources:
        for item, price in prices(location).items():
            amount = f"${price.dollars:.7f}".rstrip("0")
            free = f"{price.free:,.0f} free" if price.free else "none free"
            click.echo(
                f"  {item:20}{amount} for {price.per:,.0f} {price.unit}, {free}: {price.source}"
            )


def _print(title: str, lines: Iterable[Line], dollars: float) -> None:
    click.echo(title)
    for line in lines:
        click.echo(
            f"  {line.item:20}{line.used:>16,.0f}  {line.billed:>14,.0f} {line.unit:14}{line.dollars:>9.2f}"
        )
    click.echo(f"{'':59}{'':9}{dollars:>9.2f}\n")
