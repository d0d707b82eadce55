"""The distribution of its own: what a stranger installs, and how much of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from cloudtasks.remote import Remote
from taskreel_cloud_tasks.command import cloud_tasks

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "infra/local/cloud_tasks"
MOST_PACKAGES, MOST_MEGABYTES = 30, 100


def find_uv() -> str:
    found = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    return found if Path(found).exists() else pytest.fail("scripts/bootstrap brings uv")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    copy = tmp_path_factory.mktemp("source") / "cloud_tasks"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    done = subprocess.run(
        [find_uv(), "build", "--quiet", "--wheel", "--out-dir", str(folder), str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and "hatchling" in done.stderr:
        pytest.skip("the package registry cannot be reached, so the wheel cannot be built")
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_has_the_package_its_licence_and_nothing_of_taskreel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        text = b"".join(
            archive.read(name) for name in names if name.endswith((".py", "entry_points.txt"))
        ).decode()
        metadata = archive.read(
            next(name for name in names if name.endswith(".dist-info/METADATA"))
        ).decode()
    outside = {name.split("/")[0] for name in names}
    assert {each for each in outside if not each.endswith(".dist-info")} == {"taskreel_cloud_tasks"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "License-Expression: MIT" in metadata
    assert "# Cloud Tasks on your machine" in metadata  # the README
    assert "taskreel-cloud-tasks = taskreel_cloud_tasks.command:main" in text
    assert not re.search(r"taskreel_local|import taskreel\b|from taskreel[ .]", text)


@pytest.mark.slow
def test_a_stranger_installs_few_packages_and_the_command_runs(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    uv = find_uv()
    run(uv, "venv", "--quiet", "--python", sys.executable, str(environment))
    python = str(environment / "bin/python")
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", python, str(wheel)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and re.search("(?i)connect|dns|network|offline", done.stderr):
        pytest.skip("the package registry cannot be reached")
    assert done.returncode == 0, done.stderr
    listed = run(uv, "pip", "list", "--quiet", "--format=freeze", "--python", python).split()
    assert len(listed) <= MOST_PACKAGES, listed
    size = sum(path.stat().st_size for path in environment.rglob("*") if path.is_file())
    assert size <= MOST_MEGABYTES * 1_000_000
    assert not {"numpy", "av", "fastapi"} & {line.partition("==")[0] for line in listed}
    command = str(environment / "bin/taskreel-cloud-tasks")
    assert run(command, "--version").startswith("taskreel-cloud-tasks 0.")
    code = (
        "from taskreel_cloud_tasks.testing import CloudTasksEmulator\n"
        "with CloudTasksEmulator() as emulator:\n"
        "    queue = emulator.create_queue('emails')\n"
        "    task = {'http_request': {'url': 'http://shop.example/'}}\n"
        "    emulator.client().create_task(parent=queue, task=task)\n"
        "    emulator.assert_delivered(queue, times=1)\n"
    )
    run(python, "-c", code)


def test_every_dependency_is_one_that_the_package_imports() -> None:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    names = [re.split(r"[\[><; ]", each)[0] for each in declared["dependencies"]]
    modules = {
        "google-cloud-tasks": "google.cloud",
        "grpcio-status": "grpc_status",
        "pyjwt": "jwt",
        "pyyaml": "yaml",
    }
    text = "\n".join(
        path.read_text("utf-8") for path in (PROJECT / "taskreel_cloud_tasks").rglob("*.py")
    )
    for name in names:
        module = re.escape(modules.get(name, name))
        assert re.search(rf"^\s*(import|from) {module}\b", text, re.MULTILINE), name


def test_the_dockerfiles_variables_ports_and_health_check_are_the_commands(remote: Remote) -> None:
    text = (PROJECT / "Dockerfile").read_text("utf-8")
    assert 'ENTRYPOINT ["taskreel-cloud-tasks"]' in text
    options = {option.name: option for option in cloud_tasks.params}
    assert options["host"].envvar == "CLOUD_TASKS_HOST"
    port = options["grpc_port"].default
    assert isinstance(port, int)
    assert f"EXPOSE {port} {port + 1}" in text
    (path,) = re.findall(rf"http://127.0.0.1:{port + 1}(/\w+)", text)
    assert remote.control.get(path).status_code == 200
