"""Everything that leaves the process waits for the commit: every call of every port is judged."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any, cast

import pytest

from functions.job_requests import NOOP
from simulation.mortal_store import MortalStore
from simulation.world import running, settings
from taskreel import wiring
from taskreel.adapters.external_synchrony import (
    DurableBlobs,
    DurableProvider,
    DurableResponses,
    DurableTasks,
    DurableWebhooks,
)
from taskreel.adapters.local import sqlite
from taskreel.app.services import Services
from taskreel.ports import Blobs, Provider, SendWebhook, TaskQueue
from taskreel_cloud_tasks.clock import VirtualClock
from virtual_time import VirtualTime

#: The wrapper of each port through which something leaves the process.
WRAPPERS: dict[type, type] = {
    Blobs: DurableBlobs,
    Provider: DurableProvider,
    SendWebhook: DurableWebhooks,
    TaskQueue: DurableTasks,
}
#: The calls that do not wait, and the reason.
FREE = {
    (Blobs, "put"): "a file that no document names yet; it is written again by the next run",
    (Blobs, "read"): "changes nothing",
    (Blobs, "info"): "changes nothing",
    (Blobs, "list_paths"): "changes nothing",
    (Blobs, "signed_url"): "the URL leaves with an answer, which waits",
    (Blobs, "renew"): "a file lives longer, at the worst for a replay that is lost",
    (Blobs, "open_upload"): "the URL leaves with an answer, which waits",
    (Blobs, "close"): "says nothing",
    (Provider, "poll"): "changes nothing; the operation was stored before",
    (Provider, "close"): "says nothing",
    (SendWebhook, "check_url"): "stays in the process",
    (SendWebhook, "public_key"): "stays in the process",
    (SendWebhook, "close"): "says nothing",
    (TaskQueue, "list_locations"): "stays in the process",
    (TaskQueue, "stats"): "changes nothing",
    (TaskQueue, "close"): "says nothing",
}
#: The services that need no wrapper, and the reason.
INSIDE = {
    "store": "it is what is waited for",
    "providers": "a registry; it wraps each paid provider that it builds",
    "workers": "processes of this machine, which end with this one",
    "probe_file": "in a worker process",
    "fetch": "reads a file; the server that is asked is told nothing of a job",
    "clock": "stays in the process",
    "rules": "stays in the process",
    "work_dirs": "files of this process alone",
    "counts": "stays in the process",
    "calibration": "stays in the process",
    "recent_jobs": "stays in the process",
    "count_sweep": "stays in the process",
    "count_event": "stays in the process",
    "alerts": "its sender posts what no document has: that the store is lost, and test messages",
    "render_message": "writes a body, which `webhooks` sends",
    "sign_message": "writes headers, which `webhooks` sends",
    "flush_records": "writes to the store",
    "random": "stays in the process",
    "check_encryption": "decrypts one key; the key service is told nothing of a job",
}


class Recorded:
    """A port, or a store, that notes its calls in one list."""

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls
        self.name = "recorded"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*_: Any, **__: Any) -> asyncio.Future[None]:
            self._calls.append(name)
            done = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done

        return call


def list_methods(port: type) -> list[str]:
    return [name for name, _ in inspect.getmembers(port, inspect.isfunction) if name[0] != "_"]


CALLS = [(port, name) for port in WRAPPERS for name in list_methods(port)]


def test_the_calls_that_do_not_wait_exist() -> None:
    assert FREE.keys() <= set(CALLS)


@pytest.mark.parametrize(("port", "name"), CALLS, ids=lambda one: getattr(one, "__name__", one))
async def test_a_call_waits_for_the_commit_unless_it_need_not(port: type, name: str) -> None:
    calls: list[str] = []
    wrapper = WRAPPERS[port](Recorded(calls), Recorded(calls))
    method = getattr(wrapper, name)
    given = {
        one.name: None
        for one in inspect.signature(method).parameters.values()
        if one.kind is inspect.Parameter.KEYWORD_ONLY
    }
    positional = [
        None
        for one in inspect.signature(method).parameters.values()
        if one.kind is inspect.Parameter.POSITIONAL_ONLY
    ]
    answer = method(*positional, **given)
    if inspect.isawaitable(answer):
        await answer
    assert calls == ([name] if (port, name) in FREE else ["durable", name])


def test_every_service_is_wrapped_or_stays_inside(tmp_path: Path) -> None:
    chosen = settings(tmp_path, tasks_url="cloudtasks://p/l?emulator=127.0.0.1:1")
    built = wiring.build(chosen, VirtualTime(VirtualClock()))
    try:
        wrapped = {
            name
            for name in Services.__struct_fields__
            if isinstance(getattr(built, name), tuple(WRAPPERS.values()))
        }
        assert wrapped == {"blobs", "tasks", "webhooks"}
        assert wrapped | INSIDE.keys() == set(Services.__struct_fields__)
    finally:
        built.workers.close()


def test_every_paid_provider_is_wrapped(tmp_path: Path) -> None:
    chosen = settings(tmp_path, provider_keys={"openai": "k"})
    built = wiring.build(chosen, VirtualTime(VirtualClock()))
    try:
        assert isinstance(built.providers.get("openai"), DurableProvider)
    finally:
        built.workers.close()


async def test_every_application_answers_after_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch):
        for build in (wiring.api, wiring.gateway, wiring.processor, wiring.maintenance):
            assert isinstance(build(), DurableResponses), build


async def test_a_message_of_an_application_waits_for_the_commit() -> None:
    calls: list[str] = []
    store = Recorded(calls)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for kind in ("http.response.start", "http.response.body", "websocket.send"):
            await send({"type": kind})

    async def send(message: Any) -> None:
        calls.append(message["type"])

    await DurableResponses(app, cast(Any, store))({}, cast(Any, None), send)
    assert calls[::2] == ["durable"] * 3
    assert calls[1::2] == ["http.response.start", "http.response.body", "websocket.send"]


async def test_a_submission_is_answered_after_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "SqliteStore", MortalStore)
    async with running(tmp_path, monkeypatch) as world:
        store = world.sqlite
        assert isinstance(store, MortalStore)
        ada = world.as_user("ada")
        store.stall_after(0)
        asking = asyncio.create_task(ada.post("/api/jobs/image-generation", json=NOOP))
        await world.settle()
        assert store.stalled.is_set()
        assert not asking.done()
        asking.cancel()
        assert store.die() > 0
        assert (await ada.get("/api/jobs")).json()["jobs"] == []
