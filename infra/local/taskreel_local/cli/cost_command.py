"""`taskreel cost`: print the monthly bill on Google Cloud."""

from __future__ import annotations

from collections.abc import Iterable

import click

from taskreel_local.cli.cost_model import (
    ASSUMED_FACTOR,
    FIRESTORE_FACTORS,
    JOBS,
    LOCATION,
    MILLION,
    PRICED,
    Line,
    list_prices,
    monthly_bill,
)

_WHOLE = 100.0


def parse_mix(text: str) -> dict[str, float]:
    """Parse `image=70,video=20,upscale=10`. Raises click.BadParameter."""
    mix: dict[str, float] = {}
    for part in text.split(","):
        kind, _, share = part.strip().partition("=")
        if kind not in JOBS:
            raise click.BadParameter(f"unknown kind {kind!r}; the kinds are {', '.join(JOBS)}")
        try:
            mix[kind] = float(share)
        except ValueError:
            raise click.BadParameter(f"{part.strip()!r} is not of the form {kind}=70") from None
        if mix[kind] < 0:
            raise click.BadParameter(f"the share of {kind} must not be negative")
    if not sum(mix.values()):
        raise click.BadParameter("at least one share must be positive")
    if sum(mix.values()) > _WHOLE:
        raise click.BadParameter(
            f"the shares are {sum(mix.values()):g} together; they are percentages, at most 100"
        )
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
    help=f"Kinds of jobs and their shares in percent: {', '.join(JOBS)}.",
)
@click.option(
    "--status-reads",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Status reads of each job.",
)
@click.option(
    "--keep-days",
    default=30,
    show_default=True,
    type=click.IntRange(min=1, max=3650),
    help="Days until jobs and files are deleted.",
)
@click.option(
    "--location",
    default=LOCATION,
    show_default=True,
    envvar="GOOGLE_CLOUD_LOCATION",
    help="Region of the deployment.",
)
@click.option("--sources", is_flag=True, help="Also print each price and its source.")
def cost(
    *,
    jobs: int,
    mix: dict[str, float],
    status_reads: float,
    keep_days: int,
    location: str,
    sources: bool,
) -> None:
    """Print the monthly bill on Google Cloud, from counted operations and a dated price list."""
    bill = monthly_bill(
        jobs, mix, location=location, status_reads=status_reads, keep_days=keep_days
    )
    kinds = ", ".join(f"{kind} {share:g}" for kind, share in mix.items())
    click.echo(f"{jobs:,} jobs a month ({kinds}) in {location}\n")
    click.echo(f"{'':22}{'used':>16}  {'billed':>14} {'':14}{'US$':>9}")
    _print_lines("Control plane", bill.control, bill.control_dollars)
    _print_lines("Work", bill.work, bill.total_dollars - bill.control_dollars)
    click.echo(f"{'Total':<68}{bill.total_dollars:>9.2f}")
    if jobs:
        plain = monthly_bill(
            MILLION, {"plain": 1}, location=location, status_reads=0, keep_days=keep_days
        )
        click.echo(
            f"{'Control plane, each million of these jobs':<68}"
            f"{bill.control_dollars * MILLION / jobs:>9.2f}"
        )
        click.echo(
            f"{'Control plane, a million plain jobs (no paid provider)':<68}"
            f"{plain.control_dollars:>9.2f}"
        )
    click.echo(
        f"\nPrices of {PRICED}, less free tiers. "
        "Not included: providers, network egress, image builds."
    )
    if location not in FIRESTORE_FACTORS:
        click.echo(
            f"Firestore's price in {location} is unknown: "
            f"{ASSUMED_FACTOR} times Oregon's is assumed."
        )
    if sources:
        for item, price in list_prices(location).items():
            amount = f"${price.dollars:.7f}".rstrip("0")
            free = f"{price.free:,.0f} free" if price.free else "none free"
            click.echo(
                f"  {item:20}{amount} for {price.per:,.0f} {price.unit}, {free}: {price.source}"
            )


def _print_lines(title: str, lines: Iterable[Line], dollars: float) -> None:
    click.echo(title)
    for line in lines:
        click.echo(
            f"  {line.item:20}{line.used:>16,.0f}  {line.billed:>14,.0f} "
            f"{line.unit:14}{line.dollars:>9.2f}"
        )
    click.echo(f"{'':59}{'':9}{dollars:>9.2f}\n")
