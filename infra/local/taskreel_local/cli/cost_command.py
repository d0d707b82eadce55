"""`taskreel cost`: print the monthly bill on Google Cloud."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

import click

from taskreel_local.cli.cost_model import Bill, Line, monthly_bill
from taskreel_local.cli.cost_operations import Kind, Numbers
from taskreel_local.cli.load_options import format_mix, location_option, mix_option, numbers_option
from taskreel_local.cli.price_list import (
    ASSUMED_FACTOR,
    FIRESTORE_FACTORS,
    MILLION,
    PRICED,
    list_prices,
)


@click.command("cost")
@click.option(
    "--jobs", default=MILLION, show_default=True, type=click.IntRange(min=0), help="Jobs a month."
)
@mix_option
@location_option
@click.option(
    "--free-tiers/--no-free-tiers",
    default=True,
    show_default=True,
    help="Subtract what is free each month, or not: another application may use it up.",
)
@numbers_option
@click.option("--sources", is_flag=True, help="Also print each price and number with its source.")
def cost(
    *,
    jobs: int,
    mix: dict[str, float],
    location: str,
    free_tiers: bool,
    numbers: tuple[Numbers, Mapping[str, Kind]],
    sources: bool,
) -> None:
    """Print the monthly bill on Google Cloud, from counted operations and a dated price list.

    Numbers that cannot be counted in advance, such as how often clients ask, are assumed:
    `--sources` lists them, `--set client_poll_seconds=0` replaces one.
    """
    values, kinds = numbers
    bill = monthly_bill(
        jobs, mix, location=location, numbers=values, kinds=kinds, free_tiers=free_tiers
    )
    click.echo(f"{jobs:,} jobs a month ({format_mix(mix)}) in {location}\n")
    click.echo(f"{'':22}{'used':>16}  {'billed':>14} {'':14}{'US$':>9}")
    _print_lines("Control plane", bill.control, bill.control_dollars)
    _print_lines("Work and files", bill.work, bill.total_dollars - bill.control_dollars)
    _print_totals(bill, jobs)
    less = ", less free tiers" if free_tiers else ""
    click.echo(
        f"\nPrices of {PRICED}{less}. Instances are counted as if no two requests shared one,\n"
        "but in the last total, where jobs come evenly spread over the month.\n"
        "Not included: providers, image builds, monitoring, in-house media work."
    )
    if location not in FIRESTORE_FACTORS:
        click.echo(
            f"Firestore's price in {location} is unknown: "
            f"{ASSUMED_FACTOR} times Oregon's is assumed."
        )
    if sources:
        _print_prices(location, free_tiers=free_tiers)
        print_numbers(values, kinds)


def _print_totals(bill: Bill, jobs: int) -> None:
    click.echo(f"{'Total':<68}{bill.total_dollars:>9.2f}")
    without = bill.total_dollars - bill.egress_dollars
    shared = bill.shared_dollars - bill.egress_dollars
    click.echo(f"{'Total without internet egress':<68}{without:>9.2f}")
    click.echo(f"{'… where requests at a time share an instance':<68}{shared:>9.2f}")
    if jobs:
        click.echo(
            f"{'Control plane, each million of these jobs':<68}"
            f"{bill.control_dollars * MILLION / jobs:>9.2f}"
        )


def _print_lines(title: str, lines: Iterable[Line], dollars: float) -> None:
    click.echo(title)
    for line in lines:
        click.echo(
            f"  {line.item:20}{line.used:>16,.0f}  {line.billed:>14,.0f} "
            f"{line.unit:14}{line.dollars:>9.2f}"
        )
    click.echo(f"{'':59}{'':9}{dollars:>9.2f}\n")


def _print_prices(location: str, *, free_tiers: bool) -> None:
    click.echo("\nPrices")
    for item, price in list_prices(location, free_tiers=free_tiers).items():
        amount = f"${price.dollars:.7f}".rstrip("0")
        free = f"{price.free:,.0f} free" if price.free else "none free"
        click.echo(f"  {item:20}{amount} for {price.per:,.0f} {price.unit}, {free}: {price.source}")


def print_numbers(numbers: Numbers, kinds: Mapping[str, Kind]) -> None:
    """Print each number that `--set` replaces, with its unit and source."""
    click.echo("\nNumbers (--set NAME=VALUE)")
    for each in fields(numbers):
        value = getattr(numbers, each.name)
        click.echo(
            f"  {each.name:22}{value:>6g} {each.metadata['unit']}: {each.metadata['source']}"
        )
    for name, kind in kinds.items():
        click.echo(
            f"  {name}.file_mib={kind.file_mib:g}  {name}.seconds={kind.seconds:g}  "
            f"{name}.poll_every={kind.poll_every:g}"
        )
