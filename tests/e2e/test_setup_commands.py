"""Profiles, the doctor, the log, the dashboard's address, and completion in a shell."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from e2e.commands import Commands
from e2e.processes import TASKREEL, Stack, environment


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config"


def taskreel(
    config: Path, *words: str, stdin: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command as a stranger to the stack's folder would."""
    return subprocess.run(
        [str(TASKREEL), *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        input=stdin,
        cwd=config.parent,
        env=environment(XDG_CONFIG_HOME=str(config), **more),
    )


def test_a_login_stores_the_token_for_its_owner_alone_and_never_prints_it(
    running: Stack, config: Path
) -> None:
    token = running.token("ada")
    done = taskreel(config, "login", "prod", "--url", running.url, "--token-stdin", stdin=token)
    assert done.returncode == 0, done.stderr
    assert "You are ada." in done.stdout
    file = config / "taskreel" / "profiles.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    account = taskreel(config, "credits", "--json")
    assert json.loads(account.stdout)["userId"] == "ada"
    listed = taskreel(config, "profiles")
    checked = taskreel(config, "doctor", "--json")
    opened = taskreel(config, "open", "--print")
    for one in (done, listed, checked, opened, taskreel(config, "credits", "--user", "eve")):
        assert token not in one.stdout + one.stderr
    assert "prod" in listed.stdout
    assert opened.stdout == f"{running.url}/dashboard\n"


def test_several_profiles_are_chosen_by_name_by_use_and_by_environment(
    running: Stack, config: Path
) -> None:
    for user in ("ada", "eve"):
        words = ("login", user, "--url", running.url, "--token-stdin")
        assert taskreel(config, *words, stdin=running.token(user)).returncode == 0
    local = taskreel(config, "login", "--data", str(running.data), "--json")
    assert json.loads(local.stdout)["user"] == "dev"

    def who(*words: str, **more: str) -> str:
        name: str = json.loads(taskreel(config, "credits", "--json", *words, **more).stdout)[
            "userId"
        ]
        return name

    assert who() == "dev"
    assert who("--profile", "ada") == "ada"
    assert who(TASKREEL_PROFILE="eve") == "eve"
    assert taskreel(config, "profiles", "use", "ada").returncode == 0
    assert who() == "ada"
    assert who(TASKREEL_URL=running.url, TASKREEL_TOKEN=running.token("zoe")) == "zoe"
    assert taskreel(config, "credits", TASKREEL_URL=running.url).returncode == 2
    assert taskreel(config, "credits", TASKREEL_URL="api", TASKREEL_TOKEN="t").returncode == 2
    page = f"{running.url}/dashboard"
    mistaken = taskreel(config, "jobs", TASKREEL_URL=page, TASKREEL_TOKEN="t")
    assert mistaken.returncode == 1
    assert "check the URL of the API" in mistaken.stderr
    assert "Traceback" not in mistaken.stderr
    assert taskreel(config, "logout", "ada").returncode == 0
    missing = taskreel(config, "credits", "--profile", "ada")
    assert (missing.returncode, "eve, local" in missing.stderr) == (2, True)


def test_a_token_command_is_run_each_time(running: Stack, config: Path, tmp_path: Path) -> None:
    source = tmp_path / "token"
    source.write_text(running.token("ada"))
    words = ("login", "--url", running.url, "--token-command", f"cat {source}")
    assert taskreel(config, *words).returncode == 0
    source.write_text(running.token("eve"))
    assert json.loads(taskreel(config, "credits", "--json").stdout)["userId"] == "eve"
    assert running.token("eve") not in (config / "taskreel" / "profiles.json").read_text()
    source.unlink()
    assert "token command failed" in taskreel(config, "credits").stderr


def test_a_wrong_login_is_not_stored(running: Stack, config: Path) -> None:
    refused = taskreel(config, "login", "--url", running.url, "--token-stdin", stdin="nonsense")
    assert refused.returncode == 3
    assert "not accepted" in refused.stderr
    for url in ("http://api.example.com", "api.example.com", "ftp://x"):
        assert taskreel(config, "login", "--url", url, "--token-stdin", stdin="t").returncode == 2
    unreachable = taskreel(
        config, "login", "--url", "http://127.0.0.1:9", "--token-stdin", stdin="t"
    )
    assert unreachable.returncode == 4
    assert not (config / "taskreel").exists()


def test_the_doctor_finds_a_paused_queue_an_open_file_and_an_expired_token(
    running: Stack, config: Path
) -> None:
    at = ("--data", str(running.data))
    assert taskreel(config, "doctor", *at).returncode == 0
    taskreel(config, "queues", "pause", "image-upscale", "--yes", *at)
    paused = taskreel(config, "doctor", *at)
    assert paused.returncode == 1
    assert "taskreel queues resume image-upscale" in paused.stdout
    taskreel(config, "queues", "resume", "image-upscale", *at)
    expired = running.token("ada", ttl_seconds=-60)
    words = ("login", "--url", running.url, "--token-stdin", "--no-check")
    taskreel(config, *words, stdin=expired)
    (config / "taskreel" / "profiles.json").chmod(0o644)
    checks = {
        one["name"]: one
        for one in json.loads(taskreel(config, "doctor", "--json").stdout)["checks"]
    }
    assert not checks["profiles"]["ok"]
    assert "0644" in checks["profiles"]["found"]
    assert "expired" in checks["token"]["found"]
    assert checks["account"]["advice"] == "taskreel login"


def test_the_log_has_each_change_and_each_failure(commands: Commands) -> None:
    job = commands.submit("image-generation", "prompt=x", "options.studio.mode=fail-permanent")
    lines = [json.loads(line) for line in commands.text("logs", job, "--json").splitlines()]
    assert [line["status"] for line in lines] == ["QUEUED", "PROCESSING", "failure", "FAILED"]
    assert {line["jobId"] for line in lines} == {job}
    assert "studio_failed" in commands.text("logs", job)
    assert job in commands.text("logs")
    followed = commands.text("logs", job, "--follow", "--json").splitlines()
    assert json.loads(followed[-1])["status"] == "FAILED"


def test_open_signs_in_at_the_own_stack_without_printing_the_token(
    running: Stack, config: Path, tmp_path: Path
) -> None:
    browser = tmp_path / "xdg-open"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o700)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = taskreel(config, "open", "--data", str(running.data), PATH=path)
    assert done.stdout == f"{running.url}/dashboard\n"
    assert (tmp_path / "opened").read_text().startswith(f"{running.url}/dashboard#token=ey")


# ── Completion ───────────────────────────────────────────────────────────────────────────────────


def complete(running: Stack, line: str) -> list[str]:
    """The words that bash offers at the end of the line, by the script that the command prints."""
    words = line.split(" ")
    script = f"""
        PATH={TASKREEL.parent}:$PATH
        source <(taskreel completion bash)
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
        COMP_CWORD={len(words) - 1}
        $(complete -p taskreel | sed 's/.*-F \\([^ ]*\\) .*/\\1/') taskreel
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=running.data.parent,
        env=environment(),
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_types_and_jobs(running: Stack, commands: Commands) -> None:
    job = commands.submit("image-generation", "prompt=x", "options.studio.mode=noop")
    commands.json("types")  # the server's first answer imports and builds all schemas
    at = f"--data {running.data}"
    assert complete(running, "taskreel de") == ["delete", "dead-letters", "dev", "demo"]
    assert complete(running, "taskreel queues pa") == ["pause"]
    assert "--dry-run" in complete(running, "taskreel submit --d")
    assert complete(running, f"taskreel submit {at} image-u") == ["image-upscale"]
    assert complete(running, f"taskreel show {at} {job[:9]}") == [job]
    assert complete(running, "taskreel jobs --status FAILED,EX") == ["FAILED,EXPIRED"]
    assert complete(running, "taskreel show --data /nowhere job") == []


@pytest.mark.parametrize(
    ("shell", "mark"), [("zsh", "#compdef taskreel"), ("fish", "--command taskreel")]
)
def test_zsh_and_fish_have_a_script(config: Path, shell: str, mark: str) -> None:
    done = taskreel(config, "completion", shell)
    assert done.returncode == 0
    assert mark in done.stdout
    assert f"_TASKREEL_COMPLETE={shell}_complete" in done.stdout
