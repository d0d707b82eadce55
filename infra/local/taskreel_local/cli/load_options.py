"""Options that describe a load, for the commands that compute its cost and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from taskreel_local.cli.cost_operations import (
    KINDS,
    Kind,
    Numbers,
    UnknownNumberError,
    set_numbers,
)
from taskreel_local.cli.price_list import LOCATION

_WHOLE = 100.0


def parse_mix(text: str) -> dict[str, float]:
    """Parse `image=70,video=20,upscale=10`. Raises click.BadParameter."""
    mix: dict[str, float] = {}
    for part in text.split(","):
        kind, _, share = part.strip().partition("=")
        if kind not in KINDS:
            raise click.BadParameter(f"unknown kind {kind!r}; the kinds are {', '.join(KINDS)}")
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
            f"the shares add up to {sum(mix.values()):g}; they are percentages, at most 100"
        )
    return mix


def format_mix(mix: Mapping[str, float]) -> str:
    """Format a mix as it is shown: `image 70, video 20`."""
    return ", ".join(f"{kind} {share:g}" for kind, share in mix.items())


def _parse_mix(
    _context: click.Context, _parameter: click.Parameter, value: str
) -> dict[str, float]:
    return parse_mix(value)


def _parse_numbers(
    _context: click.Context, _parameter: click.Parameter, value: Sequence[str]
) -> tuple[Numbers, Mapping[str, Kind]]:
    try:
        return set_numbers(Numbers(), KINDS, value)
    except UnknownNumberError as error:
        raise click.BadParameter(str(error)) from None


mix_option = click.option(
    "--mix",
    default="image=70,video=20,upscale=10",
    show_default=True,
    callback=_parse_mix,
    help=f"Kinds of jobs and their shares in percent: {', '.join(KINDS)}.",
)
location_option = click.option(
    "--location",
    default=LOCATION,
    show_default=True,
    envvar="GOOGLE_CLOUD_LOCATION",
    help="Region of the deployment.",
)
numbers_option = click.option(
    "--set",
    "numbers",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_parse_numbers,
    help="Replace a number, such as client_poll_seconds=0 or image.seconds=20. May be repeated.",
)
