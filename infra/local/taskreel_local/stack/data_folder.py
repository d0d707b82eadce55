"""The data folder of a stack: its files, its secrets, and the URL of the running stack."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

DEFAULT = Path(".taskreel")


def display_path(path: Path) -> str:
    """Return the path relative to the current folder if it is inside."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Random secrets, created once for each data folder."""

    jwt: str
    internal: str
    files: str


class DataFolder:
    """Paths and small files of a data folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def store_file(self) -> Path:
        """Database of jobs, accounts and ledger."""
        return self.root / "store.db"

    @property
    def tasks_file(self) -> Path:
        """Journal of the queues."""
        return self.root / "tasks.db"

    @property
    def files_folder(self) -> Path:
        """Content of the bucket."""
        return self.root / "files"

    @property
    def scratch_folder(self) -> Path:
        """Temporary files of running jobs."""
        return self.root / "scratch"

    @property
    def lock_file(self) -> Path:
        """File that the running stack locks."""
        return self.root / "stack.lock"

    def load_secrets(self) -> Secrets:
        """Return the folder's secrets; create them on the first call."""
        path = self.root / "secrets.json"
        self.root.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            made = {name: secrets.token_hex(32) for name in ("jwt", "internal", "files")}
            # Linked when complete, so that no reader sees half of it; readable by the owner only.
            with tempfile.NamedTemporaryFile("w", dir=self.root, prefix="secrets-") as file:
                json.dump(made, file)
                file.flush()
                with contextlib.suppress(FileExistsError):
                    os.link(file.name, path)
        return Secrets(**json.loads(path.read_text()))

    def write_url(self, url: str) -> None:
        """Write the stack's URL, for other commands."""
        (self.root / "url").write_text(url)

    def read_url(self) -> str | None:
        """Return the URL of the running or last stack, None if there was none."""
        path = self.root / "url"
        return path.read_text().strip() if path.is_file() else None
