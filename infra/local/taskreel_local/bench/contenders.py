"""The contenders: Taskreel and its peers, behind the same public API, each in its own processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from taskreel_local.bench.http_connection import Connection, responds_ok
from taskreel_local.bench.peer_tools import (
    install_node_modules,
    install_peer_python,
    require_programs,
)
from taskreel_local.bench.process_tree import ProcessTree, clean_environ, free_port, wait_for
from taskreel_local.bench.rpc_counts import FOLDER_VARIABLE, PROVIDERS_NAME, sum_rpc_counts
from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.dev_tokens import make_token
from taskreel_local.stack.repository_paths import ROOT

PEERS = Path(__file__).parent / "peers"
SUBMIT = "/api/jobs/image-generation"

_USER = "bench"
_GRANT = 1_000_000
_START_SECONDS = 60.0
#: The stack says itself why it cannot start: gcloud, an emulator and the servers have a limit each.
_STACK_START_SECONDS = 180.0
#: The request of all contenders. Taskreel's also has the option to generate nothing.
_BODY: Mapping[str, Any] = {
    "prompt": "A lighthouse in a storm, the lamp lit, waves over the rocks",
    "model": "flux-1.1-pro",
    "provider": "bfl",
    "options": {"width": 1024, "height": 1024},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A contender that serves requests."""

    url: str
    token: str
    body: Mapping[str, Any]
    tree: ProcessTree
    #: Returns the number of jobs completed since the start.
    completed: Callable[[], int]
    #: Returns the calls through gRPC since the start; None for a contender that makes none.
    rpcs: Callable[[], int] | None = None
    #: The status of a completed job in the answer to `GET /api/jobs/{id}`.
    done: str = "completed"
    #: Understands `Prefer: wait`.
    can_wait: bool = False


#: Runs on a folder; the work of each job takes so many milliseconds.
Contender = Callable[[Path, int], AbstractContextManager[Running]]


@contextmanager
def start_taskreel(
    folder: Path, work_ms: int = 0, *, environ: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Running]:
    """Run the stack as `taskreel dev` does, without rate limits: one server."""
    with _start_taskreel(folder, work_ms, environ=environ) as running:
        yield running


@contextmanager
def start_taskreel_on_google(folder: Path, work_ms: int = 0) -> Iterator[Running]:
    """The same on the Google adapters: Firestore emulator, Cloud Tasks over gRPC.

    The Firestore emulator's CPU time and memory are not counted.
    """
    counted = {FOLDER_VARIABLE: str(folder), "EXTRA_PROVIDERS": PROVIDERS_NAME}
    with _start_taskreel(folder, work_ms, "--google-emulators", environ=counted) as running:
        yield replace(running, rpcs=lambda: sum_rpc_counts(folder).total())


@contextmanager
def _start_taskreel(
    folder: Path,
    work_ms: int,
    *options: str,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Running]:
    data = DataFolder(folder)
    with start_stack(folder, *options, environ=environ) as (url, tree):
        token = make_token(data, user=_USER)
        with Connection(url, make_token(data, user="bench-admin", role="admin")) as admin:
            admin.call("POST", f"/api/credits/{_USER}/grants", {"amount": _GRANT})
        with Connection(url, token) as user:
            studio = {"mode": "sleep", "seconds": work_ms / 1000} if work_ms else {"mode": "noop"}
            body = {**_BODY, "options": {**_BODY["options"], "studio": studio}}
            yield Running(
                url=url,
                token=token,
                body=body,
                tree=tree,
                completed=lambda: int(user.call("GET", "/api/credits")["captured"]),
                done="COMPLETED",
                can_wait=True,
            )


@contextmanager
def start_stack(
    folder: Path, *options: str, environ: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[str, ProcessTree]]:
    """Run the dev stack on `folder` in its own process; yield its URL and its processes."""
    data = DataFolder(folder)
    path = f"{ROOT / 'functions'}:{ROOT / 'infra' / 'local'}"
    common = ["--port", "0", "--data", str(folder), "--unthrottled", "--log-format", "json"]
    with ProcessTree(folder / "bench.log") as tree:
        command = [sys.executable, "-m", "taskreel_local.cli.main", "dev", *common, *options]
        tree.start(command, environ=clean_environ(PYTHONPATH=path, **environ))
        for _ in wait_for(_STACK_START_SECONDS, "starting the stack", tree):
            url = data.read_url()
            if url is not None:
                yield url, tree
                return


@contextmanager
def start_express_bullmq(folder: Path, work_ms: int = 0) -> Iterator[Running]:
    """Run Express, BullMQ and Redis: the architecture of the project's documents."""
    with _start_node_peer("express_bullmq.js", folder, work_ms) as running:
        yield running


@contextmanager
def start_express_bee(folder: Path, work_ms: int = 0) -> Iterator[Running]:
    """Run Express, bee-queue and Redis."""
    with _start_node_peer("express_bee.js", folder, work_ms) as running:
        yield replace(running, done="succeeded")


@contextmanager
def _start_node_peer(script: str, folder: Path, work_ms: int) -> Iterator[Running]:
    modules = install_node_modules()
    environ = {"NODE_ENV": "production", "NODE_PATH": str(modules), "JOB_MS": str(work_ms)}
    roles = [["node", str(PEERS / script), role] for role in ("api", "worker")]
    with _start_on_redis(folder, environ, lambda _port: roles) as running:
        yield running


@contextmanager
def start_fastapi_celery(folder: Path, work_ms: int = 0) -> Iterator[Running]:
    """Run FastAPI, Celery and Redis: one API process and a worker with two processes."""
    python = install_peer_python()
    environ = {"PYTHONPATH": str(PEERS), "JOB_MS": str(work_ms)}
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR"]

    def build_commands(port: int) -> list[list[str]]:
        api = [
            "uvicorn",
            "celery_api:api",
            "--port",
            str(port),
            "--no-access-log",
            "--log-level",
            "warning",
        ]
        worker = ["celery", "-A", "celery_tasks", "worker", "--concurrency", "2", *quiet]
        return [[python, "-m", *api], [python, "-m", *worker]]

    with _start_on_redis(folder, environ, build_commands) as running:
        yield replace(running, done="SUCCESS")


@contextmanager
def _start_on_redis(
    folder: Path, environ: Mapping[str, str], build_commands: Callable[[int], list[list[str]]]
) -> Iterator[Running]:
    """Start a Redis that persists its data, and a peer's processes on it."""
    require_programs("redis-server")
    redis, port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    data = DataFolder(folder)
    secret = data.load_secrets().jwt
    settings = clean_environ(**environ, PORT=str(port), REDIS_PORT=str(redis), JWT_SECRET=secret)
    durable = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
    with ProcessTree(folder / "bench.log") as tree:
        server = [
            "redis-server",
            "--port",
            str(redis),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(folder),
            *durable,
        ]
        tree.start(server, environ=clean_environ())
        for command in build_commands(port):
            tree.start(command, folder=folder, environ=settings)
        for _ in wait_for(_START_SECONDS, "starting the peer", tree):
            if responds_ok(url, "/completed"):
                break
        with Connection(url) as plain:
            yield Running(
                url=url,
                token=make_token(data, user=_USER),
                body=_BODY,
                tree=tree,
                completed=lambda: int(plain.call("GET", "/completed")["completed"]),
            )


CONTENDERS: Mapping[str, Contender] = {
    "taskreel": start_taskreel,
    "taskreel-on-google": start_taskreel_on_google,
    "express-bullmq": start_express_bullmq,
    "express-bee": start_express_bee,
    "fastapi-celery": start_fastapi_celery,
}
LABELS: Mapping[str, str] = {
    "taskreel": "Taskreel",
    "taskreel-on-google": "Taskreel, Google adapters",
    "express-bullmq": "Express + BullMQ + Redis",
    "express-bee": "Express + bee-queue + Redis",
    "fastapi-celery": "FastAPI + Celery + Redis",
}
