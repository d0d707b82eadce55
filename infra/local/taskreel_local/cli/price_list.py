"""The prices of Google Cloud that a deployment pays, each with its source, as of one month."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

DAYS = 30
MILLION = 1_000_000
LOCATION = "europe-central2"

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


def list_prices(location: str, *, free_tiers: bool = True) -> Mapping[str, Price]:
    """Return the price list of a region, with what is free each month or without."""
    listed = {**_firestore_prices(location), **_run_prices(location), **_OTHER_PRICES}
    if free_tiers:
        return listed
    return {item: replace(price, free=0) for item, price in listed.items()}


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
        # Versions of the last seven days, billed by the size of the database; and daily backups.
        "Firestore recovery": (0.15, 1, 0, "GiB-months"),
        "Firestore backups": (0.03, 1, 0, "GiB-months"),
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


_STORAGE = "cloud.google.com/storage/pricing, europe-central2"
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
    "Nearline moves": Price(dollars=0.01, per=1000, free=0, unit="class A", source=_STORAGE),
    "Nearline capacity": Price(dollars=0.013, per=1, free=0, unit="GiB-months", source=_STORAGE),
    "Nearline reads": Price(dollars=0.01, per=1, free=0, unit="GiB", source=_STORAGE),
    # The price of the first TiB a month; the next cost less, and some destinations more.
    "Internet egress": Price(
        dollars=0.12,
        per=1,
        free=0,
        unit="GiB",
        source="cloud.google.com/storage/pricing-examples, to the Americas and EMEA",
    ),
    "Cloud Logging": Price(
        dollars=0.50,
        per=1,
        free=50,
        unit="GiB",
        source="cloud.google.com/stackdriver/pricing",
    ),
}
