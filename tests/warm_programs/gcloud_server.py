"""gcloud's own Python with its modules imported, which forks a process for each command.

Run by the script `gcloud` in front of gcloud.py, with the address to listen on; ends when its
standard input does.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from types import ModuleType

from fork_server import serve  # type: ignore[import-not-found]  # beside this script


def main() -> None:
    """Serve commands until standard input ends."""
    path = next(word for word in sys.argv if word.endswith("gcloud.py"))
    address = sys.argv[-1]
    gcloud = load_gcloud(path)

    def run_command(arguments: list[str]) -> None:
        sys.argv = [path, *arguments]
        gcloud.main()

    serve(address, run_command, import_modules)


def load_gcloud(path: str) -> ModuleType:
    """Load gcloud.py, and do what its own `main` does first."""
    spec = importlib.util.spec_from_file_location("gcloud", path)
    assert spec is not None
    assert spec.loader is not None
    gcloud = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gcloud)
    sys.path = gcloud.reorder_sys_path(sys.path)
    gcloud._fix_google_module()
    gcloud._import_gcloud_main()
    return gcloud


def import_modules(names: list[str]) -> None:
    """Import what commands have imported of gcloud, so that the next ones need not."""
    for name in names:
        if name.startswith("googlecloudsdk.") and name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


if __name__ == "__main__":
    main()
