"""The data folder of a stack on this machine: its secrets, and where the running stack listens."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

DEFAULT = Path(".taskreel")


def near(path: Path) -> str:
    """The path as a person in this folder would type it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made at random once a data folder; they never leave it."""

    jwt: str
    internal: str
    files: str


class DataFolder:
    """`root` and what lies in it."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def store(self) -> Path:
        """Jobs, accounts, ledger."""
        return self.root / "store.db"

    @property
    def tasks(self) -> Path:
        """The queues' journal."""
        return self.root / "tasks.db"

    @property
    def files(self) -> Path:
        """The bucket."""
        return self.root / "files"

    @property
    def scratch(self) -> Path:
        """What runs in progress write."""
        return self.root / "scratch"

    @property
    def lock(self) -> Path:
        """Held by the stack that runs here."""
        return self.root / "stack.lock"

    def secrets(self) -> Secrets:
        """The folder's secrets, made when first asked for."""
        path = self.root / "secrets.json"
        self.root.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            made = {name: secrets.token_hex(32) for name in ("jwt", "internal", "files")}
            # Linked when whole, so that nobody reads half of it; readable by the owner alone.
            with tempfile.NamedTemporaryFile("w", dir=self.root, prefix="secrets-") as file:
                json.dump(made, file)
                file.flush()
                with contextlib.suppress(FileExistsError):
                    os.link(file.name, path)
        return Secrets(**json.loads(path.read_text()))

    def announce(self, url: str) -> None:
        """Tell the other commands where the stack listens."""
        (self.root / "url").write_text(url)

    def url(self) -> str | None:
        """Where the stack listens, or listened last."""
        path = self.root / "url"
        return path.read_text().strip() if path.is_file() else None
