"""The command's groups: what they list without importing it, and their defaults."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.main import main


def list_all() -> list[tuple[str, click.Command]]:
    """Every command and subcommand by its words."""
    context = click.Context(main)
    found: list[tuple[str, click.Command]] = []
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", one) for sub, one in command.commands.items()]
    return found


ALL = list_all()
README = Path(__file__).resolve().parents[3] / "README.md"


@pytest.mark.parametrize("name", [name for name, _ in ALL])
def test_every_command_has_help_that_says_how_it_is_used(name: str) -> None:
    told = CliRunner().invoke(main, [*name.split(), "--help"], prog_name="taskreel")
    assert told.exit_code == 0
    assert told.stdout.startswith(f"Usage: taskreel {name}")
    assert len(told.stdout.splitlines()[2].strip()) > 10
    assert "\\b" not in told.stdout


#: They print a token, a script, a computation, or what a stack does.
WITHOUT_JSON = {"dev", "demo", "token", "cost", "capacity", "cloud-tasks", "import", "completion"}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, id=name)
        for name, command in ALL
        if name.split()[0] not in WITHOUT_JSON and not isinstance(command, click.Group)
    ],
)
def test_every_other_command_prints_json_if_it_is_asked_to(command: click.Command) -> None:
    assert "--json" in {option for parameter in command.params for option in parameter.opts}


def test_readme_names_every_command() -> None:
    section = README.read_text().partition("## The command line")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([\w-]+)`", section))
    others = {"cloud-tasks", "import"}  # they have pages of their own
    assert set(main.list_commands(click.Context(main))) - others <= named


def test_help_and_the_completion_of_a_name_import_no_command() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from taskreel_local.cli.main import main;"
        "print(CliRunner().invoke(main, ['--help']).exit_code);"
        "print(sorted({'httpx', 'pydantic', 'rich', 'redis', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split("\n")[:2] == ["0", "[]"]


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    refused = CliRunner().invoke(main, ["dead-leters"])
    assert refused.exit_code == 2
    assert "Did you mean dead-letters?" in refused.stderr


def test_a_group_without_a_command_runs_its_default_with_its_options() -> None:
    @click.group(cls=GroupWithDefault, default="list")
    def group() -> None:
        """A group."""

    @group.command("list")
    @click.option("--size", default=1)
    def list_things(size: int) -> None:
        click.echo(f"listed {size}")

    for words, expected in (
        ([], "listed 1"),
        (["--size", "2"], "listed 2"),
        (["list"], "listed 1"),
    ):
        assert CliRunner().invoke(group, words).stdout == f"{expected}\n"
    assert CliRunner().invoke(group, ["--help"]).stdout.startswith("Usage:")
