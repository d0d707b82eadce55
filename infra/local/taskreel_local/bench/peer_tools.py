"""Programs and packages that the peers need; packages go into the ignored `.taskreel/bench`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from taskreel_local.bench.process_tree import BenchmarkError
from taskreel_local.stack.repository_paths import ROOT

CACHE = ROOT / ".taskreel" / "bench"

_INSTALL = {
    "ab": "apt-get install -y apache2-utils",
    "hey": "apt-get install -y hey",
    "redis-server": "apt-get install -y redis-server",
    "node": "apt-get install -y nodejs npm",
    "npm": "apt-get install -y nodejs npm",
}
_NODE = ("express@5", "bullmq@6", "ioredis@5", "bee-queue@2", "jsonwebtoken@9", "zod@4")
_PYTHON = ("fastapi", "uvicorn[standard]", "celery", "packaging", "redis", "pyjwt")


def require_programs(*programs: str) -> None:
    """Raise BenchmarkError with the install commands if a program is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        commands = dict.fromkeys(_INSTALL[program] for program in missing)
        raise BenchmarkError(f"not run: {' and '.join(missing)} missing; {'; '.join(commands)}")


def install_node_modules() -> Path:
    """Install the Node.js peers' packages on the first call; return `node_modules`."""
    require_programs("node", "npm")
    folder = CACHE / "node"
    words = [
        "npm",
        "install",
        "--prefix",
        str(folder),
        "--no-audit",
        "--no-fund",
        "--loglevel",
        "error",
        *_NODE,
    ]
    _install_once(folder, "node packages", [words])
    return folder / "node_modules"


def install_peer_python() -> str:
    """Create a Python environment for the Celery peer on the first call; return its Python."""
    folder = CACHE / "python"
    python = folder / "bin" / "python"
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *_PYTHON,
    ]
    _install_once(folder, "Python packages", [[sys.executable, "-m", "venv", str(folder)], install])
    return str(python)


def _install_once(folder: Path, what: str, commands: Sequence[Sequence[str]]) -> None:
    """Run `commands` unless exactly these have been run; a half-made folder is made again."""
    done, wanted = folder / ".complete", repr(commands)
    if done.exists() and done.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"Installing the peers' {what} in {folder.relative_to(ROOT)} (once)…", file=sys.stderr)
    environ = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    for command in commands:
        ended = subprocess.run(  # noqa: S603 - our own command
            command, capture_output=True, text=True, check=False, env=environ
        )
        if ended.returncode:
            raise BenchmarkError(
                f"not run: {what} could not be installed: {ended.stderr.strip()[-300:]}"
            )
    done.write_text(wanted)
