"""`scripts/bench flow`: flow control in virtual time, printed and drawn.

The embedded store takes the full numbers, and Firestore's emulator a small part of them where it is
installed. Times are virtual: they do not depend on the machine.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taskreel_local.bench.bar_chart import BarGroup, draw_bars
from taskreel_local.bench.table import format_table
from taskreel_local.emulators.google_emulators import EmulatorMissingError, firestore_emulator
from taskreel_local.rehearsal import scenarios
from taskreel_local.rehearsal.day import JOBS_OF_A_DAY, TIERS, describe_day, rehearse_day
from taskreel_local.rehearsal.measures import percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """The numbers of jobs of one run, and the virtual seconds of the overload."""

    day: int
    flood: int
    pictures: int
    overload: float


EMBEDDED = _Sizes(day=JOBS_OF_A_DAY, flood=10_000, pictures=1500, overload=3600)
SMALL = _Sizes(day=300, flood=100, pictures=100, overload=120)


def run_flow(save: Path | None, *, quick: bool) -> None:
    """Run all scenarios on both stores, with small numbers if `quick`; draw them into `save`."""
    logging.disable(logging.WARNING)
    # As the server does: what is imported by now is never scanned again.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    sizes = SMALL if quick else EMBEDDED
    groups = asyncio.run(_run("embedded", sizes, scenarios.SQLITE))
    try:
        with firestore_emulator() as address:
            url = f"firestore://rehearsal?emulator={address}"
            asyncio.run(_run("Firestore's emulator", SMALL, url))
    except EmulatorMissingError as missing:
        print(f"Firestore: left out, {missing}")
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        (save / "flow.svg").write_text(draw_bars(groups), encoding="utf-8")
        print(f"\n{save / 'flow.svg'}")


async def _run(name: str, sizes: _Sizes, store_url: str) -> list[BarGroup]:
    """Print the tables of one store; returns the bars."""
    began = time.process_time()
    rows: list[tuple[str, str]] = []
    flood = await scenarios.flood(jobs=sizes.flood, store_url=store_url)
    waits = {
        "with nobody else": percentile(flood.alone, 0.99),
        f"beside a user with {sizes.flood:,} jobs": percentile(flood.beside, 0.99),
    }
    rows += [
        (f"100 users with one job each, wait p99, {key}", f"{wait:.1f} s")
        for key, wait in waits.items()
    ]
    rows += [
        (
            "their slowdown p99, Jain's index",
            f"{percentile(flood.slowdowns, 0.99):.1f}, {flood.jain_index:.2f}",
        )
    ]
    in_order = await _measure_overload(sizes, store_url, in_order=True)
    by_rank = await _measure_overload(sizes, store_url, in_order=False)
    rows += [
        ("longest wait at 115 % load, first come first served", f"{max(in_order.values()):,.0f} s")
    ]
    rows += [
        (f"longest wait at 115 % load, priority {priority}", f"{wait:,.0f} s")
        for priority, wait in by_rank.items()
    ]
    pictures = await scenarios.pictures(jobs=sizes.pictures, store_url=store_url)
    times = [percentile(pictures.purchase_to_result, share) for share in (0.5, 0.99)]
    rows += [
        (
            f"{sizes.pictures:,} pictures, purchase to result p50 / p99",
            f"{times[0]:.1f} / {times[1]:.1f} s",
        ),
        (
            "deliveries a job, polls a job",
            f"{pictures.deliveries_a_job:.2f}, {pictures.polls_a_job:.2f}",
        ),
    ]
    users = max(sizes.day // 100, 20)
    report = await rehearse_day(jobs=sizes.day, users=users, store_url=store_url)
    rows += [(f"a day: {label}", value) for label, value in describe_day(report)]
    rows += [("CPU of all this", f"{time.process_time() - began:,.0f} s")]
    print(format_table([f"Flow control, {name}", "virtual time"], rows), flush=True)
    return [
        BarGroup(title="Wait p99 of 100 users with one job each (s)", values=waits, form=".1f"),
        BarGroup(
            title="Longest wait in an hour at 115 % load (s)",
            values={
                **{f"priority {key}": wait for key, wait in by_rank.items()},
                "in order": max(in_order.values()),
            },
        ),
        BarGroup(
            title="Wait for an image on a whole day, p90 (s)",
            values={tier: percentile(report.list_waits(tier), 0.9) for tier in TIERS},
            form=",.0f",
        ),
        BarGroup(
            title="Starts before the estimated times (share)",
            values={"p90": report.estimates_within_p90, "p50": report.estimates_within_p50},
            form=".2f",
        ),
    ]


async def _measure_overload(
    sizes: _Sizes, store_url: str, *, in_order: bool
) -> Mapping[str, float]:
    waits = await scenarios.overload(
        seconds=sizes.overload,
        in_order=in_order,
        store_url=store_url,
    )
    return {priority: max(found, default=0.0) for priority, found in waits.items()}
