"""`python -m taskreel_cloud_tasks.conformance [ADDRESS]`."""

from __future__ import annotations

import sys

import grpc
from google.api_core.exceptions import GoogleAPICallError

from taskreel_cloud_tasks.conformance.behaviours import NO, ROWS, YES, Row
from taskreel_cloud_tasks.conformance.probed_emulator import Site, open_site


def run_probe(row: Row, site: Site) -> str:
    """Return `yes` or `no`; a call that the emulator does not have is a `no`."""
    try:
        return YES if row.probe(site) else NO
    except (GoogleAPICallError, grpc.RpcError, ValueError, KeyError):
        return NO


def render_table(results: list[str]) -> str:
    """Return the table in Markdown; `results` are those of the emulator that was probed."""
    lines = [
        "| | behaviour of Google's service | source | here | aertje 2 | ken109 1.0 |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.section} | {row.behaviour} | {row.source} "
        f"| {found} | {row.aertje} | {row.ken109} |"
        for row, found in zip(ROWS, results, strict=True)
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Probe the emulator at the address given, or this one, and print the table."""
    if len(sys.argv) > 1:
        with open_site(sys.argv[1]) as site:
            print(render_table([run_probe(row, site) for row in ROWS]))
        return
    from taskreel_cloud_tasks.testing import CloudTasksEmulator

    with CloudTasksEmulator(virtual_clock=False) as emulator:
        emulator.deliver_over_http()
        with open_site(emulator.address) as site:
            print(render_table([run_probe(row, site) for row in ROWS]))


if __name__ == "__main__":
    main()
