"""The command: its options, its environment variables, aertje's flags, and mistakes in words."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from cloudtasks.worker import LOCATION, QUEUE
from taskreel_cloud_tasks.clients import connect
from taskreel_cloud_tasks.command import cloud_tasks
from taskreel_cloud_tasks.queues_file import QueuesFileError, load_queues

LISTENS = re.compile(r"listens on (\S+):(\d+) \(gRPC\) and (http://\S+:\d+) \(REST")


@contextmanager
def running(*arguments: str, **variables: str) -> Iterator[tuple[str, str]]:
    """Run the command on free ports; yield the addresses of gRPC and REST."""
    process = subprocess.Popen(
        [sys.executable, "-m", "taskreel_cloud_tasks", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )
    try:
        assert process.stdout is not None
        match = LISTENS.search(process.stdout.readline())
        assert match is not None
        yield f"127.0.0.1:{match[2]}", match[3]
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def free_port() -> int:
    """Return a port that is free, and so is the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def test_aertjes_flags_mean_the_same() -> None:
    keys = free_port()
    flags = ("-host", "127.0.0.1", "-port", "0", "-queue", QUEUE, "-queue", f"{LOCATION}/queues/b")
    issuer = f"http://localhost:{keys}"
    rest = ("-hard-reset-on-purge-queue=true", "-openid-issuer", issuer)
    with running(*flags, *rest) as (grpc_address, _):
        client = connect(grpc_address)
        with client:
            queues = [queue.name for queue in client.list_queues(parent=LOCATION)]
            assert queues == [f"{LOCATION}/queues/b", QUEUE]
            task = {"name": f"{QUEUE}/tasks/a", "http_request": {"url": "http://127.0.0.1:1/"}}
            client.pause_queue(name=QUEUE)
            client.create_task(parent=QUEUE, task=task)
            client.purge_queue(name=QUEUE)
            assert client.create_task(parent=QUEUE, task=task).name == task["name"]
        found = httpx.get(f"{issuer}/.well-known/openid-configuration").json()
        assert found["issuer"] == issuer
        assert httpx.get(found["jwks_uri"]).json()["keys"]


def test_every_option_is_an_environment_variable_too(tmp_path: Path) -> None:
    shown = CliRunner().invoke(cloud_tasks, ["--help"], terminal_width=300).output
    options = [option for option in cloud_tasks.params if option.name not in {"help", "version"}]
    for option in options:
        assert "CLOUD_TASKS_" in str(option.envvar), option.name
    assert shown.count("env var: CLOUD_TASKS_") == len(options)
    data = tmp_path / "tasks.db"
    with running(
        CLOUD_TASKS_PORT="0",
        CLOUD_TASKS_QUEUES=f"{QUEUE}, {LOCATION}/queues/b",
        CLOUD_TASKS_DATA=str(data),
        CLOUD_TASKS_VIRTUAL_CLOCK="true",
        CLOUD_TASKS_ALLOW_HOST="tasks.example.com",
    ) as (_, url):
        listed = httpx.get(f"{url}/control/queues", headers={"Host": "tasks.example.com"}).json()
        assert [queue["name"] for queue in listed["queues"]] == [QUEUE, f"{LOCATION}/queues/b"]
        assert httpx.get(f"{url}/control/time").json()["virtual"] is True
    assert data.exists()


def test_the_variables_of_aertjes_start_script_mean_the_same() -> None:
    keys = free_port()
    issuer = f"http://localhost:{keys}"
    with running(
        CLOUD_TASKS_PORT="0",
        INITIAL_QUEUES=f"{QUEUE},{LOCATION}/queues/b",
        OPENID_ISSUER=issuer,
        HARD_RESET_ON_PURGE_QUEUE="true",
    ) as (_, url):
        listed = httpx.get(f"{url}/control/queues").json()["queues"]
        assert [queue["name"] for queue in listed] == [QUEUE, f"{LOCATION}/queues/b"]
        assert httpx.get(f"{issuer}/.well-known/openid-configuration").json()["issuer"] == issuer
        task = {"name": f"{QUEUE}/tasks/a", "httpRequest": {"url": "http://127.0.0.1:1/"}}
        httpx.post(f"{url}/v2/{QUEUE}:pause")
        for _attempt in range(2):
            assert httpx.post(f"{url}/v2/{QUEUE}/tasks", json={"task": task}).status_code == 200
            httpx.post(f"{url}/v2/{QUEUE}:purge")


def test_purging_reserves_the_names_of_tasks_unless_a_flag_frees_them() -> None:
    with running("-port", "0", "-queue", QUEUE, "-hard-reset-on-purge-queue=false") as (_, url):
        task = {"name": f"{QUEUE}/tasks/a", "httpRequest": {"url": "http://127.0.0.1:1/"}}
        httpx.post(f"{url}/v2/{QUEUE}:pause")
        assert httpx.post(f"{url}/v2/{QUEUE}/tasks", json={"task": task}).status_code == 200
        httpx.post(f"{url}/v2/{QUEUE}:purge")
        assert httpx.post(f"{url}/v2/{QUEUE}/tasks", json={"task": task}).status_code == 409


def test_rest_is_at_the_port_after_grpcs_unless_a_flag_names_one() -> None:
    port = free_port()
    with running("-port", str(port)) as (_, url):
        assert url == f"http://127.0.0.1:{port + 1}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dedup-window", "soon"], "'soon' is not a duration such as 90s, 10m or 24h"),
        (["--queues", "nowhere.yaml"], "--queues nowhere.yaml: No such file or directory"),
        (["--data", "/proc/x.db"], "cannot open"),
        (["-queue", "emails"], "Queue name must be formatted"),
    ],
)
def test_a_wrong_option_is_said_in_words(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(cloud_tasks, arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_port_in_use_is_named() -> None:
    with running("-port", "0") as (grpc_address, url):
        grpc_port, rest_port = (each.rpartition(":")[2] for each in (grpc_address, url))
        for ports, taken in (((grpc_port, "0"), grpc_port), (("0", rest_port), rest_port)):
            options = ["-port", ports[0], "--rest-port", ports[1]]
            result = CliRunner().invoke(cloud_tasks, options)
            assert result.exit_code == 1
            assert result.output.startswith(f"Error: cannot listen on 127.0.0.1:{taken}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("queues:\n  q: {rateLimits: {maxSpeed: 1}}", r"queue q: .*maxSpeed.*rate_limits"),
        ("queues:\n  q: {rateLimits: {maxDispatchesPerSecond: 900}}", r"queue q: .*equal to 500"),
        ("queues:\n  q: {retryConfig: {minBackoff: 5}}", r"queue q: .*min_backoff.*duration"),
        ("queues:\n  my_queue: {}", r"queue 'my_queue': an id has 1 to 100 letters, digits"),
        ("queues:\n  - q", r"'queues' must be a mapping .*, not a list"),
        ("queues:\n  q: 500", r"queue q: the settings must be a mapping of fields, not a number"),
        ("queue:\n  q: {}", r"there is no key 'queues', but 'queue'"),
        ("defaults: fast\nqueues: {q: }", r"defaults: the settings must be a mapping"),
        ("- q", r"the file must be a mapping .*, not a list"),
        ("queues: {q: [", r"line 1, column \d+: this is not YAML"),
        ("queues: {q: {state: 7}}", r"queue q: .*state"),
    ],
)
def test_a_mistake_in_the_file_of_queues_is_one_line_that_names_queue_and_field(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "queues.yaml"
    path.write_text(text)
    with pytest.raises(QueuesFileError, match=message):
        load_queues(path, LOCATION)
    result = CliRunner().invoke(cloud_tasks, ["--queues", str(path)])
    assert result.exit_code == 1
    assert re.search(message, result.output)
    assert result.output.startswith(f"Error: --queues {path}: ")
    assert result.output.count("\n") == 1


def test_a_queue_that_cannot_be_created_now_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "queues.yaml"
    path.write_text("queues: {q: }")
    result = CliRunner().invoke(
        cloud_tasks, ["-port", "0", "--queues", str(path), "--only-project", "other"]
    )
    assert result.exit_code == 1
    assert "A queue cannot be created: Permission denied on resource project demo." in result.output
    assert "Traceback" not in result.output
