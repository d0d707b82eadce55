"""The `taskreel` command in this process, against a running stack: a process each is too slow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from e2e.processes import Stack
from taskreel_local.cli.main import main


@dataclass(frozen=True)
class Commands:
    """Runs commands on a stack's data folder."""

    stack: Stack
    #: The folder of the profiles.
    config: Path

    def run(self, *words: str, stdin: str | None = None, **environment: str) -> Result:
        """Run a command to its end."""
        runner = CliRunner(env={"XDG_CONFIG_HOME": str(self.config), **environment})
        result = runner.invoke(main, [*words, "--data", str(self.stack.data)], input=stdin)
        assert not isinstance(result.exception, Exception), result.exception
        return result

    def text(self, *words: str, exit_code: int = 0, **environment: str) -> str:
        """Run a command and return what it prints."""
        result = self.run(*words, **environment)
        assert result.exit_code == exit_code, result.output
        return result.stdout

    def json(self, *words: str, exit_code: int = 0, stdin: str | None = None) -> Any:
        """Run a command with `--json` and return what it prints, which is JSON alone."""
        result = self.run(*words, "--json", stdin=stdin)
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)

    def submit(self, job_type: str, *words: str) -> str:
        """Submit a job that is followed to its end; return its id."""
        result = self.run("submit", job_type, *words, "--follow", "--json")
        assert result.stdout, result.stderr
        job: dict[str, str] = json.loads(result.stdout)
        return job["jobId"]
