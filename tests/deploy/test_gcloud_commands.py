"""Every gcloud command of the scripts, their plans and the pages is known to gcloud."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from installed_programs import GCLOUD_INSTALL, find_program

from .declarations import ROOT, declared, planned

pytestmark = pytest.mark.emulator

#: What ends a command on a line of shell.
END = re.compile(r"""[,:]\s|\s(?:[0-9&]?>{1,2}|<|\||&&|\#)|;|\)(?=[\s"'`>]|$)|`""")


#: What follows the word in a sentence.
PROSE = r"(?:is|does|has|would|cannot|takes|command|sets?)\b"


def commands_in(text: str) -> Iterator[str]:
    """Yield the commands in a script or page, with a word for each variable and placeholder."""
    text = re.sub(r"\\\n\s*", " ", text)
    text = text.replace("$account", "dev@demo-project.iam.gserviceaccount.com")
    text = re.sub(r"\$\(plan value-email[^)]*\)", "dev@demo-project.iam.gserviceaccount.com", text)
    for match in re.finditer(rf"(?<![\w/.-])gcloud (?=[a-z])(?!{PROSE})(.+)", text):
        rest = re.sub(
            r'"?\$\([^()]*(?:\([^()]*\)[^()]*)*\)"?|\$\{?\w+\}?'
            r"|\b(?!EXTERNAL_MANAGED\b)[A-Z][A-Z_]+\b",
            "x",
            match[1],
        )
        command = END.split(rest, maxsplit=1)[0].strip().rstrip(".,:'\"")
        if command.count('"') % 2:
            command += '"'
        if len(command.split()) > 1 and "…" not in command:
            yield f"gcloud {command}"


def written() -> Iterator[tuple[str, str]]:
    """Yield the written commands, each with its file."""
    pages = [ROOT / "README.md", *sorted((ROOT / "infra").rglob("*.md"))]
    scripts = [
        path
        for path in sorted((ROOT / "scripts").rglob("*"))
        if path.is_file() and path.suffix in {"", ".sh"}
    ]
    for path in (*pages, *scripts, ROOT / "cloudbuild.yaml"):
        for command in commands_in(path.read_text("utf-8")):
            yield str(path.relative_to(ROOT)), command


def run_for_an_empty_project() -> Iterator[tuple[str, str]]:
    """Yield all commands that the scripts would run in an empty project."""
    secrets = declared("secrets.yaml")["secrets"]
    existing = [{"name": secret["name"]} for secret in secrets.values()]
    plans = {
        **{
            name: planned(name)
            for name in ("apis", "database", "indexes", "fields", "bucket", "accounts", "role")
        },
        **{
            name: planned(name)
            for name in ("project-policy", "bucket-policy", "queues", "scheduler")
        },
        "local accounts": planned("accounts", "--local"),
        "impersonation": planned("impersonation", "user:dev@example.com"),
        "secrets": planned("secrets", **dict.fromkeys(secrets, "given")),
        "account-policy": planned("account-policy", "taskreel-invoker"),
        "secret-policy": planned("secret-policy", "taskreel-internal-api-key"),
        "service-policy": planned("service-policy", "task-processor"),
        "services": planned("services", found=json.dumps({"services": [], "secrets": existing})),
    }
    for part, steps in plans.items():
        assert steps, part
        for step in steps:
            yield part, shlex.join(step[step.index("gcloud") :])


def shape(command: str) -> tuple[str, ...]:
    """Return the command without names of resources: its first words and the names of its flags."""
    words, flags = [], set()
    for word in shlex.split(command):
        (flags.add(word.partition("=")[0]) if word.startswith("-") else words.append(word))
    return (*words[:5], str(len(words)), *sorted(flags))


def lint(commands: list[str], folder: Path) -> dict[str, str]:
    """Return gcloud's error for each wrong command."""
    file = folder / "commands.json"
    file.write_text(
        json.dumps(
            [{"id": str(at), "command_string": command} for at, command in enumerate(commands)]
        )
    )
    done = subprocess.run(
        ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={file}", "--serialize"],
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "CLOUDSDK_CONFIG": str(folder),
            "HOME": str(folder),
        },
        cwd=folder,  # the lint opens the files that a command writes
        capture_output=True,
        text=True,
        check=True,
        timeout=400,
    )
    results_by_command = {
        commands[int(at)]: results[0] for at, results in json.loads(done.stdout).items()
    }
    return {
        command: result["error_message"]
        for command, result in results_by_command.items()
        if not result["success"]
    }


#: gcloud has no such flag: the lint must say so, or its silence about the rest means nothing.
MISTAKE = "gcloud tasks queues create q --max-retries=5"


def test_every_command_is_one_that_gcloud_knows(tmp_path: Path) -> None:
    find_program("gcloud", GCLOUD_INSTALL)
    where = {command: place for place, command in (*written(), *run_for_an_empty_project())}
    assert len(where) > 150
    # 51 queues are made by one shape of command: checking one is checking all.
    where = {
        command: where[command]
        for command in {shape(command): command for command in where}.values()
    }
    # One run for both: loading gcloud's whole command tree takes half a minute.
    wrong = lint([*sorted(where), MISTAKE], tmp_path)
    assert "--max-retries" in wrong.pop(MISTAKE)
    assert [f"{where[command]}: {command}: {error}" for command, error in wrong.items()] == []
