"""Kill and stop the server processes at random under a mix of jobs, then check the store.

For up to a minute each, the disk is full, the network to the provider is cut, and the store goes
away: on Google's adapters in several ways, of which one is a restart of Firestore's emulator; the
embedded stack's ends with its disk. `scripts/chaos` runs this. All choices come from one seed; the
moments at which they meet the processes do not, so a seed repeats the events and their order, not
each interleaving.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import httpx

from e2e.chaos_customers import Customer
from e2e.disk_outages import DiskOutages
from e2e.firestore_restarts import RestartingFirestore
from e2e.processes import Stack, find_processes, stack, wait_for_processes_to_end
from e2e.store_invariants import (
    StoreContent,
    find_purchase_violations,
    find_violations,
    read_google_store,
    read_local_store,
)
from e2e.store_outages import OutageKind, OutageProxy
from providers.bfl.fake import FakeBfl
from providers.fake_provider import serve_on_port
from taskreel.domain.claim_and_outcome import ANSWER_GRACE
from taskreel_local.emulators.google_emulators import free_port
from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.local_stack import find_parent

LEASE_SECONDS, SWEEP_SECONDS = 2.0, 5.0
#: The longest work of a job here, with all its polls and pauses, on a loaded machine. After an
#: unexpected error a job waits for half a minute.
WORK_SECONDS = 60.0
SETTINGS = {
    "LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    "HEARTBEAT_SECONDS": "0.5",
    "RESCUE_AFTER_SECONDS": "2",
    "LOG_LEVEL": "ERROR",
    "INITIAL_CREDITS": "1000000",
}
#: The longest audit of a store that one run has filled, on a loaded machine.
AUDIT_SECONDS = 120
SERVER = b"taskreel_local.stack.server_main"
#: A breaker that has opened for the third time rests so long, as does one whose probe was killed.
LONGEST_REST_SECONDS = 120.0
#: Threads that submit: while one waits for a store that is away, others go on.
CUSTOMERS = 4
StackKind = Literal["embedded", "google"]
EVENTS = ("kill", "kill", "freeze", "freeze all", "kill stack")
DISK_FULL = "disk full"
EMULATOR_RESTARTS = "emulator restarts"
#: Of the network, before the service that follows; one of all outages about every ten seconds.
PROVIDER_CUTS = tuple(f"provider {kind}" for kind in OutageKind)
STORE_CUTS = tuple(f"store {kind}" for kind in OutageKind)
#: The outages of each stack: the disk, the network, the store.
OUTAGES: Mapping[StackKind, tuple[str, ...]] = {
    "embedded": (DISK_FULL, DISK_FULL, *PROVIDER_CUTS),
    "google": (DISK_FULL, EMULATOR_RESTARTS, *PROVIDER_CUTS, *STORE_CUTS),
}
#: Shorter and longer than a lease, and than the ten seconds after which a call is given up.
OUTAGE_SECONDS = (0.5, 3.0, 6.0, 14.0)
#: Every so many outages one of these, in turn: longer than everything but a run that has bought.
LONG_OUTAGE_SECONDS = (20.0, 60.0)
_LONG_OUTAGE_EVERY = 4
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "EXPIRED"})


# ── Events ───────────────────────────────────────────────────────────────────────────────────────


@dataclass
class ChaosRun:
    """One run: a stack in `data`, a customer, and the events that the seed draws."""

    data: Path
    seed: int
    seconds: float
    stack: StackKind = "embedded"
    jobs_per_second: float = 4.0
    events: Counter[str] = field(default_factory=Counter)
    jobs: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    maybe_removed: set[str] = field(default_factory=set)
    #: Seconds from the last event until the last job had ended.
    calm_seconds: float = 0.0
    violations: list[str] = field(default_factory=list)
    _firestore: RestartingFirestore | None = None
    _disk: DiskOutages | None = None
    _provider: OutageProxy | None = None
    _outages: int = 0

    def execute(self) -> StoreContent:
        """Run the events, let the jobs end, stop the stack and check its store."""
        with ExitStack() as around:
            if self.stack == "google":
                # Outside the stack, whose end it must survive: it stands for a managed service.
                running = RestartingFirestore.running(find_project())
                self._firestore = around.enter_context(running)
            # In the cloud it is an instance's disk; the emulators in the stack have their own.
            find = find_instances if self.stack == "google" else find_processes
            self._disk = around.enter_context(DiskOutages(self.data, find).running())
            provider = FakeBfl(polls=2)
            address = around.enter_context(serve_on_port(provider)).removeprefix("http://")
            self._provider = around.enter_context(OutageProxy(address).running())
            self._run_events()
            content = self._read_store()
            content = replace(content, removed=frozenset(self.maybe_removed))
        self._check_content(content)
        bought = Counter(
            str(call.body["prompt"]) for call in provider.calls if call.method == "POST"
        )
        self.events["purchase"] = bought.total()
        self.violations += find_purchase_violations(content, bought)
        return content

    def _run_events(self) -> None:
        draw = random.Random(self.seed)
        port = free_port()
        with self._start_stack(port) as first:
            until = time.monotonic() + self.seconds
            token = first.token()
            customers = [
                Customer(
                    f"customer{number}",
                    first.url,
                    token,
                    random.Random(self.seed + number),
                    self.jobs_per_second / CUSTOMERS,
                )
                for number in range(1, CUSTOMERS + 1)
            ]
            for customer in customers:
                customer.start()
            self._disturb_until(draw, until, first)
        while time.monotonic() < until:
            wait_for_processes_to_end(self.data)
            self._end_disk_outage()
            with self._start_stack(port) as found:
                self._disturb_until(draw, until, found)
        wait_for_processes_to_end(self.data)
        for proxy in self._list_proxies():
            proxy.end_outage()
        self._end_disk_outage()
        with self._start_stack(port) as last:
            for customer in customers:
                customer.stopped.set()
            for customer in customers:
                customer.join()
            self._wait_until_all_ended(last, token)
            report = audit_running_stack(self.data)
        self.events["audited job"] = report["jobs"]
        self.violations += [f"taskreel audit: {one}" for one in report["violations"]]
        for customer in customers:
            self.jobs |= customer.jobs
            self.refused += customer.refused
            self.maybe_removed |= customer.maybe_removed
            self.events["cancel"] += customer.cancelled
            self.events["replay"] += customer.replayed

    @contextmanager
    def _start_stack(self, port: int) -> Iterator[Stack]:
        self.events["start"] += 1
        options = ["--unthrottled"]
        assert self._provider is not None
        settings = {
            **SETTINGS,
            "BFL_API_KEY": FakeBfl.key,
            "PROVIDER_BASE_URLS": json.dumps({"bfl": f"http://{self._provider.address}"}),
        }
        if self._firestore is not None:
            options.append("--google-emulators")
            settings["FIRESTORE_EMULATOR_HOST"] = self._firestore.proxy.address
        with stack(self.data, *options, port=port, settings=settings) as found:
            yield found

    def _disturb_until(self, draw: random.Random, until: float, running: Stack) -> None:
        """Disturb the processes until the time, or until the whole stack has been killed."""
        while time.monotonic() < until:
            time.sleep(min(draw.uniform(0.2, 3.0), max(0.0, until - time.monotonic())))
            servers = sorted(find_servers(self.data))
            outages = OUTAGES[self.stack]
            event = draw.choice(3 * EVENTS + outages)
            if event in outages:
                self._begin_outage(event, draw.choice(OUTAGE_SECONDS))
                continue
            if event == "kill stack":
                self.events[event] += 1
                running.kill()
                return
            if not servers:
                continue
            self.events[event] += 1
            if event == "kill":
                signal_process(draw.choice(servers), signal.SIGKILL)
            else:
                # Longer than a lease as often as not: another server takes the work over.
                chosen = servers if event == "freeze all" else [draw.choice(servers)]
                freeze_processes(chosen, draw.uniform(0.2, 2 * LEASE_SECONDS))

    def _begin_outage(self, kind: str, seconds: float) -> None:
        """Begin an outage that lasts while other events happen, unless there is one."""
        assert self._disk is not None
        if self._disk.has_outage or any(one.has_outage for one in self._list_proxies()):
            return
        if kind == EMULATOR_RESTARTS and self._firestore is not None:
            self.events[kind] += 1
            self._firestore.restart()
            return
        long, is_short = divmod(self._outages + 1, _LONG_OUTAGE_EVERY)
        self._outages += 1
        if not is_short:
            seconds = LONG_OUTAGE_SECONDS[(long - 1) % len(LONG_OUTAGE_SECONDS)]
        self.events[f"{kind}, {seconds:g} s"] += 1
        if kind == DISK_FULL:
            self._disk.begin_outage(seconds)
            return
        service, _, symptom = kind.partition(" ")
        proxy = self._provider if service == "provider" else self._list_proxies()[0]
        assert proxy is not None
        proxy.begin_outage(OutageKind(symptom), seconds)

    def _list_proxies(self) -> list[OutageProxy]:
        """The one before the store, where it has one, and the one before the provider."""
        store = None if self._firestore is None else self._firestore.proxy
        return [one for one in (store, self._provider) if one is not None]

    def _end_disk_outage(self) -> None:
        """Of a stack that was killed no process has the limit any more: the disk has room."""
        if self._disk is not None:
            self._disk.end_outage()

    def _wait_until_all_ended(self, last: Stack, token: str) -> None:
        """Wait until no job is open, for as long as `find_calm_limit` says.

        A frozen process takes a provider for one that cannot be reached. A job that waits for the
        breaker says until when, and is waited for so much longer.
        """
        started = time.monotonic()
        limit = find_calm_limit(self.stack)
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=last.url, headers=headers, timeout=30) as client:
            open_jobs = list_open_jobs(client)
            while open_jobs and time.monotonic() - started < limit:
                job = client.get(f"/api/jobs/{open_jobs[0]}", headers={"Prefer": "wait=5"}).json()
                rest = find_rest_seconds(job)
                if rest is not None:
                    limit = max(limit, time.monotonic() - started + rest + WORK_SECONDS)
                open_jobs = list_open_jobs(client)
        self.calm_seconds = time.monotonic() - started
        if open_jobs:
            self.violations.append(
                f"{len(open_jobs)} jobs have not ended {limit:g} s after the last event: "
                f"{', '.join(open_jobs[:5])}"
            )

    def _read_store(self) -> StoreContent:
        folder = DataFolder(self.data)
        if self._firestore is not None:
            found = self._firestore
            return read_google_store(found.project, found.address, folder.files_folder)
        return read_local_store(folder.store_file, folder.files_folder)

    def _check_content(self, content: StoreContent) -> None:
        self.violations += find_violations(content)
        stored = {job.job_id for job in content.jobs} | content.removed
        lost = [job_id for job_id in self.jobs if job_id not in stored]
        if lost:
            self.violations.append(f"accepted jobs are not stored: {', '.join(lost)}")
        self.violations += [f"a valid request was refused: {text}" for text in self.refused]


def find_calm_limit(kind: StackKind) -> float:
    """The seconds after the last event in which each job ends: its lease, one sweep, its work.

    A run that was killed in the middle of a purchase may have been charged: no other run takes its
    job before ANSWER_GRACE is over. One process that owns its store knows at its start that all
    earlier runs are dead, and does not wait for that.
    """
    grace = ANSWER_GRACE.total_seconds() if kind == "google" else 0.0
    return LEASE_SECONDS + grace + SWEEP_SECONDS + WORK_SECONDS


def find_rest_seconds(job: Mapping[str, Any]) -> float | None:
    """The seconds until a job is tried again that waits for its provider's breaker; else None."""
    error = job.get("error") or {}
    next_attempt_at = job.get("nextAttemptAt")
    if job["status"] != "RETRYING" or next_attempt_at is None:
        return None
    if error.get("code") not in {"provider_resting", "provider_down"}:
        return None
    rest = (datetime.fromisoformat(next_attempt_at) - datetime.now(UTC)).total_seconds()
    return min(max(rest, 0.0), LONGEST_REST_SECONDS)


def audit_running_stack(data: Path) -> dict[str, Any]:
    """The report of `taskreel audit`, as an operator runs it on a store in use."""
    command = [sys.executable, "-m", "taskreel_local.cli.main", "audit", "--files", "--json"]
    done = subprocess.run(
        [*command, "--data", str(data)],
        capture_output=True,
        text=True,
        check=False,
        timeout=AUDIT_SECONDS,
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        problem = done.stderr.strip() or done.stdout.strip()
        return {"jobs": 0, "violations": [f"it did not answer: {problem}"]}
    return report


def find_project() -> str:
    """The project of a stack on Google's emulators."""
    return find_parent({}).split("/")[1]


def find_instances(data: Path) -> list[int]:
    """The process ids of the stack's servers, and of their media workers: not of the emulators."""
    found = []
    for process in find_processes(data):
        with suppress(OSError):
            if b"\0dev\0" not in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


def find_servers(data: Path) -> list[int]:
    """The process ids of the stack's servers, without their media workers."""
    found = []
    for process in find_processes(data):
        with suppress(OSError):
            if SERVER in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


def freeze_processes(processes: list[int], seconds: float) -> None:
    """Stop the processes by SIGSTOP for that long."""
    for process in processes:
        signal_process(process, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        for process in processes:
            signal_process(process, signal.SIGCONT)


def signal_process(process: int, number: signal.Signals) -> None:
    """Signal a process that may have ended meanwhile."""
    with suppress(ProcessLookupError):
        os.kill(process, number)


def list_open_jobs(client: httpx.Client) -> list[str]:
    """The ids of the user's jobs that have not ended."""
    found: list[str] = []
    params: dict[str, Any] = {"limit": 100}
    while True:
        page = client.get("/api/jobs", params=params).raise_for_status().json()
        found += [job["jobId"] for job in page["jobs"] if job["status"] not in FINAL]
        if page["nextCursor"] is None:
            return found
        params["cursor"] = page["nextCursor"]


# ── Report ───────────────────────────────────────────────────────────────────────────────────────


def print_summary(run: ChaosRun, content: StoreContent) -> None:
    """Print the events, the jobs by status, the balance and each violation."""
    statuses = Counter(str(job.status) for job in content.jobs)
    events = ", ".join(f"{count} × {name}" for name, count in sorted(run.events.items()))
    print(f"seed {run.seed} on {run.stack}: {run.seconds:g} s, {events}")
    ended = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    children = len(content.jobs) - len(content.list_root_jobs())
    print(f"{len(run.jobs)} jobs accepted, {children} child jobs; {ended}")
    for account in content.accounts:
        print(
            f"account {account.user_id}: granted {account.granted} = available "
            f"{account.available} + held {account.held} + captured {account.captured}"
        )
    print(f"all jobs had ended {run.calm_seconds:.1f} s after the last event")
    for text in run.violations:
        print(f"VIOLATION {text}")
    print(f"{len(run.violations)} violations" if run.violations else "every invariant holds")


def main() -> int:
    """Run the chaos as the command line says; 1 if an invariant is violated."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (default: 5)")
    parser.add_argument(
        "--stack",
        choices=get_args(StackKind),
        default="embedded",
        help="the store, the queues and the files: in one process, or Google's emulators",
    )
    parser.add_argument("--seed", type=int, help="repeat the events of a run (default: random)")
    parser.add_argument("--data", type=Path, help="keep the stack's data folder here")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    with tempfile.TemporaryDirectory(prefix="taskreel-chaos-") as scratch:
        data = (given.data or Path(scratch)).absolute()
        print(f"seed {seed}, data in {data}", flush=True)
        run = ChaosRun(data=data, seed=seed, seconds=given.minutes * 60, stack=given.stack)
        content = run.execute()
        print_summary(run, content)
    return 1 if run.violations else 0


if __name__ == "__main__":
    sys.exit(main())
