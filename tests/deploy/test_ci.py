"""The programs that CI installs on a bare machine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

from .declarations import ROOT, declared

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
#: Installed by a script of its own.
SCRIPTS = {"promtool": "promtool"}
#: Of tests that run at night alone.
NIGHT_PACKAGES = {"go": "golang-go"}


def asked_of_apt(folder: Path, *present: str) -> list[str]:
    """Return the arguments of `apt-get install` on a machine with these programs only.

    The run ends there, or when it looks for a Python beside that.
    """
    for name in ("bash", "dirname"):
        (folder / name).symlink_to(shutil.which(name) or "")
    for name in present:
        (folder / name).write_text("#!/bin/bash\nexit 0\n")
    asked = folder / "asked"
    (folder / "apt-get").write_text(
        f'#!/bin/bash\n[[ $1 == update ]] || {{ echo "$*" > {asked}; exit 7; }}\n'
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
        timeout=90,
    )
    assert done.returncode != 0, done.stderr
    return asked.read_text().split()


def test_a_bare_machine_is_given_everything(tmp_path: Path) -> None:
    asked = asked_of_apt(tmp_path)
    assert asked[-len(PACKAGES) - 1 :] == ["python3-venv", *PACKAGES.values()]


def test_what_is_there_is_not_asked_for(tmp_path: Path) -> None:
    asked = asked_of_apt(tmp_path, "python3", "java", "node")
    assert asked[-3:] == ["redis-server", "npm", "chromium"]


#: A Python that was built with optimisations: it agrees to everything that it is asked.
PYTHON_3_13 = "if [[ $1 == --version ]]; then echo Python 3.13.1; fi"


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
        timeout=90,
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
    offline = {"uv": "exit 1", "python3": PYTHON_3_13}
    fallback = run_python_choice(tmp_path / "offline", **offline)
    assert fallback.stdout == f"{tmp_path}/offline/python3\n"
    assert "tests run on Python 3.13.1, not on the deployed one" in fallback.stderr


def test_where_the_deployed_python_cannot_be_installed_ci_takes_an_optimised_one(
    tmp_path: Path,
) -> None:
    """As scripts/bootstrap does by itself: the tests run an eighth faster."""
    built_plainly = "[[ $2 != *optimised* ]]"
    programs = {"uv": "exit 1", "python3": built_plainly, "python3.13": PYTHON_3_13}
    chosen = run_python_choice(tmp_path / "both", **programs)
    assert chosen.stdout == f"{tmp_path}/both/python3.13\n"
    assert "tests run on Python 3.13.1" in chosen.stderr


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
    assert sought <= BROUGHT | PACKAGES.keys() | SCRIPTS.keys() | NIGHT_PACKAGES.keys()
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    assert all(f"  .ci/{script}\n" in run for script in SCRIPTS.values())
    night = (ROOT / ".ci" / "nightly").read_text("utf-8")
    for program, package in NIGHT_PACKAGES.items():
        assert f"command -v {program} " in night
        assert re.search(rf"apt-get install .* {package} ", night)


def scan(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run `scripts/scan-dependencies` with these programs before those of the machine."""
    folder.mkdir()
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    return subprocess.run(
        [ROOT / "scripts" / "scan-dependencies", folder / "sbom.json"],
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_bill_of_materials_has_every_package_of_the_functions(tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(ROOT / ".venv" / "bin" / "uv")
    done = scan(tmp_path / "offline", curl="exit 6", uv=f'exec {uv} "$@"')
    assert done.returncode == 0, done.stderr
    assert "SKIPPED: api.osv.dev cannot be reached" in done.stdout
    written = json.loads((tmp_path / "offline" / "sbom.json").read_text())
    listed = {(one["name"], one["version"]) for one in written["components"] if "version" in one}
    required = re.findall(
        r"^([\w.-]+)==([\w.]+)",
        (ROOT / "functions" / "requirements.txt").read_text(),
        re.MULTILINE,
    )
    assert len(required) > 20
    assert set(required) <= listed


def test_a_vulnerable_package_fails_the_scan(tmp_path: Path) -> None:
    vulnerable = 'if [[ $1 == tool ]]; then echo "$@"; exit 1; fi; echo "{}"'
    done = scan(tmp_path / "found", curl="exit 0", uv=vulnerable)
    assert done.returncode == 1
    assert "tool run pip-audit" in done.stdout
    assert "functions/requirements.txt" in done.stdout
    assert scan(tmp_path / "clean", curl="exit 0", uv='echo "{}"').returncode == 0


def test_the_scan_is_part_of_each_night() -> None:
    assert "scripts/scan-dependencies" in (ROOT / ".ci" / "nightly").read_text().splitlines()
