"""The dashboard's modules against their JSDoc types, by TypeScript's own compiler."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from installed_programs import install_npm_packages

pytestmark = pytest.mark.slow

CONFIG = Path(__file__).with_name("tsconfig.json")
COMPILER = "typescript@5"


@pytest.fixture(scope="module")
def tsc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiler, installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("tsc")
    install_npm_packages(folder, COMPILER)
    return folder / "node_modules" / ".bin" / "tsc"


def check(tsc: Path, config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tsc, "-p", config], capture_output=True, text=True, check=False, timeout=300
    )


def test_every_module_agrees_with_its_types(tsc: Path) -> None:
    done = check(tsc, CONFIG)
    assert done.returncode == 0, done.stdout[-4000:]


def test_a_wrong_use_of_a_module_is_found(tsc: Path, tmp_path: Path) -> None:
    dashboard = CONFIG.parents[2] / "functions" / "taskreel" / "dashboard"
    wrong = f'import {{ formatBytes }} from "{dashboard}/format.js";\nformatBytes("much");\n'
    (tmp_path / "page.js").write_text(wrong)
    text = CONFIG.read_text()
    text = text[: text.index('"include"')] + '"include": ["page.js"]\n}'
    (tmp_path / "tsconfig.json").write_text(text)
    done = check(tsc, tmp_path / "tsconfig.json")
    assert "error TS2345" in done.stdout
