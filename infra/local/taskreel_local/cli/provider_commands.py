"""`taskreel providers`: models, prices, circuit breakers."""

from __future__ import annotations

from typing import Any

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.completions import PROVIDER
from taskreel_local.cli.options import find_named

_reason = click.option("--reason", required=True, help="The reason, for the audit log.")
_provider = click.argument("provider", shell_complete=PROVIDER)
_model = click.argument("model")


@click.group("providers", cls=GroupWithDefault, default="list")
def provider_commands() -> None:
    """Show providers, their models, prices and circuit breakers; stop and permit models (admin)."""


@provider_commands.command("list")
@click.argument("provider", metavar="[PROVIDER]", required=False, shell_complete=PROVIDER)
@connected
def list_providers(session: Session, provider: str | None) -> None:
    """List the providers; for one, its models, their prices and breakers."""
    found = session.call("GET", "/api/providers")["providers"]
    if provider is None:
        session.show({"providers": found}, lambda: _print_providers(session, found))
        return
    one = find_named(found, "provider", provider, "provider")
    session.show(one, lambda: _print_models(session, one))


def _print_providers(session: Session, providers: list[dict[str, Any]]) -> None:
    from rich.text import Text

    from taskreel_local.cli.text_output import print_table

    rows = []
    for one in providers:
        stopped = [
            model["name"] for model in one["models"] if model["breaker"]["state"] != "closed"
        ]
        rows.append(
            (
                one["provider"],
                "yes" if one["configured"] else "no",
                one["servedBy"] or "none",
                len(one["models"]),
                Text(", ".join(stopped), style="yellow"),
                _list_job_types(one),
            )
        )
    columns = ("provider", "key is set", "served by", ">models", "stopped", "job types")
    print_table(session.console, columns, rows)


def _list_job_types(provider: dict[str, Any]) -> str:
    """The job types that the provider's key unlocks; those that are refused without it last."""
    # Servers of earlier releases do not send the second list.
    refused = provider.get("jobTypesThatNeedKey", ())
    served = [name for name in provider.get("jobTypes", ()) if name not in refused]
    lists = [", ".join(served), refused and f"{', '.join(refused)} (needs the key)"]
    return "; ".join(filter(None, lists))


def _print_models(session: Session, provider: dict[str, Any]) -> None:
    from taskreel_local.cli.text_output import format_distance, print_table

    rows = []
    for model in provider["models"]:
        breaker = model["breaker"]
        state = breaker["state"] + (" by an admin" if breaker["byHand"] else "")
        price = f"${model['usd']:g} per {model['unit']}" if model.get("usd") is not None else ""
        until = format_distance(breaker["admitsAt"]) if breaker["state"] == "open" else ""
        rows.append((model["name"], model.get("capability", ""), price, state, until))
    columns = ("model", "makes", "price", "breaker", "next call")
    print_table(session.console, columns, rows)


@provider_commands.command("performance")
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 90), help="Period.")
@connected
def show_performance(session: Session, *, days: int) -> None:
    """Show each model's calls, errors, times, credits and cost by day (admin)."""
    found = session.call("GET", "/api/providers/performance", days=days)

    def show_text() -> None:
        from taskreel_local.cli.text_output import format_milliseconds, print_table

        rows = [
            (
                one["day"],
                one["provider"],
                one["model"],
                one["calls"],
                one["failed"] or "",
                format_milliseconds(one["run"]["p50"]),
                format_milliseconds(one["run"]["p99"]),
                f"{one['credits']:,}",
                f"${one['costUsd']:.2f}",
                ", ".join(f"{code} {count}" for code, count in one["errors"].items()),
            )
            for one in found["days"]
        ]
        columns = (
            "day",
            "provider",
            "model",
            ">calls",
            ">failed",
            ">run p50",
            ">p99",
            ">credits",
            ">cost",
            "errors",
        )
        print_table(session.console, columns, rows, nothing="No model was called.")

    session.show(found, show_text)


@provider_commands.command("stop")
@_provider
@_model
@_reason
@connected
def stop_model(session: Session, provider: str, model: str, reason: str) -> None:
    """Open a model's circuit breaker: it gets no more calls."""
    _order(session, provider, model, "open", reason)


@provider_commands.command("permit")
@_provider
@_model
@_reason
@connected
def permit_model(session: Session, provider: str, model: str, reason: str) -> None:
    """Close a model's circuit breaker, whatever its failures are."""
    _order(session, provider, model, "closed", reason)


@provider_commands.command("auto")
@_provider
@_model
@_reason
@connected
def release_model(session: Session, provider: str, model: str, reason: str) -> None:
    """Let a model's circuit breaker follow its failures again."""
    _order(session, provider, model, None, reason)


def _order(session: Session, provider: str, model: str, state: str | None, reason: str) -> None:
    from urllib.parse import quote

    path = f"/api/providers/{quote(provider)}/{quote(model)}/breaker"
    found = session.call("POST", path, {"state": state, "reason": reason})
    by = " by an admin" if found["byHand"] else ", and follows the model's failures"
    session.show(found, lambda: click.echo(f"{provider} {model} is {found['state']}{by}."))
