"""`taskreel capacity`: print the load that the declared deployment carries, and its first limit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace

import click
import yaml

from taskreel.adapters.local.queues_yaml import load_queue_settings
from taskreel.domain.flow_limits import FlowLimits
from taskreel.domain.ids import MOST_SHARDS
from taskreel.rules_setting import parse_limits
from taskreel_local.cli.capacity_model import (
    Deployment,
    Limit,
    Need,
    Quotas,
    average_load,
    find_limits,
    find_needs,
    warm_up_minutes,
)
from taskreel_local.cli.cost_command import print_numbers
from taskreel_local.cli.cost_model import monthly_bill
from taskreel_local.cli.cost_operations import Kind, Numbers, parse_assignment
from taskreel_local.cli.declared_services import load_index_shards, load_services
from taskreel_local.cli.load_options import format_mix, location_option, mix_option, numbers_option
from taskreel_local.cli.price_list import DAYS
from taskreel_local.stack.repository_paths import LIMITS, QUEUES

_DAY_SECONDS = 24 * 60 * 60
_SHOWN = 6


def _parse_quotas(
    _context: click.Context, _parameter: click.Parameter, value: Sequence[str]
) -> Quotas:
    quotas = Quotas()
    names = [each.name for each in fields(Quotas)]
    for change in value:
        name, number = parse_assignment(change)
        if name not in names or not 0 < number < math.inf:
            raise click.BadParameter(
                f"{change!r} must be NAME=NUMBER, the number more than 0, of {', '.join(names)}"
            )
        quotas = replace(quotas, **{name: number})
    return quotas


@click.command("capacity")
@click.option(
    "--jobs-per-second", "per_second", type=click.FloatRange(min=0, min_open=True), help="The load."
)
@click.option(
    "--jobs-per-day",
    "per_day",
    type=click.FloatRange(min=0, min_open=True),
    help="The load, as a day's jobs.",
)
@click.option(
    "--peak",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="The busiest second of a day has so many times the average.",
)
@mix_option
@click.option(
    "--busiest-user",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, 100),
    help="Percent of all jobs that one user submits.",
)
@click.option(
    "--account-shards",
    default=1,
    show_default=True,
    type=click.IntRange(1, MOST_SHARDS),
    help="The shards of that user's account (taskreel users shards).",
)
@location_option
@numbers_option
@click.option(
    "--quota",
    "quotas",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_parse_quotas,
    help="Replace a quota, such as cpus=200. May be repeated.",
)
@click.option("--all", "show_all", is_flag=True, help="Print every limit, not only the first ones.")
@click.option("--sources", is_flag=True, help="Also print each quota and number with its source.")
def capacity(  # noqa: PLR0913 - one parameter an option
    *,
    per_second: float | None,
    per_day: float | None,
    peak: float,
    mix: dict[str, float],
    busiest_user: float,
    account_shards: int,
    location: str,
    numbers: tuple[Numbers, Mapping[str, Kind]],
    quotas: Quotas,
    show_all: bool,
    sources: bool,
) -> None:
    """Print the load that infra/queues.yaml and services.yaml carry, and the first limits.

    With a load, also what it needs and what it costs. Exit status 1 if the deployment as declared
    does not carry it. Not counted: limits of providers' accounts, and of users by their tier.
    """
    if per_second is not None and per_day is not None:
        raise click.UsageError("give --jobs-per-second or --jobs-per-day, not both")
    values, kinds = numbers
    deployment = replace(load_deployment(), account_shards=account_shards)
    load = average_load(mix, kinds, values)
    limits = find_limits(load, deployment, quotas, busiest_user / 100)
    click.echo(f"As declared, jobs a second ({format_mix(mix)})\n")
    _print_limits(limits if show_all else limits[:_SHOWN])
    if sources:
        _print_quotas(quotas)
        print_numbers(values, kinds)
    average = per_second if per_second is not None else (per_day or 0) / _DAY_SECONDS
    if not average:
        return
    rate = average * peak
    click.echo(f"\n{rate:,.4g} jobs a second take\n")
    needs = find_needs(rate, load, deployment, quotas)
    _print_needs(needs)
    _print_warm_up(warm_up_minutes(rate, load, quotas))
    jobs = average * _DAY_SECONDS * DAYS
    bill = monthly_bill(jobs, mix, location=location, numbers=values, kinds=kinds)
    click.echo(
        f"\n{jobs:,.0f} jobs a month cost at most "
        f"${bill.total_dollars:,.0f}, of which ${bill.egress_dollars:,.0f} internet egress "
        "(`taskreel cost`)."
    )
    if limits[0].jobs_per_second < rate:
        click.echo(f"First limit: {limits[0].name}. It is raised by: {limits[0].remedy}.")
        raise SystemExit(1)


def load_deployment() -> Deployment:
    """Read what infra/ declares."""
    limits = parse_limits(str(LIMITS)) or FlowLimits()
    wake_shards, type_shards = load_index_shards()
    return Deployment(
        queues=load_queue_settings(QUEUES),
        services=load_services(),
        window=limits.window,
        shards=yaml.safe_load(QUEUES.read_text("utf-8")).get("shards") or {},
        wake_shards=wake_shards,
        type_shards=type_shards,
    )


def _print_limits(limits: Iterable[Limit]) -> None:
    for limit in limits:
        click.echo(f"{_format_amount(limit.jobs_per_second)}  {limit.name:62}  {limit.remedy}")


def _print_needs(needs: Iterable[Need]) -> None:
    for need in needs:
        there = "" if need.available is None else f"of {need.available:,.0f}"
        more = "" if need.is_met else "MORE"
        click.echo(f"{_format_amount(need.needed)}  {need.name:62}  {there:12}{more}".rstrip())


def _print_warm_up(minutes: float) -> None:
    if minutes:
        click.echo(f"{_format_amount(minutes)}  minutes to grow to it from nothing (500/50/5 rule)")


def _format_amount(number: float) -> str:
    """Format a number of any size in a column."""
    return f"{number:>12,.0f}" if number >= 100 else f"{number:>12.3g}"


def _print_quotas(quotas: Quotas) -> None:
    click.echo("\nQuotas (--quota NAME=VALUE)")
    for each in fields(quotas):
        click.echo(f"  {each.name:18}{getattr(quotas, each.name):>9,g} {each.metadata['source']}")
