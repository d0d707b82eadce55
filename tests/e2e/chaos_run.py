"""Kill and stop the server processes at random under a mix of jobs, then check the store.

On Google's adapters the store also goes away for seconds, in several ways. `scripts/chaos` runs
this. All choices come from one seed; the moments at which they meet the
processes do not, so a seed repeats the events and their order, not each interleaving.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import httpx

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
from taskreel_local.emulators.google_emulators import firestore_emulator, free_port
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
SERVER = b"taskreel_local.stack.server_main"
RETRY = {"maxAttempts": 20, "minBackoffSeconds": 0.5, "maxBackoffSeconds": 1}
#: Threads that submit: while one waits for a store that is away, others go on.
CUSTOMERS = 4
StackKind = Literal["embedded", "google"]
EVENTS = ("kill", "kill", "freeze", "freeze all", "kill stack")
#: One of them about every ten seconds.
STORE_EVENTS = tuple(OutageKind)
#: Shorter and longer than a lease, and than the ten seconds after which a call is given up.
OUTAGE_SECONDS = (0.5, 3.0, 6.0, 14.0)
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "EXPIRED"})


# ── Jobs ─────────────────────────────────────────────────────────────────────────────────────────


def draw_request(draw: random.Random, name: str) -> tuple[str, dict[str, Any]]:
    """A job type and a request: mostly small pictures, by providers that are well or not.

    Some are bought from a provider that takes no idempotency keys: their prompts contain
    `name`, which must be unique.
    """
    fault = draw.choice(
        [
            None,
            None,
            {"mode": "slow", "seconds": 1.5},
            {"mode": "pending", "seconds": 0.5, "times": 2},
            {"mode": "fail-temporary", "times": 1},
            {"mode": "fail-permanent"},
            {"mode": "rate-limit", "seconds": 0.5, "times": 1},
            {"mode": "crash", "times": 1},
        ]
    )
    options: dict[str, Any] = {"width": 64, "height": 64}
    if fault is not None:
        options["studio"] = fault
    picture = {"prompt": "a kite", "provider": "studio", "options": options}
    kind = draw.choice(["picture", "picture", "picture", "purchase", "batch", "pipeline"])
    if kind == "purchase":
        size = {"width": 1024, "height": 768}
        return "image-generation", {
            "prompt": f"kite number {name}",
            "provider": "bfl",
            "model": "flux-1.1-pro",
            "options": size,
            "retry": RETRY,
        }
    if kind == "batch":
        prompts = [f"kite {number}" for number in range(draw.randint(2, 4))]
        return "batch-generation", {
            "prompts": prompts,
            "provider": "studio",
            "options": options,
            "retry": RETRY,
        }
    if kind == "pipeline":
        many = {"type": "image-generation", "forEach": ["a", "b"], "payload": picture}
        last = {
            "type": "image-generation",
            "after": ["many"],
            "payload": {**picture, "options": {"width": 64, "height": 64}},
        }
        return "pipeline", {"steps": {"many": many, "last": last}}
    return "image-generation", {**picture, "retry": RETRY}


class Customer(threading.Thread):
    """Submits jobs until told to stop, each until it is accepted; cancels some of them."""

    def __init__(
        self, name: str, url: str, token: str, draw: random.Random, jobs_per_second: float
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._url = url
        self._token = token
        self._draw = draw
        self._pause = 1 / jobs_per_second
        self.jobs: dict[str, str] = {}
        self.cancelled = 0
        #: DELETE removes a job that has ended already, and its answer may be lost.
        self.maybe_removed: set[str] = set()
        self.refused: list[str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=15) as client:
            number = 0
            while not self.stopped.is_set():
                number += 1
                self._submit_until_accepted(client, number)
                if self.jobs and self._draw.random() < 0.1:
                    self._cancel_one(client)
                self.stopped.wait(self._pause)

    def _submit_until_accepted(self, client: httpx.Client, number: int) -> None:
        name = f"{self.name}-{number}"
        job_type, request = draw_request(self._draw, name)
        # The key makes the repetition safe: an answer that was lost may have created the job.
        key = {"Idempotency-Key": f"chaos-{name}"}
        while not self.stopped.is_set():
            try:
                answer = client.post(f"/api/jobs/{job_type}", json=request, headers=key)
            except httpx.TransportError:
                self.stopped.wait(0.1)
                continue
            if answer.is_success:
                self.jobs[answer.json()["jobId"]] = job_type
                return
            if answer.status_code != 503:
                self.refused.append(f"{answer.status_code} {answer.text[:300]}")
                return
            self.stopped.wait(0.2)

    def _cancel_one(self, client: httpx.Client) -> None:
        job_id = self._draw.choice(list(self.jobs)[-5:])
        self.maybe_removed.add(job_id)
        with suppress(httpx.TransportError):
            answer = client.delete(f"/api/jobs/{self.jobs[job_id]}/{job_id}")
            self.cancelled += answer.is_success


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
    _proxy: OutageProxy | None = None
    _provider_url: str = ""

    def execute(self) -> StoreContent:
        """Run the events, let the jobs end, stop the stack and check its store."""
        with ExitStack() as around:
            if self.stack == "google":
                # Outside the stack, whose end it must survive: it stands for a managed service.
                firestore = around.enter_context(firestore_emulator())
                self._proxy = around.enter_context(OutageProxy(firestore).running())
            provider = FakeBfl(polls=2)
            self._provider_url = around.enter_context(serve_on_port(provider))
            self._run_events()
            content = self._read_store(firestore if self.stack == "google" else "")
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
            with self._start_stack(port) as found:
                self._disturb_until(draw, until, found)
        wait_for_processes_to_end(self.data)
        if self._proxy is not None:
            self._proxy.end_outage()
        with self._start_stack(port) as last:
            for customer in customers:
                customer.stopped.set()
            for customer in customers:
                customer.join()
            self._wait_until_all_ended(last, token)
        for customer in customers:
            self.jobs |= customer.jobs
            self.refused += customer.refused
            self.maybe_removed |= customer.maybe_removed
            self.events["cancel"] += customer.cancelled

    @contextmanager
    def _start_stack(self, port: int) -> Iterator[Stack]:
        self.events["start"] += 1
        options = ["--unthrottled"]
        settings = {
            **SETTINGS,
            "BFL_API_KEY": FakeBfl.key,
            "PROVIDER_BASE_URLS": json.dumps({"bfl": self._provider_url}),
        }
        if self._proxy is not None:
            options.append("--google-emulators")
            settings["FIRESTORE_EMULATOR_HOST"] = self._proxy.address
        with stack(self.data, *options, port=port, settings=settings) as found:
            yield found

    def _disturb_until(self, draw: random.Random, until: float, running: Stack) -> None:
        """Disturb the processes until the time, or until the whole stack has been killed."""
        while time.monotonic() < until:
            time.sleep(min(draw.uniform(0.2, 3.0), max(0.0, until - time.monotonic())))
            servers = sorted(find_servers(self.data))
            event = draw.choice(EVENTS if self._proxy is None else 3 * EVENTS + STORE_EVENTS)
            if isinstance(event, OutageKind):
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

    def _begin_outage(self, kind: OutageKind, seconds: float) -> None:
        """Begin an outage that lasts while other events happen, unless there is one."""
        if self._proxy is not None and not self._proxy.has_outage:
            self.events[kind] += 1
            self._proxy.begin_outage(kind, seconds)

    def _wait_until_all_ended(self, last: Stack, token: str) -> None:
        """Wait until no job is open, at most for the lease, one sweep and the work itself."""
        started = time.monotonic()
        limit = LEASE_SECONDS + SWEEP_SECONDS + WORK_SECONDS
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=last.url, headers=headers, timeout=30) as client:
            open_jobs = list_open_jobs(client)
            while open_jobs and time.monotonic() - started < limit:
                client.get(f"/api/jobs/{open_jobs[0]}", headers={"Prefer": "wait=5"})
                open_jobs = list_open_jobs(client)
        self.calm_seconds = time.monotonic() - started
        if open_jobs:
            self.violations.append(
                f"{len(open_jobs)} jobs have not ended {limit:g} s after the last event: "
                f"{', '.join(open_jobs[:5])}"
            )

    def _read_store(self, firestore: str) -> StoreContent:
        folder = DataFolder(self.data)
        if self.stack == "google":
            project = find_parent({}).split("/")[1]
            return read_google_store(project, firestore, folder.files_folder)
        return read_local_store(folder.store_file, folder.files_folder)

    def _check_content(self, content: StoreContent) -> None:
        self.violations += find_violations(content)
        stored = {job.job_id for job in content.jobs} | content.removed
        lost = [job_id for job_id in self.jobs if job_id not in stored]
        if lost:
            self.violations.append(f"accepted jobs are not stored: {', '.join(lost)}")
        self.violations += [f"a valid request was refused: {text}" for text in self.refused]


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
