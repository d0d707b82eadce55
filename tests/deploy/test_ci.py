"""The programs that CI installs on a bare machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from .test_declarations import ROOT

#: What the image of cloudbuild.yaml brings, and what we make.
BROUGHT = {"gcloud", "taskreel"}
PACKAGES = {
    "java": "default-jre-headless",
    "redis-server": "redis-server",
    "node": "nodejs",
    "npm": "npm",
}


def asked_of_apt(folder: Path, *present: str) -> str:
    """Return the arguments of `apt-get install` on a machine with these programs only."""
    for name in ("bash", "dirname"):
        (folder / name).symlink_to(shutil.which(name) or "")
    for name in present:
        (folder / name).write_text("#!/bin/bash\nexit 0\n")
    (folder / "apt-get").write_text(
        '#!/bin/bash\n[[ $1 == update ]] || { echo "$*" >&2; exit 7; }\n'
    )
    for path in folder.iterdir():
        if not path.is_symlink():
            path.chmod(0o755)
    bash = str(folder / "bash")
    done = subprocess.run(
        [bash, ROOT / ".ci/run"],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 7, done.stderr
    return done.stderr


def test_a_bare_machine_is_given_everything(tmp_path: Path) -> None:
    asked = asked_of_apt(tmp_path).split()
    assert asked[-5:] == ["python3-venv", *PACKAGES.values()]


def test_what_is_there_is_not_asked_for(tmp_path: Path) -> None:
    assert asked_of_apt(tmp_path, "python3", "java", "node").split()[-2:] == ["redis-server", "npm"]


def test_every_program_that_a_test_looks_for_is_there_in_ci() -> None:
    code = [
        path.read_text("utf-8")
        for folder in ("tests", "infra/local")
        for path in (ROOT / folder).rglob("*.py")
        if "bench" not in path.parts  # benchmarks are not tests: they skip a missing program
    ]
    sought = {
        name for text in code for name in re.findall(r'(?:which|find_program)\("([\w-]+)"', text)
    }
    assert sought >= {"java", "redis-server", "node"}
    assert sought <= BROUGHT | PACKAGES.keys()
