"""`taskreel audit`: check every invariant of a store in use, and repair what can be repaired."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import click
import httpx

from taskreel_local.cli.api_target import find_data_folder, find_store_url
from taskreel_local.cli.options import chosen_data_option
from taskreel_local.stack.data_folder import DataFolder

_ANSWER_SECONDS = 3600.0


@click.command("audit")
@chosen_data_option
@click.option(
    "--store-url",
    metavar="URL",
    help="Audit this store instead: firestore://PROJECT/DATABASE, as STORE_URL has it.",
)
@click.option("--blobs-url", metavar="URL", help="Its bucket, for --files: gs://BUCKET.")
@click.option("--files", is_flag=True, help="Compare each artifact with the bucket, too.")
@click.option("--repair", is_flag=True, help="Repair what has one right answer.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def audit(
    data: Path | None,
    store_url: str | None,
    blobs_url: str | None,
    *,
    files: bool,
    repair: bool,
    as_json: bool,
) -> None:
    """Check every invariant of a store.

    Of jobs, credits, slots and webhooks; each violation is named.

    Without --store-url it is the store of a stack on this machine: the running stack is asked, or
    its file is read while it does not run. It exits with 1 if a rule is broken. --repair recounts
    slots, wakes jobs that nothing would wake, settles holds of ended jobs and releases those of no
    job; each repair is in the audit log of administrators. With --files it also removes files that
    no document refers to. What is left needs a person.
    """
    if files and store_url is not None and blobs_url is None:
        raise click.UsageError("--files needs --blobs-url beside --store-url")
    order = {"files": files, "repair": repair}
    if store_url is None:
        report = _audit_folder(DataFolder(find_data_folder(data)), order)
    else:
        report = asyncio.run(_audit_store(store_url, blobs_url or "file:///.", order))
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print_report(report)
    raise SystemExit(1 if report["violations"] else 0)


def _audit_folder(folder: DataFolder, order: dict[str, bool]) -> dict[str, Any]:
    """Ask the stack of the folder, whatever its store is; read the file if none runs."""
    url = folder.read_url()
    report = None if url is None else _ask_stack(url, folder, order)
    if report is None:
        urls = find_store_url(folder), f"file:///{folder.files_folder}"
        report = asyncio.run(_audit_store(*urls, order, folder.find_encryption_key()))
    return report


def _ask_stack(url: str, folder: DataFolder, order: dict[str, bool]) -> dict[str, Any] | None:
    """The report of the running stack; None if none runs at that address."""
    headers = {"X-Internal-Api-Key": folder.load_secrets().internal}
    try:
        answer = httpx.post(
            f"{url}/tasks/audit", json=order, headers=headers, timeout=_ANSWER_SECONDS
        )
        answer.raise_for_status()
    except httpx.ConnectError:
        return None
    except httpx.HTTPError as error:
        raise click.ClickException(f"The stack at {url} did not answer: {error}") from None
    report: dict[str, Any] = answer.json()
    return report


async def _audit_store(
    store_url: str, blobs_url: str, order: dict[str, bool], encryption_key: str | None = None
) -> dict[str, Any]:
    from taskreel import wiring
    from taskreel.app.audit.store_audit import audit_store
    from taskreel.config import Settings
    from taskreel.domain.errors import StoreError
    from taskreel_local.stack.repository_paths import QUEUES

    chosen = Settings(
        store_url=store_url,
        blobs_url=blobs_url,
        tasks_url=f"embedded:///{QUEUES}",
        api_base_url="http://localhost",
        processor_url="http://localhost",
        internal_api_key="no task is sent by an audit",
        files_secret="unused",  # noqa: S106 - no URL is signed
        encryption_key=os.environ.get("ENCRYPTION_KEY") or encryption_key,
    )
    services = wiring.build(chosen, wiring.SystemClock())
    try:
        report = await audit_store(services, with_files=order["files"], with_repair=order["repair"])
    except StoreError as error:
        raise click.ClickException(error.message) from None
    finally:
        services.workers.close()
        await services.store.close()
    return {
        "users": report.users,
        "jobs": report.jobs,
        "entries": report.entries,
        "unownedFiles": report.unowned_files,
        "violations": [str(one) for one in report.violations],
        "repaired": report.repaired,
    }


def _print_report(report: dict[str, Any]) -> None:
    for text in report["repaired"]:
        click.echo(f"repaired   {text}")
    for text in report["violations"]:
        click.echo(f"VIOLATION  {text}")
    read = (
        f"{report['users']:,} users, {report['jobs']:,} jobs, {report['entries']:,} ledger entries"
    )
    if unowned := report.get("unownedFiles"):
        click.echo(f"note       {unowned:,} files have no document any more: --repair removes them")
    broken = len(report["violations"])
    click.echo(f"{read}: " + (f"{broken} violations" if broken else "every invariant holds"))
