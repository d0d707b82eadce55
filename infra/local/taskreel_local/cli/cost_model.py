"""The monthly bill on Google Cloud: operations times a dated price list, less free tiers.

The cost of the providers is not included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from taskreel_local.cli.cost_operations import (
    KINDS,
    Kind,
    Numbers,
    Operations,
    count_job,
    count_minute,
)
from taskreel_local.cli.declared_services import (
    ServiceSize,
    load_services,
    load_type_retention,
)
from taskreel_local.cli.price_list import DAYS, LOCATION, Price, list_prices

_GIB_IN_KIB = 1024 * 1024
_GIB_IN_MIB = 1024
_EGRESS = "Internet egress"


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
    """A month's bill: control plane (Taskreel itself), work (the processor), and files."""

    control: tuple[Line, ...]
    work: tuple[Line, ...]
    #: The cost of everything, if requests that are open at a time share an instance.
    shared_dollars: float

    @property
    def control_dollars(self) -> float:
        """The cost of queueing, state, credits and the API."""
        return sum(line.dollars for line in self.control)

    @property
    def total_dollars(self) -> float:
        """The cost of everything."""
        return self.control_dollars + sum(line.dollars for line in self.work)

    @property
    def egress_dollars(self) -> float:
        """The cost of what was sent to the internet."""
        return sum(line.dollars for line in self.work if line.item == _EGRESS)


def count_month(
    jobs: float, mix: Mapping[str, float], numbers: Numbers, kinds: Mapping[str, Kind]
) -> Operations:
    """Return the operations of a month: of its jobs, in the proportions of `mix`, and of sweeps.

    A sweep also checks the conditions of alerts, of each type that had jobs.
    """
    total_share = sum(mix.values())
    types = {kinds[kind].job_type for kind, share in mix.items() if jobs * share}
    done = count_minute(len(types)) * (DAYS * 24 * 60)
    for kind, share in mix.items():
        done += count_job(kinds[kind], numbers) * (jobs * share / total_share)
    return done


def monthly_bill(
    jobs: float,
    mix: Mapping[str, float],
    *,
    location: str = LOCATION,
    numbers: Numbers | None = None,
    kinds: Mapping[str, Kind] = KINDS,
    free_tiers: bool = True,
) -> Bill:
    """Return the bill of a month in which as many jobs begin as in those before.

    Instances are counted as if no two requests shared one, which is the most that they can cost.
    """
    numbers = numbers or Numbers()
    sizes = load_services()
    kinds = _declare_retention(kinds)
    done = count_month(jobs, mix, numbers, kinds)
    listed = list_prices(location, free_tiers=free_tiers)
    control, work = _price_operations(done, numbers, sizes, listed)
    shared = replace(
        done,
        api_seconds=_share_instances(done.api_seconds, sizes["jobs-api"]),
        processor_seconds=_share_instances(done.processor_seconds, sizes["task-processor"]),
    )
    return Bill(
        control=control,
        work=work,
        shared_dollars=sum(
            line.dollars
            for part in _price_operations(shared, numbers, sizes, listed)
            for line in part
        ),
    )


def _declare_retention(kinds: Mapping[str, Kind]) -> Mapping[str, Kind]:
    """Return the kinds with the days of their type in services.yaml, unless they have their own."""
    days = load_type_retention()
    return {
        name: replace(kind, keep_days=kind.keep_days or days.get(kind.job_type, 0))
        for name, kind in kinds.items()
    }


def _price_operations(
    done: Operations,
    numbers: Numbers,
    services: Mapping[str, ServiceSize],
    listed: Mapping[str, Price],
) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Return the lines of the control plane, and those of the work and its files."""
    api, processor = services["jobs-api"], services["task-processor"]
    documents_gib = done.stored_kib_days / DAYS / _GIB_IN_KIB
    control = {
        "Firestore reads": done.reads,
        "Firestore writes": done.writes,
        "Firestore deletes": done.deletes,
        "Firestore storage": documents_gib,
        "Firestore recovery": documents_gib,
        "Firestore backups": documents_gib * numbers.backup_copies,
        "Cloud Tasks": done.task_operations,
        "Cloud Run requests": done.requests,
        "Cloud Run CPU": done.api_seconds * api.cpus,
        "Cloud Run memory": done.api_seconds * api.memory_gib,
        "Cloud Logging": done.log_kib / _GIB_IN_KIB,
    }
    work = {
        "Cloud Run CPU": done.processor_seconds * processor.cpus,
        "Cloud Run memory": done.processor_seconds * processor.memory_gib,
        "Storage uploads": done.uploads,
        "Storage downloads": done.downloads,
        "Storage capacity": done.warm_mib_days / DAYS / _GIB_IN_MIB,
        "Nearline moves": done.cold_moves,
        "Nearline capacity": done.cold_mib_days / DAYS / _GIB_IN_MIB,
        "Nearline reads": done.cold_read_mib / _GIB_IN_MIB,
        _EGRESS: done.egress_mib / _GIB_IN_MIB,
    }
    # The control plane uses the free tiers first; the work gets the rest.
    return tuple(_bill_lines(listed, control, {})), tuple(_bill_lines(listed, work, control))


def _share_instances(seconds: float, service: ServiceSize) -> float:
    """Return the seconds of instances for requests that come evenly spread over a month.

    While any request is open one instance is paid for, and more of them only when it is full: the
    probability that none is open is that of Poisson's distribution.
    """
    month = DAYS * 24 * 60 * 60
    open_at_a_time = seconds / month
    return month * max(-math.expm1(-open_at_a_time), open_at_a_time / service.concurrency)


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
