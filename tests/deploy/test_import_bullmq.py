"""`taskreel import bullmq` from a real Redis into a real stack.

The jobs are written by BullMQ itself if npm can install it, and as BullMQ 5.81.5 recorded them.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import redis
import yaml
from click.testing import CliRunner, Result

from installed_programs import find_program, install_npm_packages
from taskreel_local.migrate.bullmq_command import import_jobs
from taskreel_local.migrate.bullmq_mapping import Rule, UnmappableError, map_job
from taskreel_local.migrate.bullmq_redis import OldJob
from taskreel_local.stack.data_folder import DataFolder

from .conftest import running_stack

HERE = Path(__file__).parent
MAP = {
    "render/clip": {
        "jobType": "video-generation",
        "fields": {"text": "prompt", "refs": "imageUrls", "seconds": "options.duration"},
        "drop": ["callback"],
        "set": {"provider": "studio"},
    }
}


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """A Redis of its own; the port."""
    program = find_program("redis-server", "apt install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            program,
            "--port",
            str(port),
            "--save",
            "",
            "--dir",
            str(folder),
            "--requirepass",
            "secret",
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_for(port: int) -> None:
    for _ in range(1200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("redis-server does not answer")


def written_by_bullmq(port: int, folder: Path) -> None:
    """The application's own code, run with the newest BullMQ 5."""
    install_npm_packages(folder, "bullmq@5")
    script = ["node", str(HERE / "write_bullmq_jobs.mjs"), str(folder)]
    subprocess.run(script, env={**os.environ, "REDIS_PORT": str(port)}, check=True, timeout=60)


def as_recorded(port: int, _folder: Path) -> None:
    """Key by key, with the delayed jobs put off from now."""
    with redis.Redis(port=port, password="secret") as old:
        for command in json.loads((HERE / "recorded/bullmq-5.81.5.json").read_text()):
            old.execute_command(*command)
        since_ms = int(time.time() * 1000) - int(old.hget("bull:image-generation:1", "timestamp"))
        for key in ("bull:image-generation:delayed", "bull:image_generation:delayed"):
            for job, score in old.zrange(key, 0, -1, withscores=True):
                old.zadd(key, {job: score + since_ms * 4096})


@dataclass(frozen=True)
class World:
    """An old queue, and a stack to import into."""

    redis: str
    api: str
    secret: str
    rules: Path

    def run(self, *options: str, **env: str) -> Result:
        command = [
            "bullmq",
            "--redis",
            self.redis,
            "--map",
            str(self.rules),
            "--api",
            self.api,
            *options,
        ]
        return CliRunner(
            env={"JWT_SECRET": self.secret, "TASKREEL_TOKEN": self.token("carol"), **env}
        ).invoke(import_jobs, command)

    def token(self, user: str) -> str:
        return jwt.encode(
            {"sub": user, "exp": int(time.time()) + 600}, self.secret, algorithm="HS256"
        )

    def jobs(self, user: str) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.token(user)}"}
        with httpx.Client(base_url=self.api, headers=headers) as client:
            answer = client.get("/api/jobs", params={"limit": 100}).raise_for_status()
            ids = [row["jobId"] for row in answer.json()["jobs"]]
            # One by one: lists carry no payloads.
            return [client.get(f"/api/jobs/{job_id}").raise_for_status().json() for job_id in ids]


@pytest.fixture(params=[as_recorded, written_by_bullmq], ids=["recorded", "bullmq"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    rules = tmp_path / "map.yaml"
    rules.write_text(yaml.safe_dump(MAP))
    with redis_server(tmp_path) as port:
        request.param(port, tmp_path)
        with running_stack(tmp_path / "data") as url:
            secret = DataFolder(tmp_path / "data").load_secrets().jwt
            yield World(f"redis://:secret@127.0.0.1:{port}/0", url, secret, rules)


@pytest.mark.emulator
def test_every_waiting_job_comes_over_once(world: World) -> None:
    dry = world.run("--dry-run")
    assert "9 would be submitted, for 14 credits" in dry.output
    assert world.jobs("ada") == []

    first = world.run()
    lines = first.output.splitlines()
    assert lines[0].split() == ["9", "submitted"]
    assert "1 not imported: waiting-children: a parent of a flow" in first.output
    assert "1 not imported: repeat: a repeating schedule" in first.output
    assert "image-generation/5 (draw): 422: frobnicate" in first.output
    assert (
        "render/2 (mystery): neither 'mystery' nor 'render' is a job type; "
        "add a rule to the --map file" in first.output
    )
    assert first.exit_code == 1

    with redis.Redis.from_url(world.redis) as old_queue:
        old_queue.zadd("bull:image-generation:delayed", {"3": 0})
    again = world.run()
    assert again.output.splitlines()[0].split(maxsplit=1) == ["9", "had been submitted before"]
    ada, bob = world.jobs("ada"), world.jobs("bob")
    assert len(ada) == 4
    prompts = sorted(job["payload"].get("prompt", "") for job in bob)
    assert prompts == ["", "again", "child", "postponed", "second"]

    by_prompt = {job["payload"].get("prompt", ""): job for job in ada + bob}
    assert by_prompt["first"]["maxAttempts"] == 5
    due = {
        job["payload"]["prompt"]: round(hours_from_now(job))
        for job in ada + bob
        if job["status"] == "SCHEDULED"
    }
    assert due == {"tomorrow": 24, "postponed": 48, "again": 1}
    assert by_prompt["urgent"]["priority"] == "low"
    assert by_prompt["waves"]["jobType"] == "video-generation"


def hours_from_now(job: Mapping[str, Any]) -> float:
    return (datetime.fromisoformat(job["nextAttemptAt"]) - datetime.now(UTC)).total_seconds() / 3600


def old(**changes: Any) -> OldJob:
    values: dict[str, Any] = {
        "prefix": "bull",
        "queue": "q",
        "id": "1",
        "name": "n",
        "data": {"prompt": "p"},
        "opts": {},
        "timestamp_ms": 1_700_000_000_000,
        "priority": 0,
        "due_ms": None,
        **changes,
    }
    return OldJob(**values)


def renamed(data: Mapping[str, Any], **rule: Any) -> Mapping[str, Any]:
    return map_job(old(data=data), {"q": Rule(job_type="image-generation", **rule)}, NOW).body


def test_what_is_moved_or_set_joins_what_is_there() -> None:
    data = {"options": {"resolution": "720p"}, "seconds": 5}
    moved = renamed(
        data, fields={"seconds": "options.duration"}, set={"options": {"ratio": "16:9"}}
    )
    assert moved == {"options": {"resolution": "720p", "duration": 5, "ratio": "16:9"}}
    assert data == {"options": {"resolution": "720p"}, "seconds": 5}


def test_fields_may_change_places() -> None:
    assert renamed({"a": 1, "b": {"c": 2}}, fields={"a": "b.c", "b.c": "a"}) == {
        "a": 2,
        "b": {"c": 1},
    }


def test_parts_of_objects_can_be_dropped() -> None:
    assert renamed({"a": {"b": 1, "c": 2}}, drop=("a.b", "nothing.here")) == {"a": {"c": 2}}


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (
            {"seconds": 5, "options": "fast"},
            "options.duration: options is not an object in its data",
        ),
        ({"seconds": 5, "options": {"duration": 6}}, "options.duration exists in its data already"),
    ],
)
def test_a_rename_that_would_lose_something_is_refused(data: Mapping[str, Any], wrong: str) -> None:
    with pytest.raises(UnmappableError, match=wrong):
        renamed(data, fields={"seconds": "options.duration"})


RULES = {"q": Rule(job_type="image-generation", high_up_to=5)}
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("opts", "retry"),
    [
        ({}, None),
        ({"attempts": 4}, {"maxAttempts": 4}),
        ({"attempts": 99}, {"maxAttempts": 20}),
        ({"backoff": 500}, {"minBackoffSeconds": 0.5, "maxBackoffSeconds": 0.5}),
        (
            {"backoff": {"type": "fixed", "delay": 3000}},
            {"minBackoffSeconds": 3, "maxBackoffSeconds": 3},
        ),
        ({"backoff": {"type": "exponential", "delay": 1000}}, {"minBackoffSeconds": 1}),
        ({"backoff": {"type": "custom"}}, None),
    ],
)
def test_attempts_and_backoff(opts: Mapping[str, Any], retry: Mapping[str, float] | None) -> None:
    assert map_job(old(opts=opts), RULES, NOW).body.get("retry") == retry


def test_a_delay_becomes_the_time_it_meant() -> None:
    later = NOW + timedelta(hours=2)
    job = old(due_ms=int(later.timestamp() * 1000))
    assert map_job(job, RULES, NOW).body["scheduleAt"] == later.isoformat()
    assert "scheduleAt" not in map_job(job, RULES, later).body


@pytest.mark.parametrize(("number", "priority"), [(0, None), (1, "high"), (5, "high"), (6, "low")])
def test_priority_numbers_become_priorities(number: int, priority: str | None) -> None:
    assert map_job(old(priority=number), RULES, NOW).body.get("priority") == priority


def test_the_key_is_the_jobs_own_even_when_ids_begin_again() -> None:
    assert old().idempotency_key == old(data={}).idempotency_key
    assert old().idempotency_key != old(timestamp_ms=1_700_000_000_001).idempotency_key


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("q: {jobType: sculpture}", "unknown job type 'sculpture'"),
        ("q: {jobtype: image-generation}", "jobtype: Extra inputs are not permitted"),
        (
            "q: {jobType: image-generation, fields: [text]}",
            "q: fields: Input should be a valid dictionary",
        ),
    ],
)
def test_a_map_that_is_wrong_is_refused_before_anything_is_read(
    tmp_path: Path, text: str, wrong: str
) -> None:
    rules = tmp_path / "map.yaml"
    rules.write_text(text)
    result = CliRunner().invoke(
        import_jobs, ["bullmq", "--redis", "redis://127.0.0.1:1", "--map", str(rules)]
    )
    assert result.exit_code == 2
    assert wrong in result.output


@pytest.mark.parametrize(
    ("url", "told"),
    [("redis://127.0.0.1:1", "Error: Redis: "), ("http://127.0.0.1", "Invalid value for --redis")],
)
def test_a_redis_that_is_not_there(url: str, told: str) -> None:
    result = CliRunner().invoke(import_jobs, ["bullmq", "--redis", url])
    assert result.exit_code > 0
    assert told in result.output


def test_an_answer_that_is_not_redis() -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _ = server.accept()
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    result = CliRunner().invoke(
        import_jobs, ["bullmq", "--redis", f"redis://127.0.0.1:{server.getsockname()[1]}"]
    )
    assert result.exit_code == 1
    assert "Error: Redis: " in result.output
    thread.join()
    server.close()
