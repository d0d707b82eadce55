"""`taskreel webhooks`: endpoints, their keys and deliveries."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.completions import ENDPOINT
from taskreel_local.cli.job_filters import MOMENT
from taskreel_local.cli.options import yes_option
from taskreel_local.cli.verify_webhook import verify_webhook

_PATH = "/api/webhook-endpoints"
_endpoint = click.argument("endpoint_id", metavar="ENDPOINT", shell_complete=ENDPOINT)
_delivery = click.argument("delivery_id", metavar="DELIVERY")
_limit = click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
_cursor = click.option("--cursor", help="Go on after this nextCursor.")

#: The time in which a delivery that can be made has been made.
_TEST_SECONDS = 10.0


@click.group("webhooks", cls=GroupWithDefault, default="list")
def webhook_commands() -> None:
    """Show and change your webhook endpoints, and what was sent to them.

    \b
    The endpoint `default` has the keys for jobs with a webhookUrl of their own.
    taskreel webhooks test ENDPOINT              sends an event, and shows the answer
    taskreel webhooks deliveries ENDPOINT        what was sent, and what was answered
    taskreel webhooks verify --key KEY request   is this request from us?
    """


webhook_commands.add_command(verify_webhook)


@webhook_commands.command("list")
@_limit
@_cursor
@click.option("--all-users", is_flag=True, help="Those of everybody (admin).")
@connected
def list_endpoints(session: Session, *, limit: int, cursor: str | None, all_users: bool) -> None:
    """List your endpoints, the newest first."""
    page = session.call("GET", _PATH, limit=limit, cursor=cursor, all_users=all_users or None)

    def show_text() -> None:
        from taskreel_local.cli.text_output import print_table

        rows = [
            (one["endpointId"], _describe_state(one), ", ".join(one["events"]), one["url"] or "")
            for one in page["endpoints"]
        ]
        columns = ("endpoint", "state", "events", "URL")
        print_table(session.console, columns, rows, nothing="There are no webhook endpoints.")

    session.show(page, show_text)


def _describe_state(endpoint: dict[str, Any]) -> str:
    state: str = endpoint["state"]
    if endpoint.get("disabledReason"):
        return f"{state}: {endpoint['disabledReason']}"
    return f"{state}, failing" if endpoint.get("failingSince") else state


@webhook_commands.command("create")
@click.argument("url")
@click.option("--event", "events", multiple=True, help="job.completed, job.*, …; repeatable.")
@click.option("--project", "project_id", help="Only jobs of this project.")
@click.option("--signature", type=click.Choice(["v1", "v1a"]), default="v1", show_default=True)
@click.option("--description", help="For people.")
@connected
def create_endpoint(
    session: Session, url: str, events: tuple[str, ...], **options: str | None
) -> None:
    """Send the events of your jobs to URL; print the key that verifies them."""
    body: dict[str, Any] = {
        "url": url,
        "signature": options["signature"],
        "projectId": options["project_id"],
        "description": options["description"],
    }
    body = {name: value for name, value in body.items() if value is not None}
    if events:
        body["events"] = list(events)
    _show_endpoint(session, session.call("POST", _PATH, body))


@webhook_commands.command("show")
@_endpoint
@connected
def show_endpoint(session: Session, endpoint_id: str) -> None:
    """Show an endpoint."""
    _show_endpoint(session, session.call("GET", f"{_PATH}/{endpoint_id}"))


@webhook_commands.command("enable")
@_endpoint
@connected
def enable_endpoint(session: Session, endpoint_id: str) -> None:
    """Send to an endpoint again, and forget its failures."""
    _show_endpoint(session, session.call("PATCH", f"{_PATH}/{endpoint_id}", {"enabled": True}))


@webhook_commands.command("disable")
@_endpoint
@connected
def disable_endpoint(session: Session, endpoint_id: str) -> None:
    """Send no more to an endpoint."""
    _show_endpoint(session, session.call("PATCH", f"{_PATH}/{endpoint_id}", {"enabled": False}))


@webhook_commands.command("delete")
@_endpoint
@yes_option
@connected
def delete_endpoint(session: Session, endpoint_id: str, *, yes: bool) -> None:
    """Delete an endpoint; messages that wait for another try are not sent any more."""
    found = session.call("GET", f"{_PATH}/{endpoint_id}")
    session.confirm(f"Delete {endpoint_id} ({found['url']}).", yes=yes)
    deleted = session.call("DELETE", f"{_PATH}/{endpoint_id}")
    session.show(deleted, lambda: click.echo(f"{endpoint_id} is deleted."))


def _show_endpoint(session: Session, found: dict[str, Any]) -> None:
    def show_text() -> None:
        click.echo(f"{found['endpointId']}  {_describe_state(found)}  {found['url'] or ''}")
        click.echo(f"Events: {', '.join(found['events'])}")
        _print_keys(found.get("keys") or ())

    session.show(found, show_text)


# ── Keys ─────────────────────────────────────────────────────────────────────────────────────────


@webhook_commands.command("keys")
@_endpoint
@connected
def show_keys(session: Session, endpoint_id: str) -> None:
    """Print the keys that verify what an endpoint gets, the newest first."""
    found = session.call("GET", f"{_PATH}/{endpoint_id}/keys")
    session.show(found, lambda: _print_keys(found["keys"]))


@webhook_commands.command("rotate")
@_endpoint
@click.option("--overlap", default=86_400, show_default=True, help="Seconds for which both sign.")
@click.option("--signature", type=click.Choice(["v1", "v1a"]), help="Change the kind.")
@yes_option
@connected
def rotate_key(
    session: Session, endpoint_id: str, *, overlap: int, signature: str | None, yes: bool
) -> None:
    """Replace an endpoint's key; messages have both signatures until the old one expires."""
    session.confirm(f"Replace the key of {endpoint_id}.", yes=yes)
    body = {"overlapSeconds": overlap} | ({"signature": signature} if signature else {})
    found = session.call("POST", f"{_PATH}/{endpoint_id}/keys", body)
    session.show(found, lambda: _print_keys(found["keys"]))


def _print_keys(keys: Any) -> None:
    for key in keys:
        from taskreel_local.cli.text_output import format_distance

        ends = f"  signs until {format_distance(key['expiresAt'])}" if key.get("expiresAt") else ""
        click.echo(f"Key ({key['signature']}): {key.get('secret') or key.get('publicKey')}{ends}")


# ── Deliveries ───────────────────────────────────────────────────────────────────────────────────


@webhook_commands.command("deliveries")
@_endpoint
@click.option("--state", help="Only these: pending, succeeded, failed.")
@_limit
@_cursor
@connected
def list_deliveries(
    session: Session, endpoint_id: str, *, state: str | None, limit: int, cursor: str | None
) -> None:
    """List what was sent to an endpoint in the last 30 days, the newest first."""
    path = f"{_PATH}/{endpoint_id}/deliveries"
    page = session.call("GET", path, state=state, limit=limit, cursor=cursor)

    def show_text() -> None:
        from taskreel_local.cli.text_output import format_distance, print_table

        rows = [
            (
                one["deliveryId"],
                one["state"],
                one["event"],
                one.get("jobId", ""),
                format_distance(one["createdAt"]),
                len(one["tries"]),
                _describe_last_try(one),
            )
            for one in page["deliveries"]
        ]
        columns = ("delivery", "state", "event", "job", "created", ">tries", "answer")
        print_table(session.console, columns, rows, nothing="Nothing was sent to it.")

    session.show(page, show_text)


def _describe_last_try(delivery: dict[str, Any]) -> str:
    if not delivery["tries"]:
        return str(delivery.get("reason", ""))
    last = delivery["tries"][-1]
    return str(last.get("status") or last.get("error", ""))


@webhook_commands.command("delivery")
@_delivery
@connected
def show_delivery(session: Session, delivery_id: str) -> None:
    """Show a message with its tries and their answers."""
    _show_delivery(session, session.call("GET", f"/api/webhook-deliveries/{delivery_id}"))


@webhook_commands.command("redeliver")
@click.argument("delivery_ids", metavar="[DELIVERY]...", nargs=-1)
@click.option("--endpoint", "endpoint_id", shell_complete=ENDPOINT, help="All failed ones of it.")
@click.option("--since", type=MOMENT, help="With --endpoint: made since 2h, 3d, 2026-11-26.")
@click.option("--until", type=MOMENT, help="With --endpoint: made until.")
@click.option("--state", default="failed", show_default=True, help="With --endpoint.")
@connected
def send_again(
    session: Session, delivery_ids: tuple[str, ...], endpoint_id: str | None, **options: Any
) -> None:
    """Send messages again, with their ids and bodies as they were."""
    if bool(delivery_ids) == bool(endpoint_id):
        raise click.UsageError("Name deliveries, or --endpoint with --since.")
    if endpoint_id is None:
        sent = [
            session.call("POST", f"/api/webhook-deliveries/{one}/redeliver") for one in delivery_ids
        ]
        session.show({"deliveries": sent}, lambda: _print_sent(sent))
        return
    if options["since"] is None:
        raise click.UsageError("--endpoint needs --since, such as --since 2h.")
    body = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in options.items()
        if value is not None
    }
    found = session.call("POST", f"{_PATH}/{endpoint_id}/redeliver", body)
    more = " There are others: run it again." if found["more"] else ""
    session.show(
        found,
        lambda: click.echo(
            f"Sent again: {found['sent']}. Still pending: {found['skipped']}.{more}"
        ),
    )


def _print_sent(deliveries: list[dict[str, Any]]) -> None:
    for one in deliveries:
        click.echo(f"{one['deliveryId']} is {one['state']}")


@webhook_commands.command("test")
@_endpoint
@connected
def send_test(session: Session, endpoint_id: str) -> None:
    """Send a webhook.test event and show the answer. The exit status is 1 unless it is taken."""
    found = session.call("POST", f"{_PATH}/{endpoint_id}/test")
    until = time.monotonic() + _TEST_SECONDS
    while not found["tries"] and found["state"] == "pending" and time.monotonic() < until:
        time.sleep(0.2)
        found = session.call("GET", f"/api/webhook-deliveries/{found['deliveryId']}")
    _show_delivery(session, found)
    if found["state"] != "succeeded":
        raise click.exceptions.Exit(1)


def _show_delivery(session: Session, found: dict[str, Any]) -> None:
    def show_text() -> None:
        from taskreel_local.cli.text_output import clean, format_clock, format_distance

        following = found.get("nextTryAt")
        again = f"; next try {format_distance(following)}" if following else ""
        reason = f": {clean(found['reason'])}" if found.get("reason") else ""
        click.echo(f"{found['deliveryId']} {found['event']} is {found['state']}{reason}{again}")
        for one in found["tries"]:
            outcome = one.get("status") or one.get("error", "")
            click.echo(
                f"  {format_clock(one['at'])}  {clean(outcome)} in {one['milliseconds']} ms  "
                f"{clean(one['url'])}  {clean(one['body'][:200])}"
            )
        if found.get("body"):
            click.echo(f"\n{clean(found['body'])}")

    session.show(found, show_text)
