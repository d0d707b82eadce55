from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from click.testing import CliRunner

from e2e.processes import ROOT, TASKREEL, Stack, environment, stack, taskreel, wait_for_job
from taskreel_local.cli.main import main

NOOP = {"prompt": "x", "options": {"studio": {"mode": "noop"}}}


@pytest.fixture
def at(running: Stack) -> list[str]:
    return ["--data", str(running.data)]


def test_a_token_says_who_calls(running: Stack, at: list[str]) -> None:
    options = [
        "--tier",
        "pro",
        "--role",
        "admin",
        "--project",
        "p1",
        "--project",
        "p2",
        "--ttl",
        "60",
    ]
    token = taskreel("token", "--user", "ada", *options, *at).stdout.strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["tier"], claims["role"], claims["projects"]) == (
        "ada",
        "pro",
        "admin",
        ["p1", "p2"],
    )
    assert claims["exp"] - claims["iat"] == 60
    answer = httpx.get(f"{running.url}/api/credits", headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["userId"] == "ada"


def test_a_job_is_submitted_followed_listed_and_paid(at: list[str]) -> None:
    done = taskreel(
        "submit", "image-generation", json.dumps(NOOP), "--user", "eve", "--follow", "--json", *at
    )
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert job["status"] == "COMPLETED"
    assert "COMPLETED" in done.stderr
    assert job["jobId"] in taskreel("jobs", "--user", "eve", *at).stdout
    assert json.loads(taskreel("credits", "--user", "eve", "--json", *at).stdout)["captured"] == 1


def test_following_a_job_that_fails_ends_with_status_1(at: list[str]) -> None:
    failing = {"prompt": "x", "options": {"studio": {"mode": "fail-permanent"}}}
    body = json.dumps(failing)
    done = taskreel("submit", "image-generation", "--json", body, "--follow", *at)
    job = json.loads(done.stdout)
    assert (job["status"], done.returncode) == ("FAILED", 1)
    assert taskreel("watch", job["jobId"], *at).returncode == 1


def test_a_prompt_alone_is_enough(at: list[str]) -> None:
    submitted = taskreel("submit", "image-generation", "--prompt", "a kite", "--json", *at)
    assert json.loads(submitted.stdout)["payload"] == {"prompt": "a kite"}


def test_a_request_is_read_from_standard_input(at: list[str]) -> None:
    submitted = taskreel("submit", "image-generation", "--json", "-", *at, stdin=json.dumps(NOOP))
    job = json.loads(submitted.stdout)
    watched = taskreel("watch", job["jobId"], "--json", *at)
    assert json.loads(watched.stdout)["status"] == "COMPLETED"


def test_the_same_key_submits_once(at: list[str]) -> None:
    jobs = [
        taskreel("submit", "image-generation", "--prompt", "x", "--key", "k1", "--json", *at).stdout
        for _ in range(2)
    ]
    assert json.loads(jobs[0])["jobId"] == json.loads(jobs[1])["jobId"]


def test_jobs_are_listed_by_status(at: list[str]) -> None:
    assert taskreel("jobs", "--status", "EXPIRED", *at).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["submit", "sculpture", "--prompt", "x"], "There are: image-generation"),
        (["submit", "image-generation", "{"], "is not JSON"),
        (["submit", "image-generation", "[1]", "--prompt", "x"], "must be an object"),
        (["submit", "image-generation"], "prompt"),
        (["watch", "job_none"], "There is no job job_none"),
        (["jobs", "--status", "DONE"], "status"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(at: list[str], arguments: list[str], message: str) -> None:
    refused = taskreel(*arguments, *at)
    assert refused.returncode != 0
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


def test_without_a_stack_the_command_to_start_one_is_named(tmp_path: Path) -> None:
    for command in (
        ["jobs"],
        ["credits"],
        ["token"],
        ["watch", "job_1"],
        ["submit", "image-generation", "--prompt", "x"],
    ):
        refused = taskreel(*command, "--data", str(tmp_path))
        assert refused.returncode == 4
        assert f"scripts/dev --data {tmp_path}" in refused.stderr
    assert not (tmp_path / "secrets.json").exists()


def test_a_token_and_an_audit_are_of_the_current_profiles_stack(
    running: Stack, tmp_path: Path
) -> None:
    runner = CliRunner(env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert runner.invoke(main, ["login", "here", "--data", str(running.data)]).exit_code == 0
    token = runner.invoke(main, ["token", "--user", "ada"]).stdout.strip()
    answer = httpx.get(f"{running.url}/api/credits", headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["userId"] == "ada"
    assert "every invariant holds" in runner.invoke(main, ["audit"]).stdout


def test_an_empty_job_id_is_refused(at: list[str]) -> None:
    refused = taskreel("show", "", *at)
    assert refused.returncode == 2
    assert "it is empty" in refused.stderr


def test_a_wrong_token_is_refused(running: Stack) -> None:
    answer = httpx.get(f"{running.url}/api/jobs", headers={"Authorization": "Bearer nonsense"})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_the_processor_is_shut_to_strangers(running: Stack) -> None:
    for path in ("/tasks/process", "/tasks/sweep"):
        assert httpx.post(f"{running.url}{path}", json={"jobId": "job_1"}).status_code == 401


def test_a_second_stack_on_the_same_folder_is_refused(running: Stack, at: list[str]) -> None:
    refused = taskreel("dev", "--port", "0", *at)
    assert refused.returncode == 1
    assert f"Another stack runs on {running.data}" in refused.stderr


def test_a_port_in_use_is_named_with_the_option_to_choose_another(
    running: Stack, tmp_path: Path
) -> None:
    port = str(urlsplit(running.url).port)
    refused = taskreel("dev", "--port", port, "--data", str(tmp_path))
    assert refused.returncode == 1
    assert f":{port}" in refused.stderr
    assert "--port" in refused.stderr


def test_the_commands_that_are_printed_work(tmp_path: Path) -> None:
    with stack(tmp_path) as found:
        assert found.process.stdout is not None
        printed = ""
        while "Ctrl-C" not in (line := found.process.stdout.readline()):
            printed += line
        submit = printed.partition("create an image")[2].partition("\n")[0]
        curl = "curl" + printed.partition("curl")[2]
        for command in (f"{submit} --json", curl):
            answer = subprocess.run(
                ["bash", "-c", command],
                check=True,
                capture_output=True,
                text=True,
                timeout=60,
                cwd=tmp_path,
            )
            assert json.loads(answer.stdout)["status"] == "COMPLETED"


def test_files_are_served_under_signed_urls_only(running: Stack) -> None:
    with running.client() as client:
        small = {"prompt": "a kite", "options": {"width": 64, "height": 64}}
        job = wait_for_job(
            client, client.post("/api/jobs/image-generation", json=small).json()["jobId"]
        )
        url = job["result"]["artifacts"][0]["url"]
    assert httpx.get(url).headers["content-type"] == "image/png"
    assert httpx.get(url.partition("?")[0]).status_code == 403
    assert httpx.get(url[:-1] + ("0" if url[-1] != "0" else "1")).status_code == 403
    assert httpx.get(url.replace("image.png", "../../../secrets.json")).status_code in {403, 404}


def scripts() -> Iterator[str]:
    for path in sorted((ROOT / "scripts").iterdir()):
        if (
            path.is_file()
            and not path.suffix
            and not path.name.startswith(".")
            and os.access(path, os.X_OK)
        ):
            yield path.name


@pytest.mark.parametrize("script", list(scripts()))
def test_every_script_says_how_it_is_used(script: str) -> None:
    told = subprocess.run(
        [str(ROOT / "scripts" / script), "--help"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )
    assert told.returncode == 0, told.stderr
    assert f"scripts/{script}" in told.stdout


@pytest.mark.parametrize(
    "command", ["", "dev", "demo", "token", "submit", "watch", "jobs", "credits"]
)
def test_every_command_says_how_it_is_used(command: str) -> None:
    told = subprocess.run(
        [str(TASKREEL), *command.split(), "--help"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.stdout.startswith("Usage: taskreel")
