"""`python -m taskreel_cloud_tasks.conformance [--start COMMAND] [--save FILE] [ADDRESS]`."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import grpc
from google.api_core.exceptions import GoogleAPIError

from taskreel_cloud_tasks.conformance.behaviours import ENDS, NO, ROWS, UNKNOWN, YES, Row
from taskreel_cloud_tasks.conformance.probed_emulator import Site, open_site

#: The results of another emulator, by section and behaviour, as `--save` writes them.
PROBED = Path(__file__).with_name("aertje_2024_12.json")
_START_SECONDS = 30.0


def run_probe(row: Row, site: Site) -> str:
    """Return `yes` or `no`; a call that the emulator does not have is a `no`."""
    try:
        return YES if row.probe(site) else NO
    except (GoogleAPIError, grpc.RpcError, ValueError, KeyError):
        return NO


def render_table(results: list[str]) -> str:
    """Return the table in Markdown; `results` are those of the emulator that was probed."""
    older: Mapping[str, str] = json.loads(PROBED.read_text())
    lines = [
        "| | behaviour of Google's service | source | here | 2024-12 | aertje 2 | ken109 1.0 |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.section} | {row.behaviour} | {row.source} | {found} "
        f"| {older.get(row.key, UNKNOWN)} | {row.aertje} | {row.ken109} |"
        for row, found in zip(ROWS, results, strict=True)
    ]
    return "\n".join(lines) + "\n"


class ProbedCommand:
    """An emulator that a command starts, again whenever a probe has ended it."""

    def __init__(self, command: str, address: str) -> None:
        self._words = shlex.split(command)
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it if it does not run, and wait until it listens."""
        if self._process is not None and self._process.poll() is None:
            return
        self._process = subprocess.Popen(  # noqa: S603 - the command of the option
            self._words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            try:
                socket.create_connection((self._host, self._port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise click.ClickException(f"It does not listen on {self._host}:{self._port}.")

    def has_ended(self) -> bool:
        """Tell if the last probe has ended it."""
        return self._process is not None and self._process.poll() is not None

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


@contextmanager
def open_own_emulator() -> Iterator[str]:
    """Run this emulator on the machine's clock, delivering over HTTP; yield its address."""
    from taskreel_cloud_tasks.testing import CloudTasksEmulator

    with CloudTasksEmulator(virtual_clock=False) as emulator:
        emulator.deliver_over_http()
        yield emulator.address


def probe_emulator(address: str, command: ProbedCommand | None = None) -> list[str]:
    """Run every probe, each on a connection of its own if the command may end."""
    if command is None:
        with open_site(address) as site:
            return [run_probe(row, site) for row in ROWS]
    results = []
    try:
        for row in ROWS:
            command.start()
            with open_site(address) as site:
                found = run_probe(row, site)
            results.append(ENDS if command.has_ended() else found)
    finally:
        command.stop()
    return results


@click.command()
@click.argument("address", required=False)
@click.option("--start", "command", help="Start the emulator by this command, and again.")
@click.option("--save", type=click.Path(path_type=Path), help="Write the results to a JSON file.")
def main(address: str | None, command: str | None, save: Path | None) -> None:
    """Probe the emulator at ADDRESS, or this one, and print the table."""
    if address is None:
        with open_own_emulator() as own:
            results = probe_emulator(own)
    else:
        results = probe_emulator(address, ProbedCommand(command, address) if command else None)
    if save is not None:
        found = {row.key: result for row, result in zip(ROWS, results, strict=True)}
        save.write_text(json.dumps(found, indent=1) + "\n")
    print(render_table(results))


if __name__ == "__main__":
    main()
