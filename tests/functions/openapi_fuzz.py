"""Send requests made from the OpenAPI document, right and wrong ones, and check the answers.

`scripts/fuzz` runs this for minutes, and a test for seconds. The system is the simulation world
behind a real port: the deployed entry points and queues, in virtual time, with providers that
answer at once, so the inputs and not the media work take the time. With `--stack embedded` it is
`taskreel dev` in processes of its own, with its real store, queues, files and media work.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvicorn
from msgspec.structs import replace

from e2e.processes import stack
from simulation.scripted_provider import ScriptedProvider
from simulation.world import World, running, token
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.adapters.providers import PROVIDERS
from taskreel.app.services import Services
from taskreel.domain.errors import PermanentError
from taskreel.ports import Collection

V = TypeVar("V")
DOCUMENT = "/api/openapi.json"
#: What is allowed of an answer, beyond the document, each with its reason.
CONFIGURATION = Path(__file__).with_suffix(".toml")
#: A check of its own.
CHECKS = Path(__file__).with_name("openapi_checks.py")
#: Every provider can be chosen, and has its price.
SETTINGS: dict[str, Any] = {
    "initial_credits": 1_000_000_000,
    "provider_keys": dict.fromkeys(PROVIDERS, "a-key"),
    "webhook_secrets": {"bfl": "a-secret", "openai": "whsec_YSBzZWNyZXQ="},
}
#: Virtual seconds that pass at once, and the real pause in between, in seconds.
_STEP_SECONDS, _PAUSE_SECONDS = 2.0, 0.02


@dataclass(frozen=True)
class FuzzResult:
    """The exit code and the report of schemathesis, and the crashes that the server logged."""

    exit_code: int
    report: str
    crashes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True if no check failed, and no request or delivery crashed."""
        return self.exit_code == 0 and not self.crashes


async def fuzz_api(folder: Path, *options: str, show: bool = False) -> FuzzResult:
    """Run schemathesis with these options against a fresh system in the folder.

    With `show` its report goes to standard output while it is written.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteStore, "watch", _watch_once)
        crashes = CrashLog()
        logging.getLogger("taskreel").addHandler(crashes)
        try:
            async with running(folder, patch, change=_answer_at_once, **SETTINGS) as world:
                # On a busy machine it takes more than the ten seconds that schemathesis waits for.
                (await world.api.get(DOCUMENT)).raise_for_status()
                async with serving(world) as url, passing_time(world):
                    admin = token("root", role="admin")
                    code, report = await _run_schemathesis(url, options, folder, admin, show=show)
                refused = _list_failed_deliveries(world)
        finally:
            logging.getLogger("taskreel").removeHandler(crashes)
        return FuzzResult(code, report, (*crashes.texts, *refused))


async def fuzz_stack(
    folder: Path, *options: str, show: bool = False, google: bool = False
) -> FuzzResult:
    """The same against `taskreel dev` with its data in the folder.

    With `google` its store is Firestore's emulator, and its queues and files are those of the
    emulators of Cloud Tasks and Cloud Storage.
    """
    settings = {"INITIAL_CREDITS": "1000000000", "LOG_LEVEL": "ERROR"}
    flags = ["--unthrottled", "--log-format=json", *(["--google-emulators"] if google else [])]
    with stack(folder / "data", *flags, settings=settings) as found:
        admin = found.token("root", role="admin")
        code, report = await _run_schemathesis(found.url, options, folder, admin, show=show)
    return FuzzResult(code, report, tuple(_list_logged_crashes(folder / "data" / "log.txt")))


def _list_logged_crashes(log: Path) -> list[str]:
    """The errors that no code expected, in a log of JSON lines. Jobs that fail are logged too.

    A message that gRPC cannot read is expected: Google's emulator garbles one now and then, gRPC
    logs it, and the watch goes on with another stream (`tests/gcp/test_watch_protocol.py`).
    """
    lines = log.read_text().splitlines()
    crashes = [line for line in lines if line.startswith("{") and "Traceback" in line]
    return [line for line in crashes if "Exception deserializing message" not in line]


class CrashLog(logging.Handler):
    """Collects the log's errors: an exception that no code expected is one of them."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []
        self._formatter = logging.Formatter("%(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self._formatter.format(record))


async def _watch_once(
    store: SqliteStore, collection: Collection[V], id_: str, /
) -> AsyncIterator[V | None]:
    """The document as it is: an open job's events would go on for as long as the job."""
    value = await store.get(collection, id_)
    yield value


async def _refuse_download(_url: str, _target: Path, /, **_limits: Any) -> str:
    raise PermanentError("These tests have no network.", code="input_unreachable")


def _answer_at_once(services: Services) -> Services:
    built = replace(services, fetch=_refuse_download)
    for name in services.providers.all_names:
        services.providers._built[name] = ScriptedProvider(services.clock, name)
    return built


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[str]:
    """Serve the world's API on a free port of this machine during the block; its URL."""
    app: Any = world.api._transport
    server = uvicorn.Server(uvicorn.Config(app.app, log_level="critical", lifespan="off"))
    # It listens already: a client that connects before the server has started waits for it.
    listener = socket.create_server(("127.0.0.1", 0))
    serve = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serve


@asynccontextmanager
async def passing_time(world: World) -> AsyncIterator[None]:
    """Let virtual time pass during the block, much faster than real time."""

    async def pass_time() -> None:
        while True:
            await world.advance(_STEP_SECONDS)
            await asyncio.sleep(_PAUSE_SECONDS)

    task = asyncio.create_task(pass_time())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _run_schemathesis(
    url: str, options: Sequence[str], folder: Path, admin: str, *, show: bool
) -> tuple[int, str]:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={CONFIGURATION}",
        "run",
        f"{url}{DOCUMENT}",
        "--checks=all",
        # openapi_checks.py has it as `use_after_removal`: the first DELETE of a job that has not
        # ended cancels it, and it stays readable with what was finished, as that was paid for.
        # (An `enabled = false` of the configuration yields to `--checks=all`.)
        "--exclude-checks=use_after_free",
        # The token of an admin: all routes can be reached.
        f"--header=Authorization: Bearer {admin}",
        "--generation-database=none",
        "--suppress-health-check=all",
        "--continue-on-failure",
        # Some examples wait for half a minute.
        "--request-timeout=70",
        # openapi_checks.py has it as `answer_in_time`, which knows how long a request may wait.
        "--max-response-time=70",
        "--no-color",
        *options,
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(CHECKS)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    report = bytearray()
    try:
        # In pieces: a line with a request of a megabyte is longer than `readline` allows.
        while piece := await process.stdout.read(1 << 16):
            report += piece
            if show:
                sys.stdout.write(piece.decode(errors="replace"))
                sys.stdout.flush()
        return await process.wait(), report.decode(errors="replace")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _list_failed_deliveries(world: World) -> list[str]:
    return [
        f"the task of job {job_id} was answered with {status}"
        for job_id, status in world.delivered
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ]


def main() -> int:
    """Fuzz as the command line says; 1 if a check failed or the server crashed."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--seed", type=int, help="repeat the requests of a run (default: random)")
    parser.add_argument(
        "--stack",
        choices=["simulated", "embedded", "google"],
        default="simulated",
        help="the system in virtual time, the local stack, or that on Google's emulators",
    )
    given, others = parser.parse_known_args()
    options = [f"--max-time={max(1, round(given.minutes * 60))}", *others]
    if given.seed is not None:
        options.append(f"--seed={given.seed}")
    with tempfile.TemporaryDirectory(prefix="taskreel-fuzz-") as folder:
        if given.stack == "simulated":
            run = fuzz_api(Path(folder), *options, show=True)
        else:
            google = given.stack == "google"
            run = fuzz_stack(Path(folder), *options, show=True, google=google)
        result = asyncio.run(run)
    for text in result.crashes:
        print(f"CRASH {text}")
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
