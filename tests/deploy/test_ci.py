"""The programs that CI installs on a bare machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from .test_declarations import ROOT, declared

#: What the image of cloudbuild.yaml brings, and what we make.
#: Of the image or of Debian itself (perl-base is essential), or installed by the checkout.
BROUGHT = {"curl", "gcloud", "perl", "taskreel", "uv"}
PACKAGES = {
    "java": "default-jre-headless",
    "redis-server": "redis-server",
    "node": "nodejs",
    "npm": "npm",
    "chromium": "chromium",
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
    assert asked[-len(PACKAGES) - 1 :] == ["python3-venv", *PACKAGES.values()]


def test_what_is_there_is_not_asked_for(tmp_path: Path) -> None:
    asked = asked_of_apt(tmp_path, "python3", "java", "node").split()
    assert asked[-3:] == ["redis-server", "npm", "chromium"]


def run_python_choice(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run `.ci/python` on a machine with these programs, each the body of a script."""
    folder.mkdir()
    for name in ("bash", "dirname", "sed"):
        (folder / name).symlink_to(shutil.which(name) or "")
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    return subprocess.run(
        [str(folder / "bash"), ROOT / ".ci/python"],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_ci_runs_on_the_python_that_is_deployed(tmp_path: Path) -> None:
    (image,) = {declared("services.yaml")["defaults"]["baseImage"]}
    assert image == "python312"
    present = run_python_choice(tmp_path / "present", **{"python3.12": "exit 0"})
    assert present.stdout == f"{tmp_path}/present/python3.12\n"
    uv = 'if [[ $2 == install ]]; then echo "$@" >&2; else echo /installed/python3.12; fi'
    installed = run_python_choice(tmp_path / "installed", uv=uv)
    assert installed.stdout == "/installed/python3.12\n"
    assert installed.stderr == "python install --quiet 3.12\n"
    offline = {"uv": "exit 1", "python3": "echo Python 3.13.1"}
    fallback = run_python_choice(tmp_path / "offline", **offline)
    assert fallback.stdout == f"{tmp_path}/offline/python3\n"
    assert "tests run on Python 3.13.1, not on the deployed one" in fallback.stderr


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
